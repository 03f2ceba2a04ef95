//! Describing and starting actors; the system that owns them, and the threads that run them.

mod children;
mod lookup;
mod mailbox;
mod settings;
mod system;
mod unbounded;
mod worker_threads;

use std::{sync::Arc, time::Duration};

use lanemesh::{MailboxBuilder, Overflow, mesh::MailboxMeshSender};

use crate::{
    actor::{Actor, Context, High, Local, LocalActor, Low, OptionalState},
    cell::{ActorKind, Timing},
    crash::{DeadLetter, DeadLetters, Keeper, RedeliveryRule},
    error::SpawnError,
    exit::ExitReason,
    handle::{ActorHandle, Child, Peer, Recipient},
    observe::EventMonitor,
    registry::Registration,
    spawn::{
        mailbox::{Pool, PoolMesh, Worker, open},
        settings::Settings,
    },
    supervision::{Health, Restart, Supervision, group::Group},
    task::{Factory, Lifecycle, Task, run_lifecycle, task_bytes},
    util::executor::spawn_on,
};

pub use self::{
    system::{Spawner, System},
    worker_threads::WorkerThread,
};

/// Starts an actor on the current tokio runtime: an actor, or a [`Builder`].
///
/// An actor given by value cannot be made again, so it is never restarted. The runtime must have
/// its timers enabled (`enable_time`): stops, asks and restarts use them and panic otherwise.
///
/// # Panics
///
/// Outside of a tokio runtime, and if a lane capacity is zero.
pub fn spawn<A: Actor>(actor: impl IntoBuilder<A>) -> (ActorHandle<A>, Child) {
    actor.into_builder().spawn()
}

/// Starts an actor on the current tokio runtime, like [`spawn`].
///
/// # Errors
///
/// See [`SpawnError`].
pub fn try_spawn<A: Actor>(
    actor: impl IntoBuilder<A>,
) -> Result<(ActorHandle<A>, Child), SpawnError> {
    actor.into_builder().try_spawn()
}

/// Describes an actor; `factory` makes its incarnations.
pub fn builder<A: Actor>(factory: impl FnMut() -> A + Send + 'static) -> Builder<A> {
    Builder::new(None, Some(Box::new(factory)))
}

/// Describes an actor that is not `Send`; `factory` makes its incarnations on its worker thread.
///
/// Place it with [`Builder::on`]; the factory must be `Send`, the actor need not be.
pub fn local<A: LocalActor>(mut factory: impl FnMut() -> A + Send + 'static) -> Builder<Local<A>> {
    Builder::local(move || Local::new(factory()))
}

/// What can be started: an actor, or its description.
///
/// ```
/// use lanemesh_runtime::{IntoBuilder, spawn, testing::Sink};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let meter = Sink::<(), u64>::new().into_builder().name("meter").low_capacity(8);
/// let (_meter, _child) = spawn(meter); // given by value: it is never restarted
/// # }
/// ```
pub trait IntoBuilder<A: Actor> {
    /// The description.
    fn into_builder(self) -> Builder<A>;
}

impl<A: Actor> IntoBuilder<A> for A {
    fn into_builder(self) -> Builder<A> {
        Builder::new(Some(self), None)
    }
}

impl<A: Actor> IntoBuilder<A> for Builder<A> {
    fn into_builder(self) -> Builder<A> {
        self
    }
}

/// The description of an actor: how it is made, where it runs, its capacities and its supervision.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::{Restart, builder, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (handle, child) = builder(Sink::<(), u64>::new)
///     .name("meter")
///     .high_capacity(16)
///     .low_capacity(4096)
///     .restart(Restart::Permanent)
///     .grace(Duration::from_secs(2))
///     .try_spawn()?;
/// assert_eq!(&*handle.name(), "meter");
/// # drop(child);
/// # Ok(()) }
/// ```
#[must_use = "a builder does nothing until it is spawned"]
pub struct Builder<A: Actor> {
    actor: Option<A>,
    factory: Option<Factory<A>>,
    settings: Settings,
    /// What registers the actor, if it is registered by its name.
    register: Option<fn(&Registration, ActorHandle<A>)>,
    pool: Option<Box<dyn Pool<A>>>,
    optional: Option<Box<OptionalState<A>>>,
}

impl<A: Actor> Builder<A> {
    const KIND: ActorKind = ActorKind {
        type_name: std::any::type_name::<A>,
        task_bytes: task_bytes::<A>,
        message_bytes: if size_of::<High<A>>() > size_of::<Low<A>>() {
            size_of::<High<A>>()
        } else {
            size_of::<Low<A>>()
        },
        is_local: true,
    };

    fn new(actor: Option<A>, factory: Option<Factory<A>>) -> Self {
        Self {
            actor,
            factory,
            settings: Settings::default(),
            register: None,
            pool: None,
            optional: None,
        }
    }

    pub(crate) fn local(factory: impl FnMut() -> A + Send + 'static) -> Self {
        let mut builder = Self::new(None, Some(Box::new(factory)));
        builder.settings.needs_worker_thread = true;
        builder
    }

    /// The actor's name in notices, traces and trees. Default: its type and identity.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// The actor's [`name`](Self::name), under which it can be looked up in its system:
    /// [`System::look_up`], [`Context::look_up`].
    ///
    /// The name is the actor's until it ends for good, restarts included. As long as it is
    /// registered, the actor does not end because nobody holds a handle. An actor without a system cannot be
    /// registered, and neither can two of one system under one name: [`SpawnError`].
    pub fn registered(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.rules().registers = true;
        self.register = Some(|registration, handle| registration.set_handle(handle.shared()));
        self.name(name)
    }

    /// How many high-priority messages each handle may have queued. Default 64; zero is an error.
    pub fn high_capacity(mut self, capacity: usize) -> Self {
        self.settings.high_capacity = capacity;
        self
    }

    /// How many low-priority messages each handle may have queued. Default 1024; zero is an error.
    ///
    /// A busy actor holds up to 32 more, or an eighth of the capacity if that is less: it takes
    /// messages out of the lanes ahead of their turn. They stay queued: urgent messages overtake
    /// them, and they survive a restart.
    pub fn low_capacity(mut self, capacity: usize) -> Self {
        self.settings.low_capacity = capacity;
        self
    }

    /// What `send_high` does at a full lane. Default: wait.
    pub fn high_overflow(mut self, overflow: Overflow) -> Self {
        self.settings.policies.high = overflow;
        self
    }

    /// What `send_low` does at a full lane. Default: wait.
    pub fn low_overflow(mut self, overflow: Overflow) -> Self {
        self.settings.policies.low = overflow;
        self
    }

    /// After which time messages expire that are sent without a deadline. Default: never.
    pub fn expiry(mut self, expiry: Duration) -> Self {
        self.settings.policies.set_expiry(Some(expiry));
        self
    }

    /// When the actor is restarted. Default: never. Restarts need a factory: for an actor given by
    /// value it is an error to start it with a restart policy. With `panic = "abort"`
    /// a panic ends the program instead.
    ///
    /// A restart begins with fresh state. State that must survive goes into a
    /// [`Persistent`](crate::crash::Persistent) that the factory holds. What survives by itself:
    /// identity and handles, the queued and the stashed messages, the counters; of the message that
    /// was being handled [`redeliver`](Self::redeliver) keeps a copy.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.settings.restart = restart;
        self
    }

    /// After a failure, the next incarnation starts when it is needed, after the backoff at the
    /// earliest: for a message, queued ones included, an inspection, a drain, or a restart together
    /// with siblings. Until then the actor is [`Phase::Waiting`](crate::Phase::Waiting). Default: it
    /// starts at once.
    ///
    /// It changes nothing unless [`restart`](Self::restart) restarts the actor.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use lanemesh_runtime::{Actor, ActorError, ActorResult, Context, Phase, Restart, builder};
    ///
    /// struct Modem;
    ///
    /// impl Actor for Modem {
    ///     type HighPriorityMsg = ();
    ///     type LowPriorityMsg = &'static str;
    ///
    ///     async fn on_low(&mut self, line: &'static str, _: &mut Context<Self>) -> ActorResult {
    ///         match line {
    ///             "hang up" => Err(ActorError::msg("no carrier")),
    ///             _ => Ok(()),
    ///         }
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let modem = builder(|| Modem).restart(Restart::Permanent).restart_on_demand();
    /// let (mut modem, _child) = modem.spawn();
    /// modem.send_low("hang up").await?;
    /// tokio::time::sleep(Duration::from_secs(3600)).await;
    /// assert_eq!((modem.phase(), modem.incarnation()), (Phase::Waiting, 1));
    /// modem.send_low("hello").await?; // dials again
    /// modem.idle().await;
    /// assert_eq!((modem.phase(), modem.incarnation()), (Phase::Running, 2));
    /// # Ok(()) }
    /// ```
    pub fn restart_on_demand(mut self) -> Self {
        self.settings.rules().restarts_on_demand = true;
        self
    }

    /// The supervision of an actor without parent and system; otherwise theirs applies. The
    /// strategy has no effect: there are no siblings.
    pub fn supervision(mut self, supervision: Supervision) -> Self {
        self.settings.rules().alone.0 = supervision;
        self
    }

    /// How long the actor may take to stop before it is killed. Default 5 s.
    /// [`System::drain`](crate::System::drain) uses its own deadline instead.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// When the parent or the system ends, asks this actor to end only when `peer` has ended: a
    /// consumer after its producer. Without it siblings end side by side.
    ///
    /// It concerns stops and drains. A peer that is no living sibling has no effect.
    pub fn after(mut self, peer: &impl Peer) -> Self {
        self.settings.ends().after.push(peer.peer().0.id());
        self
    }

    /// When the parent or the system ends, asks `peer` to end only when this actor has ended: the
    /// same as [`after`](Self::after) from the other side, for a producer that is started with the
    /// handle of its consumer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lanemesh_runtime::{System, builder, testing::Sink};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let system = System::new("pipeline");
    /// let (consumer, _consumer) = system.spawn(builder(Sink::<(), u64>::new));
    /// // It sends to the consumer until it has drained.
    /// let producer = builder(Sink::<(), u64>::new).before(&consumer);
    /// let (_producer, _child) = system.spawn(producer);
    /// assert!(system.drain(Duration::from_secs(5)).await.is_clean());
    /// # }
    /// ```
    pub fn before(mut self, peer: &impl Peer) -> Self {
        self.settings.ends().before.push(peer.peer().0.id());
        self
    }

    /// Checks the actor's health by its `healthy` hook; a failed check is a failure.
    pub fn health(mut self, health: Health) -> Self {
        self.settings.rules().health = Some(health);
        self
    }

    /// How often queueing and handling times are measured. Default: every 256th message.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.settings.timing = timing;
        self
    }

    /// Runs the actor on a worker thread.
    pub fn on(mut self, worker_thread: &WorkerThread) -> Self {
        self.settings.rules().worker_thread = Some(worker_thread.thread());
        self
    }

    /// Keeps the actor running when all its handles are gone, for actors that live on their extra
    /// arms.
    pub fn keep_running(mut self) -> Self {
        self.settings.keeps_running = true;
        self
    }

    /// How many messages the actor may stash ([`Context::stash_low`]), both classes together.
    /// Default 1024. An actor with a [`keeper`](Self::keeper) stashes none, whatever the capacity.
    pub fn stash_capacity(mut self, capacity: usize) -> Self {
        let optional = self.optional();
        optional.stash.get_or_insert_default().capacity = capacity;
        self
    }

    /// Redelivers the message that was being handled at a crash to the next incarnation, up to
    /// `times` times; after that it is a dead letter. Every message is cloned before it is handled. A
    /// redelivered message comes before the queued messages of its class, so the order within each
    /// class stays.
    ///
    /// Both message types must be `Clone`. A [`Reply`](crate::Reply) is not, so an actor whose
    /// messages contain replies cannot use this.
    pub fn redeliver(mut self, times: u32) -> Self
    where
        A::HighPriorityMsg: Clone,
        A::LowPriorityMsg: Clone,
    {
        self.optional().custody.set_rule(RedeliveryRule {
            times,
            copy_high: Clone::clone,
            copy_low: Clone::clone,
        });
        self
    }

    /// Sets who keeps this actor's messages outside of its mailbox. It replaces
    /// [`redeliver`](Self::redeliver) for the messages that the keeper sends. The actor stashes no
    /// messages, since the keeper counts a message as handled when its handler returns. It does not
    /// compile for an actor that handles batches, whose handler ends for several messages at once.
    pub fn keeper(mut self, keeper: impl Keeper) -> Self {
        const { assert!(A::BATCH == 1, "a keeper needs Actor::BATCH to be 1") };
        self.optional().custody.set_keeper(Box::new(keeper));
        self
    }

    /// The recipient of messages that no handler will finish: expired, crashed with too often, or
    /// left at the end. The actor never waits for the recipient: a letter that it has no room for
    /// is dropped. A recipient that is an actor of the same system has to end later
    /// ([`before`](Self::before)).
    ///
    /// The message with which a handler crashes is only there if a copy was made: with
    /// [`redeliver(0)`](Self::redeliver) it is a dead letter after its first crash. Without a copy
    /// it is gone with the handler: its class and type are logged as a warning, and it is counted in
    /// [`ActorStats::interrupted`](crate::observe::ActorStats::interrupted).
    ///
    /// A dead letter may contain a [`Reply`](crate::Reply): its asker waits until the letter is
    /// dropped or answered, or until the ask times out.
    pub fn dead_letters(
        mut self,
        mut recipient: impl Recipient<DeadLetter<A::HighPriorityMsg, A::LowPriorityMsg>> + 'static,
    ) -> Self {
        self.optional().dead_letters = Some(DeadLetters::new(move |letter| {
            recipient.try_send(letter).is_ok()
        }));
        self
    }

    /// Sets an event monitor. It does not compile unless [`Actor::EVENTS`] is true.
    pub fn events(mut self, monitor: impl EventMonitor) -> Self {
        const { assert!(A::EVENTS, "an event monitor needs Actor::EVENTS to be true") };
        self.optional().monitor = Some(Box::new(monitor));
        self
    }

    /// Starts the actor without a parent.
    ///
    /// # Panics
    ///
    /// If [`try_spawn`](Self::try_spawn) would fail.
    pub fn spawn(mut self) -> (ActorHandle<A>, Child) {
        match self.try_spawn_in(None) {
            Ok(spawned) => spawned,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts the actor without a parent.
    ///
    /// # Errors
    ///
    /// See [`SpawnError`].
    pub fn try_spawn(mut self) -> Result<(ActorHandle<A>, Child), SpawnError> {
        self.try_spawn_in(None)
    }

    /// Makes the handle of an actor that has ended before it began, as stopped.
    pub(crate) fn refused(self) -> (ActorHandle<A>, Child) {
        let mut settings = self.settings;
        let cell = settings.cell(&Self::KIND, 0);
        let (high, low) = (settings.high_capacity.max(1), settings.low_capacity.max(1));
        let (tx, rx) = MailboxBuilder::new(high, low).build();
        drop(rx);
        cell.finish(ExitReason::Stopped, None);
        let handle = ActorHandle::new(tx, cell.clone(), settings.policies);
        (handle, Child::new(cell))
    }

    fn optional(&mut self) -> &mut OptionalState<A> {
        self.optional.get_or_insert_default()
    }

    /// Makes the actor a worker of a pool: its mailbox is one of the mesh's.
    pub(crate) fn in_pool(
        mut self,
        mesh: MailboxMeshSender<High<A>, Low<A>>,
        is_ordered: bool,
    ) -> Self {
        self.pool = Some(Box::new(PoolMesh { mesh, is_ordered }));
        self
    }

    /// Starts the actor, once. By reference: the builder is large, and would be copied.
    pub(crate) fn try_spawn_in(
        &mut self,
        group: Option<&Arc<Group>>,
    ) -> Result<(ActorHandle<A>, Child), SpawnError> {
        let has_factory = self.factory.is_some();
        let prepared = self.settings.prepare(&Self::KIND, has_factory, group);
        let (runtime, cell) = prepared?;
        let worker = match &self.pool {
            Some(pool) => Some(pool.join(&self.settings)?),
            None => None,
        };
        let seat = match self.settings.join(&cell, group) {
            Ok(seat) => seat,
            Err(error) => {
                if let Some(worker) = worker {
                    worker.leave();
                }
                return Err(error);
            }
        };
        if let Some(optional) = &mut self.optional {
            optional.custody.begins(cell.id());
        }
        let (tx, rx, membership) = match worker {
            Some(worker) => {
                let Worker { tx, rx, membership } = *worker;
                (tx, rx, Some(membership))
            }
            None => {
                let (tx, rx) = open::<A>(&self.settings);
                (tx, rx, None)
            }
        };
        let policies = self.settings.policies;
        if let Some(register) = self.register
            && let Some(rules) = &self.settings.rules
            && let Some(registration) = &rules.registration
        {
            let handle = ActorHandle::new(tx.clone(), cell.clone(), policies);
            register(registration, handle);
        }
        // Cloned before the task is written: the reference count would wait for those writes.
        let (for_handle, for_task) = (cell.clone(), cell.clone());
        // What was taken ahead counts as received, so a job of the same key might begin elsewhere.
        let is_ordered = self.pool.as_ref().is_some_and(|pool| pool.is_ordered());
        let ahead = match is_ordered {
            true => 0,
            false => self.settings.ahead(),
        };
        if membership.is_some() {
            self.optional.get_or_insert_default().membership = membership;
        }
        if self.settings.keeps_running {
            self.optional.get_or_insert_default().own_sender = Some(tx.clone());
        }
        let optional = self.optional.take();
        let ctx = Context::new(rx, cell.clone(), policies, ahead, seat, optional);
        let lifecycle = Lifecycle {
            actor: self.actor.take(),
            factory: self.factory.take(),
            restart: self.settings.restart,
            rules: self.settings.rules.take(),
        };
        spawn_on(&runtime, run_lifecycle(Task::new(ctx, for_task, lifecycle)));
        let handle = ActorHandle::new(tx, for_handle, policies);
        Ok((handle, Child::new(cell)))
    }
}

impl<A: Actor> std::fmt::Debug for Builder<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.settings.name)
            .field("high_capacity", &self.settings.high_capacity)
            .field("low_capacity", &self.settings.low_capacity)
            .field("restart", &self.settings.restart)
            .finish_non_exhaustive()
    }
}
