//! What every runtime's actor does, and what counts the actors.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::rig::payload::Tally;
use crate::rig::stats::Latencies;

/// Asked for, it brings the count of messages told; any other number brings itself.
pub const COUNT: u64 = u64::MAX;
/// Asked for, it brings the sum of messages told.
pub const SUM: u64 = u64::MAX - 1;
/// Told, it makes the worker panic.
pub const PANIC: u64 = u64::MAX;

/// What every runtime's actor does.
#[derive(Debug, Default, Clone)]
pub struct Worker {
    tally: Tally,
    place: Option<Place>,
    flood: Option<Arc<Flood>>,
}

impl Worker {
    /// A worker that is flooded.
    pub fn flooded(flood: &Arc<Flood>) -> Worker {
        Worker {
            flood: Some(flood.clone()),
            ..Worker::default()
        }
    }

    /// A worker that is counted when it has got its first message.
    pub fn counted(census: &Arc<Census>) -> Worker {
        Worker {
            place: Some(Place(census.clone())),
            ..Worker::default()
        }
    }

    /// A message without an answer.
    ///
    /// # Panics
    ///
    /// When the message is [`PANIC`].
    #[inline]
    pub fn told(&mut self, message: u64) {
        assert!(message != PANIC, "as told");
        if self.tally.count() == 0
            && let Some(place) = &self.place
        {
            place.0.arrived();
        }
        self.tally.add(message);
        if let Some(flood) = &self.flood {
            flood.work();
        }
    }

    /// The answer to a message.
    #[inline]
    pub fn asked(&self, message: u64) -> u64 {
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

/// What a flooded worker does: some work on every message that it is told, and a note of how long
/// every question took to reach it. A question is the time at which it was asked.
#[derive(Debug)]
pub struct Flood {
    begin: Instant,
    work: Duration,
    handled: AtomicU64,
    delays: Mutex<Latencies>,
}

impl Flood {
    /// A flood of messages that are so much work each.
    pub fn new(work: Duration) -> Arc<Flood> {
        Arc::new(Flood {
            begin: Instant::now(),
            work,
            handled: AtomicU64::new(0),
            delays: Mutex::new(Latencies::new()),
        })
    }

    /// Nanoseconds since the flood began.
    #[inline]
    pub fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// Messages that were worked on.
    pub fn handled(&self) -> u64 {
        // ORDERING: relaxed; a count that nothing is published through.
        self.handled.load(Ordering::Relaxed)
    }

    /// Takes the delays of the questions out.
    pub fn take_delays(&self) -> Latencies {
        let mut delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *delays)
    }

    /// Keeps the thread for as long as the work takes.
    pub fn spend(work: Duration) {
        let start = Instant::now();
        while start.elapsed() < work {
            std::hint::spin_loop();
        }
    }

    fn work(&self) {
        Flood::spend(self.work);
        // ORDERING: relaxed; see `handled`.
        self.handled.fetch_add(1, Ordering::Relaxed);
    }

    fn arrived(&self, asked: u64) {
        let delay = self.now().saturating_sub(asked);
        let mut delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        delays.record(delay);
    }
}

/// Counts actors that are there and actors that are gone.
#[derive(Debug)]
pub struct Census {
    total: usize,
    arrived: AtomicUsize,
    left: AtomicUsize,
    complete: Notify,
    empty: Notify,
}

impl Census {
    /// A census of so many actors.
    pub fn new(total: usize) -> Arc<Census> {
        Arc::new(Census {
            total,
            arrived: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            complete: Notify::new(),
            empty: Notify::new(),
        })
    }

    /// One more is there.
    pub fn arrived(&self) {
        // ORDERING: relaxed; `Notify` orders the last arrival before the waiting task's return.
        if self.arrived.fetch_add(1, Ordering::Relaxed) + 1 == self.total {
            self.complete.notify_one();
        }
    }

    /// Waits until all are there.
    pub async fn all_arrived(&self) {
        self.complete.notified().await;
    }

    /// Waits until all are gone.
    pub async fn all_left(&self) {
        self.empty.notified().await;
    }
}

/// An actor's place in a [`Census`]: when it is dropped, the actor is gone.
#[derive(Debug)]
pub struct Place(Arc<Census>);

impl Place {
    /// Enters an actor.
    pub fn take(census: &Arc<Census>) -> Place {
        census.arrived();
        Place(census.clone())
    }
}

impl Clone for Place {
    /// Only a supervisor that may restart an actor clones one, and no such actor is in a census.
    fn clone(&self) -> Place {
        Place(self.0.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // ORDERING: relaxed; `Notify` orders the last departure before the waiting task's return.
        if self.0.left.fetch_add(1, Ordering::Relaxed) + 1 == self.0.total {
            self.0.empty.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn census_tells_when_all_came_and_went() {
        let census = Census::new(2);
        let places = [Place::take(&census), Place::take(&census)];
        census.all_arrived().await;
        drop(places);
        census.all_left().await;
    }

    #[test]
    fn worker_answers_with_what_it_was_told() {
        let mut worker = Worker::default();
        worker.told(2);
        worker.told(3);
        assert_eq!(
            [worker.asked(COUNT), worker.asked(SUM), worker.asked(7)],
            [2, 5, 7]
        );
    }
}
