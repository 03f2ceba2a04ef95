//! The files of a log: which are in use, in which order, and whether one is missing.

use std::{collections::BTreeMap, fmt, io};

use crate::{
    disk::{Disk, DiskFile},
    engine::hands::Hands,
    log::{
        Position,
        header::{DATA, Header, VERSION},
        scan::Scan,
        segment_number,
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
    /// A file with the name of a segment is of another log, or never was a segment. Nothing was changed.
    Foreign {
        /// The file.
        file: String,
    },
    /// Two files are the same part of the log: one is a copy. Nothing was changed.
    Twice {
        /// One of them.
        file: String,
        /// The other one.
        other: String,
    },
    /// A file of the log has another version of the format: another release has written it. Nothing was changed.
    Version {
        /// The file.
        file: String,
        /// Its version.
        version: u32,
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
            Self::Io(error) => write!(f, "the store cannot be read or written: {error}"),
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
            Self::Foreign { file } => write!(
                f,
                "{file} is none of this log: it was copied from another store, or never was a segment"
            ),
            Self::Twice { file, other } => write!(
                f,
                "{file} and {other} are the same part of the log: one of them is a copy"
            ),
            Self::Version { file, version } => write!(
                f,
                "{file} is of version {version} of the format, and this program reads version {VERSION}"
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
    pub(super) size: u64,
    pub(super) header: Header,
}

/// The files of a log.
pub(super) struct Layout {
    /// Oldest first, without a gap.
    pub(super) used: Vec<Found>,
    /// Files that are not used, with their sizes.
    pub(super) spares: Vec<(String, u64)>,
    /// The number of the next file.
    pub(super) next_name: u64,
    pub(super) segment_size: u64,
    /// The identity of the log; 0 if it has none yet.
    pub(super) log: u64,
    /// All before this place was certainly synced.
    pub(super) synced: Position,
}

/// `default_size`: the size of a new log's segments, or `None` if the log is only read. `words`: the state of what is in flight.
pub(super) fn layout(
    disk: &dyn Disk,
    default_size: Option<u64>,
    words: &[u64],
) -> Result<Layout, OpenError> {
    let (mut used, mut spares, mut next_name) = (Vec::new(), Vec::new(), 1);
    for name in disk.list()? {
        let Some(number) = segment_number(&name) else {
            continue;
        };
        next_name = next_name.max(number.saturating_add(1));
        let file = disk.open(&name)?;
        let size = file.size();
        let mut head = vec![0; DATA.min(size) as usize];
        file.read_at(&mut head, 0)?;
        match Header::decode(&head) {
            Some(header) => used.push(Found { name, size, header }),
            None => match Header::other_version(&head) {
                Some(version) => {
                    return Err(OpenError::Version {
                        file: name,
                        version,
                    });
                }
                None => spares.push((name, size)),
            },
        }
    }
    used.sort_by_key(|found| found.header.generation);
    let logs = used.iter().map(|found| found.header.log);
    let log = own_log(logs, Hands::log_of(words));
    check_identity(&used, log)?;
    let synced = match log == Hands::log_of(words) {
        true => Hands::synced_of(words),
        false => Position::default(),
    };
    let segment_size = common_size(&used).or(default_size).unwrap_or(0);
    let files = used.iter().map(|found| (&found.name, found.size));
    let others = spares.iter().map(|(name, size)| (name, *size));
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
    for (name, size) in &spares {
        // It will be removed: so it must be one that was never used.
        let is_unfit = default_size.is_some() && *size != segment_size;
        if is_unfit && read_all(&*disk.open(name)?)?.iter().any(|byte| *byte != 0) {
            return Err(OpenError::Foreign { file: name.clone() });
        }
    }
    let oldest = oldest_needed(disk, &used)?;
    let unused = used.partition_point(|found| found.header.generation < oldest);
    spares.extend(used.drain(..unused).map(|found| (found.name, found.size)));
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
    if last < synced.generation {
        return Err(OpenError::Missing {
            generation: synced.generation,
        });
    }
    Ok(Layout {
        used,
        spares,
        next_name,
        segment_size,
        log,
        synced,
    })
}

/// Which log a directory has: that of the words, or that of most of its segments.
pub(crate) fn own_log(logs: impl Iterator<Item = u64>, of_words: u64) -> u64 {
    let mut counts = BTreeMap::new();
    for log in logs {
        *counts.entry(log).or_insert(0) += 1;
    }
    let common = counts
        .into_iter()
        .max_by_key(|(log, count)| (*log == of_words, *count));
    common.map_or(of_words, |(log, _)| log)
}

/// Whether all segments, which are in the order of their generations, are of this log, and none is there twice.
fn check_identity(used: &[Found], log: u64) -> Result<(), OpenError> {
    if let Some(found) = used.iter().find(|found| found.header.log != log) {
        return Err(OpenError::Foreign {
            file: found.name.clone(),
        });
    }
    let mut pairs = used.iter().zip(used.iter().skip(1));
    match pairs.find(|(one, two)| one.header.generation == two.header.generation) {
        Some((one, two)) => Err(OpenError::Twice {
            file: one.name.clone(),
            other: two.name.clone(),
        }),
        None => Ok(()),
    }
}

/// The size that most files in use have.
fn common_size(used: &[Found]) -> Option<u64> {
    let mut counts = BTreeMap::new();
    for found in used {
        *counts.entry(found.size).or_insert(0) += 1;
    }
    let common = counts
        .into_iter()
        .max_by_key(|(size, count)| (*count, *size));
    common.map(|(size, _)| size)
}

/// The oldest generation that is needed, as the last batch of the log has it; 0 without a batch.
fn oldest_needed(disk: &dyn Disk, used: &[Found]) -> io::Result<u64> {
    for found in used.iter().rev() {
        let bytes = read_all(&*disk.open(&found.name)?)?;
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
