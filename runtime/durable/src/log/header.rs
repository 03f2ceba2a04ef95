//! The head of a segment: which generation it is, and what seeds the checksums of its records.
//!
//! It is written twice, in two sectors, before the first record. A sector that goes bad later does not
//! take the segment with it, and a head that was torn when it was written is none.

/// Where the records of a segment begin.
pub const DATA: u64 = 1024;
/// A second copy of the head begins here.
const COPY: usize = 512;
const LENGTH: usize = 56;
/// Where the checksum is: of all before it.
const CRC: usize = 48;
const MAGIC: [u8; 8] = *b"LANEMESH";
/// The version of the format.
pub const VERSION: u32 = 2;

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Counts the segments, from 1.
    pub generation: u64,
    /// Random. A message may hold bytes that look like records: without this it cannot know the
    /// checksum that they need in the segment that it will be in when it is stale.
    pub nonce: u32,
    /// Where the records of the generation before end.
    pub previous_end: u64,
    /// Identities below this one may be in use.
    pub next_id: u64,
    /// Random, and the same in all segments of a log: a file of another log is none of this one.
    pub log: u64,
}

impl Header {
    /// What the checksums of this segment begin with.
    pub fn seed(&self) -> u32 {
        (self.generation as u32).wrapping_mul(0x9e37_79b1) ^ self.nonce
    }

    /// The first bytes of the segment, up to [`DATA`].
    pub fn encode(&self) -> Vec<u8> {
        let mut one = [0; LENGTH];
        one[..8].copy_from_slice(&MAGIC);
        one[8..12].copy_from_slice(&VERSION.to_le_bytes());
        one[12..16].copy_from_slice(&self.nonce.to_le_bytes());
        one[16..24].copy_from_slice(&self.generation.to_le_bytes());
        one[24..32].copy_from_slice(&self.previous_end.to_le_bytes());
        one[32..40].copy_from_slice(&self.next_id.to_le_bytes());
        one[40..48].copy_from_slice(&self.log.to_le_bytes());
        let crc = crc32fast::hash(&one[..CRC]);
        one[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
        let mut bytes = vec![0; DATA as usize];
        bytes[..LENGTH].copy_from_slice(&one);
        bytes[COPY..COPY + LENGTH].copy_from_slice(&one);
        bytes
    }

    /// Reads the head of a segment. None if neither copy is whole: the segment was never used, or
    /// its head was torn when it was written.
    pub fn decode(segment: &[u8]) -> Option<Self> {
        Self::decode_copy(segment).or_else(|| Self::decode_copy(segment.get(COPY..)?))
    }

    fn decode_copy(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..LENGTH)?;
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let is_whole = bytes[..8] == MAGIC
            && word(8) == VERSION
            && word(CRC) == crc32fast::hash(&bytes[..CRC]);
        is_whole.then(|| Self {
            generation: long(16),
            nonce: word(12),
            previous_end: long(24),
            next_id: long(32),
            log: long(40),
        })
    }

    /// The version of a head that [`decode`](Self::decode) does not read since it is of another one.
    pub fn other_version(segment: &[u8]) -> Option<u32> {
        [0, COPY].into_iter().find_map(|at| {
            let bytes = segment.get(at..at + LENGTH)?;
            let version = u32::from_le_bytes(bytes[8..12].try_into().expect("4 bytes"));
            // One that was torn when it was written has no version yet.
            (bytes[..8] == MAGIC && version != 0 && version != VERSION).then_some(version)
        })
    }
}
