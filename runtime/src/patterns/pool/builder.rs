//! Describing a pool: how its workers are made, and which of them gets a job.

use std::{fmt, hash::Hash};

use lanemesh::mesh::{Balance, MailboxMeshBuilder, MailboxMeshSender, key};

use crate::{
    actor::{Actor, Context, High, Low},
    error::SpawnError,
    handle::{ActorHandle, Child},
    patterns::pool::Pool,
    spawn::{Builder, System, builder},
    supervision::Restart,
};

type Make<A> = Box<dyn FnMut(usize) -> Builder<A> + Send>;

/// Describes a pool of workers, for [`Pool::builder`].
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{System, patterns::{Balance, Pool}, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let system = System::new("payments");
/// // (account, amount): what belongs to an account is handled by one worker, in order.
/// let (mut pool, _children) = Pool::builder("worker", |_index| Sink::<(), (&str, u64)>::new())
///     .by_key(|payment: &(&str, u64)| Some(payment.0))
///     .balance(Balance::LeastLoaded)
///     .workers(|worker| worker.low_capacity(64))
///     .spawn_in(&system, 4);
/// for amount in 0..10 {
///     pool.send_low(("alice", amount)).await?;
/// }
/// pool.idle().await;
/// let busy = pool.workers().filter(|worker| worker.stats().low > 0).count();
/// assert_eq!(busy, 1);
/// # Ok(()) }
/// ```
#[must_use = "a builder does nothing until it is spawned"]
pub struct PoolBuilder<A: Actor> {
    mesh: MailboxMeshBuilder<High<A>, Low<A>>,
    is_ordered: bool,
    make: Make<A>,
}

impl<A: Actor> PoolBuilder<A> {
    pub(super) fn new(
        name: &str,
        factory: impl FnMut(usize) -> A + Clone + Send + 'static,
    ) -> Self {
        let name = name.to_owned();
        let make = move |index| {
            let mut factory = factory.clone();
            builder(move || factory(index))
                .name(format!("{name}-{index}"))
                .restart(Restart::Transient)
        };
        Self {
            // The capacities are those of the workers.
            mesh: MailboxMeshBuilder::new(1, 1),
            is_ordered: false,
            make: Box::new(make),
        }
    }

    /// Sets which worker gets a job without a key; by turns by default.
    pub fn balance(mut self, balance: Balance) -> Self {
        self.mesh = self.mesh.balance(balance);
        self
    }

    /// Sets what the key of a job is. All jobs with one key that come from one clone of the pool go to one worker, in
    /// order. Jobs for which it returns `None` have no key.
    ///
    /// When workers join or end, keys move: a worker takes the first job of a key that moved to it only when the worker
    /// that had the key before has taken all jobs of that key, or has handed them on. It may still handle the last one
    /// of them; if it handles [batches](Actor::BATCH), the last batch. Until then a job of that key waits, or finds no
    /// room. The function must not panic: what a worker would have handed on is dropped then.
    pub fn by_key<K: Hash>(
        mut self,
        key_of: impl Fn(&A::LowPriorityMsg) -> Option<K> + Send + Sync + 'static,
    ) -> Self {
        self.mesh = self
            .mesh
            .low_by_key(move |low: &Low<A>| key_of(&low.message).map(|value| key(&value)));
        self.is_ordered = true;
        self
    }

    /// Changes the settings of each worker: capacities, redelivery, supervision. By default a worker is restarted after
    /// failures.
    pub fn workers(
        mut self,
        mut change: impl FnMut(Builder<A>) -> Builder<A> + Send + 'static,
    ) -> Self {
        let mut make = self.make;
        self.make = Box::new(move |index| change(make(index)));
        self
    }

    /// Starts `size` workers as children of an actor, named with their indices: `name-0`, `name-1`, ...
    ///
    /// # Panics
    ///
    /// If `size` is zero, the parent is stopping, or a worker cannot be started; see [`SpawnError`].
    pub fn spawn<P: Actor>(self, ctx: &mut Context<P>, size: usize) -> (Pool<A>, Vec<Child>) {
        self.build(size, |worker| ctx.try_spawn(worker))
    }

    /// Starts `size` workers in a system, like [`spawn`](Self::spawn).
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_in(self, system: &System, size: usize) -> (Pool<A>, Vec<Child>) {
        self.build(size, |worker| system.try_spawn(worker))
    }

    fn build(
        self,
        size: usize,
        mut spawn: impl FnMut(Builder<A>) -> Result<(ActorHandle<A>, Child), SpawnError>,
    ) -> (Pool<A>, Vec<Child>) {
        assert!(size > 0, "a pool needs a worker");
        let mesh = self.mesh.build_over([]);
        let mut maker = Maker {
            make: self.make,
            is_ordered: self.is_ordered,
            next: 0,
        };
        let spawned = (0..size).map(|_| match spawn(maker.worker(&mesh)) {
            Ok(spawned) => spawned,
            Err(error) => panic!("{error}"),
        });
        let (workers, children) = spawned.collect();
        (Pool::new(mesh, workers, Some(maker)), children)
    }
}

impl<A: Actor> fmt::Debug for PoolBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("is_ordered", &self.is_ordered)
            .finish_non_exhaustive()
    }
}

/// Makes workers, as many as are wanted.
pub(super) struct Maker<A: Actor> {
    make: Make<A>,
    is_ordered: bool,
    next: usize,
}

impl<A: Actor> Maker<A> {
    /// The next worker, which will belong to the mesh.
    pub(super) fn worker(&mut self, mesh: &MailboxMeshSender<High<A>, Low<A>>) -> Builder<A> {
        let index = self.next;
        self.next += 1;
        (self.make)(index).in_pool(mesh.clone(), self.is_ordered)
    }
}
