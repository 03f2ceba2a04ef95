//! The log: records in segments of a fixed size, which are recycled.
//!
//! [`record`] is the format of one record, [`header`] that of the head of a segment. [`scan`] reads a
//! segment that may be torn or damaged; [`writer`] appends, syncs and recycles. What the records mean
//! is decided elsewhere.

pub mod header;
pub mod record;
pub mod scan;
pub mod writer;

/// The place of a record: the generation of its segment and the offset there, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Counts the segments, from 1, in the order of their use.
    pub generation: u64,
    /// Bytes from the beginning of the segment's file.
    pub offset: u64,
}
