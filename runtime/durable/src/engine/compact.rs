//! Moving what is still needed out of the oldest segment, so that the segment can be used again.
//!
//! Only the oldest segment is given up, so that an acknowledgement never goes before the message
//! that it is for. A segment is given up when what was moved out of it is on disk.

use crate::{
    engine::{
        Engine, Mark,
        dead::DeadBody,
        index::Entry,
        meta::{MarkBody, MetaRef, now},
    },
    log::{
        header::{DATA, Header},
        record::{self, Head, Kind, Record},
        writer::Purpose,
    },
};

/// The oldest segment, while it is looked through.
#[derive(Debug)]
pub(super) struct Compaction {
    header: Header,
    bytes: Vec<u8>,
    at: usize,
    end: usize,
    is_done: bool,
}

impl Engine {
    /// Whether the log takes more than twice what is live and a segment, or is full of what could go.
    pub(crate) fn needs_compaction(&self) -> bool {
        if self.poisoned.is_some() || self.writer.segments().len() < 2 {
            return false;
        }
        if self.compaction.is_some() {
            return true;
        }
        let size = self.writer.segment_size();
        let used = self.writer.segments().len() as u64 * size;
        let oldest = self.writer.segments()[0].live;
        let is_wasted = used > 2 * self.writer.live() + size;
        is_wasted || self.writer.is_full && oldest < size / 8 * 7
    }

    /// Moves about `budget` bytes out of the oldest segment. Returns whether it did anything.
    pub(crate) fn compact(&mut self, budget: usize) -> bool {
        if !self.needs_compaction() {
            // Those that were given up are used again when a batch says so.
            if self.writer.has_retired() && self.poisoned.is_none() {
                let head = Head {
                    attempt: 0,
                    ..Head::of(Kind::Requeue)
                };
                self.needs_sync |= self.upkeep(head, &0_u64.to_le_bytes(), None).is_some();
                return self.needs_sync;
            }
            return false;
        }
        let Some(mut compaction) = self.compaction.take().or_else(|| self.begin_compaction())
        else {
            return false;
        };
        let mut moved = 0;
        while moved < budget && compaction.at < compaction.end {
            let seed = compaction.header.seed();
            let Some(record) = record::decode(&compaction.bytes, compaction.at, seed) else {
                let error = std::io::Error::other(format!(
                    "{}: the record at offset {} is damaged",
                    self.writer.segments()[0].name,
                    compaction.at
                ));
                self.poison(&error);
                return true;
            };
            let length = record::length(record.body.len());
            if !self.writer.has_room(2 * length + 256, Purpose::Upkeep) {
                self.compaction = Some(compaction);
                return moved > 0;
            }
            let generation = compaction.header.generation;
            moved += self.keep(record, generation, compaction.at as u64);
            compaction.at += length;
        }
        if compaction.at >= compaction.end {
            compaction.is_done = true;
            compaction.bytes = Vec::new();
        }
        self.needs_sync = true;
        self.compaction = Some(compaction);
        true
    }

    fn begin_compaction(&mut self) -> Option<Compaction> {
        let (header, bytes) = match self.writer.read_oldest() {
            Ok(found) => found?,
            Err(error) => {
                self.poison(&error);
                return None;
            }
        };
        let end = self.writer.segments().get(1)?.header.previous_end as usize;
        Some(Compaction {
            header,
            bytes,
            at: DATA as usize,
            end,
            is_done: false,
        })
    }

    /// After a sync: what was moved is on disk.
    pub(super) fn after_sync(&mut self) {
        if self
            .compaction
            .as_ref()
            .is_some_and(|compaction| compaction.is_done)
        {
            self.compaction = None;
            self.writer.retire_oldest();
        }
    }

    /// Appends a record again if it is needed. Returns how many bytes that took.
    fn keep(&mut self, record: Record<'_>, generation: u64, offset: u64) -> usize {
        let Record { head, body } = record;
        match head.kind {
            Kind::Put => {
                if let Some(entry) = self.find_entry(head)
                    && (entry.generation(), entry.offset()) == (generation, offset)
                {
                    return self.keep_message(head, body, generation);
                }
                let Some(meta) = MetaRef::decode(body) else {
                    return 0;
                };
                meta.marks(head.queue, head.class)
                    .map(|(key, number)| {
                        let body = MarkBody {
                            key,
                            number,
                            at: meta.at,
                            id: head.id,
                        };
                        self.keep_mark(body, generation)
                    })
                    .sum()
            }
            Kind::Mark => match postcard::from_bytes::<MarkBody>(body) {
                Ok(body) => self.keep_mark(body, generation),
                Err(_) => 0,
            },
            Kind::Queue => {
                let Some(queue) = self.queues.get(head.queue as usize) else {
                    return 0;
                };
                if queue.generation != generation {
                    return 0;
                }
                if let Some(at) = self.upkeep(head, body, None) {
                    self.queues[head.queue as usize].generation = at.generation;
                }
                record::length(body.len())
            }
            _ => 0,
        }
    }

    pub(super) fn find_entry(&mut self, head: Head) -> Option<&mut Entry> {
        if let Some(dead) = self.dead.get_mut(&head.id) {
            return Some(&mut dead.entry);
        }
        if let Some(flight) = self.in_flight.get_mut(&head.id) {
            return Some(&mut flight.entry);
        }
        let class = self
            .queues
            .get_mut(head.queue as usize)?
            .classes
            .get_mut(head.class as usize)?;
        if let Some(due) = self.dues.get(&head.id) {
            return class.delayed.get_mut(&(*due, head.id));
        }
        class.ready.get_mut(head.id)
    }

    fn keep_message(&mut self, head: Head, body: &[u8], generation: u64) -> usize {
        let attempt = self.attempts.get(&head.id).copied().unwrap_or(0);
        let head = Head { attempt, ..head };
        let Some(at) = self.upkeep(head, body, None) else {
            return 0;
        };
        let mut moved = record::length(body.len());
        self.writer.add_live(at.generation, body.len());
        self.writer.sub_live(generation, body.len());
        if let Some(entry) = self.find_entry(head) {
            entry.move_to(at.generation, at.offset);
        }
        if let Some(meta) = MetaRef::decode(body) {
            for (key, _) in meta.marks(head.queue, head.class) {
                if let Some(mark) = self.marks.get_mut(&key).filter(|mark| mark.id == head.id) {
                    mark.generation = at.generation;
                }
            }
        }
        if let Some(dead) = self.dead.get(&head.id) {
            let body = DeadBody {
                reason: dead.reason,
                at: dead.at,
            }
            .encode();
            let head = Head {
                kind: Kind::Dead,
                attempt: dead.attempts,
                ..head
            };
            self.upkeep(head, &body, None);
            moved += record::length(body.len());
        } else if let Some(due) = self.dues.get(&head.id).copied() {
            let head = Head {
                kind: Kind::Retry,
                ..head
            };
            self.upkeep(head, &due.to_le_bytes(), None);
            moved += record::length(8);
        }
        moved
    }

    fn keep_mark(&mut self, body: MarkBody, generation: u64) -> usize {
        let Some(mark) = self.marks.get(&body.key).copied() else {
            return 0;
        };
        let Mark {
            number,
            id,
            at,
            generation: current,
        } = mark;
        if current != generation || !self.is_current(&body.key, &mark, now()) {
            return 0;
        }
        let body = MarkBody {
            number,
            id,
            at,
            ..body
        };
        let bytes = postcard::to_stdvec(&body).unwrap_or_default();
        let Some(at) = self.upkeep(Head::of(Kind::Mark), &bytes, None) else {
            return 0;
        };
        if let Some(mark) = self.marks.get_mut(&body.key) {
            mark.generation = at.generation;
        }
        record::length(bytes.len())
    }
}
