//! Durable actors: ordinary actors whose messages are on disk before they reach the mailbox.

mod classes;
mod gauges;
mod handle;
mod keeper;

use std::{fmt, marker::PhantomData, sync::Arc};

use lanemesh_runtime::{Actor, ActorHandle, Builder, Child, observe::EventMonitor};

use crate::{
    actor::keeper::{ActorSink, JournalKeeper, Kept},
    journal::{StoreError, Upkeep},
    options::QueueOptions,
    producer::Audience,
    store::Durable,
};

use self::classes::Class;
pub use self::{
    classes::{Both, Classes, Deliverable, Delivered, HighOnly, LowOnly},
    handle::DurableHandle,
};

/// Makes an actor durable.
///
/// # Examples
///
/// ```
/// use lanemesh_durable::{Durable, DurableExt, DurableMessage};
/// use lanemesh_runtime::{builder, prelude::*};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Order(u64);
///
/// impl DurableMessage for Order {
///     const NAME: &'static str = "order";
/// }
///
/// enum Question {
///     Sum(Reply<u64>),
/// }
///
/// #[derive(Default)]
/// struct Desk(u64);
///
/// impl Actor for Desk {
///     type HighPriorityMsg = Question; // in memory
///     type LowPriorityMsg = Order; // on disk
///
///     async fn on_high(&mut self, Question::Sum(reply): Question, _: &mut Context<Self>) -> ActorResult {
///         reply.send(self.0).ok();
///         Ok(())
///     }
///
///     async fn on_low(&mut self, order: Order, _: &mut Context<Self>) -> ActorResult {
///         self.0 += order.0;
///         Ok(()) // acknowledges
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let store = Durable::open(directory)?;
/// let (mut desk, child) = builder(Desk::default).durable_low(&store, "orders").spawn().await?;
/// let ticket = desk.low().tell(Order(7)).await?; // on disk
/// assert!(!ticket.is_duplicate);
/// # loop {
/// let sum = desk.actor().ask(Question::Sum, std::time::Duration::from_secs(1)).await?;
/// # if sum == 0 { tokio::task::yield_now().await; continue }
/// assert_eq!(sum, 7);
/// # break }
/// # child.stop().await; store.close().await;
/// # Ok(()) }
/// ```
///
/// A class whose messages have a [`Reply`](lanemesh_runtime::Reply) cannot be on disk:
///
/// ```compile_fail,E0277
/// # use lanemesh_durable::{Durable, DurableExt};
/// # use lanemesh_runtime::{builder, prelude::*};
/// struct Desk;
///
/// impl Actor for Desk {
///     type HighPriorityMsg = Reply<u64>;
///     type LowPriorityMsg = ();
/// }
///
/// # async fn start(store: &Durable) {
/// builder(|| Desk).durable_high(store, "orders").spawn().await;
/// # }
/// ```
pub trait DurableExt<A: Actor>: Sized {
    /// Both classes are on disk, in the queue of this name.
    fn durable(self, store: &Durable, queue: &str) -> DurableBuilder<A, Both>
    where
        A::HighPriorityMsg: Deliverable,
        A::LowPriorityMsg: Deliverable;

    /// The high class is on disk.
    fn durable_high(self, store: &Durable, queue: &str) -> DurableBuilder<A, HighOnly>
    where
        A::HighPriorityMsg: Deliverable;

    /// The low class is on disk.
    fn durable_low(self, store: &Durable, queue: &str) -> DurableBuilder<A, LowOnly>
    where
        A::LowPriorityMsg: Deliverable;
}

impl<A: Actor> DurableExt<A> for Builder<A> {
    fn durable(self, store: &Durable, queue: &str) -> DurableBuilder<A, Both>
    where
        A::HighPriorityMsg: Deliverable,
        A::LowPriorityMsg: Deliverable,
    {
        DurableBuilder::new(self, store, queue)
    }

    fn durable_high(self, store: &Durable, queue: &str) -> DurableBuilder<A, HighOnly>
    where
        A::HighPriorityMsg: Deliverable,
    {
        DurableBuilder::new(self, store, queue)
    }

    fn durable_low(self, store: &Durable, queue: &str) -> DurableBuilder<A, LowOnly>
    where
        A::LowPriorityMsg: Deliverable,
    {
        DurableBuilder::new(self, store, queue)
    }
}

/// The description of a durable actor.
#[must_use = "a builder does nothing until it is spawned"]
pub struct DurableBuilder<A: Actor, C> {
    builder: Builder<A>,
    store: Durable,
    queue: String,
    options: QueueOptions,
    monitor: Option<Box<dyn EventMonitor>>,
    classes: PhantomData<C>,
}

impl<A: Actor, C> fmt::Debug for DurableBuilder<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableBuilder")
            .field("builder", &self.builder)
            .field("queue", &self.queue)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<A: Actor, C: Classes<A>> DurableBuilder<A, C> {
    fn new(builder: Builder<A>, store: &Durable, queue: &str) -> Self {
        Self {
            builder,
            store: store.clone(),
            queue: queue.to_owned(),
            options: QueueOptions::default(),
            monitor: None,
            classes: PhantomData,
        }
    }

    /// The settings of the queue.
    pub fn queue_options(mut self, options: QueueOptions) -> Self {
        self.options = options;
        self
    }

    /// Tells of each message that comes again and of each dead letter
    /// ([`ActorEvent`](lanemesh_runtime::observe::ActorEvent)). The monitor is called on the journal's thread, which
    /// does all work on disk, so it must be fast. Its panics are caught and traced.
    pub fn events(mut self, monitor: impl EventMonitor) -> Self {
        self.monitor = Some(Box::new(monitor));
        self
    }

    /// Starts the actor without a parent. What was queued before comes first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the queue cannot be opened, or another actor has it.
    ///
    /// # Panics
    ///
    /// As [`Builder::spawn`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled call has started no actor, or one that stops or handles what is queued and ends; then the queue
    /// is free.
    pub async fn spawn(self) -> Result<(DurableHandle<A, C>, Child), StoreError> {
        self.spawn_by(Builder::spawn).await
    }

    /// Starts the actor by a function, such as that of a system or a parent: it gets the builder of the actor
    /// and spawns it. The lanes of durable classes have room for [`QueueOptions::in_flight`] messages.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn). [`StoreError::OtherActor`] if the actor that the function returns was not started
    /// by this builder, or has another keeper; it is stopped.
    ///
    /// # Cancel safety
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use lanemesh_durable::*;
    /// # use lanemesh_runtime::{System, builder, testing::Sink};
    /// # async fn start(store: &Durable, system: &System) -> Result<(), StoreError> {
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Order;
    /// # impl DurableMessage for Order { const NAME: &'static str = "order"; }
    /// let desk = builder(Sink::<(), Order>::new).durable_low(store, "orders");
    /// let (handle, child) = desk.spawn_by(|desk| system.spawn(desk)).await?;
    /// # Ok(()) }
    /// ```
    pub async fn spawn_by(
        self,
        spawn: impl FnOnce(Builder<A>) -> (ActorHandle<A>, Child),
    ) -> Result<(DurableHandle<A, C>, Child), StoreError> {
        let Self {
            builder,
            store,
            queue,
            options,
            monitor,
            ..
        } = self;
        let mut client = store.client.clone();
        let in_flight = options.in_flight;
        let claim = client
            .ask(|reply| Upkeep::Queue(queue, options, true, reply))
            .await??
            .accept();
        let kept = Kept::default();
        let keeper = JournalKeeper::new(client.clone(), claim, kept.clone());
        let mut builder = builder.keeper(keeper);
        if C::High::IS_DURABLE {
            builder = builder.high_capacity(in_flight);
        }
        if C::Low::IS_DURABLE {
            builder = builder.low_capacity(in_flight);
        }
        let (handle, child) = spawn(builder);
        // A parent that stops starts no child: then nobody is kept for, and the handle is that of an actor that
        // has ended.
        if kept.get() != Some(&handle.id()) && (kept.get().is_some() || handle.is_alive()) {
            return Err(StoreError::OtherActor);
        }
        let sink = ActorSink::<A, C>::new(handle.clone(), monitor);
        // Before the next wait: if that is cancelled, nobody sends to the actor.
        let audience = Arc::new(Audience {
            client: client.clone(),
            claim,
        });
        client
            .ask(|reply| Upkeep::Attach(claim, Box::new(sink), reply))
            .await?;
        let handle = DurableHandle::new(handle, client, claim.queue, audience);
        Ok((handle, child))
    }
}
