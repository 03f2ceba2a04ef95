//! What the actors of every runtime do, and a counter of actors.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::rig::payload::Tally;
use crate::rig::stats::Latencies;

/// The question for the number of messages told. Questions other than this one and [`SUM`] are
/// answered with themselves.
pub const COUNT: u64 = u64::MAX;
/// The question for the sum of the messages told.
pub const SUM: u64 = u64::MAX - 1;
/// The message that makes the worker panic.
pub const PANIC: u64 = u64::MAX;

/// What the actors of every runtime do.
#[derive(Debug, Default, Clone)]
pub struct Worker {
    tally: Tally,
    counted: Option<CountedActor>,
    flood: Option<Arc<Flood>>,
}

impl Worker {
    /// A worker that works on every message of the flood.
    pub fn flooded(flood: &Arc<Flood>) -> Worker {
        Worker {
            flood: Some(flood.clone()),
            ..Worker::default()
        }
    }

    /// A worker whose start is counted when its first message arrives.
    pub fn counted(counter: &Arc<ActorCounter>) -> Worker {
        Worker {
            counted: Some(CountedActor(counter.clone())),
            ..Worker::default()
        }
    }

    /// A worker whose start and end are counted, and of which the flood counts the messages.
    pub fn drained(counter: &Arc<ActorCounter>, flood: &Arc<Flood>) -> Worker {
        Worker {
            flood: Some(flood.clone()),
            ..Worker::counted(counter)
        }
    }

    /// Handles a message that gets no answer.
    ///
    /// # Panics
    ///
    /// If the message is [`PANIC`].
    #[inline]
    pub fn on_tell(&mut self, message: u64) {
        assert!(message != PANIC, "requested panic");
        if self.tally.count() == 0
            && let Some(counted) = &self.counted
        {
            counted.0.record_start();
        }
        self.tally.add(message);
        if let Some(flood) = &self.flood {
            flood.work();
        }
    }

    /// Returns the answer to a question.
    #[inline]
    pub fn on_ask(&self, message: u64) -> u64 {
        if let Some(flood) = &self.flood {
            flood.arrived(message);
        }
        match message {
            COUNT => self.tally.count(),
            SUM => self.tally.sum(),
            other => other,
        }
    }
}

/// State of a flooded worker. It works for a while on every message, and records how long every
/// question took to reach it; each question is the time at which it was asked.
#[derive(Debug)]
pub struct Flood {
    begin: Instant,
    work: Duration,
    handled: AtomicU64,
    delays: Mutex<Latencies>,
}

impl Flood {
    /// A flood whose messages each take `work`.
    pub fn new(work: Duration) -> Arc<Flood> {
        Arc::new(Flood {
            begin: Instant::now(),
            work,
            handled: AtomicU64::new(0),
            delays: Mutex::new(Latencies::new()),
        })
    }

    /// Nanoseconds since the flood was created.
    #[inline]
    pub fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// Number of messages handled.
    pub fn handled(&self) -> u64 {
        // ORDERING: relaxed; the count publishes no other data.
        self.handled.load(Ordering::Relaxed)
    }

    /// Removes and returns the delays of the questions.
    pub fn take_delays(&self) -> Latencies {
        let mut delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *delays)
    }

    /// Keeps the thread busy for as long as `work`.
    pub fn busy_wait(work: Duration) {
        let start = Instant::now();
        while start.elapsed() < work {
            std::hint::spin_loop();
        }
    }

    fn work(&self) {
        Flood::busy_wait(self.work);
        // ORDERING: relaxed; see `handled`.
        self.handled.fetch_add(1, Ordering::Relaxed);
    }

    fn arrived(&self, asked: u64) {
        let delay = self.now().saturating_sub(asked);
        let mut delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        delays.record(delay);
    }
}

/// Counts the starts and the ends of a known number of actors.
#[derive(Debug)]
pub struct ActorCounter {
    total: usize,
    started: AtomicUsize,
    stopped: AtomicUsize,
    all_started: Notify,
    all_stopped: Notify,
}

impl ActorCounter {
    /// A counter for `total` actors.
    pub fn new(total: usize) -> Arc<ActorCounter> {
        Arc::new(ActorCounter {
            total,
            started: AtomicUsize::new(0),
            stopped: AtomicUsize::new(0),
            all_started: Notify::new(),
            all_stopped: Notify::new(),
        })
    }

    /// Counts the start of one actor.
    pub fn record_start(&self) {
        // ORDERING: relaxed; `Notify` orders the last start before the waiting task's return.
        if self.started.fetch_add(1, Ordering::Relaxed) + 1 == self.total {
            self.all_started.notify_one();
        }
    }

    /// Waits until all actors have started.
    pub async fn all_started(&self) {
        self.all_started.notified().await;
    }

    /// Waits until all actors have ended.
    pub async fn all_stopped(&self) {
        self.all_stopped.notified().await;
    }
}

/// Part of an actor that an [`ActorCounter`] counts; dropping it counts the actor's end.
#[derive(Debug)]
pub struct CountedActor(Arc<ActorCounter>);

impl CountedActor {
    /// Counts the start of an actor.
    pub fn new(counter: &Arc<ActorCounter>) -> CountedActor {
        counter.record_start();
        CountedActor(counter.clone())
    }
}

impl Clone for CountedActor {
    /// Counts no start. Actors are cloned only by supervisors that restart them, and none of those
    /// is counted.
    fn clone(&self) -> CountedActor {
        CountedActor(self.0.clone())
    }
}

impl Drop for CountedActor {
    fn drop(&mut self) {
        // ORDERING: relaxed; `Notify` orders the last end before the waiting task's return.
        if self.0.stopped.fetch_add(1, Ordering::Relaxed) + 1 == self.0.total {
            self.0.all_stopped.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counter_tells_when_all_started_and_stopped() {
        let counter = ActorCounter::new(2);
        let actors = [CountedActor::new(&counter), CountedActor::new(&counter)];
        counter.all_started().await;
        drop(actors);
        counter.all_stopped().await;
    }

    #[test]
    fn worker_answers_with_what_it_was_told() {
        let mut worker = Worker::default();
        worker.on_tell(2);
        worker.on_tell(3);
        assert_eq!(
            [worker.on_ask(COUNT), worker.on_ask(SUM), worker.on_ask(7)],
            [2, 5, 7]
        );
    }
}
