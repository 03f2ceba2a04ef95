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

/// The name of the file of a segment.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:08}.log")
}

/// The number in the name of a segment. None if it is the name of something else.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".log")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}
