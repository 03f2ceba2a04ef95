//! The sending end of an actor's mailbox.
//!
//! Each clone of a handle is a producer with its own lanes and capacity: messages of one clone arrive
//! in order, messages of two clones have no order. A handle does not keep its actor alive when the owner
//! stops it, but when all handles are gone the actor's loop ends. Sends take `&mut self`; for
//! shared state, and for code that clones a handle where it uses it, there is
//! [`SharedHandle`](crate::SharedHandle).

mod ask;
mod blocking;
mod send;
mod send_many;
mod tell;

pub(super) use self::ask::{channels, inspect};

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use lanemesh::{MailboxSender, Overflow};
use tokio::time::Instant;

use crate::{
    actor::{Actor, High, Low, Policies},
    cell::{ActorCell, signal},
    envelope::{Envelope, Sampler},
    error::SendError,
    exit::ExitReason,
    handle::{monitor::Monitor, reply::AskState},
    id::{ActorId, Phase},
    observe::{ActorStats, Gauges},
    util::timer::stamp,
};

/// Sends messages to an actor, asks it, watches it, stops it.
///
/// It is a producer of its own: its messages arrive in the order in which it sent them, its lanes
/// have room for messages of this handle alone, and no other sender slows it down. A clone is another
/// producer. Where many tasks send, or where a handle is cloned for each message, use
/// [`shared`](Self::shared), whose clones have one order and one capacity.
///
/// # Examples
///
/// ```
/// # use lanemesh_runtime::{spawn, testing::Sink, ExitReason};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut handle, child) = spawn(Sink::<&str, u64>::new());
/// handle.send_low(1).await?;
/// handle.try_send_high("before what is queued")?;
/// let mut other = handle.clone(); // lanes of its own
/// other.send_low(2).await?;
/// handle.idle().await;
/// assert_eq!(handle.stats().messages(), 3);
/// handle.stop();
/// assert!(matches!(child.await, ExitReason::Stopped));
/// # Ok(()) }
/// ```
pub struct ActorHandle<A: Actor> {
    pub(in crate::handle) tx: MailboxSender<High<A>, Low<A>>,
    /// After the sender, so that it is dropped after it.
    pub(in crate::handle) cell: HandleCell,
    pub(in crate::handle) policies: Policies,
    sampler: Sampler,
    pub(in crate::handle) ask_state: AskState,
}

impl<A: Actor> ActorHandle<A> {
    pub(crate) fn new(
        tx: MailboxSender<High<A>, Low<A>>,
        cell: Arc<ActorCell>,
        policies: Policies,
    ) -> Self {
        Self {
            tx,
            sampler: Sampler::new(cell.sample),
            cell: HandleCell(cell),
            policies,
            ask_state: AskState::default(),
        }
    }

    // --- settings -----------------------------------------------------------------------------

    /// What [`send_high`](Self::send_high) does at a full lane, for this handle and its clones.
    pub fn set_high_overflow(&mut self, overflow: Overflow) {
        self.policies.high = overflow;
    }

    /// What [`send_low`](Self::send_low) does at a full lane, for this handle and its clones.
    pub fn set_low_overflow(&mut self, overflow: Overflow) {
        self.policies.low = overflow;
    }

    /// After which time messages of this handle and its clones expire. The actor drops expired
    /// messages.
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

    /// A future of the actor's exit reason, ready at once if the actor has already ended.
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.cell.0.clone())
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

    /// Attaches gauges to the actor's node of the [`Tree`](crate::observe::Tree), in place of those that were
    /// attached before. They are dropped when the actor ends.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    ///
    /// use lanemesh_runtime::{observe::Gauges, spawn, testing::Sink};
    ///
    /// struct Temperature(AtomicU32);
    ///
    /// impl Gauges for Temperature {
    ///     fn read(&self, gauge: &mut dyn FnMut(&'static str, f64)) {
    ///         gauge("celsius", self.0.load(Ordering::Relaxed).into());
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (handle, child) = spawn(Sink::<(), ()>::new());
    /// handle.attach_gauges(Arc::new(Temperature(21.into())));
    /// let tree = child.tree();
    /// assert_eq!((tree.gauges[0].name, tree.gauges[0].value), ("celsius", 21.0));
    /// assert!(tree.to_text().ends_with("celsius=21\n"));
    /// # }
    /// ```
    pub fn attach_gauges(&self, gauges: Arc<dyn Gauges>) {
        self.cell.attach_gauges(gauges);
    }

    /// This handle goes on in another form.
    pub(super) fn keep_lanes(&mut self) {
        if self.sampler.counted() == 1 {
            self.sampler.add(1);
        }
    }

    /// The messages of a batch are counted as one, which is not one message.
    pub(super) fn count_batch(&mut self) {
        self.sampler.add(1);
    }

    /// Another sender to the mailbox.
    pub(crate) fn mailbox_sender(&self) -> MailboxSender<High<A>, Low<A>> {
        self.tx.clone()
    }

    /// Its own sender.
    pub(crate) fn mailbox_sender_ref(&self) -> &MailboxSender<High<A>, Low<A>> {
        &self.tx
    }

    /// The same, for envelopes that are made elsewhere.
    pub(crate) fn mailbox_sender_mut(&mut self) -> &mut MailboxSender<High<A>, Low<A>> {
        &mut self.tx
    }

    pub(crate) fn cell(&self) -> &Arc<ActorCell> {
        &self.cell
    }

    // --- envelopes ----------------------------------------------------------------------------

    #[inline]
    pub(crate) fn wrap<M>(&mut self, message: M) -> Envelope<M> {
        let mut envelope = Envelope::plain(message);
        let is_sampled = self.sampler.count();
        if is_sampled || self.policies.expiry != 0 {
            self.mark(&mut envelope, is_sampled);
        }
        envelope
    }

    /// Sets the expiry and the send time, which most messages do not have.
    #[cold]
    #[inline(never)]
    fn mark<M>(&mut self, envelope: &mut Envelope<M>, is_sampled: bool) {
        envelope.expires = self.expiry();
        if is_sampled {
            envelope.sent = self.sampler.stamp(self.cell.sample);
        }
    }

    pub(crate) fn wrap_by<M>(
        &mut self,
        message: M,
        deadline: Instant,
    ) -> Result<Envelope<M>, SendError<M>> {
        if deadline <= Instant::now() {
            return Err(SendError::Expired(message));
        }
        let expires = stamp(deadline);
        Ok(Envelope {
            message,
            expires,
            sent: self.stamp(),
        })
    }

    /// The send time of a message that is in the sample; 0 for the others.
    #[inline]
    pub(crate) fn stamp(&mut self) -> u64 {
        if self.sampler.count() {
            self.sampler.stamp(self.cell.sample)
        } else {
            0
        }
    }

    #[inline]
    pub(crate) fn expiry(&self) -> u64 {
        match self.policies.expiry {
            0 => 0,
            expiry => stamp(Instant::now()).saturating_add(expiry),
        }
    }
}

/// The cell of a handle; tells it when the handle has been dropped.
#[derive(Clone)]
pub(in crate::handle) struct HandleCell(Arc<ActorCell>);

impl Deref for HandleCell {
    type Target = Arc<ActorCell>;

    #[inline(always)]
    fn deref(&self) -> &Arc<ActorCell> {
        &self.0
    }
}

impl Drop for HandleCell {
    #[inline]
    fn drop(&mut self) {
        self.0.sender_dropped();
    }
}

/// Makes a producer of its own: the clone has lanes and a capacity of its own, and its messages have
/// no order with those of the original. Clone a handle once for each task that sends, not for each
/// message; for that, there is [`shared`](ActorHandle::shared).
impl<A: Actor> Clone for ActorHandle<A> {
    fn clone(&self) -> Self {
        Self {
            tx: self.tx.clone(),
            cell: self.cell.clone(),
            policies: self.policies,
            sampler: self.sampler.clone(),
            ask_state: AskState::default(),
        }
    }
}

/// A handle that was made for one message has opened a lane for it, and given it no order: the actor
/// counts such handles.
impl<A: Actor> Drop for ActorHandle<A> {
    fn drop(&mut self) {
        match self.sampler.counted() {
            0 => {}
            1 => self.cell.count_brief_handle(),
            _ => self.cell.end_brief_handles(),
        }
    }
}

impl<A: Actor> fmt::Debug for ActorHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}
