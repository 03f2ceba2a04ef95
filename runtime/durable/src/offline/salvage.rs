//! What is still whole in a log that is damaged, so that the store does not open.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    io::{self, Write},
    path::Path,
};

use crate::{
    disk::{Disk, RealDisk},
    engine::{HANDS, Hands, Meta, OpenError, own_log},
    log::{
        header::{DATA, Header},
        record::{self, Kind, Record},
        segment_number,
    },
    offline::json::Line,
};

/// What [`salvage`] has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvage {
    /// Messages that are whole and not known to be acknowledged.
    pub messages: usize,
    /// Places where records that are not whole begin, and segments without a head.
    pub damaged: usize,
    /// Files of other logs, which were left alone.
    pub foreign: usize,
}

impl fmt::Display for Salvage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages are whole, damaged places passed over: {}. Messages that were there may be \
             missing, and some may have been handled: their acknowledgements may be missing, too",
            self.messages, self.damaged
        )?;
        match self.foreign {
            0 => Ok(()),
            foreign => write!(f, ". Files of other logs, left alone: {foreign}"),
        }
    }
}

/// A message that is whole.
struct Found {
    queue: u16,
    is_high: bool,
    is_dead: bool,
    body: Vec<u8>,
}

#[derive(Default)]
struct Rescue {
    messages: BTreeMap<u64, Found>,
    queues: HashMap<u16, String>,
    damaged: usize,
    foreign: usize,
}

/// Writes the messages that are whole in the log of a directory as lines of JSON, also if the log is damaged.
/// Nothing is changed.
///
/// # Errors
///
/// [`OpenError::Locked`], [`OpenError::Empty`], and those of the disk and the writer.
pub fn salvage(
    directory: impl AsRef<Path>,
    queue: Option<&str>,
    into: &mut impl Write,
) -> Result<Salvage, OpenError> {
    match RealDisk::reading(directory.as_ref()) {
        Ok(disk) => salvage_on(disk, queue, into),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::Empty),
        Err(error) => Err(error.into()),
    }
}

/// As [`salvage`], on a disk of another kind.
///
/// # Errors
///
/// As [`salvage`].
pub fn salvage_on(
    mut disk: impl Disk,
    queue: Option<&str>,
    into: &mut impl Write,
) -> Result<Salvage, OpenError> {
    match disk.lock() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(OpenError::Locked),
        outcome => outcome?,
    }
    let names = disk.list()?;
    let logs: Vec<&String> = names
        .iter()
        .filter(|name| segment_number(name).is_some())
        .collect();
    if logs.is_empty() {
        return Err(OpenError::Empty);
    }
    let mut rescue = Rescue::default();
    let mut segments = Vec::new();
    for name in logs {
        let file = disk.open(name)?;
        let mut head = vec![0; DATA.min(file.size()) as usize];
        file.read_at(&mut head, 0)?;
        match Header::decode(&head) {
            Some(header) => segments.push((header, file)),
            // One that was never used is full of zeros.
            None => rescue.damaged += usize::from(head.iter().any(|byte| *byte != 0)),
        }
    }
    let words = disk.peek_words(HANDS)?;
    let log = own_log(
        segments.iter().map(|(header, _)| header.log),
        Hands::log_of(&words),
    );
    segments.sort_by_key(|(header, _)| header.generation);
    for (header, file) in segments {
        if header.log != log {
            rescue.foreign += 1;
            continue;
        }
        let mut bytes = vec![0; file.size() as usize];
        file.read_at(&mut bytes, 0)?;
        rescue.read(&bytes, header.seed());
    }
    if Hands::log_of(&words) == log {
        for id in Hands::done_of(&words) {
            rescue.messages.remove(&id);
        }
    }
    Ok(rescue.write(queue, into)?)
}

impl Rescue {
    /// Reads all records of a segment that are whole. Those of an earlier use have another seed.
    fn read(&mut self, segment: &[u8], seed: u32) {
        let mut at = DATA as usize;
        let (mut is_whole, mut has_ended) = (true, false);
        while at + record::HEAD <= segment.len() {
            match record::decode(segment, at, seed) {
                Some(found) => {
                    // Remains of a write that was torn are no damage; records behind them say that it was.
                    self.damaged += usize::from(!is_whole);
                    is_whole = true;
                    has_ended = found.head.kind == Kind::End;
                    at += record::length(found.body.len());
                    self.apply(found);
                }
                None => {
                    is_whole = has_ended;
                    at += 8;
                }
            }
        }
    }

    fn apply(&mut self, record: Record<'_>) {
        let Record { head, body } = record;
        match head.kind {
            Kind::Put => {
                let is_dead = self
                    .messages
                    .get(&head.id)
                    .is_some_and(|found| found.is_dead);
                let found = Found {
                    queue: head.queue,
                    is_high: head.class == 0,
                    is_dead,
                    body: body.to_vec(),
                };
                self.messages.insert(head.id, found);
            }
            Kind::Ack => drop(self.messages.remove(&head.id)),
            Kind::Dead | Kind::Requeue => {
                if let Some(found) = self.messages.get_mut(&head.id) {
                    found.is_dead = head.kind == Kind::Dead;
                }
            }
            Kind::Queue => {
                let name = String::from_utf8_lossy(body).into_owned();
                self.queues.insert(head.queue, name);
            }
            Kind::Batch | Kind::Attempt | Kind::Retry | Kind::Mark | Kind::End => {}
        }
    }

    fn write(self, wanted: Option<&str>, into: &mut impl Write) -> io::Result<Salvage> {
        let mut salvage = Salvage {
            messages: 0,
            damaged: self.damaged,
            foreign: self.foreign,
        };
        for (id, found) in &self.messages {
            // The record with its name may be among those that are lost.
            let number = || format!("#{}", found.queue);
            let queue = self
                .queues
                .get(&found.queue)
                .cloned()
                .unwrap_or_else(number);
            let Some((meta, payload)) = Meta::decode(&found.body) else {
                continue;
            };
            if wanted.is_some_and(|wanted| wanted != queue) {
                continue;
            }
            salvage.messages += 1;
            let line = Line {
                state: if found.is_dead { "dead" } else { "queued" },
                queue: &queue,
                id: *id,
                is_high: found.is_high,
                type_name: &meta.type_name,
                version: meta.version,
                stored_at: meta.at,
                payload,
            };
            writeln!(into, "{line}")?;
        }
        Ok(salvage)
    }
}
