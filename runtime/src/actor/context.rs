//! What an actor's hooks know and may do: the receiving end of the mailbox, children, peers.
//!
//! The context holds no strong handle to its own actor, so that the loop ends when all handles are
//! gone. What it looks at next, and in which order, is decided in `task/event_loop.rs`.

use std::{collections::VecDeque, fmt, sync::Arc};

use lanemesh::MailboxReceiver;
use tokio::time::Instant;

use crate::{
    actor::{
        Actor,
        batch::{Batch, Taken},
        event::AnyMessage,
        loop_state::{Handling, LoopState},
        messages::{High, Low},
        optional_state::OptionalState,
        policies::Policies,
    },
    cell::{ActorCell, Control, Counters, Members, Watcher, signal},
    crash::{AfterCrash, Ahead, Remaining, Undelivered},
    exit::{CrashPolicy, ExitNotice, ExitReason},
    id::{ActorId, Phase},
    observe::ActorEvent,
    supervision::{
        Supervision,
        group::{Group, Seat},
    },
    util::panic::{PanicText, catch_dyn, catch_fn},
};

/// An actor's own view of itself. Every hook gets it.
pub struct Context<A: Actor> {
    pub(crate) mailbox: MailboxReceiver<High<A>, Low<A>>,
    pub(crate) ahead: Ahead<Low<A>>,
    pub(crate) cell: Arc<ActorCell>,
    /// For the handles that the actor makes to itself.
    policies: Policies,
    /// The actor's membership in the group of its parent or system.
    seat: Option<Seat>,
    children: Option<Arc<Group>>,
    pub(crate) state: LoopState,
    /// Counted here, and published to the cell from time to time.
    pub(crate) counters: Counters,
    optional: Option<Box<OptionalState<A>>>,
}

impl<A: Actor> Context<A> {
    #[inline(always)]
    pub(crate) fn new(
        mailbox: MailboxReceiver<High<A>, Low<A>>,
        cell: Arc<ActorCell>,
        policies: Policies,
        ahead_limit: u8,
        seat: Option<Seat>,
        optional: Option<Box<OptionalState<A>>>,
    ) -> Self {
        Self {
            mailbox,
            ahead: Ahead::new(ahead_limit),
            cell,
            policies,
            seat,
            children: None,
            state: LoopState::default(),
            counters: Counters::default(),
            optional,
        }
    }

    /// The actor's identity, the same for all its incarnations.
    pub fn id(&self) -> ActorId {
        self.cell.id()
    }

    /// The actor's name: as given to the builder, or made of its type and identity.
    pub fn name(&self) -> Arc<str> {
        self.cell.name()
    }

    /// The number of this incarnation, from 1.
    pub fn incarnation(&self) -> u32 {
        self.cell.incarnation()
    }

    /// Stops this actor after the hook that runs now, as [`ExitReason::Stopped`].
    pub fn stop(&mut self) {
        self.cell.stop_in_grace();
    }

    /// Whether this incarnation is about to end: its loop is over, or it was asked to stop or to
    /// drain. `on_child_exit` is also called then, for children that end together with this actor.
    pub fn is_stopping(&self) -> bool {
        const ENDS: u32 = signal::STOP | signal::DRAIN | signal::SUSPEND;
        self.cell.phase() == Phase::Stopping || self.cell.signals() & ENDS != 0
    }

    /// When the actor must have ended, if it was asked to stop.
    pub fn deadline(&self) -> Option<Instant> {
        self.cell.deadline()
    }

    /// Sets how this actor's children are supervised. The default is [`Supervision::default`].
    ///
    /// It also applies to children that are running, from their next failure on.
    pub fn supervise(&mut self, supervision: Supervision) {
        self.group_mut().supervise(supervision);
    }

    /// The identities of the living children, in the order of their start.
    pub fn children(&self) -> Vec<ActorId> {
        self.children
            .as_ref()
            .map(|group| group.ids())
            .unwrap_or_default()
    }

    // --- parts --------------------------------------------------------------------------------

    pub(crate) fn policies(&self) -> Policies {
        self.policies
    }

    pub(crate) fn seat(&self) -> Option<&Seat> {
        self.seat.as_ref()
    }

    pub(crate) fn take_seat(&mut self) -> Option<Seat> {
        self.seat.take()
    }

    /// The group of the children, if there were any in this incarnation.
    pub(crate) fn group(&self) -> Option<&Arc<Group>> {
        self.children.as_ref()
    }

    pub(crate) fn group_mut(&mut self) -> &Arc<Group> {
        self.children.get_or_insert_with(|| {
            let registry = self.seat.as_ref().and_then(|seat| seat.group.registry());
            let group = Group::new(Some(&self.cell), Supervision::default(), registry.cloned());
            let group = Arc::new(group);
            let members: Arc<dyn Members> = group.clone();
            self.cell.set_children(Arc::downgrade(&members));
            group
        })
    }

    #[inline]
    pub(crate) fn optional(&self) -> Option<&OptionalState<A>> {
        self.optional.as_deref()
    }

    /// The optional state, if there is any.
    #[inline]
    pub(crate) fn optional_mut(&mut self) -> Option<&mut OptionalState<A>> {
        self.optional.as_deref_mut()
    }

    /// The optional state, made if there is none.
    pub(crate) fn optional_or_default(&mut self) -> &mut OptionalState<A> {
        self.optional.get_or_insert_default()
    }

    // --- watches ------------------------------------------------------------------------------

    pub(crate) fn watch_cell(&mut self, peer: &Arc<ActorCell>, policy: CrashPolicy) {
        self.end_watch(peer.id());
        let mut key = None;
        let watcher = Watcher::Actor(Arc::downgrade(&self.cell), policy);
        match peer.watch(&mut key, watcher) {
            Some(reason) => self
                .cell
                .post(Control::PeerExit(peer.notice(reason), policy)),
            None => {
                if let Some(key) = key {
                    self.optional_or_default().watches.insert(peer, key);
                }
            }
        }
    }

    pub(crate) fn end_watch(&mut self, id: ActorId) {
        if let Some(optional) = &mut self.optional {
            optional.watches.end(id);
        }
    }

    /// A watched peer has ended. Returns whether the hook is told; otherwise the incarnation fails.
    pub(crate) fn peer_ended(&mut self, notice: &ExitNotice, policy: CrashPolicy) -> bool {
        let optional = self.optional_or_default();
        optional.watches.ended(notice.id);
        if policy == CrashPolicy::Fail && notice.reason.is_failure() {
            let cause = notice.reason.clone().into_cause();
            optional.failure = Some(ExitReason::Linked {
                peer: notice.id,
                cause,
            });
            return false;
        }
        true
    }

    // --- incarnations -------------------------------------------------------------------------

    /// The `started` hook has finished.
    pub(crate) fn started(&mut self) {
        self.state.is_started = true;
        self.cell.set_phase(Phase::Running);
        if let Some(seat) = &self.seat {
            seat.group.phase_changed();
        }
    }

    /// Drops the timers, streams and futures of the incarnation, whose drop may panic.
    pub(crate) fn end_sources(&mut self) -> Result<(), PanicText> {
        match &mut self.optional {
            Some(optional) => catch_dyn(&mut || optional.sources = None),
            None => Ok(()),
        }
    }

    /// Drops what belonged to the last incarnation: children, watches, the state of the loop.
    pub(crate) fn reset(&mut self) {
        if let Some(group) = self.children.take() {
            group.disown(self.seat.as_ref().map(|seat| seat.group.clone()));
        }
        self.state = LoopState::default();
        if let Some(optional) = &mut self.optional {
            optional.failure = None;
            optional.control = None;
            optional.is_low_paused = false;
            optional.watches.end_all();
            self.unstash();
            // Only what was set up while the actor stopped is left.
            let _ = self.end_sources();
        }
    }

    // --- batches ------------------------------------------------------------------------------

    /// The batch that waits, or a new one.
    pub(crate) fn start_batch(&mut self) -> Batch<A::LowPriorityMsg> {
        let mut taken = Taken::default();
        let batch = self.optional_or_default().batches.take(&mut taken);
        self.count_batch(taken);
        batch
    }

    /// Counts messages that were taken out of a batch all at once, except those put aside. Returns
    /// how many of them may be unhandled if the handler has crashed.
    pub(crate) fn count_batch(&mut self, taken: Taken) -> u64 {
        let put_aside = u64::from(std::mem::take(&mut self.state.put_aside));
        let all = taken.drained + taken.cleared;
        // Those that a handler has crashed with were counted then.
        let counted_before = taken.again + put_aside.min(all);
        self.counters.low = (self.counters.low + all).saturating_sub(counted_before);
        if taken.again > 0 {
            self.counters.events().redelivered += taken.again;
        }
        taken.drained.saturating_sub(put_aside)
    }

    /// How many messages wait in the batch.
    pub(crate) fn batched(&self) -> usize {
        self.optional().map_or(0, |optional| optional.batches.len())
    }

    // --- crashes ------------------------------------------------------------------------------

    /// Holds a copy of the message that goes to its handler, if redelivery is on.
    #[inline]
    pub(crate) fn hold_high(&mut self, message: &A::HighPriorityMsg) {
        if let Some(optional) = &mut self.optional {
            optional.custody.hold_high(message, 0);
        }
    }

    /// As [`hold_high`](Self::hold_high), for a low message.
    #[inline]
    pub(crate) fn hold_low(&mut self, message: &A::LowPriorityMsg) {
        if let Some(optional) = &mut self.optional {
            optional.custody.hold_low(message, 0);
        }
    }

    /// As [`hold_low`](Self::hold_low), for a message of a batch.
    #[inline]
    fn hold_batched(&mut self, message: &A::LowPriorityMsg, attempts: u32) {
        if let Some(optional) = &mut self.optional {
            optional.custody.hold_batched(message, attempts);
        }
    }

    /// The handler has finished with its message.
    #[inline]
    pub(crate) fn release_held(&mut self) {
        if let Some(optional) = &mut self.optional {
            optional.custody.release();
        }
    }

    /// After an incarnation: a message that was being handled is redelivered or a dead letter. The
    /// batch of a handler that has not finished waits for the next incarnation.
    pub(crate) fn after_crash(&mut self) {
        let was_handling = std::mem::take(&mut self.state.handling) != Handling::Nothing;
        let Some(optional) = &mut self.optional else {
            if was_handling {
                self.count_interrupted(1);
            }
            return;
        };
        let taken = optional.batches.recover();
        let after = optional.custody.crash();
        let drained = self.count_batch(taken);
        if drained > 0 {
            self.count_interrupted(drained);
        }
        let is_lost = match after {
            AfterCrash::Nothing => was_handling,
            AfterCrash::Redeliver => false,
            AfterCrash::InBatch(message, attempts) => {
                let batches = &mut self.optional_or_default().batches;
                batches.put_back(message, attempts);
                false
            }
            AfterCrash::DeadLetter(message) => {
                // The recipient and the drop of the message may panic.
                let sent = catch_fn(|| self.dead_letter(message, Undelivered::Crashed));
                !matches!(sent, Ok(true))
            }
        };
        if is_lost {
            self.count_interrupted(1);
        }
    }

    /// Messages are gone with the handler that crashed with them.
    #[cold]
    pub(crate) fn count_interrupted(&mut self, messages: u64) {
        self.counters.events().interrupted += messages;
        let is_high = self.state.fairness.was_high();
        let (class, type_name) = if is_high {
            ("high", std::any::type_name::<A::HighPriorityMsg>())
        } else {
            ("low", std::any::type_name::<A::LowPriorityMsg>())
        };
        self.cell.log_interrupted(messages, class, type_name);
    }

    /// Returns whether the letter was accepted; if not, the message is dropped.
    pub(crate) fn dead_letter(&mut self, message: AnyMessage<A>, why: Undelivered) -> bool {
        let letters = self.optional.as_mut();
        let is_accepted = letters
            .and_then(|optional| optional.dead_letters.as_mut())
            .is_some_and(|letters| letters.send(&self.cell, message, why));
        if is_accepted {
            self.counters.events().dead_letters += 1;
        }
        is_accepted
    }

    /// Takes no more messages, and handles those that are queued. New ones are for other workers of
    /// its pool, if it is in one.
    #[cold]
    pub(crate) fn refuse_messages(&mut self) {
        let optional = self.optional.as_mut();
        if let Some(membership) = optional.and_then(|optional| optional.membership.as_mut()) {
            membership.leave();
        }
        self.mailbox.close();
    }

    /// At the end of the actor: closes the mailbox; the messages that remain are for other workers of
    /// its pool, or dead letters, or dropped, and counted.
    pub(crate) fn close_mailbox(&mut self) {
        // The waker of a sender may panic.
        if let Err(panic) = catch_dyn(&mut || self.refuse_messages()) {
            self.cell.log_panic("a waiting sender", &panic);
        }
        let Self {
            mailbox,
            ahead,
            cell,
            counters,
            optional,
            ..
        } = self;
        let (mut letters, mut custody) = (None, None);
        let (mut stash, mut membership) = (None, None);
        let mut batch = VecDeque::new();
        if let Some(optional) = optional {
            stash = optional.stash.as_deref_mut();
            membership = optional.membership.take();
            letters = optional.dead_letters.as_mut();
            custody = Some(&mut optional.custody);
            if let Some(unfinished) = optional.batches.take_current() {
                batch = unfinished.into_messages();
            }
        }
        let remaining = Remaining {
            custody,
            stash,
            batch,
            ahead,
            mailbox,
            membership,
        };
        let handed_on = remaining.drain(&mut |message, why| {
            // The recipient and the drop of a message may panic.
            let sent = catch_fn(|| match &mut letters {
                Some(letters) => letters.send(cell, message, why),
                None => false,
            });
            let events = counters.events();
            match (sent, why) {
                (Ok(true), _) => events.dead_letters += 1,
                (_, Undelivered::Crashed) => events.interrupted += 1,
                _ => events.left += 1,
            }
        });
        if handed_on > 0 {
            counters.events().handed_on += handed_on as u64;
        }
    }

    // --- counters -----------------------------------------------------------------------------

    /// How many messages wait: in the mailbox and outside of it.
    pub(crate) fn depth(&self) -> usize {
        self.mailbox.len() + self.outside()
    }

    /// How many messages wait outside of the mailbox: taken ahead, in the batch, in the stash.
    pub(crate) fn outside(&self) -> usize {
        let stash = self.optional().and_then(|optional| optional.stash.as_ref());
        let stashed = stash.map_or(0, |stash| stash.kept() + stash.released());
        self.ahead.len() + self.batched() + stashed
    }

    pub(crate) fn publish(&mut self) {
        let depth = self.depth();
        self.publish_depth(depth);
    }

    pub(crate) fn publish_depth(&mut self, depth: usize) {
        self.counters.note_depth(depth);
        self.cell.publish(&self.counters);
    }

    #[inline]
    pub(crate) fn emit(&mut self, event: impl FnOnce() -> ActorEvent) {
        if A::EVENTS
            && let Some(optional) = &mut self.optional
            && let Some(monitor) = &mut optional.monitor
        {
            let id = self.cell.id();
            if let Err(panic) = catch_fn(|| monitor.event(id, event())) {
                self.cell.log_panic("the event monitor", &panic);
            }
        }
    }
}

impl<L> Batch<L> {
    /// The next message. None when the batch is empty, or when something urgent waits: a stop, an
    /// exit notice or a high-priority message. Then return from the handler: the rest is offered
    /// again.
    pub fn next<A>(&mut self, ctx: &mut Context<A>) -> Option<L>
    where
        A: Actor<LowPriorityMsg = L>,
    {
        ctx.state.handling = Handling::Nothing;
        ctx.release_held();
        if ctx.is_batch_over() {
            return None;
        }
        let (item, attempts) = self.pop()?;
        if attempts == 0 {
            ctx.counters.low += 1;
        } else {
            ctx.counters.events().redelivered += 1;
        }
        ctx.state.handling = Handling::Low;
        ctx.state.expires = 0;
        ctx.hold_batched(&item, attempts);
        Some(item)
    }
}

impl<A: Actor> fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("actor", &self.cell)
            .field("incarnation", &self.incarnation())
            .finish_non_exhaustive()
    }
}
