//! What an actor runtime can do, as traits that every adapter implements.

use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::rig::executor::executor;
use crate::rig::fault::Fault;
use crate::rivals::actors::worker::{ActorCounter, PANIC, Worker};
use crate::rivals::subject::Subject;

/// Number of slots of a bounded mailbox.
pub const MAILBOX: usize = 1_024;

/// An actor runtime.
pub trait Actors: Subject {
    /// Address of a worker.
    type Handle: Handle;
    /// Address of a worker that is restarted when it panics.
    type Supervised: Handle;
    /// A tree of actors.
    type Tree: Send + 'static;

    /// Whether this runtime can restart an actor that has panicked.
    const RESTARTS: bool = true;

    /// Whether the messages queued at a supervised worker survive its restart.
    const KEEPS_QUEUE: bool = false;

    /// Whether this runtime can use this number of threads.
    fn can_use(_workers: usize) -> bool {
        true
    }

    /// Runs `work` in the environment that this runtime's actors need, with `workers` threads for
    /// them.
    ///
    /// # Errors
    ///
    /// Those of the work, and [`Fault::Failed`] if the executor cannot be started.
    fn block_on<R>(
        workers: usize,
        work: impl Future<Output = Result<R, Fault>>,
    ) -> Result<R, Fault> {
        executor(workers)?.block_on(work)
    }

    /// Starts a task that can use the actors.
    fn task<R: Send + 'static>(work: impl Future<Output = R> + Send + 'static) -> JoinHandle<R> {
        tokio::spawn(work)
    }

    /// Starts a worker to which `senders` tasks will send.
    fn spawn(worker: Worker, senders: usize) -> impl Future<Output = Self::Handle> + Send;

    /// Starts a worker that is restarted when it panics; `None` if the runtime does not restart
    /// actors.
    fn spawn_supervised() -> impl Future<Output = Option<Self::Supervised>> + Send;

    /// Tells a worker to handle what is queued and then end. `handle` is its last one.
    fn drain(handle: Self::Handle) -> impl Future<Output = ()> + Send {
        drop(handle);
        std::future::ready(())
    }

    /// Starts an actor with `branches` children, each of which has `leaves` children.
    fn spawn_tree(
        branches: usize,
        leaves: usize,
        counter: Arc<ActorCounter>,
    ) -> impl Future<Output = Self::Tree> + Send;

    /// Tells the root to stop, upon which all actors below it must stop too.
    fn stop_tree(tree: Self::Tree) -> impl Future<Output = ()> + Send;
}

/// Address of an actor.
pub trait Handle: Clone + Send + 'static {
    /// Sends a message, waiting for room; returns false if the actor is gone.
    fn tell(&mut self, message: u64) -> impl Future<Output = bool> + Send;

    /// Sends a question and waits for the answer; `None` if there is none.
    fn ask(&mut self, message: u64) -> impl Future<Output = Option<u64>> + Send;

    /// Tells the worker to panic, by a message that no later question overtakes. Returns false if
    /// the actor is gone.
    fn crash(&mut self) -> impl Future<Output = bool> + Send {
        self.tell(PANIC)
    }
}

/// Visits every runtime.
pub trait ActorsVisitor {
    /// Called once for each runtime.
    fn visit<A: Actors>(&mut self);
}
