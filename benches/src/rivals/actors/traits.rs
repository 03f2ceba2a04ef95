//! One small trait over every actor runtime, statically dispatched.

use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::rig::executor::executor;
use crate::rig::fault::Fault;
use crate::rivals::actors::worker::{ActorCounter, PANIC, Worker};
use crate::rivals::subject::Subject;

/// Slots of a mailbox, where it is bounded.
pub const MAILBOX: usize = 1_024;

/// A runtime of actors.
pub trait Actors: Subject {
    /// A worker's address.
    type Handle: Handle;
    /// The address of a worker that is restarted when it panics.
    type Supervised: Handle;
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
    fn spawn_supervised() -> impl Future<Output = Option<Self::Supervised>> + Send;

    /// Starts an actor with so many children that have so many children each.
    fn spawn_tree(
        branches: usize,
        leaves: usize,
        counter: Arc<ActorCounter>,
    ) -> impl Future<Output = Self::Tree> + Send;

    /// Tells the root to stop; the actors below it are to follow.
    fn stop_tree(tree: Self::Tree) -> impl Future<Output = ()> + Send;
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
