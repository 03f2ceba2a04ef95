//! The loop of the journal's thread.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use lanemesh::{MailboxReceiver, Message, RecvTimeoutError, TryRecvError, WeakMailboxSender};
use tokio::sync::oneshot;

use crate::{
    engine::{DeadReason, Engine, Refused, Stored, Taken, now},
    journal::{
        command::{
            Client, DeadLetter, HandOver, Items, Put, PutOutcome, Sink, StoreError, Undelivered,
            Upkeep,
        },
        stats::StoreStats,
    },
};

/// Bytes that one batch has, about.
const BATCH_BYTES: usize = 4 << 20;
/// Messages from the mailbox for one batch.
const BATCH_MESSAGES: usize = 4096;
/// Bytes that are moved out of the oldest segment with each batch.
const MOVED: usize = 256 << 10;

/// Whoever waits for messages of a queue.
struct Waiter {
    limit: usize,
    reply: oneshot::Sender<HandOver>,
}

/// Who takes the messages of a queue.
#[derive(Default)]
struct Outlet {
    sink: Option<Box<dyn Sink>>,
    /// An actor has it, or will in a moment.
    is_claimed: bool,
    is_abandoned: bool,
    waiters: VecDeque<Waiter>,
    /// Who waits for the end of an actor.
    openers: Vec<oneshot::Sender<Result<u16, StoreError>>>,
}

pub(crate) struct Journal {
    engine: Engine,
    rx: MailboxReceiver<Upkeep, Put>,
    weak: WeakMailboxSender<Upkeep, Put>,
    outlets: HashMap<u16, Outlet>,
    receipts: Vec<(oneshot::Sender<PutOutcome>, PutOutcome)>,
    /// Answers that hold when the batch is on disk.
    answers: Vec<(oneshot::Sender<Result<bool, StoreError>>, bool)>,
    /// Answers that hold when the batch is written.
    written: Vec<(oneshot::Sender<bool>, bool)>,
    opened: Vec<(oneshot::Sender<Result<u16, StoreError>>, u16)>,
    closer: Option<oneshot::Sender<()>>,
    bytes: usize,
    /// Whether the last attempt to compact did anything, or anything has happened since.
    may_compact: bool,
    numbers: StoreStats,
}

impl Journal {
    pub(crate) fn new(
        engine: Engine,
        rx: MailboxReceiver<Upkeep, Put>,
        weak: WeakMailboxSender<Upkeep, Put>,
    ) -> Self {
        Self {
            engine,
            rx,
            weak,
            outlets: HashMap::new(),
            receipts: Vec::new(),
            answers: Vec::new(),
            written: Vec::new(),
            opened: Vec::new(),
            closer: None,
            bytes: 0,
            may_compact: true,
            numbers: StoreStats::default(),
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            let is_open = self.collect();
            self.commit();
            if !is_open {
                break;
            }
            self.deliver();
        }
        // Acknowledgements that were written are on disk when a store was closed in order.
        self.engine.sync_all();
        let Self { engine, closer, .. } = self;
        drop(engine);
        if let Some(closer) = closer {
            let _ = closer.send(());
        }
    }

    /// Waits for something to do, then takes all that waits. Returns false at the end.
    fn collect(&mut self) -> bool {
        self.bytes = 0;
        let has_upkeep = self.may_compact && self.engine.needs_compaction();
        let first = match self.rx.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Closed) => return false,
            Err(TryRecvError::Empty) if has_upkeep => None,
            Err(TryRecvError::Empty) => match self.next_due() {
                Some(wait) => match self.rx.recv_timeout(wait) {
                    Ok(message) => Some(message),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Closed) => return false,
                },
                None => match self.rx.blocking_recv() {
                    Some(message) => Some(message),
                    None => return false,
                },
            },
        };
        let Some(first) = first else {
            return true;
        };
        self.may_compact = true;
        self.accept(first);
        for _ in 1..BATCH_MESSAGES {
            if self.bytes >= BATCH_BYTES || self.closer.is_some() {
                break;
            }
            match self.rx.try_recv() {
                Ok(message) => self.accept(message),
                Err(_) => break,
            }
        }
        self.closer.is_none()
    }

    fn next_due(&self) -> Option<Duration> {
        let now = now();
        let attached = self
            .outlets
            .iter()
            .filter(|(_, outlet)| outlet.sink.is_some() || !outlet.waiters.is_empty());
        let due = attached
            .filter_map(|(queue, _)| self.engine.next_due(*queue, now))
            .min()?;
        Some(Duration::from_millis(due.saturating_sub(now).max(1)))
    }

    fn accept(&mut self, message: Message<Upkeep, Put>) {
        match message {
            Message::Low(put) => self.put(put),
            Message::High(upkeep) => self.keep_up(upkeep),
        }
    }

    fn put(&mut self, put: Put) {
        let Put {
            queue,
            class,
            items,
            reply,
        } = put;
        let mut outcome = PutOutcome {
            stored: Vec::new(),
            refused: None,
        };
        let mut store = |meta: &_, payload: &[u8], bytes: &mut usize| {
            *bytes += payload.len();
            match self.engine.put(queue, class, meta, payload) {
                Ok(stored) => {
                    outcome.stored.push(stored);
                    true
                }
                Err(refused) => {
                    outcome.refused = Some(error(refused));
                    false
                }
            }
        };
        match items {
            Items::One(meta, payload) => {
                store(&meta, &payload, &mut self.bytes);
            }
            Items::Many(items) => {
                for (meta, payload) in &items {
                    if !store(meta, payload, &mut self.bytes) {
                        break;
                    }
                }
            }
        }
        self.receipts.push((reply, outcome));
    }

    fn keep_up(&mut self, upkeep: Upkeep) {
        let now = now();
        match upkeep {
            Upkeep::Handled(id) => {
                self.engine.ack(id);
            }
            Upkeep::Failed(id) => {
                self.engine.fail(id, None, now);
            }
            Upkeep::Release(id) => {
                self.engine.release(id);
            }
            Upkeep::Ack(ids, reply) => {
                let acked = ids.into_iter().filter(|id| self.engine.ack(*id)).count();
                let _ = reply.send(acked);
            }
            Upkeep::Retry(id, delay, reply) => {
                let failed = self.engine.fail(id, delay, now).is_some();
                self.written.push((reply, failed));
            }
            Upkeep::Reject(id, reply) => {
                let rejected = self.engine.reject(id, DeadReason::Rejected, now);
                self.written.push((reply, rejected));
            }
            Upkeep::Queue(name, options, is_claim, reply) => {
                self.open_queue(&name, options, is_claim, reply);
            }
            Upkeep::Attach(queue, sink, reply) => {
                let outlet = self.outlets.entry(queue).or_default();
                outlet.sink = Some(sink);
                outlet.is_abandoned = false;
                let _ = reply.send(());
            }
            Upkeep::Detach(queue) => self.detach(queue, now),
            Upkeep::Abandon(queue) => {
                self.outlets.entry(queue).or_default().is_abandoned = true;
            }
            Upkeep::Take(queue, limit, reply) => {
                let waiters = &mut self.outlets.entry(queue).or_default().waiters;
                waiters.push_back(Waiter { limit, reply });
            }
            Upkeep::DeadLetters(queue, from, limit, reply) => {
                let _ = reply.send(self.dead_letters(queue, from, limit));
            }
            Upkeep::Requeue(id, reply) => {
                let done = self.engine.requeue(id);
                self.answers.push((reply, done));
            }
            Upkeep::DeleteDead(id, reply) => {
                let done = self.engine.delete_dead(id);
                self.answers.push((reply, done));
            }
            Upkeep::Stats(reply) => {
                let _ = reply.send(self.stats(now));
            }
            Upkeep::Close(reply) => self.closer = Some(reply),
        }
    }

    fn open_queue(
        &mut self,
        name: &str,
        options: crate::options::QueueOptions,
        is_claim: bool,
        reply: oneshot::Sender<Result<u16, StoreError>>,
    ) {
        let queue = match self.engine.queue(name, options) {
            Ok(queue) => queue,
            Err(refused) => {
                let _ = reply.send(Err(error(refused)));
                return;
            }
        };
        if is_claim {
            let outlet = self.outlets.entry(queue).or_default();
            if outlet.is_claimed {
                // An actor that has ended tells it in a moment, and so does one whose handles are gone
                // and which has nothing left to handle.
                let is_ending = match &outlet.sink {
                    Some(sink) if outlet.is_abandoned => {
                        sink.is_closed() || self.engine.is_idle(queue)
                    }
                    Some(sink) => sink.is_closed(),
                    None => outlet.is_abandoned,
                };
                match is_ending {
                    true => outlet.openers.push(reply),
                    false => drop(reply.send(Err(StoreError::InUse))),
                }
                return;
            }
            outlet.is_claimed = true;
        }
        self.opened.push((reply, queue));
    }

    fn detach(&mut self, queue: u16, now: u64) {
        for id in self.engine.in_flight(queue) {
            self.engine.settle(id, now);
        }
        let outlet = self.outlets.entry(queue).or_default();
        outlet.sink = None;
        outlet.is_claimed = false;
        outlet.is_abandoned = false;
        let mut openers = std::mem::take(&mut outlet.openers);
        if !openers.is_empty() {
            outlet.is_claimed = true;
            self.opened.push((openers.remove(0), queue));
            for opener in openers {
                let _ = opener.send(Err(StoreError::InUse));
            }
        }
    }

    /// One write and one sync for all that was accepted; then those who wait are told.
    fn commit(&mut self) {
        self.may_compact = self.engine.compact(MOVED);
        let outcome = self.engine.commit();
        self.numbers.batches += u64::from(!self.receipts.is_empty());
        let mut batch = 0;
        for (reply, mut put) in self.receipts.drain(..) {
            match &outcome {
                Ok(()) => {
                    let new = put
                        .stored
                        .iter()
                        .filter(|stored| matches!(stored, Stored::New(_)));
                    batch += new.count() as u64;
                }
                Err(poison) => {
                    put.stored.clear();
                    put.refused = Some(StoreError::Poisoned(poison.clone()));
                }
            }
            let _ = reply.send(put);
        }
        self.numbers.stored += batch;
        self.numbers.largest_batch = self.numbers.largest_batch.max(batch);
        for (reply, answer) in self.written.drain(..) {
            let _ = reply.send(answer);
        }
        let poison = || outcome.clone().map_err(StoreError::Poisoned);
        for (reply, answer) in self.answers.drain(..) {
            let _ = reply.send(poison().map(|()| answer));
        }
        for (reply, queue) in self.opened.drain(..) {
            let told = reply.send(poison().map(|()| queue));
            if told.is_err()
                && let Some(outlet) = self.outlets.get_mut(&queue)
                && outlet.sink.is_none()
            {
                outlet.is_claimed = false;
            }
        }
    }

    // --- passing on -------------------------------------------------------------------------

    fn deliver(&mut self) {
        let now = now();
        let Self {
            engine,
            outlets,
            weak,
            ..
        } = self;
        for (queue, outlet) in outlets {
            if let Some(sink) = &mut outlet.sink {
                deliver_to(engine, *queue, &mut **sink, now);
                if outlet.is_abandoned && engine.is_idle(*queue) {
                    outlet.sink = None;
                }
            }
            while let Some(waiter) = outlet.waiters.pop_front() {
                if waiter.reply.is_closed() {
                    continue;
                }
                let mut messages = Vec::new();
                for class in [0, 1] {
                    while messages.len() < waiter.limit
                        && let Some(message) = engine.take(*queue, class, now)
                    {
                        engine
                            .hands()
                            .set(message.slot, crate::engine::Stage::Started, message.id);
                        messages.push(message);
                    }
                }
                let poisoned = engine.poisoned();
                if messages.is_empty() && poisoned.is_none() {
                    outlet.waiters.push_front(waiter);
                    break;
                }
                // Without a sender left the store is about to close: nobody can acknowledge.
                let Some(tx) = weak.upgrade() else { break };
                let client = Client::new(tx, engine.hands());
                // Dropped by whoever does not want it, which releases the messages.
                let _ = waiter.reply.send(HandOver::new(messages, poisoned, client));
            }
        }
    }

    // --- answers ----------------------------------------------------------------------------

    fn dead_letters(&mut self, queue: Option<String>, from: u64, limit: usize) -> Vec<DeadLetter> {
        dead_letters(&mut self.engine, queue.as_deref(), from, limit)
    }

    fn stats(&self, now: u64) -> StoreStats {
        let writer = self.engine.writer();
        StoreStats {
            queues: self.engine.stats(now),
            syncs: writer.syncs,
            written: writer.written,
            disk: writer.size(),
            live: writer.live(),
            poisoned: self.engine.poisoned().map(|text| text.to_string()),
            ..self.numbers.clone()
        }
    }
}

fn deliver_to(engine: &mut Engine, queue: u16, sink: &mut dyn Sink, now: u64) {
    for class in [0, 1] {
        while let Some(message) = engine.take(queue, class, now) {
            let Taken { id, .. } = message;
            match sink.deliver(message) {
                Ok(()) => {}
                Err(Undelivered::Undecodable) => {
                    engine.reject(id, DeadReason::Undecodable, now);
                }
                Err(Undelivered::Full | Undelivered::Closed) => {
                    engine.release(id);
                    break;
                }
            }
        }
    }
}

/// The dead letters of a queue, or of all, with identities from `from` on.
pub(crate) fn dead_letters(
    engine: &mut Engine,
    queue: Option<&str>,
    from: u64,
    limit: usize,
) -> Vec<DeadLetter> {
    let number = match queue {
        Some(name) => match engine.find_queue(name) {
            Some(number) => Some(number),
            None => return Vec::new(),
        },
        None => None,
    };
    let dead = engine.dead_letters(number, from, limit);
    let letters = dead.into_iter().map(|(id, dead)| {
        let (meta, payload) = engine.read_dead(id).unwrap_or_default();
        DeadLetter {
            id,
            queue: engine.queue_name(dead.queue),
            is_high: dead.class == 0,
            reason: dead.reason,
            attempts: dead.attempts,
            stored_at: meta.at,
            died_at: dead.at,
            type_name: meta.type_name,
            version: meta.version,
            payload,
        }
    });
    letters.collect()
}

fn error(refused: Refused) -> StoreError {
    match refused {
        Refused::Full => StoreError::Full,
        Refused::TooLarge => StoreError::TooLarge,
        Refused::Poisoned(text) => StoreError::Poisoned(text),
    }
}
