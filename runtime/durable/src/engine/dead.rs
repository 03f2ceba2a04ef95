//! Dead letters: messages that nobody will handle, kept until somebody decides.

use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        Engine, Refused,
        index::Entry,
        meta::{Meta, now},
    },
    log::{
        record::{self, Head, Kind},
        writer::Purpose,
    },
};

/// Why a message is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DeadReason {
    /// It was handled as often as the queue allows, and failed each time.
    Attempts,
    /// It expired before it was passed on.
    Expired,
    /// Its type, its version or its bytes are not known to this program.
    Undecodable,
    /// Its bytes on disk are damaged.
    Damaged,
    /// Somebody said so.
    Rejected,
}

#[derive(Clone, Debug)]
pub(crate) struct Dead {
    pub(crate) queue: u16,
    pub(crate) class: u8,
    pub(super) entry: Entry,
    pub(crate) reason: DeadReason,
    pub(crate) attempts: u32,
    /// When it died, in milliseconds since 1970.
    pub(crate) at: u64,
}

/// The most bytes of [`DeadBody`].
pub(super) const DEAD_BODY: usize = 16;

/// The body of the record.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct DeadBody {
    pub(super) reason: DeadReason,
    pub(super) at: u64,
}

impl DeadBody {
    pub(super) fn encode(self) -> Vec<u8> {
        postcard::to_stdvec(&self).unwrap_or_default()
    }
}

impl Engine {
    /// Makes a message that is in no list a dead letter.
    pub(super) fn bury(
        &mut self,
        queue: u16,
        class: u8,
        entry: Entry,
        reason: DeadReason,
        slot: Option<u32>,
        at: u64,
    ) {
        let attempts = self.attempts.get(&entry.id).copied().unwrap_or(0);
        let head = Head {
            kind: Kind::Dead,
            class,
            queue,
            attempt: attempts,
            id: entry.id,
        };
        self.upkeep(head, &DeadBody { reason, at }.encode(), slot);
        let class_bytes = &mut self.queues[queue as usize].classes[class as usize].bytes;
        let length = record::length(entry.length as usize) as u64;
        *class_bytes = class_bytes.saturating_sub(length);
        self.queues[queue as usize].dead += 1;
        self.died.push((queue, entry.id));
        let (name, id) = (&*self.queues[queue as usize].name, entry.id);
        match reason {
            // As somebody wanted it.
            DeadReason::Expired | DeadReason::Rejected => {
                tracing::debug!(
                    queue = name,
                    id,
                    ?reason,
                    attempts,
                    "a message is a dead letter"
                );
            }
            _ => tracing::warn!(
                queue = name,
                id,
                ?reason,
                attempts,
                "a message is a dead letter"
            ),
        }
        self.dead.insert(
            entry.id,
            Dead {
                queue,
                class,
                entry,
                reason,
                attempts,
                at,
            },
        );
    }

    /// The dead letters of a queue with identities from `from` on.
    pub(crate) fn dead_letters(
        &self,
        queue: Option<u16>,
        from: u64,
        limit: usize,
    ) -> Vec<(u64, Dead)> {
        let dead = self.dead.range(from..);
        let wanted = dead.filter(|(_, dead)| queue.is_none_or(|queue| dead.queue == queue));
        wanted
            .take(limit)
            .map(|(id, dead)| (*id, dead.clone()))
            .collect()
    }

    /// The meta data and the payload of a dead letter. None if there is none, or if it is damaged.
    pub(crate) fn read_dead(&mut self, id: u64) -> Option<(Meta, Vec<u8>)> {
        let entry = self.dead.get(&id)?.entry;
        self.read_entry(entry)
    }

    /// Whether a dead letter can be changed: whether there is one, and room to say so.
    fn may_change(&mut self, id: u64, bytes: usize) -> Result<bool, Refused> {
        if let Some(poison) = self.poisoned() {
            return Err(Refused::Poisoned(poison));
        }
        let Some(dead) = self.dead.get(&id) else {
            return Ok(false);
        };
        let bytes = bytes + record::length(dead.entry.length as usize);
        self.need_room(bytes, Purpose::Upkeep)?;
        Ok(true)
    }

    /// Makes a dead letter a message again, with no attempts. Returns whether there was one.
    pub(crate) fn requeue(&mut self, id: u64) -> Result<bool, Refused> {
        if !self.may_change(id, record::length(8))? {
            return Ok(false);
        }
        let read = self.read_dead(id);
        let Some(Dead {
            queue,
            class,
            mut entry,
            ..
        }) = self.dead.remove(&id)
        else {
            return Ok(false);
        };
        self.queues[queue as usize].dead -= 1;
        self.attempts.remove(&id);
        if let Some((mut meta, payload)) = read
            && meta.expires.take().is_some()
        {
            // Without the expiry, or it would be a dead letter again at once.
            let body = meta.encode(&payload);
            let head = Head {
                kind: Kind::Put,
                class,
                queue,
                attempt: 0,
                id,
            };
            if let Some(at) = self.upkeep(head, &body, None) {
                self.writer
                    .sub_live(entry.generation(), entry.length as usize);
                self.writer.add_live(at.generation, body.len());
                entry = Entry::new(id, at.generation, at.offset, body.len(), meta.at);
            }
        }
        let head = Head {
            kind: Kind::Requeue,
            class,
            queue,
            attempt: 0,
            id,
        };
        self.upkeep(head, &now().to_le_bytes(), None);
        self.needs_sync = true;
        let class = &mut self.queues[queue as usize].classes[class as usize];
        class.bytes += record::length(entry.length as usize) as u64;
        class.ready.insert(entry);
        Ok(true)
    }

    /// Deletes a dead letter. Returns whether there was one.
    pub(crate) fn delete_dead(&mut self, id: u64) -> Result<bool, Refused> {
        if !self.may_change(id, 0)? {
            return Ok(false);
        }
        let Some(dead) = self.dead.remove(&id) else {
            return Ok(false);
        };
        self.queues[dead.queue as usize].dead -= 1;
        self.attempts.remove(&id);
        self.writer
            .sub_live(dead.entry.generation(), dead.entry.length as usize);
        let head = Head {
            kind: Kind::Ack,
            class: dead.class,
            queue: dead.queue,
            attempt: 0,
            id,
        };
        self.upkeep(head, &[], None);
        self.needs_sync = true;
        Ok(true)
    }

    pub(crate) fn queue_names(&self) -> Vec<std::sync::Arc<str>> {
        self.queues.iter().map(|queue| queue.name.clone()).collect()
    }

    /// Class and identity of the messages of a queue that wait.
    pub(crate) fn queued(&self, queue: u16) -> Vec<(u8, u64)> {
        let classes = self.queues[queue as usize].classes.iter().enumerate();
        let all = classes.flat_map(|(number, class)| {
            let delayed = class.delayed.keys().map(|(_, id)| *id);
            class
                .ready
                .ids()
                .chain(delayed)
                .map(move |id| (number as u8, id))
        });
        all.collect()
    }

    /// The meta data and the payload of a message that waits.
    pub(crate) fn read_queued(
        &mut self,
        queue: u16,
        class: u8,
        id: u64,
    ) -> Option<(Meta, Vec<u8>)> {
        let head = Head {
            queue,
            class,
            id,
            ..Head::of(Kind::Put)
        };
        let entry = *self.find_entry(head)?;
        self.read_entry(entry)
    }

    fn read_entry(&mut self, entry: Entry) -> Option<(Meta, Vec<u8>)> {
        let mut body = Vec::new();
        let length = entry.length as usize;
        self.writer
            .read(entry.generation(), entry.offset(), length, &mut body)
            .ok()??;
        let (meta, payload) = Meta::decode(&body)?;
        Some((meta, payload.to_vec()))
    }

    pub(crate) fn find_queue(&self, name: &str) -> Option<u16> {
        let found = self.queues.iter().position(|queue| &*queue.name == name)?;
        Some(found as u16)
    }

    pub(crate) fn queue_name(&self, queue: u16) -> std::sync::Arc<str> {
        self.queues[queue as usize].name.clone()
    }
}
