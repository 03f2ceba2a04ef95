//! What an actor's hooks know and may do: the other end of the mailbox, children, peers.
//!
//! The context holds no strong handle to its own actor, so that "all handles are gone" ends the
//! loop. How it waits and in which order it hands out is in [`turn`](crate::task::event_loop).

use std::{collections::VecDeque, fmt, sync::Arc};

use lanemesh::MailboxReceiver;
use tokio::time::Instant;

use crate::{
    actor::{
        Actor,
        batch::Batch,
        loop_state::LoopState,
        messages::{High, Low},
        options::Options,
        policies::Policies,
    },
    cell::{Control, Counters, Members, Shared, Watcher},
    exit::{CrashPolicy, ExitNotice, ExitReason},
    id::{ActorId, Phase},
    observe::ActorEvent,
    supervision::{
        Supervision,
        group::{Group, Seat},
    },
    util::{lock::lock, panic::catch_fn},
};

/// An actor's own view of itself. Every hook gets it.
pub struct Context<A: Actor> {
    pub(crate) mailbox: MailboxReceiver<High<A>, Low<A>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) policies: Policies,
    pub(crate) seat: Option<Seat>,
    group: Option<Arc<Group>>,
    pub(crate) turn: LoopState,
    /// Low messages that were taken ahead of their turn, `ahead_limit` at most.
    #[expect(
        clippy::box_collection,
        reason = "an actor that is never behind has none, and is to be small"
    )]
    pub(crate) ahead: Option<Box<VecDeque<Low<A>>>>,
    pub(crate) ahead_limit: u8,
    pub(crate) counters: Counters,
    pub(crate) options: Option<Box<Options<A>>>,
}

impl<A: Actor> Context<A> {
    #[inline(always)]
    pub(crate) fn new(
        mailbox: MailboxReceiver<High<A>, Low<A>>,
        shared: Arc<Shared>,
        policies: Policies,
        ahead_limit: u8,
        seat: Option<Seat>,
        options: Option<Box<Options<A>>>,
    ) -> Self {
        Self {
            mailbox,
            shared,
            policies,
            seat,
            group: None,
            turn: LoopState::default(),
            ahead: None,
            ahead_limit,
            counters: Counters::default(),
            options,
        }
    }

    /// The actor's identity, the same for all its incarnations.
    pub fn id(&self) -> ActorId {
        self.shared.id()
    }

    /// The actor's name: as given to the builder, or made of its type and identity.
    pub fn name(&self) -> Arc<str> {
        self.shared.name()
    }

    /// Which incarnation this is, from 1.
    pub fn incarnation(&self) -> u32 {
        self.shared.incarnation()
    }

    /// Ends this actor after the hook that runs now, as [`ExitReason::Stopped`].
    pub fn stop(&mut self) {
        self.shared.stop_in_grace();
    }

    /// When the actor that is asked to stop must have ended; none if nobody asked.
    pub fn deadline(&self) -> Option<Instant> {
        self.shared.deadline()
    }

    // --- children -----------------------------------------------------------------------------

    /// Says how this actor's children are supervised. The default is [`Supervision::default`].
    ///
    /// It holds for children that are running too, from their next failure on.
    pub fn supervise(&mut self, supervision: Supervision) {
        self.group_mut().supervise(supervision);
    }

    /// The identities of the living children, in the order of their start.
    pub fn children(&self) -> Vec<ActorId> {
        self.group
            .as_ref()
            .map(|group| group.ids())
            .unwrap_or_default()
    }

    pub(crate) fn group_mut(&mut self) -> &Arc<Group> {
        self.group.get_or_insert_with(|| {
            let group = Arc::new(Group::new(Some(&self.shared), Supervision::default()));
            let members: Arc<dyn Members> = group.clone();
            self.shared.set_children(Arc::downgrade(&members));
            group
        })
    }

    pub(crate) fn group(&self) -> Option<&Arc<Group>> {
        self.group.as_ref()
    }

    // --- peers --------------------------------------------------------------------------------

    pub(crate) fn watch_shared(&mut self, peer: &Arc<Shared>, policy: CrashPolicy) {
        self.forget_watch(peer.id());
        let mut key = None;
        let watcher = Watcher::Actor(Arc::downgrade(&self.shared), policy);
        match peer.watch(&mut key, watcher) {
            Some(reason) => self
                .shared
                .post(Control::PeerExit(peer.notice(reason), policy)),
            None => {
                if let Some(key) = key {
                    self.rare()
                        .watches
                        .insert(peer.id(), (Arc::downgrade(peer), key));
                }
            }
        }
    }

    pub(crate) fn forget_watch(&mut self, id: ActorId) {
        if let Some(options) = &mut self.options
            && let Some((peer, key)) = options.watches.remove(&id)
            && let Some(peer) = peer.upgrade()
        {
            peer.unwatch(key);
        }
    }

    /// What a notice means for this actor: it fails, or its hook hears of it.
    pub(crate) fn judge(&mut self, notice: &ExitNotice, policy: CrashPolicy) -> bool {
        let options = self.rare();
        options.watches.remove(&notice.id);
        if policy == CrashPolicy::Fail && notice.reason.is_failure() {
            let cause = Arc::new(notice.reason.clone());
            options.failure = Some(ExitReason::Linked {
                peer: notice.id,
                cause,
            });
            return false;
        }
        true
    }

    // --- incarnations -------------------------------------------------------------------------

    pub(crate) fn running(&mut self) {
        self.turn.started = true;
        self.shared.set_phase(Phase::Running);
        if let Some(seat) = &self.seat {
            seat.group.phase_changed();
        }
    }

    /// The box for what an idle actor does without.
    pub(crate) fn rare(&mut self) -> &mut Options<A> {
        self.options.get_or_insert_default()
    }

    /// An empty batch, or what is left of one whose handler did not finish.
    pub(crate) fn batch_home(&mut self) -> Batch<A::LowPriorityMsg> {
        let home = self.rare().home.get_or_insert_default().clone();
        let rest = std::mem::take(&mut *lock(&home));
        self.counters.low += rest.taken;
        let mut batch = Batch::new(home);
        batch.items = rest.items;
        batch
    }

    /// Puts everything that belonged to the last incarnation away.
    pub(crate) fn reset(&mut self) {
        self.group = None;
        self.turn = LoopState::default();
        let Some(options) = &mut self.options else {
            return;
        };
        options.failure = None;
        for (peer, key) in std::mem::take(&mut options.watches).into_values() {
            if let Some(peer) = peer.upgrade() {
                peer.unwatch(key);
            }
        }
        if options.batch.is_none() && options.home.is_some() {
            let batch = self.batch_home();
            self.rare().batch = Some(batch);
        }
    }

    /// How many messages wait in the batch.
    pub(crate) fn batched(&self) -> usize {
        let batch = self
            .options
            .as_ref()
            .and_then(|options| options.batch.as_ref());
        batch.map_or(0, Batch::len)
    }

    /// How many messages were taken ahead of their turn.
    #[inline]
    pub(crate) fn ahead_len(&self) -> usize {
        self.ahead.as_ref().map_or(0, |ahead| ahead.len())
    }

    /// The oldest of them.
    #[inline]
    pub(crate) fn next_ahead(&mut self) -> Option<Low<A>> {
        self.ahead.as_mut()?.pop_front()
    }

    /// How many messages wait: in the mailbox and in the batch.
    pub(crate) fn depth(&self) -> usize {
        self.mailbox.len() + self.ahead_len() + self.batched()
    }

    pub(crate) fn publish(&mut self) {
        let depth = self.depth();
        self.publish_depth(depth);
    }

    pub(crate) fn publish_depth(&mut self, depth: usize) {
        let depth = u32::try_from(depth).unwrap_or(u32::MAX);
        self.counters.depth = depth;
        self.counters.high_water = self.counters.high_water.max(depth);
        self.shared.publish(&self.counters);
    }
}

impl<A: Actor> Context<A> {
    #[inline]
    pub(crate) fn emit(&mut self, event: impl FnOnce() -> ActorEvent) {
        if A::EVENTS
            && let Some(options) = &mut self.options
            && let Some(monitor) = &mut options.monitor
        {
            let id = self.shared.id();
            if let Err(panic) = catch_fn(|| monitor.event(id, event())) {
                let reason = ExitReason::Panicked(panic);
                tracing::warn!(actor = %id, %reason, "the event monitor failed");
            }
        }
    }
}

impl<A: Actor> fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("actor", &self.shared)
            .field("incarnation", &self.incarnation())
            .finish_non_exhaustive()
    }
}
