//! What the records of the log mean: queues, attempts, dead letters, marks.
//!
//! An engine is used by one thread and never waits for anything but the disk. [`recover`] makes one
//! from what is on disk, [`compact`] moves what is old and still needed.

// One thing: mod, *: the parts of an engine, each in a file.

mod compact;
mod dead;
mod hands;
mod index;
mod layout;
mod meta;
mod recover;
mod take;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
};

use crate::{
    log::{
        record::{self, Head, Kind},
        writer::{Purpose, Writer},
    },
    options::QueueOptions,
};

use self::{
    compact::Compaction,
    index::{Entry, Index},
    meta::MarkKey,
};
pub(crate) use self::{
    dead::Dead,
    hands::{Hands, Stage},
    layout::own_log,
    meta::{Meta, now},
    recover::HANDS,
    take::Taken,
};
pub use self::{
    dead::DeadReason,
    layout::{Cut, OpenError},
};

/// Acknowledgements of fewer bytes wait for what is written next.
const LAZY_BYTES: usize = 32 << 10;

/// Why a message was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The queue, or the disk, has no room.
    Full,
    /// The disk makes no file for the log, for another reason.
    Disk(Arc<str>),
    /// It does not fit into a segment.
    TooLarge,
    /// See [`Engine::poison`].
    Poisoned(Arc<str>),
}

/// What became of a message that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    New(u64),
    /// It was stored before.
    Known(u64),
}

#[derive(Debug, Default)]
struct Class {
    ready: Index,
    /// By the time from which on they are ready.
    delayed: BTreeMap<(u64, u64), Entry>,
    in_flight: usize,
    /// Of the records of all of these.
    bytes: u64,
    /// In strict order: nothing is passed on before.
    held_until: u64,
}

impl Class {
    fn len(&self) -> usize {
        self.ready.len() + self.delayed.len() + self.in_flight
    }
}

#[derive(Debug, Default)]
struct Queue {
    name: Arc<str>,
    options: QueueOptions,
    classes: [Class; 2],
    /// Where the record with its name is.
    generation: u64,
    redelivered: u64,
    expired: u64,
    known: u64,
    /// Dead letters that are there.
    dead: usize,
}

#[derive(Debug)]
struct InFlight {
    slot: u32,
    queue: u16,
    class: u8,
    entry: Entry,
    /// Whether it went to somebody who is no actor.
    is_handed_out: bool,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    number: u64,
    id: u64,
    at: u64,
    generation: u64,
}

#[derive(Debug)]
pub(crate) struct Engine {
    writer: Writer,
    hands: Hands,
    free_slots: Vec<u32>,
    /// Free when what was appended is written.
    used_slots: Vec<u32>,
    queues: Vec<Queue>,
    next_id: u64,
    in_flight: HashMap<u64, InFlight>,
    /// Of messages that were handled at least once.
    attempts: HashMap<u64, u32>,
    /// Until when the delayed ones wait.
    dues: HashMap<u64, u64>,
    dead: BTreeMap<u64, Dead>,
    marks: HashMap<MarkKey, Mark>,
    /// Marks are looked through when there are more.
    marks_limit: usize,
    /// Upkeep that even the reserve had no room for.
    deferred: Vec<(Head, Vec<u8>, Option<u32>)>,
    needs_sync: bool,
    /// Whether anything was appended that no word says as well.
    needs_write: bool,
    /// Messages that became dead letters, with their queues, until the journal tells of them.
    died: Vec<(u16, u64)>,
    poisoned: Option<Arc<str>>,
    compaction: Option<Compaction>,
    read_buffer: Vec<u8>,
}

/// Numbers of one class of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Messages that can be passed on now.
    pub ready: usize,
    /// Messages that wait for their time.
    pub delayed: usize,
    /// Messages that were passed on and not acknowledged yet.
    pub in_flight: usize,
    /// Bytes of the log that these take.
    pub bytes: u64,
    /// Memory that the ready ones take, in bytes.
    pub memory: usize,
    /// Age of the oldest message that is ready, in seconds.
    pub oldest_age: u64,
}

/// Numbers of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Its name.
    pub name: String,
    /// The high class.
    pub high: ClassStats,
    /// The low class.
    pub low: ClassStats,
    /// Messages that were passed on for a second or later time, since the start.
    pub redelivered: u64,
    /// Messages that expired before they were passed on, since the start.
    pub expired: u64,
    /// Messages that were known already, since the start.
    pub duplicates: u64,
    /// Dead letters that are there.
    pub dead_letters: usize,
}

impl Engine {
    /// After a failed write or sync, what is on disk is not known: from then on everything fails,
    /// until the store is opened again.
    fn poison(&mut self, error: &io::Error) -> Arc<str> {
        let text: Arc<str> = error.to_string().into();
        tracing::error!(%error, "the store is poisoned: nothing is stored any more");
        self.poisoned.get_or_insert(text).clone()
    }

    pub(crate) fn poisoned(&self) -> Option<Arc<str>> {
        self.poisoned.clone()
    }

    pub(crate) fn hands(&self) -> Hands {
        self.hands.clone()
    }

    /// The number of a queue with these settings; makes it if there is none.
    pub(crate) fn queue(&mut self, name: &str, options: QueueOptions) -> Result<u16, Refused> {
        if let Some(poison) = self.poisoned() {
            return Err(Refused::Poisoned(poison));
        }
        if let Some(found) = self.queues.iter().position(|queue| &*queue.name == name) {
            self.queues[found].options = options;
            return Ok(found as u16);
        }
        if name.len() > u16::MAX as usize {
            return Err(Refused::TooLarge);
        }
        if self.queues.len() > u16::MAX as usize {
            return Err(Refused::Full);
        }
        self.need_room(record::length(name.len()), Purpose::Message)?;
        let number = self.queues.len() as u16;
        let head = Head {
            queue: number,
            ..Head::of(Kind::Queue)
        };
        let generation = self
            .append(head, name.as_bytes())
            .map_err(Refused::Poisoned)?;
        self.needs_sync = true;
        self.queues.push(Queue {
            name: name.into(),
            options,
            generation: generation.generation,
            ..Queue::default()
        });
        Ok(number)
    }

    fn need_room(&mut self, bytes: usize, purpose: Purpose) -> Result<(), Refused> {
        match (self.writer.has_room(bytes, purpose), self.writer.trouble()) {
            (true, _) => Ok(()),
            (false, None) => Err(Refused::Full),
            (false, Some(trouble)) => Err(Refused::Disk(trouble)),
        }
    }

    fn append(&mut self, head: Head, body: &[u8]) -> Result<crate::log::Position, Arc<str>> {
        let next_id = self.next_id;
        self.writer
            .append(head, body, next_id)
            .map_err(|error| self.poison(&error))
    }

    /// Appends what makes room in the end. If even the reserve is full, it is kept for later. The
    /// slot is free when it is written.
    fn upkeep(
        &mut self,
        head: Head,
        body: &[u8],
        slot: Option<u32>,
    ) -> Option<crate::log::Position> {
        if self.poisoned.is_some() {
            return None;
        }
        if !self
            .writer
            .has_room(record::length(body.len()), Purpose::Upkeep)
        {
            self.deferred.push((head, body.to_vec(), slot));
            return None;
        }
        let position = self.append(head, body).ok();
        self.needs_write |= head.kind != Kind::Ack;
        self.used_slots.extend(slot);
        position
    }

    /// Appends a message. It is stored after the next [`commit`](Self::commit).
    pub(crate) fn put(
        &mut self,
        queue: u16,
        class: u8,
        meta: &Meta,
        payload: &[u8],
    ) -> Result<Stored, Refused> {
        if let Some(poison) = self.poisoned() {
            return Err(Refused::Poisoned(poison));
        }
        if let Some(id) = self.find_mark(queue, class, meta) {
            self.queues[queue as usize].known += 1;
            // What it is the same as may not be synced yet.
            self.needs_sync = true;
            return Ok(Stored::Known(id));
        }
        let body = meta.encode(payload);
        if body.len() > self.writer.max_body() {
            return Err(Refused::TooLarge);
        }
        let length = record::length(body.len());
        let own = &self.queues[queue as usize];
        let (messages, bytes) = own
            .classes
            .iter()
            .fold((0, 0), |(m, b), class| (m + class.len(), b + class.bytes));
        if messages >= own.options.max_messages || bytes + length as u64 > own.options.max_bytes {
            return Err(Refused::Full);
        }
        self.need_room(length, Purpose::Message)?;
        let id = self.next_id;
        let head = Head {
            kind: Kind::Put,
            class,
            queue,
            attempt: 0,
            id,
        };
        self.next_id += 1;
        let at = self.append(head, &body).map_err(Refused::Poisoned)?;
        self.needs_sync = true;
        self.writer.add_live(at.generation, body.len());
        let entry = Entry::new(id, at.generation, at.offset, body.len(), meta.at);
        self.set_marks(queue, class, meta, id, at.generation);
        let class = &mut self.queues[queue as usize].classes[class as usize];
        class.bytes += length as u64;
        match meta.due.filter(|due| *due > meta.at) {
            Some(due) => {
                class.delayed.insert((due, id), entry);
                self.dues.insert(id, due);
            }
            None => class.ready.insert(entry),
        }
        Ok(Stored::New(id))
    }

    // --- marks ------------------------------------------------------------------------------

    fn window(&self, key: &MarkKey) -> u64 {
        let (queue, is_producer) = match key {
            MarkKey::Producer(queue, ..) => (queue, true),
            MarkKey::Key(queue, _) => (queue, false),
        };
        let window = self
            .queues
            .get(*queue as usize)
            .map(|queue| match is_producer {
                true => queue.options.producer_window,
                false => queue.options.key_window,
            });
        window.map_or(0, |window| {
            window.as_millis().min(u128::from(u64::MAX)) as u64
        })
    }

    fn is_current(&self, key: &MarkKey, mark: &Mark, now: u64) -> bool {
        mark.at.saturating_add(self.window(key)) > now
    }

    fn find_mark(&self, queue: u16, class: u8, meta: &Meta) -> Option<u64> {
        meta.marks(queue, class).find_map(|(key, number)| {
            let mark = self.marks.get(&key)?;
            (number <= mark.number && self.is_current(&key, mark, meta.at)).then_some(mark.id)
        })
    }

    fn set_marks(&mut self, queue: u16, class: u8, meta: &Meta, id: u64, generation: u64) {
        for (key, number) in meta.marks(queue, class) {
            let at = meta.at;
            self.marks.insert(
                key,
                Mark {
                    number,
                    id,
                    at,
                    generation,
                },
            );
        }
        if self.marks.len() > self.marks_limit {
            let now = meta.at;
            let mut marks = std::mem::take(&mut self.marks);
            marks.retain(|key, mark| self.is_current(key, mark, now));
            self.marks_limit = (2 * marks.len()).max(1024);
            self.marks = marks;
        }
    }

    // --- commit -----------------------------------------------------------------------------

    /// Writes what was appended, and syncs it if anybody waits for that. Acknowledgements alone are written with
    /// what comes next, or by [`write_soon`](Self::write_soon): until then their words say the same.
    pub(crate) fn commit(&mut self) -> Result<(), Arc<str>> {
        if let Some(poison) = self.poisoned() {
            return Err(poison);
        }
        for (head, body, slot) in std::mem::take(&mut self.deferred) {
            self.upkeep(head, &body, slot);
        }
        let has_slots = self.free_slots.len() > self.used_slots.len();
        if !self.needs_sync
            && !self.needs_write
            && has_slots
            && self.writer.unwritten() < LAZY_BYTES
        {
            return self.poisoned().map_or(Ok(()), Err);
        }
        if let Err(error) = self.writer.write() {
            return Err(self.poison(&error));
        }
        self.needs_write = false;
        for slot in std::mem::take(&mut self.used_slots) {
            self.hands.clear(slot);
            self.free_slots.push(slot);
        }
        if self.needs_sync {
            self.sync()?;
        }
        self.poisoned().map_or(Ok(()), Err)
    }

    /// Whether something waits to be written with what comes next.
    pub(crate) fn is_lazy(&self) -> bool {
        self.writer.unwritten() > 0 && self.poisoned.is_none()
    }

    /// What waits to be written is written by the next [`commit`](Self::commit).
    pub(crate) fn write_soon(&mut self) {
        self.needs_write = true;
    }

    fn sync(&mut self) -> Result<(), Arc<str>> {
        if let Err(error) = self.writer.sync() {
            return Err(self.poison(&error));
        }
        self.needs_sync = false;
        self.hands.set_synced(self.writer.synced());
        self.after_sync();
        Ok(())
    }

    /// Syncs what was written, at the end. A failure has nobody to be told.
    pub(crate) fn sync_all(&mut self) {
        self.needs_sync = true;
        if let Err(error) = self.commit() {
            tracing::warn!(%error, "the store was not synced at its end");
        }
    }

    // --- numbers ----------------------------------------------------------------------------

    pub(crate) fn stats(&self, now: u64) -> Vec<QueueStats> {
        let stats = (0..self.queues.len()).map(|queue| {
            let mut stats = self.queue_stats(queue as u16, now);
            let [high, low] = &self.queues[queue].classes;
            stats.high.memory = high.ready.bytes();
            stats.low.memory = low.ready.bytes();
            stats
        });
        stats.collect()
    }

    /// The numbers of a queue, without its memory, which takes long to count.
    pub(crate) fn queue_stats(&self, queue: u16, now: u64) -> QueueStats {
        let class = |class: &Class| ClassStats {
            ready: class.ready.len(),
            delayed: class.delayed.len(),
            in_flight: class.in_flight,
            bytes: class.bytes,
            memory: 0,
            oldest_age: class
                .ready
                .front()
                .map_or(0, |entry| (now / 1000).saturating_sub(u64::from(entry.at))),
        };
        let queue = &self.queues[queue as usize];
        QueueStats {
            name: queue.name.to_string(),
            high: class(&queue.classes[0]),
            low: class(&queue.classes[1]),
            redelivered: queue.redelivered,
            expired: queue.expired,
            duplicates: queue.known,
            dead_letters: queue.dead,
        }
    }

    /// The messages that became dead letters since the last call, with their queues.
    pub(crate) fn take_died(&mut self) -> Vec<(u16, u64)> {
        std::mem::take(&mut self.died)
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }
}
