//! One small trait over every actor runtime, statically dispatched, and one file per runtime.
//!
//! Every runtime gets the same worker: it tallies what it is told, answers what it is asked, and
//! panics when told to. Mailboxes have [`MAILBOX`] slots where the runtime knows bounds; where every
//! sender has a lane of its own, the lanes share them.

use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::rig::fault::Fault;

use crate::rig::executor::executor;
use crate::rig::payload::Tally;
use crate::rig::stats::Latencies;
use crate::rivals::channels::Subject;

mod actix;
mod bare;
mod kameo;
mod lanemesh_runtime;
mod ractor;

pub use self::actix::{Actix, ActixArbiter};
pub use self::bare::Bare;
pub use self::kameo::Kameo;
pub use self::lanemesh_runtime::LanemeshRuntime;
pub use self::ractor::Ractor;

/// Slots of a mailbox, where it is bounded.
pub const MAILBOX: usize = 1_024;
/// Asked for, it brings the count of messages told; any other number brings itself.
pub const COUNT: u64 = u64::MAX;
/// Asked for, it brings the sum of messages told.
pub const SUM: u64 = u64::MAX - 1;
/// Told, it makes the worker panic.
pub const PANIC: u64 = u64::MAX;

/// A runtime of actors.
pub trait Actors: Subject {
    /// A worker's address.
    type Handle: Handle;
    /// The address of a worker that is restarted when it panics.
    type Survivor: Handle;
    /// A tree of actors.
    type Tree: Send + 'static;

    /// Whether this runtime restarts an actor that has panicked.
    const RESTARTS: bool = true;

    /// Whether this runtime can use as many threads.
    fn can_use(_workers: usize) -> bool {
        true
    }

    /// Runs the work where this runtime's actors live, with so many threads for them.
    ///
    /// # Errors
    ///
    /// Those of the work, and [`Fault::Failed`] when there is no executor.
    fn block_on<R>(
        workers: usize,
        work: impl Future<Output = Result<R, Fault>>,
    ) -> Result<R, Fault> {
        executor(workers)?.block_on(work)
    }

    /// Starts a task beside the actors.
    fn task<R: Send + 'static>(work: impl Future<Output = R> + Send + 'static) -> JoinHandle<R> {
        tokio::spawn(work)
    }

    /// Starts a worker that so many senders will tell something.
    fn spawn(worker: Worker, senders: usize) -> impl Future<Output = Self::Handle> + Send;

    /// Starts a worker that is restarted when it panics; `None` when the runtime has no such thing.
    fn supervised() -> impl Future<Output = Option<Self::Survivor>> + Send;

    /// Starts an actor with so many children that have so many children each.
    fn plant(
        branches: usize,
        leaves: usize,
        census: Arc<Census>,
    ) -> impl Future<Output = Self::Tree> + Send;

    /// Tells the root to stop; the actors below it are to follow.
    fn fell(tree: Self::Tree) -> impl Future<Output = ()> + Send;
}

/// An actor's address.
pub trait Handle: Clone + Send + 'static {
    /// Sends a message, waiting for room; false when the actor is gone.
    fn tell(&mut self, message: u64) -> impl Future<Output = bool> + Send;

    /// Sends a message and waits for the answer; `None` when there is none.
    fn ask(&mut self, message: u64) -> impl Future<Output = Option<u64>> + Send;

    /// Tells the worker to panic; no later question overtakes the order. False when the actor is gone.
    fn crash(&mut self) -> impl Future<Output = bool> + Send {
        self.tell(PANIC)
    }
}

/// Does something with every runtime.
pub trait ActorsVisitor {
    /// Called once for each.
    fn visit<A: Actors>(&mut self);
}

/// Shows every runtime to a visitor.
pub fn visit_actors(visitor: &mut impl ActorsVisitor) {
    visitor.visit::<LanemeshRuntime>();
    visitor.visit::<Kameo>();
    visitor.visit::<Ractor>();
    visitor.visit::<Actix>();
    visitor.visit::<ActixArbiter>();
    visitor.visit::<Bare>();
}

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
