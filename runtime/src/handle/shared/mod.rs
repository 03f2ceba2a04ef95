//! A handle that many tasks use at once, and that is cloned where it is used.

mod ask;
mod blocking;
mod recipient;
mod send;
mod send_many;
mod tell;

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use lanemesh::{Overflow, SharedMailboxSender};
use tokio::time::Instant;

pub use self::recipient::{SharedHighRecipient, SharedLowRecipient};
use crate::{
    actor::{Actor, High, Low, Policies},
    cell::{ActorCell, signal},
    envelope::{Envelope, clock},
    error::SendError,
    exit::ExitReason,
    handle::{ActorHandle, Monitor, actor_handle::HandleCell, reply::AskState},
    id::{ActorId, Phase},
    observe::{ActorStats, Gauges},
    util::{lock::lock, timer::stamp},
};

/// A handle that is cloned and shared like an `Arc`: all methods take `&self`, and its clones send
/// through the same lanes.
///
/// It has all that [`ActorHandle`] has. Which one to use:
///
/// | | [`ActorHandle`] | `SharedHandle` |
/// |---|---|---|
/// | for | a task, or an actor, that sends a lot | the state of a web server, and code that clones handles where it uses them |
/// | sends take | `&mut self` | `&self` |
/// | a clone has | lanes and a capacity of its own | the same lanes, one capacity for all |
/// | order | that of one handle | that of all its clones |
/// | room at a full lane | goes to this handle alone | in the order in which the sends began to wait |
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{spawn, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (handle, _child) = spawn(Sink::<(), u64>::new());
/// let state = handle.shared();
/// let requests: Vec<_> = (0..10)
///     .map(|number| {
///         let state = state.clone();
///         tokio::spawn(async move { state.send_low(number).await })
///     })
///     .collect();
/// for request in requests {
///     request.await??;
/// }
/// state.idle().await;
/// assert_eq!(state.stats().low, 10);
/// # Ok(()) }
/// ```
pub struct SharedHandle<A: Actor> {
    tx: SharedMailboxSender<High<A>, Low<A>>,
    /// After the sender, so that it is dropped after it.
    cell: HandleCell,
    policies: Policies,
    group: Arc<Group>,
}

/// What the clones have together, besides the lanes.
struct Group {
    /// Messages up to the next one whose times are measured.
    until_sample: AtomicU32,
    /// What answered asks leave for the next ones to reuse, [`ASK_STATES`] at most.
    ask_states: Mutex<Vec<AskState>>,
}

/// How many concurrent asks find an [`AskState`] to reuse.
const ASK_STATES: usize = 32;

impl<A: Actor> ActorHandle<A> {
    /// Makes a handle that is shared through `&self`, and whose clones send through the same lanes.
    ///
    /// What this handle has sent before has no order with what is sent through the new one.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::{builder, testing::{Probed, probe}};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (handle, mut probe, _child) = probe::<(), u64>();
    /// let handle = handle.shared();
    /// for number in 0..100 {
    ///     handle.clone().try_send_low(number)?; // in order, however often it is cloned
    /// }
    /// for number in 0..100 {
    ///     assert_eq!(probe.expect(std::time::Duration::from_secs(1)).await?, Probed::Low(number));
    /// }
    /// # Ok(()) }
    /// ```
    pub fn shared(mut self) -> SharedHandle<A> {
        self.keep_lanes();
        SharedHandle {
            tx: self.tx.clone().shared(),
            cell: self.cell.clone(),
            policies: self.policies,
            group: Arc::new(Group {
                until_sample: AtomicU32::new(self.cell.sample),
                ask_states: Mutex::default(),
            }),
        }
    }
}

impl<A: Actor> SharedHandle<A> {
    /// A handle with its own lanes, for code that sends a lot.
    pub fn handle(&self) -> ActorHandle<A> {
        ActorHandle::new(self.tx.sender(), self.cell().clone(), self.policies)
    }

    // --- settings -----------------------------------------------------------------------------

    /// What [`send_high`](Self::send_high) does at a full lane, for this handle and the clones that
    /// are made of it afterwards.
    pub fn set_high_overflow(&mut self, overflow: Overflow) {
        self.policies.high = overflow;
    }

    /// What [`send_low`](Self::send_low) does at a full lane, for this handle and the clones that
    /// are made of it afterwards.
    pub fn set_low_overflow(&mut self, overflow: Overflow) {
        self.policies.low = overflow;
    }

    /// After which time messages of this handle expire, and of the clones that are made of it
    /// afterwards. The actor drops expired messages.
    pub fn set_expiry(&mut self, expiry: Option<Duration>) {
        self.policies.set_expiry(expiry);
    }

    // --- the actor ----------------------------------------------------------------------------

    /// The actor's identity.
    pub fn id(&self) -> ActorId {
        self.cell.id()
    }

    /// The actor's name.
    pub fn name(&self) -> Arc<str> {
        self.cell.name()
    }

    /// Whether the actor has not ended for good; it may be waiting for a restart.
    pub fn is_alive(&self) -> bool {
        self.cell.is_alive()
    }

    /// Whether the actor accepts no more messages.
    pub fn is_closed(&self) -> bool {
        self.tx.is_closed()
    }

    /// The phase of the actor's lifecycle.
    pub fn phase(&self) -> Phase {
        self.cell.phase()
    }

    /// The number of the current incarnation, from 1; 0 if none has begun.
    pub fn incarnation(&self) -> u32 {
        self.cell.incarnation()
    }

    /// As [`ActorHandle::attach_gauges`].
    pub fn attach_gauges(&self, gauges: Arc<dyn Gauges>) {
        self.cell.attach_gauges(gauges);
    }

    /// A future of the actor's exit reason, ready at once if the actor has already ended.
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.cell().clone())
    }

    /// The number of monitors and watches that are set on the actor.
    pub fn watchers(&self) -> usize {
        self.cell.watcher_count()
    }

    /// The exit reason, if the actor has ended for good.
    pub fn exit_reason(&self) -> Option<ExitReason> {
        self.cell.exit_reason().cloned()
    }

    /// Asks the actor to stop after the message that it is handling. Queued messages are left: they
    /// become dead letters ([`Builder::dead_letters`](crate::Builder::dead_letters)), or are dropped and
    /// counted.
    ///
    /// An actor that was stopped is not restarted, whatever its policy.
    pub fn stop(&self) {
        self.cell.stop_in_grace();
    }

    /// Ends the actor at its next poll, whatever it does: the hook that runs is cancelled at its
    /// `await`, `stopped` does not run, and queued messages are left. Its children stop as usual.
    ///
    /// It ends as [`ExitReason::Killed`], which is a failure to those that are linked to it, but is
    /// not restarted, and the report of its system does not name it. Use [`stop`](Self::stop) unless
    /// the actor is stuck: a hook that is cancelled may leave things half done.
    pub fn kill(&self) {
        self.cell.kill();
    }

    /// Asks the actor to take no more messages, handle those that are queued, and stop.
    pub fn drain(&self) {
        self.cell.raise(signal::DRAIN);
    }

    /// A copy of the actor's counters.
    pub fn stats(&self) -> ActorStats {
        ActorStats::of(&self.cell, self.tx.len())
    }

    pub(crate) fn cell(&self) -> &Arc<ActorCell> {
        &self.cell
    }

    // --- envelopes ----------------------------------------------------------------------------

    fn wrap<M>(&self, message: M) -> Envelope<M> {
        Envelope {
            expires: self.expiry(),
            sent: self.stamp(),
            message,
        }
    }

    fn wrap_by<M>(&self, message: M, deadline: Instant) -> Result<Envelope<M>, SendError<M>> {
        if deadline <= Instant::now() {
            return Err(SendError::Expired(message));
        }
        Ok(Envelope {
            expires: stamp(deadline),
            sent: self.stamp(),
            message,
        })
    }

    /// The send time of a message that is in the sample; 0 for the others.
    fn stamp(&self) -> u64 {
        let interval = self.cell.sample;
        if interval == 0 {
            return 0;
        }
        let until_sample = &self.group.until_sample;
        // ORDERING: which messages are in the sample does not matter, and neither does it if two
        // sends at once count as one.
        let left = until_sample.load(Ordering::Relaxed);
        let is_sampled = left <= 1;
        let next = if is_sampled { interval } else { left - 1 };
        until_sample.store(next, Ordering::Relaxed);
        if is_sampled { clock().raw().max(1) } else { 0 }
    }

    fn expiry(&self) -> u64 {
        match self.policies.expiry {
            0 => 0,
            expiry => stamp(Instant::now()).saturating_add(expiry),
        }
    }

    // --- asks ---------------------------------------------------------------------------------

    fn ask_state(&self) -> AskState {
        lock(&self.group.ask_states).pop().unwrap_or_default()
    }

    /// Stores the state of an ask for the next one.
    fn keep(&self, ask_state: AskState) {
        let mut ask_states = lock(&self.group.ask_states);
        if ask_states.len() < ASK_STATES {
            ask_states.push(ask_state);
        }
    }
}

impl<A: Actor> From<ActorHandle<A>> for SharedHandle<A> {
    fn from(handle: ActorHandle<A>) -> Self {
        handle.shared()
    }
}

/// The clone sends through the same lanes.
impl<A: Actor> Clone for SharedHandle<A> {
    fn clone(&self) -> Self {
        Self {
            tx: self.tx.clone(),
            cell: self.cell.clone(),
            policies: self.policies,
            group: self.group.clone(),
        }
    }
}

impl<A: Actor> fmt::Debug for SharedHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}
