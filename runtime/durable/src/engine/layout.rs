//! The files of a log: which are in use, in which order, and whether one is missing.

use std::{collections::BTreeMap, fmt, io};

use crate::{
    disk::{Disk, DiskFile},
    log::{
        header::{DATA, Header},
        scan::Scan,
    },
    options::{MAX_SEGMENT, MIN_SEGMENT},
};

/// Why a store was not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or this one, has the directory open.
    Locked,
    /// The disk failed.
    Io(io::Error),
    /// A record that had been synced is not whole any more. Nothing was changed.
    Damaged {
        /// The file.
        file: String,
        /// Where the record begins, in bytes.
        offset: u64,
        /// Which record of the file it is, from 0.
        record: u64,
    },
    /// A file of the log is missing, or its head is not readable. Nothing was changed.
    Missing {
        /// The number that its head would have.
        generation: u64,
    },
    /// A record is whole, but not of this format. Nothing was changed.
    Format {
        /// The file.
        file: String,
        /// Where the record begins, in bytes.
        offset: u64,
    },
    /// A file of the log has another size than the others: it was cut short, or is none of this log.
    /// Nothing was changed.
    Size {
        /// The file.
        file: String,
        /// Its size.
        bytes: u64,
        /// That of the others.
        expected: u64,
    },
    /// There is nothing to open: for the command, which makes no store.
    Empty,
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => f.write_str("the directory is open elsewhere"),
            Self::Io(error) => write!(f, "the disk failed: {error}"),
            Self::Damaged {
                file,
                offset,
                record,
            } => write!(
                f,
                "{file} is damaged: record {record}, at offset {offset}, had been synced and is not \
                 whole any more"
            ),
            Self::Missing { generation } => write!(
                f,
                "the segment with generation {generation} is missing, or its head is not readable"
            ),
            Self::Format { file, offset } => {
                write!(
                    f,
                    "{file}: the record at offset {offset} is not of this format"
                )
            }
            Self::Size {
                file,
                bytes,
                expected,
            } => write!(
                f,
                "{file} has {bytes} bytes instead of {expected}: it was cut short, or is none of this log"
            ),
            Self::Empty => f.write_str("there is no store"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// What was cut off the end of the log: a write that was torn before it was synced. No receipt was
/// given for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: String,
    /// Where the log ends now, in bytes.
    pub offset: u64,
}

/// A segment with a head.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) file: Box<dyn DiskFile>,
    pub(super) header: Header,
}

/// The files of a log.
pub(super) struct Layout {
    /// Oldest first, without a gap.
    pub(super) used: Vec<Found>,
    pub(super) spares: Vec<(String, Box<dyn DiskFile>)>,
    /// The number of the next file.
    pub(super) next_name: u64,
    pub(super) segment_size: u64,
}

/// `newest` is the newest generation that was certainly synced; 0 if that is not known.
pub(super) fn layout(disk: &dyn Disk, default_size: u64, newest: u64) -> Result<Layout, OpenError> {
    let (mut used, mut spares, mut next_name) = (Vec::new(), Vec::new(), 1);
    for name in disk.list()? {
        let stem = name
            .strip_suffix(".log")
            .and_then(|stem| stem.parse::<u64>().ok());
        let Some(number) = stem else { continue };
        next_name = next_name.max(number.saturating_add(1));
        let file = disk.open(&name)?;
        let mut head = vec![0; DATA.min(file.size()) as usize];
        file.read_at(&mut head, 0)?;
        match Header::decode(&head) {
            Some(header) => used.push(Found { name, file, header }),
            None => spares.push((name, file)),
        }
    }
    used.sort_by_key(|found| found.header.generation);
    let segment_size = common_size(&used).unwrap_or(default_size);
    let files = used.iter().map(|found| (&found.name, found.file.size()));
    let others = spares.iter().map(|(name, file)| (name, file.size()));
    for (name, bytes) in files.chain(others) {
        // Without a segment in use the files may be those of an earlier run with another size.
        let is_fit = bytes == segment_size || used.is_empty();
        if !is_fit || !(MIN_SEGMENT..=MAX_SEGMENT).contains(&bytes) {
            return Err(OpenError::Size {
                file: name.clone(),
                bytes,
                expected: segment_size,
            });
        }
    }
    let oldest = oldest_needed(&used)?;
    let unused = used.partition_point(|found| found.header.generation < oldest);
    spares.extend(used.drain(..unused).map(|found| (found.name, found.file)));
    let first = match oldest {
        0 => used.first().map_or(1, |found| found.header.generation),
        oldest => oldest,
    };
    for (found, generation) in used.iter().zip(first..) {
        if found.header.generation != generation {
            return Err(OpenError::Missing { generation });
        }
    }
    let last = used.last().map_or(0, |found| found.header.generation);
    if last < newest {
        return Err(OpenError::Missing { generation: newest });
    }
    Ok(Layout {
        used,
        spares,
        next_name,
        segment_size,
    })
}

/// The size that most files in use have.
fn common_size(used: &[Found]) -> Option<u64> {
    let mut counts = BTreeMap::new();
    for found in used {
        *counts.entry(found.file.size()).or_insert(0) += 1;
    }
    let common = counts
        .into_iter()
        .max_by_key(|(size, count)| (*count, *size));
    common.map(|(size, _)| size)
}

/// The oldest generation that is needed, as the last batch of the log has it; 0 without a batch.
fn oldest_needed(used: &[Found]) -> io::Result<u64> {
    for found in used.iter().rev() {
        let bytes = read_all(&*found.file)?;
        let mut scan = Scan::new(&bytes, found.header);
        while scan.next_record().is_some() {}
        if scan.oldest() > 0 {
            return Ok(scan.oldest());
        }
    }
    Ok(0)
}

pub(super) fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.size() as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}
