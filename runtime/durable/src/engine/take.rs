//! Passing messages on, and what becomes of them.

use crate::{
    engine::{
        Engine, InFlight, Refused,
        dead::{DEAD_BODY, DeadReason},
        hands::{Stage, Word},
        index::Entry,
        meta::Meta,
    },
    log::{
        record::{self, Head, Kind},
        writer::Purpose,
    },
};

/// How long a class waits when the segment of its next message cannot be opened, in milliseconds.
const UNREADABLE: u64 = 1000;

/// A message that is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) id: u64,
    /// Of [`Hands`](crate::engine::Hands).
    pub(crate) slot: u32,
    pub(crate) class: u8,
    /// From 1.
    pub(crate) attempt: u32,
    pub(crate) meta: Meta,
    pub(crate) payload: Vec<u8>,
}

/// What becomes of a message that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Retry,
    Dead,
}

impl Engine {
    /// The next message of a class, if there is one that is due and may be passed on. Messages that
    /// have expired or failed too often become dead letters on the way.
    pub(crate) fn take(&mut self, queue: u16, class: u8, now: u64) -> Option<Taken> {
        if self.poisoned.is_some() {
            return None;
        }
        loop {
            self.wake_delayed(queue, class, now);
            let slot = *self.free_slots.last()?;
            let own = &mut self.queues[queue as usize];
            let of_class = &mut own.classes[class as usize];
            let limit = match own.options.is_strict {
                true => 1,
                false => own.options.in_flight,
            };
            if of_class.in_flight >= limit || of_class.held_until > now {
                return None;
            }
            let entry = of_class.ready.pop_front()?;
            of_class.held_until = 0;
            let max_attempts = own.options.max_attempts;
            let attempts = self.attempts.get(&entry.id).copied().unwrap_or(0);
            let mut body = std::mem::take(&mut self.read_buffer);
            let (generation, offset) = (entry.generation(), entry.offset());
            let read = self
                .writer
                .read(generation, offset, entry.length as usize, &mut body);
            let found = match read {
                Ok(Some(_)) => Meta::decode(&body).map(|(meta, payload)| (meta, payload.to_vec())),
                Ok(None) => None,
                Err(error) => {
                    tracing::error!(%error, id = entry.id, "a message cannot be read now");
                    self.read_buffer = body;
                    let of_class = &mut self.queues[queue as usize].classes[class as usize];
                    of_class.ready.insert(entry);
                    of_class.held_until = now.saturating_add(UNREADABLE);
                    return None;
                }
            };
            self.read_buffer = body;
            let Some((meta, payload)) = found else {
                self.bury(queue, class, entry, DeadReason::Damaged, None, now);
                continue;
            };
            if meta.expires.is_some_and(|expires| expires <= now) {
                self.queues[queue as usize].expired += 1;
                self.bury(queue, class, entry, DeadReason::Expired, None, now);
                continue;
            }
            if attempts >= max_attempts {
                self.bury(queue, class, entry, DeadReason::Attempts, None, now);
                continue;
            }
            self.free_slots.pop();
            let attempt = attempts + 1;
            let word = Word {
                stage: Stage::Taken,
                id: entry.id,
                attempt,
            };
            self.hands.set(slot, word);
            let own = &mut self.queues[queue as usize];
            own.classes[class as usize].in_flight += 1;
            own.redelivered += u64::from(attempts > 0);
            self.in_flight.insert(
                entry.id,
                InFlight {
                    slot,
                    queue,
                    class,
                    entry,
                    is_handed_out: false,
                },
            );
            return Some(Taken {
                id: entry.id,
                slot,
                class,
                attempt,
                meta,
                payload,
            });
        }
    }

    fn wake_delayed(&mut self, queue: u16, class: u8, now: u64) {
        let class = &mut self.queues[queue as usize].classes[class as usize];
        while let Some(first) = class.delayed.first_entry()
            && first.key().0 <= now
        {
            let entry = first.remove();
            self.dues.remove(&entry.id);
            class.ready.insert(entry);
        }
    }

    /// When a message that was not passed on is due, if there is one; it may be over.
    pub(crate) fn next_due(&self, queue: u16) -> Option<u64> {
        let classes = self.queues[queue as usize].classes.iter();
        let dues = classes.flat_map(|class| {
            let first = class.delayed.first_key_value().map(|((due, _), _)| *due);
            // Also if it is over by now: who has looked a moment ago has not seen that.
            let is_held = class.held_until > 0 && class.in_flight == 0 && class.ready.len() > 0;
            first.into_iter().chain(is_held.then_some(class.held_until))
        });
        dues.min()
    }

    /// A message that was taken goes to somebody who is no actor, and who says what becomes of it.
    pub(crate) fn hand_out(&mut self, message: &Taken) {
        self.hands.advance(message.slot, Stage::Started);
        if let Some(flight) = self.in_flight.get_mut(&message.id) {
            flight.is_handed_out = true;
        }
    }

    /// Whether somebody who is no actor has the message from this queue. What an actor has is for the actor to
    /// say: its slot must not be another message's before.
    pub(crate) fn is_handed_out(&self, queue: u16, id: u64) -> bool {
        let flight = self.in_flight.get(&id);
        flight.is_some_and(|flight| flight.queue == queue && flight.is_handed_out)
    }

    fn land(&mut self, id: u64) -> Option<InFlight> {
        let landed = self.in_flight.remove(&id)?;
        let class = &mut self.queues[landed.queue as usize].classes[landed.class as usize];
        class.in_flight -= 1;
        Some(landed)
    }

    /// The message needs no bytes any more.
    pub(super) fn forget(&mut self, queue: u16, class: u8, entry: &Entry) {
        let length = entry.length as usize;
        self.writer.sub_live(entry.generation(), length);
        let class = &mut self.queues[queue as usize].classes[class as usize];
        class.bytes = class.bytes.saturating_sub(record::length(length) as u64);
    }

    /// The message was handled. Returns whether it was in flight.
    pub(crate) fn ack(&mut self, id: u64) -> bool {
        let Some(landed) = self.land(id) else {
            return false;
        };
        // From here on a kill of the process does not bring the message back.
        self.hands.advance(landed.slot, Stage::Done);
        self.attempts.remove(&id);
        self.forget(landed.queue, landed.class, &landed.entry);
        let head = Head {
            kind: Kind::Ack,
            class: landed.class,
            queue: landed.queue,
            attempt: 0,
            id,
        };
        self.upkeep(head, &[], Some(landed.slot));
        true
    }

    /// The message was passed on and not handled, and it is not its fault.
    pub(crate) fn release(&mut self, id: u64) -> bool {
        let Some(landed) = self.land(id) else {
            return false;
        };
        let class = &mut self.queues[landed.queue as usize].classes[landed.class as usize];
        class.ready.insert(landed.entry);
        self.hands.clear(landed.slot);
        self.free_slots.push(landed.slot);
        true
    }

    /// The handler failed with the message: it comes again after `delay`, in milliseconds, or is a
    /// dead letter after so many attempts. None if it was not in flight.
    pub(crate) fn fail(&mut self, id: u64, delay: Option<u64>, now: u64) -> Option<Failed> {
        let landed = self.land(id)?;
        let InFlight {
            slot,
            queue,
            class,
            entry,
            ..
        } = landed;
        let attempts = self.attempts.entry(id).or_insert(0);
        *attempts += 1;
        let attempt = *attempts;
        let options = &self.queues[queue as usize].options;
        if attempt >= options.max_attempts {
            self.bury(queue, class, entry, DeadReason::Attempts, Some(slot), now);
            return Some(Failed::Dead);
        }
        let delay = delay.unwrap_or(options.retry_after.as_millis() as u64);
        let is_strict = options.is_strict;
        let due = now.saturating_add(delay);
        let head = Head {
            kind: Kind::Retry,
            class,
            queue,
            attempt,
            id,
        };
        let delayed = delay > 0 && !is_strict;
        let recorded = if delayed { due } else { 0 };
        self.upkeep(head, &recorded.to_le_bytes(), Some(slot));
        let of_class = &mut self.queues[queue as usize].classes[class as usize];
        if delayed {
            of_class.delayed.insert((due, id), entry);
            self.dues.insert(id, due);
        } else {
            of_class.held_until = if delay > 0 { due } else { 0 };
            of_class.ready.insert(entry);
        }
        Some(Failed::Retry)
    }

    /// The message cannot be handled at all.
    pub(crate) fn reject(&mut self, id: u64, reason: DeadReason, now: u64) -> bool {
        let Some(InFlight {
            slot,
            queue,
            class,
            entry,
            ..
        }) = self.land(id)
        else {
            return false;
        };
        self.bury(queue, class, entry, reason, Some(slot), now);
        true
    }

    /// As [`reject`](Self::reject), for a message that was handed out. If the log has not even room to say so, it stays
    /// in flight: a start would bring it again.
    pub(crate) fn reject_taken(&mut self, queue: u16, id: u64, now: u64) -> Result<bool, Refused> {
        if let Some(poison) = self.poisoned() {
            return Err(Refused::Poisoned(poison));
        }
        if !self.is_handed_out(queue, id) {
            return Ok(false);
        }
        self.need_room(record::length(DEAD_BODY), Purpose::Upkeep)?;
        Ok(self.reject(id, DeadReason::Rejected, now))
    }

    /// The messages of a queue that are in flight.
    pub(crate) fn in_flight(&self, queue: u16) -> Vec<u64> {
        let ids = self
            .in_flight
            .iter()
            .filter(|(_, flight)| flight.queue == queue);
        ids.map(|(id, _)| *id).collect()
    }

    /// What became of a message whose actor has ended: its word says it.
    pub(crate) fn settle(&mut self, id: u64, now: u64) {
        let Some(flight) = self.in_flight.get(&id) else {
            return;
        };
        match self.hands.get(flight.slot).map(|word| word.stage) {
            Some(Stage::Done) => {
                self.ack(id);
            }
            Some(Stage::Started) => {
                self.fail(id, None, now);
            }
            _ => {
                self.release(id);
            }
        }
    }

    /// The wall clock was set back by so many milliseconds: what waits for a time waits no longer for that.
    pub(crate) fn set_back(&mut self, by: u64) {
        for due in self.dues.values_mut() {
            *due = due.saturating_sub(by);
        }
        for class in self.queues.iter_mut().flat_map(|queue| &mut queue.classes) {
            class.held_until = class.held_until.saturating_sub(by);
            let delayed = std::mem::take(&mut class.delayed).into_iter();
            class.delayed = delayed
                .map(|((due, id), entry)| ((due.saturating_sub(by), id), entry))
                .collect();
        }
    }

    pub(crate) fn is_idle(&self, queue: u16) -> bool {
        self.queues[queue as usize]
            .classes
            .iter()
            .all(|class| class.len() == 0)
    }
}
