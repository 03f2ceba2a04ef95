//! A store that no process has open: what is in it, whether it is whole, dead letters. The command
//! `lanemesh-durable` is made of this.

mod json;
mod salvage;

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
    path::Path,
};

use crate::{
    disk::{Disk, RealDisk},
    engine::{Cut, Engine, OpenError, Refused, now},
    journal::{DeadLetter, StoreError, dead_letters},
    log::segment_number,
    options::StoreOptions,
};

use self::json::Line;
pub use self::salvage::{Salvage, salvage, salvage_on};

/// A store that was opened without its thread.
#[derive(Debug)]
pub struct Offline {
    engine: Engine,
    cut: Option<Cut>,
}

/// What [`verify`] has found: all is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Segments in use.
    pub segments: usize,
    /// Records, without those of the log itself.
    pub records: u64,
    /// A torn write at the end, which the next start cuts off. No receipt was given for it.
    pub cut: Option<Cut>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "whole: {} records in {} segments",
            self.records, self.segments
        )?;
        if let Some(Cut { file, offset }) = &self.cut {
            write!(
                f,
                "\nthe last write was torn, in {file} at offset {offset}: the next start cuts it off; \
                 nobody had a receipt for it"
            )?;
        }
        Ok(())
    }
}

/// Reads the log in a directory, and changes nothing.
///
/// # Errors
///
/// As [`Offline::open`].
pub fn verify(directory: impl AsRef<Path>) -> Result<Report, OpenError> {
    verify_on(existing(directory.as_ref(), RealDisk::reading)?)
}

/// As [`verify`], on a disk of another kind.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_on(mut disk: impl Disk) -> Result<Report, OpenError> {
    let report = Engine::verify(&mut disk)?;
    let (segments, records, cut) = report;
    Ok(Report {
        segments,
        records,
        cut,
    })
}

fn existing<'a>(
    directory: &'a Path,
    open: fn(&'a Path) -> io::Result<RealDisk>,
) -> Result<RealDisk, OpenError> {
    let disk = match open(directory) {
        Ok(disk) => disk,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::Empty),
        Err(error) => return Err(error.into()),
    };
    match disk
        .list()?
        .iter()
        .any(|name| segment_number(name).is_some())
    {
        true => Ok(disk),
        false => Err(OpenError::Empty),
    }
}

impl Offline {
    /// Opens the store in a directory; there must be one.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: damage, a directory that is open elsewhere, or no store.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        let disk = existing(directory.as_ref(), RealDisk::existing)?;
        // With the words that are there: a full disk has no room for more.
        let options = StoreOptions::default().max_in_flight(1);
        let (engine, cut) = Engine::open(Box::new(disk), &options)?;
        Ok(Self { engine, cut })
    }

    /// The queues and dead letters, of one queue or of all, as text.
    pub fn inspect(&mut self, queue: Option<&str>) -> String {
        let mut text = String::new();
        let writer = self.engine.writer();
        let _ = writeln!(
            text,
            "log: {} bytes on disk, {} live, {} segments",
            writer.size(),
            writer.live(),
            writer.segments().len()
        );
        if let Some(Cut { file, offset }) = &self.cut {
            let _ = writeln!(text, "cut off: a torn write, in {file} at offset {offset}");
        }
        for stats in self.engine.stats(now()) {
            if queue.is_some_and(|queue| queue != stats.name) {
                continue;
            }
            let _ = writeln!(
                text,
                "queue {}: high {} + {} delayed, low {} + {} delayed, oldest {} s, {} dead letters",
                stats.name,
                stats.high.ready,
                stats.high.delayed,
                stats.low.ready,
                stats.low.delayed,
                stats.high.oldest_age.max(stats.low.oldest_age),
                stats.dead_letters
            );
        }
        self.for_each_dead_letter(queue, |letter| {
            writeln!(
                text,
                "dead letter {}: queue {}, {} version {}, {:?} after {} attempts, {} bytes",
                letter.id,
                letter.queue,
                letter.type_name,
                letter.version,
                letter.reason,
                letter.attempts,
                letter.payload.len()
            )
        })
        .ok();
        text
    }

    /// Reads a few at a time: there may be more of them than memory.
    fn for_each_dead_letter<E>(
        &mut self,
        queue: Option<&str>,
        mut then: impl FnMut(DeadLetter) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = 0;
        loop {
            let some = dead_letters(&mut self.engine, queue, from, 16);
            let Some(last) = some.last() else {
                return Ok(());
            };
            from = last.id + 1;
            some.into_iter().try_for_each(&mut then)?;
        }
    }

    /// The dead letters of a queue, or of all.
    pub fn dead_letters(&mut self, queue: Option<&str>) -> Vec<DeadLetter> {
        dead_letters(&mut self.engine, queue, 0, usize::MAX)
    }

    /// Makes dead letters messages again: of a queue or of all, or the one with this identity. Returns
    /// how many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] and [`StoreError::Poisoned`]. Those before the first that fails are messages again.
    pub fn requeue(&mut self, queue: Option<&str>, id: Option<u64>) -> Result<usize, StoreError> {
        self.change(queue, id, Engine::requeue)
    }

    /// Deletes dead letters: of a queue or of all, or the one with this identity. Returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] and [`StoreError::Poisoned`]. Those before the first that fails are deleted.
    pub fn delete(&mut self, queue: Option<&str>, id: Option<u64>) -> Result<usize, StoreError> {
        self.change(queue, id, Engine::delete_dead)
    }

    fn change(
        &mut self,
        queue: Option<&str>,
        id: Option<u64>,
        change: fn(&mut Engine, u64) -> Result<bool, Refused>,
    ) -> Result<usize, StoreError> {
        let number = match queue.map(|name| self.engine.find_queue(name)) {
            Some(None) => return Ok(0),
            number => number.flatten(),
        };
        let letters = self.engine.dead_letters(number, 0, usize::MAX);
        let ids = letters.into_iter().map(|(id, _)| id);
        let (mut count, mut refused) = (0, None);
        for id in ids.filter(|letter| id.is_none_or(|id| id == *letter)) {
            match change(&mut self.engine, id) {
                Ok(done) => count += usize::from(done),
                Err(error) => {
                    refused = Some(error.into());
                    break;
                }
            }
        }
        self.engine.commit().map_err(StoreError::Poisoned)?;
        refused.map_or(Ok(count), Err)
    }

    /// Writes messages and dead letters of a queue, or of all, as lines of JSON. Payloads are in hexadecimal.
    /// Nothing is taken out.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn export(&mut self, queue: Option<&str>, into: &mut impl Write) -> io::Result<()> {
        for (number, name) in self.engine.queue_names().into_iter().enumerate() {
            if queue.is_some_and(|queue| queue != &*name) {
                continue;
            }
            for (class, id) in self.engine.queued(number as u16) {
                let read = self.engine.read_queued(number as u16, class, id);
                let (meta, payload) = read.unwrap_or_default();
                let line = Line {
                    state: "queued",
                    queue: &name,
                    id,
                    is_high: class == 0,
                    type_name: &meta.type_name,
                    version: meta.version,
                    stored_at: meta.at,
                    payload: &payload,
                };
                writeln!(into, "{line}")?;
            }
        }
        self.for_each_dead_letter(queue, |letter| {
            let line = Line {
                state: "dead",
                queue: &letter.queue,
                id: letter.id,
                is_high: letter.is_high,
                type_name: &letter.type_name,
                version: letter.version,
                stored_at: letter.stored_at,
                payload: &letter.payload,
            };
            writeln!(into, "{line}")
        })
    }
}
