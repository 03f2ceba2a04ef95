//! The part of an actor that its handles, its parent and its watchers share with its task.
//!
//! It carries what is not a message: stop requests, exit notices, questions about the state, and
//! the published counters. It is not generic and holds no mailbox, so that it may outlive both.

use std::{
    any::Any,
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    fmt,
    num::NonZeroU64,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    exit::{CrashPolicy, ExitNotice, ExitReason},
    group::Group,
    stats::{Counters, Histograms},
};

/// The identity of an actor: the same for all its incarnations, never given twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorId(NonZeroU64);

impl ActorId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // ORDERING: only the uniqueness of the number matters, and the RMW gives that.
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN))
    }

    /// The number.
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// In which part of its life an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Its `started` hook has not finished yet.
    Starting,
    /// It handles messages.
    Running,
    /// It stops its children and cleans up.
    Stopping,
    /// An incarnation has ended, and the next one waits for its turn.
    Waiting,
    /// It has ended for good.
    Dead,
}

impl Phase {
    fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Starting,
            1 => Self::Running,
            2 => Self::Stopping,
            3 => Self::Waiting,
            _ => Self::Dead,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Waiting => "waiting",
            Self::Dead => "dead",
        })
    }
}

/// The bits of the signal word. The loop looks at the word before each message.
pub(crate) mod signal {
    /// End after the handler that runs now.
    pub(crate) const STOP: u32 = 1;
    /// Take no more messages, handle those that are queued, then end.
    pub(crate) const DRAIN: u32 = 1 << 1;
    /// End at the next poll, whatever runs.
    pub(crate) const KILL: u32 = 1 << 2;
    /// The control queue holds something.
    pub(crate) const CONTROL: u32 = 1 << 3;
    /// End this incarnation and wait for the supervisor's word.
    pub(crate) const SUSPEND: u32 = 1 << 4;
    /// Somebody waits for room in the low lane.
    pub(crate) const ROOM: u32 = 1 << 5;
    /// A health check is due.
    pub(crate) const HEALTH: u32 = 1 << 6;
    /// The supervisor's word: start the next incarnation.
    pub(crate) const RESUME: u32 = 1 << 7;
    /// Somebody waits until there is nothing left to do.
    pub(crate) const IDLE: u32 = 1 << 8;
}

pub(crate) type Inspection = Box<dyn FnOnce(&mut dyn Any) + Send>;

/// What travels beside the messages.
pub(crate) enum Control {
    ChildExit(ExitNotice),
    PeerExit(ExitNotice, CrashPolicy),
    Escalate(ActorId, ExitReason),
    Inspect(Inspection),
}

/// Who hears of the death.
pub(crate) enum Watcher {
    Task(Waker),
    Actor(Weak<Shared>, CrashPolicy),
}

#[derive(Default)]
struct Inner {
    waker: Option<Waker>,
    control: VecDeque<Control>,
    deadline: Option<Instant>,
    watchers: BTreeMap<u64, Watcher>,
    next_watcher: u64,
    waits: Option<Box<Waits>>,
    children: Weak<Group>,
}

/// What most actors never have.
#[derive(Default)]
struct Waits {
    waiting_on: Option<(Weak<Shared>, u64)>,
    room: Vec<Waker>,
    idle: Vec<Waker>,
    idle_tickets: u64,
    idle_done: u64,
}

impl Inner {
    fn waits(&mut self) -> &mut Waits {
        self.waits.get_or_insert_default()
    }
}

pub(crate) struct Shared {
    id: ActorId,
    name: Option<Arc<str>>,
    type_name: &'static str,
    pub(crate) grace: Duration,
    /// When this actor's clock began: at the first deadline.
    epoch: OnceLock<Instant>,
    pub(crate) sample: u32,
    word: AtomicU32,
    phase: AtomicU8,
    incarnation: AtomicU32,
    inner: Mutex<Inner>,
    exit: OnceLock<ExitReason>,
    counters: Mutex<Counters>,
    pub(crate) histograms: OnceLock<Box<Histograms>>,
    pub(crate) dropped: AtomicU64,
    pub(crate) rejected: AtomicU64,
    waits: AtomicU64,
}

/// A lock that a panic elsewhere cannot take from us: every critical section leaves the data whole.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        name: Option<Arc<str>>,
        type_name: &'static str,
        grace: Duration,
        sample: u32,
    ) -> Self {
        Self {
            id: ActorId::next(),
            name,
            type_name,
            grace,
            epoch: OnceLock::new(),
            sample,
            word: AtomicU32::new(0),
            phase: AtomicU8::new(0),
            incarnation: AtomicU32::new(0),
            inner: Mutex::default(),
            exit: OnceLock::new(),
            counters: Mutex::default(),
            histograms: OnceLock::new(),
            dropped: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            waits: AtomicU64::new(0),
        }
    }

    pub(crate) fn id(&self) -> ActorId {
        self.id
    }

    pub(crate) fn name(&self) -> Arc<str> {
        match &self.name {
            Some(name) => name.clone(),
            None => format!("{}{}", short_type_name(self.type_name), self.id).into(),
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        self.type_name
    }

    // --- the life of the actor, written by its task -------------------------------------------

    pub(crate) fn phase(&self) -> Phase {
        // ORDERING: a hint for people and tests; whoever needs the exit reads the OnceLock.
        Phase::from_u8(self.phase.load(Ordering::Acquire))
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        // ORDERING: Release pairs with the Acquire in `phase`, so that who sees `Running` also
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
        self.incarnation.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn exit_reason(&self) -> Option<&ExitReason> {
        self.exit.get()
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.exit.get().is_none()
    }

    /// Records the end and tells every watcher. Only the first call counts.
    pub(crate) fn finish(&self, reason: ExitReason) {
        let (watchers, wakers) = {
            let mut inner = lock(&self.inner);
            // Under the lock, so that a watcher is either in the list or sees the reason.
            if self.exit.set(reason.clone()).is_err() {
                return;
            }
            self.set_phase(Phase::Dead);
            inner.control.clear();
            let waits = inner.waits.take().unwrap_or_default();
            let wakers = waits.room.into_iter().chain(waits.idle);
            (std::mem::take(&mut inner.watchers), wakers)
        };
        for watcher in watchers.into_values() {
            match watcher {
                Watcher::Task(waker) => waker.wake(),
                Watcher::Actor(peer, policy) => {
                    if let Some(peer) = peer.upgrade() {
                        peer.post(Control::PeerExit(self.notice(reason.clone()), policy));
                    }
                }
            }
        }
        wakers.for_each(Waker::wake);
    }

    pub(crate) fn notice(&self, reason: ExitReason) -> ExitNotice {
        ExitNotice {
            id: self.id,
            name: self.name(),
            reason,
        }
    }

    // --- signals ------------------------------------------------------------------------------

    pub(crate) fn signals(&self) -> u32 {
        // ORDERING: Acquire pairs with the AcqRel RMW in `raise`: who sees a bit sees what was
        // written under the lock before it.
        self.word.load(Ordering::Acquire)
    }

    pub(crate) fn clear(&self, bits: u32) {
        // ORDERING: AcqRel, as in `raise`.
        self.word.fetch_and(!bits, Ordering::AcqRel);
    }

    /// Sets bits and wakes the task.
    pub(crate) fn raise(&self, bits: u32) {
        // ORDERING: Release publishes what was written before; pairs with `signals`. The waker is
        // read under the lock afterwards: the task registers it under the same lock before it
        // looks at the word, so either it sees the bits or we see its waker.
        self.word.fetch_or(bits, Ordering::AcqRel);
        let waker = lock(&self.inner).waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Remembers the task's waker; `known` is the task's own copy of what is registered.
    pub(crate) fn register(&self, known: &mut Option<Waker>, waker: &Waker) {
        if known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return;
        }
        *known = Some(waker.clone());
        lock(&self.inner).waker = Some(waker.clone());
    }

    /// Asks for a stop by `deadline`; the earliest of several deadlines counts.
    pub(crate) fn request_stop(&self, deadline: Instant, bits: u32) {
        {
            let mut inner = lock(&self.inner);
            let earliest = inner.deadline.map_or(deadline, |known| known.min(deadline));
            inner.deadline = Some(earliest);
        }
        self.raise(bits);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        lock(&self.inner).deadline
    }

    pub(crate) fn forget_deadline(&self) {
        lock(&self.inner).deadline = None;
    }

    pub(crate) fn post(&self, control: Control) {
        {
            let mut inner = lock(&self.inner);
            if self.exit.get().is_some() {
                return;
            }
            inner.control.push_back(control);
        }
        self.raise(signal::CONTROL);
    }

    pub(crate) fn take_control(&self) -> Option<Control> {
        let mut inner = lock(&self.inner);
        let control = inner.control.pop_front();
        if inner.control.is_empty() {
            // Under the lock, so that a post between the two is not forgotten.
            self.clear(signal::CONTROL);
        }
        control
    }

    /// What is left for the next incarnation is nothing: notices concern the one that ended.
    pub(crate) fn drop_control(&self) {
        let dropped = {
            let mut inner = lock(&self.inner);
            self.clear(signal::CONTROL);
            std::mem::take(&mut inner.control)
        };
        drop(dropped);
    }

    // --- watchers -----------------------------------------------------------------------------

    /// Registers a watcher, or replaces the one under `key`. The reason, if it is too late.
    pub(crate) fn watch(&self, key: &mut Option<u64>, watcher: Watcher) -> Option<ExitReason> {
        if let Some(reason) = self.exit.get() {
            return Some(reason.clone());
        }
        let mut inner = lock(&self.inner);
        if let Some(reason) = self.exit.get() {
            return Some(reason.clone());
        }
        let key = *key.get_or_insert_with(|| {
            inner.next_watcher += 1;
            inner.next_watcher
        });
        inner.watchers.insert(key, watcher);
        None
    }

    pub(crate) fn unwatch(&self, key: u64) {
        let watcher = lock(&self.inner).watchers.remove(&key);
        drop(watcher);
    }

    pub(crate) fn watcher_count(&self) -> usize {
        lock(&self.inner).watchers.len()
    }

    // --- room in the lanes --------------------------------------------------------------------

    /// Asks to be woken when the task has taken something out of its low lanes.
    pub(crate) fn want_room(&self, waker: &Waker) {
        {
            let mut inner = lock(&self.inner);
            let waits = inner.waits();
            if !waits.room.iter().any(|known| known.will_wake(waker)) {
                waits.room.push(waker.clone());
            }
        }
        self.raise(signal::ROOM);
    }

    pub(crate) fn give_room(&self) {
        let room = {
            let mut inner = lock(&self.inner);
            self.clear(signal::ROOM);
            std::mem::take(&mut inner.waits().room)
        };
        room.into_iter().for_each(Waker::wake);
    }

    /// Waits until the task finds nothing left to do; `ticket` is the caller's memory.
    pub(crate) fn poll_idle(&self, ticket: &mut Option<u64>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut inner = lock(&self.inner);
            let waits = inner.waits();
            let ticket = *ticket.get_or_insert_with(|| {
                waits.idle_tickets += 1;
                waits.idle_tickets
            });
            if waits.idle_done >= ticket || self.exit.get().is_some() {
                return Poll::Ready(());
            }
            if !waits.idle.iter().any(|known| known.will_wake(cx.waker())) {
                waits.idle.push(cx.waker().clone());
            }
        }
        self.raise(signal::IDLE);
        Poll::Pending
    }

    /// The last ticket given, to be read before the task looks for something to do.
    pub(crate) fn idle_ticket(&self) -> u64 {
        lock(&self.inner).waits().idle_tickets
    }

    /// There was nothing to do after `ticket` was read.
    pub(crate) fn give_idle(&self, ticket: u64) {
        let idle = {
            let mut inner = lock(&self.inner);
            let waits = inner.waits();
            if waits.idle_tickets == ticket {
                self.clear(signal::IDLE);
            }
            waits.idle_done = ticket;
            std::mem::take(&mut waits.idle)
        };
        idle.into_iter().for_each(Waker::wake);
    }

    // --- who waits for whom -------------------------------------------------------------------

    /// Notes that this actor's handler waits for room in `target`.
    pub(crate) fn begin_wait(self: &Arc<Self>, target: &Arc<Shared>) -> WaitEdge {
        // ORDERING: a number that differs from wait to wait; the edge itself is under the lock.
        let epoch = self.waits.fetch_add(1, Ordering::Relaxed);
        lock(&self.inner).waits().waiting_on = Some((Arc::downgrade(target), epoch));
        WaitEdge {
            actor: self.clone(),
            epoch,
        }
    }

    /// Follows the waits from here. The cycle, if it leads back, with the number of each wait.
    pub(crate) fn wait_cycle(self: &Arc<Self>) -> Option<Vec<(ActorId, u64)>> {
        let mut cycle = Vec::new();
        let mut at = self.clone();
        loop {
            let (next, epoch) = lock(&at.inner).waits.as_ref()?.waiting_on.clone()?;
            cycle.push((at.id, epoch));
            at = next.upgrade()?;
            if at.id == self.id {
                return Some(cycle);
            }
            if cycle.iter().any(|(id, _)| *id == at.id) {
                return None; // a cycle, but without us: its own members find it
            }
        }
    }

    // --- watching -----------------------------------------------------------------------------

    pub(crate) fn set_children(&self, group: Weak<Group>) {
        lock(&self.inner).children = group;
    }

    pub(crate) fn children(&self) -> Option<Arc<Group>> {
        lock(&self.inner).children.upgrade()
    }

    pub(crate) fn publish(&self, counters: &Counters) {
        *lock(&self.counters) = *counters;
    }

    pub(crate) fn counters(&self) -> Counters {
        *lock(&self.counters)
    }

    /// Nanoseconds on this actor's own clock, which begins at 1.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        let epoch = *self.epoch.get_or_init(Instant::now);
        let nanos = at.saturating_duration_since(epoch).as_nanos() + 1;
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("id", &self.id)
            .field("name", &self.name())
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

/// The note that an actor waits for another; dropping it takes the note back.
pub(crate) struct WaitEdge {
    actor: Arc<Shared>,
    epoch: u64,
}

impl Drop for WaitEdge {
    fn drop(&mut self) {
        let mut inner = lock(&self.actor.inner);
        let waits = inner.waits();
        if waits
            .waiting_on
            .as_ref()
            .is_some_and(|(_, epoch)| *epoch == self.epoch)
        {
            waits.waiting_on = None;
        }
    }
}

thread_local! {
    /// The actor whose task this thread polls. It is what tells a cycle of full lanes.
    static CURRENT: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// The actor whose task this thread polls at the moment.
pub(crate) fn current() -> Option<Arc<Shared>> {
    CURRENT.with(|current| current.borrow().clone())
}

/// Polls with `shared` as the current actor. The reference moves in and out: no count is touched.
pub(crate) fn poll_as<T>(
    slot: &mut Option<Arc<Shared>>,
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    struct Back<'a>(&'a mut Option<Arc<Shared>>);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            CURRENT.with(|current| std::mem::swap(&mut *current.borrow_mut(), self.0));
        }
    }
    CURRENT.with(|current| std::mem::swap(&mut *current.borrow_mut(), slot));
    let _back = Back(slot);
    poll(cx)
}

/// `a::b::Name<c::D>` as `Name<c::D>`.
pub(crate) fn short_type_name(name: &str) -> &str {
    let head = name.find('<').unwrap_or(name.len());
    let start = name[..head].rfind("::").map_or(0, |at| at + 2);
    &name[start..]
}
