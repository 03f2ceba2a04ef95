//! One small trait over every actor runtime, statically dispatched, and one file per runtime.
//!
//! Every runtime gets the same worker: it tallies what it is told, answers what it is asked, and
//! panics when told to. Mailboxes have [`MAILBOX`] slots where the runtime knows bounds.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::channels::Subject;
use crate::payload::{Fault, Tally};
use crate::shapes::executor;

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

    /// Starts a worker.
    fn spawn(worker: Worker) -> impl Future<Output = Self::Handle> + Send;

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
}

impl Worker {
    /// A worker that is counted when it has got its first message.
    pub fn counted(census: &Arc<Census>) -> Worker {
        Worker {
            tally: Tally::default(),
            place: Some(Place(census.clone())),
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
    }

    /// The answer to a message.
    #[inline]
    pub fn asked(&self, message: u64) -> u64 {
        match message {
            COUNT => self.tally.count(),
            SUM => self.tally.sum(),
            other => other,
        }
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
