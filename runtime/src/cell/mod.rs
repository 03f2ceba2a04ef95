//! The cell: the part of an actor that its handles, its parent and its watchers share with its task.
//!
//! It carries everything but messages: stop requests, exit notices, inspections, and the published
//! counters. It is not generic and holds no mailbox, so it can outlive the actor and its mailbox.

// One thing: mod, *: watchers and waits refer to the cells of other actors.

use std::{
    cell::Cell,
    fmt,
    mem::ManuallyDrop,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use self::{
    brief_handles::BriefHandles, control::ControlQueue, signals::Signals, waits::Waits,
    watchers::Watchers,
};
pub(crate) use self::{
    control::{Control, Inspection},
    counters::{Counters, Histograms},
    signals::signal,
    waits::Round,
    watchers::Watcher,
};
pub use self::{
    counters::Timing,
    gauges::{Gauge, Gauges},
};
use crate::{
    exit::ExitReason,
    id::{ActorId, Phase},
    name::ActorName,
    util::{lock::lock, timer::nanos},
};

mod brief_handles;
mod control;
mod counters;
mod ending;
mod gauges;
mod log;
mod signals;
mod waits;
mod watchers;

/// The children of an actor, as far as its cell knows them.
pub(crate) trait Members: Send + Sync {
    /// The living children, in the order of their start.
    fn members(&self) -> Vec<Arc<ActorCell>>;

    /// The children of those children that have had some.
    fn grandchildren(&self) -> Vec<Arc<dyn Members>>;

    /// Whether there are any.
    fn has_members(&self) -> bool;
}

/// The part behind the lock.
#[derive(Default)]
struct Inner {
    waker: Option<Waker>,
    deadline: Option<Instant>,
    counters: Counters,
    coordination: Option<Box<Coordination>>,
}

/// Ends something that an incarnation has registered elsewhere.
struct Registration {
    /// Gone when it has been ended before.
    exists: Weak<()>,
    end: Box<dyn FnOnce() + Send>,
}

/// What most actors never need: made on demand.
#[derive(Default)]
struct Coordination {
    control: ControlQueue,
    watchers: Watchers,
    children: Option<Weak<dyn Members>>,
    waits: Waits,
    gauges: Option<Arc<dyn Gauges>>,
    /// What ends with the incarnation.
    registrations: Vec<Registration>,
    /// The deadline of a suspension. A drain has its own, which outlasts the incarnation.
    suspended_by: Option<Instant>,
    /// Levels of parents in the tree that ends, from this actor downwards; 0 if nobody has
    /// counted.
    parents: u32,
}

impl Inner {
    fn coordination(&mut self) -> &mut Coordination {
        self.coordination.get_or_insert_default()
    }
}

/// One change of [`ActorCell`]'s weak senders.
const CHANGE: u64 = 1 << 32;

/// What is the same for all actors of a type.
pub(crate) struct ActorKind {
    pub(crate) type_name: fn() -> &'static str,
    /// The size of an actor's task, in bytes.
    pub(crate) task_bytes: fn() -> usize,
    /// The size of a queued message, in bytes; of the larger class.
    pub(crate) message_bytes: usize,
    /// Whether there is a task in this process that can be looked at.
    pub(crate) is_local: bool,
}

/// What many actors never count; made at the first event.
#[derive(Default)]
struct Rare {
    histograms: OnceLock<Box<Histograms>>,
    /// Messages that were dropped at a full lane.
    dropped: AtomicU64,
    /// Sends that were refused at a full lane.
    rejected: AtomicU64,
    brief_handles: BriefHandles,
}

pub(crate) struct ActorCell {
    id: ActorId,
    name: Option<Arc<str>>,
    kind: &'static ActorKind,
    /// The grace period, in nanoseconds.
    grace: u64,
    pub(crate) sample: u32,
    signals: Signals,
    phase: AtomicU8,
    incarnation: AtomicU32,
    inner: Mutex<Inner>,
    /// Why and when it ended.
    exit: OnceLock<(ExitReason, Instant)>,
    rare: OnceLock<Box<Rare>>,
    /// The senders into the mailbox that do not keep the actor running, in the lower half; in the
    /// upper half the number of changes.
    weak_senders: AtomicU64,
}

impl ActorCell {
    #[inline(always)]
    pub(crate) fn new(
        name: Option<Arc<str>>,
        kind: &'static ActorKind,
        grace: Duration,
        sample: u32,
    ) -> Self {
        Self {
            id: ActorId::next(),
            name,
            kind,
            grace: nanos(grace),
            sample,
            signals: Signals::default(),
            phase: AtomicU8::new(0),
            incarnation: AtomicU32::new(0),
            inner: Mutex::default(),
            exit: OnceLock::new(),
            rare: OnceLock::new(),
            weak_senders: AtomicU64::new(0),
        }
    }

    pub(crate) fn id(&self) -> ActorId {
        self.id
    }

    pub(crate) fn name(&self) -> Arc<str> {
        self.actor_name().into()
    }

    /// The name, which is put together when it is read.
    pub(crate) fn actor_name(&self) -> ActorName {
        match &self.name {
            Some(name) => name.clone().into(),
            None => ActorName::made(self.type_name(), self.id),
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        (self.kind.type_name)()
    }

    pub(crate) fn kind(&self) -> &'static ActorKind {
        self.kind
    }

    // --- the lifecycle, written by the task -------------------------------------------

    pub(crate) fn phase(&self) -> Phase {
        // ORDERING: a hint for people and tests; code that needs the exit reads the OnceLock.
        Phase::from_u8(self.phase.load(Ordering::Acquire))
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        // ORDERING: Release pairs with the Acquire in `phase`: a reader that sees `Running` also
        // sees what the `started` hook wrote.
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub(crate) fn incarnation(&self) -> u32 {
        // ORDERING: a statistic.
        self.incarnation.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_incarnation(&self) -> u32 {
        self.set_phase(Phase::Starting);
        // ORDERING: a statistic with a single writer.
        let next = self.incarnation.load(Ordering::Relaxed).wrapping_add(1);
        self.incarnation.store(next, Ordering::Relaxed);
        next
    }

    pub(crate) fn exit_reason(&self) -> Option<&ExitReason> {
        self.exit.get().map(|(reason, _)| reason)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.exit.get().is_none()
    }

    // --- signals ------------------------------------------------------------------------------

    #[inline]
    pub(crate) fn signals(&self) -> u32 {
        self.signals.load()
    }

    pub(crate) fn clear(&self, bits: u32) {
        self.signals.clear(bits);
    }

    /// Sets bits and wakes the task.
    pub(crate) fn raise(&self, bits: u32) {
        // The waker is read under the lock afterwards: the task registers it under the same lock
        // before it reads the word, so either it sees the bits or we see its waker.
        self.signals.set(bits);
        let waker = lock(&self.inner).waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The task's waker; one that does nothing when the actor has ended.
    pub(crate) fn waker(&self) -> Waker {
        let waker = lock(&self.inner).waker.clone();
        waker.unwrap_or_else(|| Waker::noop().clone())
    }

    /// Stores the task's waker.
    pub(crate) fn register(&self, waker: &Waker) {
        lock(&self.inner).waker = Some(waker.clone());
    }

    pub(crate) fn post(&self, control: Control) {
        {
            let mut inner = lock(&self.inner);
            if self.exit.get().is_some() {
                return;
            }
            inner.coordination().control.push_back(control);
        }
        self.raise(signal::CONTROL);
    }

    pub(crate) fn take_control(&self) -> Option<Control> {
        let mut inner = lock(&self.inner);
        let queue = inner
            .coordination
            .as_mut()
            .map(|coordination| &mut coordination.control);
        let (control, is_empty) = match queue {
            Some(queue) => (queue.pop_front(), queue.is_empty()),
            None => (None, true),
        };
        if is_empty {
            // Under the lock, so that a post in between is not missed.
            self.clear(signal::CONTROL);
        }
        control
    }

    /// Calls `end` when the current incarnation ends, if what it ends still exists. Only its own
    /// task may call this.
    pub(crate) fn end_with_incarnation(
        &self,
        exists: Weak<()>,
        end: impl FnOnce() + Send + 'static,
    ) {
        let mut over = Vec::new();
        let mut inner = lock(&self.inner);
        let registrations = &mut inner.coordination().registrations;
        if registrations.len() == registrations.capacity() {
            // Instead of growing, where they come and go.
            let is_over = |registration: &mut Registration| registration.exists.strong_count() == 0;
            over.extend(registrations.extract_if(.., is_over));
            registrations.reserve(registrations.len().max(4));
        }
        registrations.push(Registration {
            exists,
            end: Box::new(end),
        });
        drop(inner);
        drop(over);
    }

    // --- watchers -----------------------------------------------------------------------------

    /// Registers a watcher, or replaces the one under `key`. Returns the reason if the actor has ended.
    pub(crate) fn watch(&self, key: &mut Option<u64>, watcher: Watcher) -> Option<ExitReason> {
        if let Some(reason) = self.exit_reason() {
            return Some(reason.clone());
        }
        let mut inner = lock(&self.inner);
        if let Some(reason) = self.exit_reason() {
            return Some(reason.clone());
        }
        let replaced = inner.coordination().watchers.insert(key, watcher);
        drop(inner);
        drop(replaced);
        None
    }

    pub(crate) fn unwatch(&self, key: u64) {
        let watcher = match &mut lock(&self.inner).coordination {
            Some(coordination) => coordination.watchers.remove(key),
            None => None,
        };
        drop(watcher);
    }

    pub(crate) fn watcher_count(&self) -> usize {
        let inner = lock(&self.inner);
        inner
            .coordination
            .as_ref()
            .map_or(0, |coordination| coordination.watchers.len())
    }

    // --- weak senders -------------------------------------------------------------------------

    /// Counts a sender that exists as one that does not keep the actor running.
    pub(crate) fn add_weak_sender(&self) {
        // ORDERING: Release pairs with the Acquire in `are_all_weak`: who counts it as weak counts
        // its sender too.
        self.weak_senders.fetch_add(CHANGE + 1, Ordering::Release);
        // Until now it counted as a handle.
        self.raise(signal::HANDLES);
    }

    /// The sender counts as a handle again, and is about to be dropped.
    pub(crate) fn remove_weak_sender(&self) {
        // ORDERING: Release: who sees the drop of the sender, which follows, sees this.
        self.weak_senders.fetch_add(CHANGE - 1, Ordering::Release);
    }

    /// Whether there are senders, and none of them keeps the actor running. `senders` counts them.
    pub(crate) fn are_all_weak(&self, senders: impl FnOnce() -> usize) -> bool {
        // ORDERING: Acquire pairs with the Release in `add_weak_sender`.
        let before = self.weak_senders.load(Ordering::Acquire);
        let weak = before as u32;
        if weak == 0 || senders() > weak as usize {
            return false;
        }
        // ORDERING: Acquire: if the drop of a weak sender was counted, its removal, which came before
        // it, is seen below.
        fence(Ordering::Acquire);
        // ORDERING: Relaxed: see the fence. Unless it has changed, each weak sender was counted.
        // Otherwise there is another signal.
        self.weak_senders.load(Ordering::Relaxed) == before
    }

    /// A sender was dropped.
    #[inline]
    pub(crate) fn sender_dropped(&self) {
        // ORDERING: Relaxed: the drop of the sender before this is an acquiring RMW of the counter of
        // senders. If a weak sender made by another handle is not seen here, that handle is dropped
        // after this one, and sees it.
        if self.weak_senders.load(Ordering::Relaxed) as u32 > 0 {
            self.raise(signal::HANDLES);
        }
    }

    // --- observing ----------------------------------------------------------------------------

    pub(crate) fn set_children(&self, children: Weak<dyn Members>) {
        lock(&self.inner).coordination().children = Some(children);
    }

    pub(crate) fn children(&self) -> Option<Arc<dyn Members>> {
        let inner = lock(&self.inner);
        inner.coordination.as_ref()?.children.as_ref()?.upgrade()
    }

    /// Whether there are children that live.
    pub(crate) fn has_children(&self) -> bool {
        self.children()
            .is_some_and(|children| children.has_members())
    }

    pub(crate) fn publish(&self, counters: &Counters) {
        lock(&self.inner).counters.copy(counters);
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// The histograms, if anything was measured.
    pub(crate) fn histograms(&self) -> Option<&Histograms> {
        self.rare
            .get()?
            .histograms
            .get()
            .map(|histograms| &**histograms)
    }

    pub(crate) fn histograms_or_new(&self) -> &Histograms {
        self.rare().histograms.get_or_init(Histograms::new)
    }

    pub(crate) fn count_rejected(&self) {
        // ORDERING: a statistic; no other data depends on it.
        self.rare().rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_dropped(&self) {
        // ORDERING: a statistic; no other data depends on it.
        self.rare().dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// How many messages were dropped and how many sends were refused at full lanes.
    pub(crate) fn lane_losses(&self) -> (u64, u64) {
        // ORDERING: statistics; no other data depends on them.
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let rare = self.rare.get();
        rare.map_or((0, 0), |rare| (load(&rare.dropped), load(&rare.rejected)))
    }

    /// A copy of the counters; `queued` is how many messages the caller knows to be queued now.
    pub(crate) fn counters(&self, queued: u32) -> Counters {
        let mut inner = lock(&self.inner);
        let counters = &mut inner.counters;
        counters.high_water = counters.high_water.max(queued);
        let mut copy = counters.clone();
        copy.depth = copy.depth.max(queued);
        copy
    }
}

impl fmt::Debug for ActorCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorCell")
            .field("id", &self.id)
            .field("name", &self.name())
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// The actor whose task this thread polls. Deadlock detection starts from it. Nothing is left in it
    /// when the thread ends, so that it need not be registered for that.
    static CURRENT: Cell<ManuallyDrop<Option<Arc<ActorCell>>>> =
        const { Cell::new(ManuallyDrop::new(None)) };
}

#[inline]
fn swap_current(cell: Option<Arc<ActorCell>>) -> Option<Arc<ActorCell>> {
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(cell)))
}

/// The actor whose task this thread is polling.
pub(crate) fn current() -> Option<Arc<ActorCell>> {
    let current = swap_current(None);
    swap_current(current.clone());
    current
}

/// Polls with `cell` as the current actor. The `Arc` moves in and out: no count changes.
pub(crate) fn poll_as<T>(
    cell: &mut Option<Arc<ActorCell>>,
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    struct Restore<'a>(&'a mut Option<Arc<ActorCell>>);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            *self.0 = swap_current(self.0.take());
        }
    }
    *cell = swap_current(cell.take());
    let _restore = Restore(cell);
    poll(cx)
}
