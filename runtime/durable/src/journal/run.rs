//! The loop of the journal's thread.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use lanemesh::{MailboxReceiver, Message, RecvTimeoutError, TryRecvError, WeakMailboxSender};
use tokio::sync::{oneshot, watch};

use crate::{
    engine::{Engine, Refused, Stored, now},
    journal::{
        clock::Clock,
        command::{Claim, Claimed, Client, HandOver, Items, Put, PutOutcome, StoreError, Upkeep},
        gathering::Gathering,
        letters::{DeadLetter, dead_letters},
        mutant,
        outlet::{Outlet, Waiter, deliver_to, sink_of},
        stats::StoreStats,
    },
};

/// Bytes that one batch has, about.
const BATCH_BYTES: usize = 4 << 20;
/// Messages from the mailbox for one batch.
const BATCH_MESSAGES: usize = 4096;
/// How long acknowledgements alone wait to be written with something else.
const LAZY: Duration = Duration::from_millis(20);
/// Bytes that are moved out of the oldest segment with each batch.
const MOVED: usize = 256 << 10;

/// Who is told when the batch is written or on disk.
#[derive(Default)]
struct Pending {
    receipts: Vec<(oneshot::Sender<PutOutcome>, PutOutcome)>,
    /// Answers that hold when the batch is on disk.
    answers: Vec<(oneshot::Sender<Result<bool, StoreError>>, bool)>,
    /// Answers that hold when the batch is written.
    written: Vec<(oneshot::Sender<bool>, bool)>,
    rejected: Vec<oneshot::Sender<Result<bool, StoreError>>>,
    opened: Vec<(oneshot::Sender<Result<Claimed, StoreError>>, Claim)>,
}

pub(crate) struct Journal {
    engine: Engine,
    rx: MailboxReceiver<Upkeep, Put>,
    weak: WeakMailboxSender<Upkeep, Put>,
    outlets: HashMap<u16, Outlet>,
    pending: Pending,
    gathering: Gathering,
    clock: Clock,
    /// Actors that have got a queue.
    claims: u64,
    /// What came while the last batch was synced.
    waiting: Vec<Message<Upkeep, Put>>,
    is_closing: bool,
    /// Dropped when the directory is free.
    alive: watch::Sender<()>,
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
        alive: watch::Sender<()>,
    ) -> Self {
        Self {
            engine,
            rx,
            weak,
            outlets: HashMap::new(),
            pending: Pending::default(),
            gathering: Gathering::default(),
            clock: Clock::new(now(), Instant::now()),
            claims: 0,
            waiting: Vec::new(),
            is_closing: false,
            alive,
            bytes: 0,
            may_compact: true,
            numbers: StoreStats::default(),
        }
    }

    pub(crate) fn run(mut self) {
        while self.turn() {}
        self.end();
    }

    /// Waits for something to do, and does it. Returns false at the end.
    pub(crate) fn turn(&mut self) -> bool {
        let is_open = self.collect();
        self.commit();
        if !is_open {
            return false;
        }
        // What is passed on while the store closes would only come again.
        if !self.is_closing {
            self.deliver();
            self.publish();
        }
        true
    }

    /// Frees the directory.
    pub(crate) fn end(mut self) {
        // Acknowledgements that were written are on disk when a store was closed in order.
        self.engine.sync_all();
        let Self { engine, alive, .. } = self;
        drop(engine);
        drop(alive);
    }

    /// As if its process was killed: nothing is written any more.
    #[cfg(test)]
    pub(crate) fn be_killed(self) {
        let Self { engine, rx, .. } = self;
        drop(engine);
        drop(rx);
    }

    /// Waits for something to do, then takes all that waits. Returns false at the end.
    fn collect(&mut self) -> bool {
        self.bytes = 0;
        if !self.waiting.is_empty() {
            self.may_compact = true;
            self.now();
            for message in std::mem::take(&mut self.waiting) {
                self.accept(message);
            }
            self.take_all();
            return true;
        }
        let has_upkeep = self.may_compact && self.engine.needs_compaction();
        let first = match self.rx.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Closed) => return false,
            Err(TryRecvError::Empty) if has_upkeep => None,
            Err(TryRecvError::Empty) => match self.next_due() {
                Some(wait) => match self.rx.recv_timeout(wait) {
                    Ok(message) => Some(message),
                    Err(RecvTimeoutError::Timeout) => {
                        self.engine.write_soon();
                        None
                    }
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
        self.now();
        self.accept(first);
        self.take_all();
        true
    }

    /// Takes all that waits, and waits a little for those who are expected.
    fn take_all(&mut self) {
        let (mut taken, mut until) = (0, None);
        while taken < BATCH_MESSAGES && self.bytes < BATCH_BYTES {
            match self.rx.try_recv() {
                Ok(message) => {
                    taken += 1;
                    self.accept(message);
                }
                Err(TryRecvError::Closed) => break,
                Err(TryRecvError::Empty) => {
                    let there = self.pending.receipts.len();
                    let now = Instant::now();
                    until = until.or_else(|| self.gathering.begin(there, now));
                    if until.is_none_or(|until| now >= until) || self.gathering.is_complete(there) {
                        break;
                    }
                    thread::yield_now();
                }
            }
        }
        if until.is_some() {
            self.gathering.end(self.pending.receipts.len());
        }
    }

    fn next_due(&self) -> Option<Duration> {
        let now = now();
        let attached = self
            .outlets
            .iter()
            .filter(|(_, outlet)| outlet.sink.is_some() || !outlet.waiters.is_empty());
        let due = attached
            .filter_map(|(queue, outlet)| match outlet.is_blocked {
                true => Some(now),
                false => self.engine.next_due(*queue),
            })
            .min();
        let due = due.map(|due| Duration::from_millis(due.saturating_sub(now).max(1)));
        let lazy = self.engine.is_lazy().then_some(LAZY);
        due.into_iter().chain(lazy).min()
    }

    /// The time by the wall clock, after what waits was told if it was set back.
    fn now(&mut self) -> u64 {
        let wall = now();
        let step = self.clock.step_back(wall, Instant::now());
        if step > 0 {
            tracing::warn!(milliseconds = step, "the wall clock was set back");
            self.engine.set_back(step);
        }
        wall
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
                    outcome.refused = Some(refused.into());
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
        self.pending.receipts.push((reply, outcome));
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
            Upkeep::Ack(queue, mut ids, reply) => {
                ids.retain(|id| self.engine.is_handed_out(queue, *id) && self.engine.ack(*id));
                let _ = reply.send(ids.len());
            }
            Upkeep::Retry(queue, id, delay, reply) => {
                let failed = self.engine.is_handed_out(queue, id)
                    && self.engine.fail(id, delay, now).is_some();
                self.pending.written.push((reply, failed));
            }
            Upkeep::Reject(queue, id, reply) => match self.engine.reject_taken(queue, id, now) {
                Ok(true) => self.pending.rejected.push(reply),
                Ok(false) => drop(reply.send(Ok(false))),
                Err(refused) => drop(reply.send(Err(refused.into()))),
            },
            Upkeep::Queue(name, options, is_claim, reply) => {
                self.open_queue(&name, options, is_claim, reply);
            }
            Upkeep::Attach(claim, sink, reply) => {
                if let Some(outlet) = self.outlet_of(claim) {
                    outlet.sink = Some(sink);
                }
                let _ = reply.send(());
            }
            Upkeep::Detach(claim) => self.detach(claim, now),
            Upkeep::Abandon(claim) => {
                if let Some(outlet) = self.outlet_of(claim) {
                    outlet.is_abandoned = true;
                }
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
                self.answer(reply, done);
            }
            Upkeep::DeleteDead(id, reply) => {
                let done = self.engine.delete_dead(id);
                self.answer(reply, done);
            }
            Upkeep::Stats(reply) => {
                let _ = reply.send(self.stats(now));
            }
            Upkeep::Close => {
                // What was sent before is in the mailbox, and is stored.
                self.rx.close();
                self.is_closing = true;
            }
        }
    }

    /// Answers when the batch is on disk, or at once if nothing was done.
    fn answer(
        &mut self,
        reply: oneshot::Sender<Result<bool, StoreError>>,
        done: Result<bool, Refused>,
    ) {
        match done {
            Ok(done) => self.pending.answers.push((reply, done)),
            Err(refused) => drop(reply.send(Err(refused.into()))),
        }
    }

    fn open_queue(
        &mut self,
        name: &str,
        options: crate::options::QueueOptions,
        is_claim: bool,
        reply: oneshot::Sender<Result<Claimed, StoreError>>,
    ) {
        let queue = match self.engine.queue(name, options) {
            Ok(queue) => queue,
            Err(refused) => {
                let _ = reply.send(Err(refused.into()));
                return;
            }
        };
        let mut number = 0;
        if is_claim {
            let outlet = self.outlets.entry(queue).or_default();
            if outlet.claim > 0 {
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
            self.claims += 1;
            number = self.claims;
            outlet.claim = number;
        }
        self.pending.opened.push((reply, Claim { queue, number }));
    }

    /// What an actor has, as long as it is the one that has the queue.
    fn outlet_of(&mut self, claim: Claim) -> Option<&mut Outlet> {
        let outlet = self.outlets.get_mut(&claim.queue)?;
        (outlet.claim == claim.number).then_some(outlet)
    }

    fn detach(&mut self, claim: Claim, now: u64) {
        if self.outlet_of(claim).is_none() {
            return;
        }
        let queue = claim.queue;
        for id in self.engine.in_flight(queue) {
            self.engine.settle(id, now);
        }
        let outlet = self.outlets.entry(queue).or_default();
        outlet.sink = None;
        outlet.claim = 0;
        outlet.is_abandoned = false;
        let mut openers = std::mem::take(&mut outlet.openers);
        if !openers.is_empty() {
            self.claims += 1;
            outlet.claim = self.claims;
            let number = self.claims;
            self.pending
                .opened
                .push((openers.remove(0), Claim { queue, number }));
            for opener in openers {
                let _ = opener.send(Err(StoreError::InUse));
            }
        }
    }

    /// One write and one sync for all that was accepted; then those who wait are told.
    fn commit(&mut self) {
        self.may_compact = self.engine.compact(MOVED);
        let began = Instant::now();
        let outcome = self.engine.commit();
        let Pending {
            receipts,
            answers,
            written,
            rejected,
            opened,
        } = std::mem::take(&mut self.pending);
        if !receipts.is_empty() {
            self.numbers.batches += 1;
            self.look_ahead(receipts.len(), began.elapsed());
        }
        let mut batch = 0;
        for (reply, mut put) in receipts {
            match &outcome {
                Ok(()) => {
                    let new = put
                        .stored
                        .iter()
                        .filter(|stored| matches!(stored, Stored::New(_)));
                    batch += new.count() as u64;
                }
                Err(_) if mutant::is_on("receipt_without_sync") => {}
                Err(poison) => {
                    put.stored.clear();
                    put.refused = Some(StoreError::Poisoned(poison.clone()));
                }
            }
            let _ = reply.send(put);
        }
        self.numbers.stored += batch;
        self.numbers.largest_batch = self.numbers.largest_batch.max(batch);
        for (reply, answer) in written {
            let _ = reply.send(answer);
        }
        let poison = || outcome.clone().map_err(StoreError::Poisoned);
        for reply in rejected {
            let _ = reply.send(poison().map(|()| true));
        }
        for (reply, answer) in answers {
            let _ = reply.send(poison().map(|()| answer));
        }
        for (reply, claim) in opened {
            if outcome.is_err()
                && let Some(outlet) = self.outlet_of(claim)
            {
                outlet.claim = 0;
            }
            let holder = (claim.number > 0).then(|| self.client()).flatten();
            // Dropped by whoever does not want it, which gives the queue back.
            let _ = reply.send(poison().map(|()| Claimed::new(claim, holder)));
        }
    }

    /// A sending end. None if the store is about to close, since there is no other one.
    fn client(&self) -> Option<Client> {
        let tx = self.weak.upgrade()?;
        Some(Client::new(tx, self.engine.hands(), self.alive.subscribe()))
    }

    /// Counts who has sent while the batch was synced, before those who wait for it send again.
    fn look_ahead(&mut self, completed: usize, took: Duration) {
        let _ = self.rx.try_recv_many(&mut self.waiting, BATCH_MESSAGES);
        let puts = self
            .waiting
            .iter()
            .filter(|message| matches!(message, Message::Low(_)));
        self.gathering.synced(completed, puts.count(), took);
    }

    // --- passing on -------------------------------------------------------------------------

    fn deliver(&mut self) {
        let now = self.now();
        let Self {
            engine,
            outlets,
            weak,
            alive,
            ..
        } = self;
        for (queue, outlet) in outlets {
            if let Some(sink) = &mut outlet.sink {
                outlet.is_blocked = deliver_to(engine, *queue, &mut **sink, now);
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
                        engine.hand_out(&message);
                        messages.push(message);
                    }
                }
                let poisoned = engine.poisoned();
                if messages.is_empty() && poisoned.is_none() {
                    if !mutant::is_on("waiter_forgotten") {
                        outlet.waiters.push_front(waiter);
                    }
                    break;
                }
                // Without a sender left the store is about to close: nobody can acknowledge.
                let Some(tx) = weak.upgrade() else { break };
                let client = Client::new(tx, engine.hands(), alive.subscribe());
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
        StoreStats {
            queues: self.engine.stats(now),
            ..self.numbers.with(&self.engine)
        }
    }

    /// Tells the actors of the numbers of their queues, and of dead letters. Lets go of those that have
    /// nothing left to do.
    fn publish(&mut self) {
        for (queue, id) in self.engine.take_died() {
            if let Some(sink) = sink_of(&mut self.outlets, queue) {
                sink.died(id);
            }
        }
        let now = now();
        let store = self.numbers.with(&self.engine);
        for (queue, outlet) in &mut self.outlets {
            if let Some(sink) = &mut outlet.sink {
                sink.publish(&self.engine.queue_stats(*queue, now), &store);
                if outlet.is_abandoned && self.engine.is_idle(*queue) {
                    outlet.sink = None;
                }
            }
        }
    }
}
