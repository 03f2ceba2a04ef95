//! Reading a segment that may be torn or damaged.
//!
//! A write that was never synced may have left any part of itself: what follows the first record that is
//! not whole is cut. If a later batch says that this place had been synced, it was not torn but
//! damaged, and that is an error.

use crate::log::{
    header::{DATA, Header},
    record::{self, Batch, Head, Kind, Record},
};

/// The records of a segment.
#[derive(Debug)]
pub struct Scan<'a> {
    segment: &'a [u8],
    header: Header,
    at: usize,
    count: u64,
    end: Option<Tail>,
    /// From the last batch that was read.
    oldest: u64,
    synced: u64,
    /// From another source.
    expected: u64,
}

/// How the records of a segment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Where they end.
    pub offset: u64,
    /// Whether the end is as it was written; otherwise something was cut.
    pub is_clean: bool,
}

/// A record that had been synced is not whole any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins.
    pub offset: u64,
    /// The how manieth it is in its segment, from 0.
    pub record: u64,
}

impl<'a> Scan<'a> {
    /// The records of a segment; `segment` is the whole file.
    pub fn new(segment: &'a [u8], header: Header) -> Self {
        Self {
            segment,
            header,
            at: DATA as usize,
            count: 0,
            end: None,
            oldest: 0,
            synced: 0,
            expected: 0,
        }
    }

    /// The next record and its offset. None at the end. Records of the log itself, which begin and
    /// end batches, are passed over.
    pub fn next_record(&mut self) -> Option<(u64, Record<'a>)> {
        while self.end.is_none() {
            let at = self.at;
            let Some(found) = record::decode(self.segment, at, self.header.seed()) else {
                self.end = Some(Tail {
                    offset: at as u64,
                    is_clean: false,
                });
                break;
            };
            if found.head.kind == Kind::End {
                self.end = Some(Tail {
                    offset: at as u64,
                    is_clean: true,
                });
                break;
            }
            self.at += record::length(found.body.len());
            self.count += 1;
            if found.head.kind != Kind::Batch {
                return Some((at as u64, found));
            }
            if let Some(batch) = Batch::decode(found.body) {
                self.oldest = batch.oldest;
                if batch.synced.generation == self.header.generation {
                    self.synced = batch.synced.offset;
                }
            }
        }
        None
    }

    /// The oldest generation that is needed, as the last batch has it; 0 without a batch.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Up to where the segment was certainly synced, as the last batch has it.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Says that all before `offset` had been synced, by another source than the batches.
    pub fn expect_synced(&mut self, offset: u64) {
        self.expected = self.expected.max(offset);
    }

    /// Where the records end, after the last of them was read. `next` is the head of the next
    /// generation, if there is one.
    ///
    /// # Errors
    ///
    /// [`Damage`], if records that had been synced are missing.
    pub fn finish(mut self, next: Option<&Header>) -> Result<Tail, Damage> {
        while self.next_record().is_some() {}
        let tail = self.end.expect("the end was reached");
        let damage = Damage {
            offset: tail.offset,
            record: self.count,
        };
        match next {
            // It ended here when the next generation began, and was synced before.
            Some(next) if next.previous_end == tail.offset => Ok(Tail {
                is_clean: true,
                ..tail
            }),
            Some(_) => Err(damage),
            None if self.expected > tail.offset => Err(damage),
            None if self.is_synced_beyond(tail.offset) => Err(damage),
            None => Ok(tail),
        }
    }

    /// Whether a batch further on says that something after `offset` had been synced.
    fn is_synced_beyond(&self, offset: u64) -> bool {
        let mut at = offset as usize;
        while let Some(head) = self.segment.get(at..at + record::HEAD) {
            if head[8] == Kind::Batch as u8
                && let Some(found) = record::decode(self.segment, at, self.header.seed())
                && let Some(batch) = Batch::decode(found.body)
                && batch.synced.generation == self.header.generation
                && batch.synced.offset > offset
            {
                return true;
            }
            at += 8;
        }
        false
    }
}

/// A segment, read as a whole.
#[derive(Debug)]
pub struct Contents {
    /// Its head.
    pub header: Header,
    /// The records that are whole, with their offsets and bodies.
    pub records: Vec<(u64, Head, Vec<u8>)>,
    /// How they end.
    pub end: Result<Tail, Damage>,
}

/// Reads a segment, whatever its bytes are. None without a head.
pub fn read(segment: &[u8]) -> Option<Contents> {
    let header = Header::decode(segment)?;
    let mut scan = Scan::new(segment, header);
    let mut records = Vec::new();
    while let Some((offset, record)) = scan.next_record() {
        records.push((offset, record.head, record.body.to_vec()));
    }
    let end = scan.finish(None);
    Some(Contents {
        header,
        records,
        end,
    })
}
