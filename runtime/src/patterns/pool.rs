//! A pool of workers: actors of one type that share a load.
//!
//! Each worker is a supervised actor of its own with its own lanes. The pool adds no queue and no
//! actor in between: it holds a handle to each worker and decides which one gets the next job.

use std::{
    fmt,
    future::poll_fn,
    hash::{BuildHasher, Hash},
    sync::Arc,
    task::Poll,
};

use crate::{
    actor::{Actor, Context},
    error::SendError,
    handle::{ActorHandle, Child},
    spawn::{Builder, System, builder},
    supervision::Restart,
};

/// Handles to the workers of a pool. Each clone has its own lanes.
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
    workers: Vec<ActorHandle<A>>,
    next: usize,
}

impl<A: Actor> Pool<A> {
    /// Starts `size` workers as children of an actor. They are named `name-0`, `name-1`, ...,
    /// restarted after failures, and made by `factory`, which is given the worker's index.
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
        Self::build(name, size, factory, |worker| ctx.spawn(worker))
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
        Self::build(name, size, factory, |worker| system.spawn(worker))
    }

    /// Makes a pool of existing actors.
    ///
    /// # Panics
    ///
    /// If `workers` is empty.
    pub fn of(workers: Vec<ActorHandle<A>>) -> Self {
        assert!(!workers.is_empty(), "a pool needs a worker");
        Self { workers, next: 0 }
    }

    fn build(
        name: &str,
        size: usize,
        factory: impl FnMut(usize) -> A + Clone + Send + 'static,
        mut spawn: impl FnMut(Builder<A>) -> (ActorHandle<A>, Child),
    ) -> (Self, Vec<Child>) {
        let (workers, children) = (0..size)
            .map(|index| {
                let mut factory = factory.clone();
                spawn(
                    builder(move || factory(index))
                        .name(format!("{name}-{index}"))
                        .restart(Restart::Transient),
                )
            })
            .unzip();
        (Self::of(workers), children)
    }

    /// Sends a job to the next worker in turn that is alive and has room, and waits for room if
    /// none has. Without deadlock detection.
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
        mut job: A::LowPriorityMsg,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        loop {
            job = match self.offer_low(job) {
                Err(SendError::Full(back)) => back,
                other => return other,
            };
            poll_fn(|cx| {
                // Room at any worker suffices; a closed lane does not count.
                let mut open = false;
                for worker in &mut self.workers {
                    match worker.poll_ready_low(cx) {
                        Poll::Ready(Ok(())) => return Poll::Ready(()),
                        Poll::Ready(Err(_)) => {}
                        Poll::Pending => open = true,
                    }
                }
                if open { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        }
    }

    /// Sends a job to the next worker in turn that is alive and has room, without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] when no living worker has room, [`SendError::Closed`] when no worker is
    /// left. A job that all refuse counts as rejected once, at the worker whose turn it was.
    pub fn try_send_low(
        &mut self,
        job: A::LowPriorityMsg,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        let outcome = self.offer_low(job);
        if let Err(SendError::Full(_)) = &outcome {
            self.workers[self.next].cell().count_rejected();
        }
        outcome
    }

    /// Sends a job to the next worker with room; refusals are not counted.
    fn offer_low(
        &mut self,
        mut job: A::LowPriorityMsg,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        let mut full = false;
        for _ in 0..self.workers.len() {
            let at = self.next;
            self.next = (self.next + 1) % self.workers.len();
            job = match self.workers[at].offer_low(job) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    full |= error.is_full();
                    error.into_inner()
                }
            };
        }
        if full {
            Err(SendError::Full(job))
        } else {
            Err(SendError::Closed(job))
        }
    }

    /// Sends a job to the worker that gets all jobs with this key, so that they stay in order.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::send_low`] of that worker.
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its job is dropped.
    pub async fn send_low_keyed(
        &mut self,
        key: impl Hash,
        job: A::LowPriorityMsg,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        // A hasher with fixed keys: each clone of the pool selects the same worker.
        let hasher = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
        let at = hasher.hash_one(key) as usize % self.workers.len();
        self.workers[at].send_low(job).await.map(|_| ())
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
        for worker in &self.workers {
            worker.idle().await;
        }
    }

    /// The workers' handles.
    pub fn workers(&self) -> impl Iterator<Item = &ActorHandle<A>> {
        self.workers.iter()
    }

    /// The workers' names, in order.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.workers.iter().map(ActorHandle::name).collect()
    }
}

impl<A: Actor> Clone for Pool<A> {
    fn clone(&self) -> Self {
        Self {
            workers: self.workers.clone(),
            next: self.next,
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
