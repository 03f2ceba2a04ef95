//! A pool of workers: actors of one type that share a load.
//!
//! Each worker is a supervised actor of its own. The pool adds no queue and no actor in between: the
//! workers' mailboxes form a [mesh](lanemesh::mesh), in which each clone of the pool has a lane to
//! each worker and decides which one gets the next job.

// One thing: mod, builder: a pool starts more workers as its builder started the first ones.

mod builder;

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use lanemesh::{
    TrySendError,
    mesh::{MailboxMeshBuilder, MailboxMeshSender},
};

use self::builder::Maker;
use crate::{
    actor::{Actor, Context, High, Low},
    error::{SendError, SpawnError},
    handle::{ActorHandle, Child},
    spawn::{Builder, System},
    util::lock::lock,
};

pub use self::builder::PoolBuilder;

/// Sends jobs to the workers of a pool. Each clone has its own lanes.
///
/// A worker that crashes keeps its queue and is restarted in place. One that ends (it is stopped, it
/// has drained, its restarts are used up) hands the jobs that it has not begun to the others, with what
/// was sent through its own handle, and is left out from then on; so a pool shrinks when the [`Child`] of a worker is dropped, and grows by
/// [`add_worker`](Self::add_worker). When the last worker has ended, the pool is closed.
///
/// Dropping the last clone lets the workers handle what they have and end.
///
/// A job that needs an answer carries a [`Reply`](crate::Reply), made by
/// [`Reply::pair`](crate::Reply::pair): a pool has no ask of its own.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{System, patterns::Pool, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let system = System::new("jobs");
/// let (mut pool, children) =
///     Pool::spawn_in(&system, "worker", 4, |_index| Sink::<(), u64>::new());
/// for job in 0..100 {
///     pool.send_low(job).await?;
/// }
/// pool.idle().await;
/// let handled: Vec<u64> = pool.workers().map(|worker| worker.stats().low).collect();
/// assert_eq!(handled, [25, 25, 25, 25]);
/// # drop(children);
/// # Ok(()) }
/// ```
pub struct Pool<A: Actor> {
    mesh: MailboxMeshSender<High<A>, Low<A>>,
    /// A copy of the shared list.
    workers: Vec<ActorHandle<A>>,
    version: usize,
    shared: Arc<Shared<A>>,
}

/// What the clones of a pool share.
struct Shared<A: Actor> {
    /// Counts the changes of the list.
    version: AtomicUsize,
    /// Those that have ended, too, until another one is added.
    workers: Mutex<Vec<ActorHandle<A>>>,
    /// Without one no worker can be added.
    maker: Mutex<Option<Maker<A>>>,
}

impl<A: Actor> Pool<A> {
    /// Describes a pool of workers that are made by `factory`, which is given the worker's index.
    pub fn builder(
        name: &str,
        factory: impl FnMut(usize) -> A + Clone + Send + 'static,
    ) -> PoolBuilder<A> {
        PoolBuilder::new(name, factory)
    }

    /// Starts `size` workers as children of an actor. They are named `name-0`, `name-1`, ...,
    /// restarted after failures, and made by `factory`, which is given the worker's index. Jobs go to
    /// them by turns; [`builder`](Self::builder) has other settings.
    ///
    /// # Panics
    ///
    /// If `size` is zero, or the parent is stopping.
    pub fn spawn<P: Actor>(
        ctx: &mut Context<P>,
        name: &str,
        size: usize,
        factory: impl FnMut(usize) -> A + Clone + Send + 'static,
    ) -> (Self, Vec<Child>) {
        Self::builder(name, factory).spawn(ctx, size)
    }

    /// Starts `size` workers in a system, like [`spawn`](Self::spawn).
    ///
    /// # Panics
    ///
    /// If `size` is zero, or the system is stopping.
    pub fn spawn_in(
        system: &System,
        name: &str,
        size: usize,
        factory: impl FnMut(usize) -> A + Clone + Send + 'static,
    ) -> (Self, Vec<Child>) {
        Self::builder(name, factory).spawn_in(system, size)
    }

    /// Makes a pool of existing actors, to which jobs go by turns. They keep their jobs to themselves when they end, and
    /// no worker can be added.
    ///
    /// # Panics
    ///
    /// If `workers` is empty.
    pub fn of(workers: Vec<ActorHandle<A>>) -> Self {
        assert!(!workers.is_empty(), "a pool needs a worker");
        let lanes = workers.iter().map(ActorHandle::mailbox_sender);
        let mesh = MailboxMeshBuilder::new(1, 1).build_over(lanes);
        Self::new(mesh, workers, None)
    }

    fn new(
        mesh: MailboxMeshSender<High<A>, Low<A>>,
        workers: Vec<ActorHandle<A>>,
        maker: Option<Maker<A>>,
    ) -> Self {
        Self {
            mesh,
            version: 0,
            shared: Arc::new(Shared {
                version: AtomicUsize::new(0),
                workers: Mutex::new(workers.clone()),
                maker: Mutex::new(maker),
            }),
            workers,
        }
    }

    /// Starts another worker as a child of an actor. All clones of the pool send to it from their
    /// next job on; a clone that waits for room goes on at once.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Closing`] when the parent is stopping, [`SpawnError::PoolClosed`] when the last
    /// worker has ended, [`SpawnError::NeedsFactory`] for a pool made by [`of`](Self::of).
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::{System, patterns::Pool, testing::Sink};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let system = System::new("jobs");
    /// let (mut pool, mut children) =
    ///     Pool::spawn_in(&system, "worker", 2, |_index| Sink::<(), u64>::new());
    /// children.push(pool.add_worker_in(&system)?);
    /// assert_eq!(&*pool.names()[2], "worker-2");
    /// // The first one hands its jobs on and is left out.
    /// drop(children.remove(0));
    /// for job in 0..100 {
    ///     pool.send_low(job).await?;
    /// }
    /// pool.idle().await;
    /// assert_eq!(pool.workers().map(|worker| worker.stats().low).sum::<u64>(), 100);
    /// # Ok(()) }
    /// ```
    pub fn add_worker<P: Actor>(&mut self, ctx: &mut Context<P>) -> Result<Child, SpawnError> {
        self.add(|worker| ctx.try_spawn(worker))
    }

    /// Starts another worker in a system, like [`add_worker`](Self::add_worker).
    ///
    /// # Errors
    ///
    /// As [`add_worker`](Self::add_worker).
    pub fn add_worker_in(&mut self, system: &System) -> Result<Child, SpawnError> {
        self.add(|worker| system.try_spawn(worker))
    }

    fn add(
        &mut self,
        spawn: impl FnOnce(Builder<A>) -> Result<(ActorHandle<A>, Child), SpawnError>,
    ) -> Result<Child, SpawnError> {
        // Taken out while it makes a worker: no code of others runs under the lock.
        let mut maker = lock(&self.shared.maker)
            .take()
            .ok_or(SpawnError::NeedsFactory)?;
        let worker = maker.worker(&self.mesh);
        *lock(&self.shared.maker) = Some(maker);
        let (worker, child) = spawn(worker)?;
        let ended: Vec<_> = {
            let mut workers = lock(&self.shared.workers);
            let ended = workers.extract_if(.., |worker| !worker.is_alive());
            let ended = ended.collect();
            workers.push(worker);
            self.shared.version.fetch_add(1, Ordering::Relaxed);
            ended
        };
        drop(ended);
        Ok(child)
    }

    /// Sends a job: with a key, to the worker that has its key; without, to a worker that has room. Waits for room if
    /// there is none. Without deadlock detection.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when no worker is left.
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its job is dropped.
    pub async fn send_low(
        &mut self,
        job: A::LowPriorityMsg,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        let envelope = self.workers[0].wrap(job);
        let sent = self.mesh.send_low(envelope).await;
        sent.map_err(|error| SendError::Closed(error.into_inner().message))
    }

    /// Sends a job as [`send_low`](Self::send_low) does, without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] when there is no room for it, or when jobs with the same key are still with another worker;
    /// [`SendError::Closed`] when no worker is left. A job that is refused counts as rejected once, at the first
    /// worker in the list.
    pub fn try_send_low(
        &mut self,
        job: A::LowPriorityMsg,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        let envelope = self.workers[0].wrap(job);
        self.mesh
            .try_send_low(envelope)
            .map_err(|error| match error {
                TrySendError::Full(envelope) => {
                    self.workers[0].cell().count_rejected();
                    SendError::Full(envelope.message)
                }
                TrySendError::Closed(envelope) => SendError::Closed(envelope.message),
            })
    }

    /// Sends a high-priority message to every living worker. Returns how many got it.
    ///
    /// # Cancel safety
    ///
    /// If cancelled, some workers have got the message and others have not.
    pub async fn broadcast_high(&mut self, message: A::HighPriorityMsg) -> usize
    where
        A::HighPriorityMsg: Clone,
    {
        self.update();
        let mut sent = 0;
        for worker in &mut self.workers {
            sent += usize::from(worker.send_high(message.clone()).await.is_ok());
        }
        sent
    }

    /// Waits until every worker has handled everything that this pool has sent.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn idle(&self) {
        loop {
            let workers = lock(&self.shared.workers).clone();
            let living = |workers: &[ActorHandle<A>]| {
                let living = workers.iter().filter(|worker| worker.is_alive());
                living.map(ActorHandle::id).collect::<Vec<_>>()
            };
            let before = living(&workers);
            for worker in &workers {
                worker.idle().await;
            }
            // One that has ended may have handed its jobs to one that was idle before.
            if living(&workers) == before {
                return;
            }
        }
    }

    /// The workers' handles: those that were started first come first. One that has ended is in the
    /// list until the next one is added.
    pub fn workers(&mut self) -> impl Iterator<Item = &ActorHandle<A>> {
        self.update();
        self.workers.iter()
    }

    /// The workers' names, in the same order.
    pub fn names(&self) -> Vec<Arc<str>> {
        let workers = lock(&self.shared.workers);
        workers.iter().map(ActorHandle::name).collect()
    }

    /// Looks whether the list has changed.
    fn update(&mut self) {
        // The lock publishes the list; this only says whether to look at it.
        if self.shared.version.load(Ordering::Relaxed) != self.version {
            let workers = {
                let workers = lock(&self.shared.workers);
                self.version = self.shared.version.load(Ordering::Relaxed);
                workers.clone()
            };
            self.workers = workers;
        }
    }
}

impl<A: Actor> Clone for Pool<A> {
    fn clone(&self) -> Self {
        Self {
            mesh: self.mesh.clone(),
            workers: self.workers.clone(),
            version: self.version,
            shared: self.shared.clone(),
        }
    }
}

impl<A: Actor> fmt::Debug for Pool<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}
