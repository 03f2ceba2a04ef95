//! The group: the children of one parent or system, and what follows when one of them fails.
//!
//! A child that fails keeps its mailbox and reports here. With one-for-one the answer is immediate.
//! With the other strategies a task of its own runs a round: it suspends the siblings in reverse
//! order of their start, waits for the backoff, and resumes them in order, each after the one
//! before it has started or has had its time for that. The parent's handlers take no part in it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify, time::Instant};

use crate::{
    cell::{ActorCell, Control, Members, Round, signal},
    exit::ExitReason,
    id::ActorId,
    registry::Registry,
    supervision::{
        ending::{EndOrder, Ending, Left, MemberEnd},
        incidents::Incidents,
        roster::Roster,
        rules::{Restart, Strategy, Supervision},
        window::Window,
    },
    util::{lock::lock, random::seed},
};

/// A child's membership in its group.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) group: Arc<Group>,
    pub(crate) order: u64,
}

/// Members and the order of their start.
pub(crate) type Ordered = Vec<(u64, Arc<ActorCell>)>;

/// What a failed child does next.
pub(crate) enum Decision {
    /// Restart after this time.
    Restart(Duration),
    /// Wait for [`signal::RESUME`] or a stop.
    Await,
    /// End for good: the restarts are used up.
    Spent,
}

/// How a group answers the failure of a child.
pub(super) enum Response {
    Decided(Decision),
    /// A round restarts it together with its siblings, after this time.
    BeginRound(Duration),
}

/// What follows the restart of all members that a round concerns.
pub(super) enum RoundEnd {
    Over,
    /// A member failed meanwhile: the round goes on with it and those behind it.
    Again {
        trigger: u64,
        delay: Duration,
    },
    /// The restarts are used up, and these members end for good. The others go on.
    Spent(BTreeMap<u64, ExitReason>),
}

struct Member {
    cell: Arc<ActorCell>,
    restart: Restart,
}

#[derive(Default)]
struct State {
    supervision: Supervision,
    members: Roster<Member>,
    next: u64,
    /// The restarts of members that have failed.
    windows: BTreeMap<u64, Window>,
    /// The restarts of all members.
    total: Window,
    /// Members that failed and wait for a round.
    down: BTreeMap<u64, ExitReason>,
    /// Why members failed when the restarts were used up in a round: they must end for good.
    spent: BTreeMap<u64, ExitReason>,
    round: bool,
    /// The member for whose end the round waits.
    awaited: Option<Arc<ActorCell>>,
    /// No more members are accepted.
    closing: bool,
    /// No member is restarted any more. A group that drains restarts its members.
    stopping: bool,
    /// The owner's incarnation has ended: it hears of no more exits.
    disowned: bool,
    /// Who hears of incidents then.
    heir: Option<Arc<Group>>,
    /// Pairs of members of which the first ends before the second.
    ends: Vec<(u64, u64)>,
    ending: Option<Ending>,
    incidents: Incidents,
    /// The failure that used up the restarts.
    failure: Option<ExitReason>,
    /// The first failure that ended a member for good.
    lost: Option<ExitReason>,
}

impl State {
    fn order_of(&self, id: ActorId) -> Option<u64> {
        let mut members = self.members.iter().rev();
        members
            .find(|(_, member)| member.cell.id() == id)
            .map(|(order, _)| order)
    }

    /// A member has ended for good.
    #[cold]
    fn note_end(&mut self, cell: &ActorCell, end: &mut MemberEnd) {
        let reason = &end.reason;
        self.incidents.left(cell, end.left);
        if end.is_killed {
            self.incidents.late(cell);
        }
        if reason.is_failure() && !matches!(reason, ExitReason::Killed) {
            self.lost.get_or_insert_with(|| ExitReason::Escalated {
                child: cell.id(),
                cause: reason.clone().into_cause(),
            });
            if !end.is_clean_up_only {
                self.incidents.failed(cell.notice(reason.clone()));
            }
        }
        if let Some(incidents) = end.incidents.take() {
            self.incidents.merge(incidents);
        }
    }
}

pub(crate) struct Group {
    owner: Option<Weak<ActorCell>>,
    /// Where rounds run: the runtime in which the group was made, or else in which its first member
    /// was started.
    runtime: OnceLock<Handle>,
    state: Mutex<State>,
    changed: Notify,
    /// The names of the system that it belongs to.
    registry: Option<Arc<Registry>>,
}

impl Group {
    pub(crate) fn new(
        owner: Option<&Arc<ActorCell>>,
        supervision: Supervision,
        registry: Option<Arc<Registry>>,
    ) -> Self {
        let runtime = OnceLock::new();
        if let Ok(current) = Handle::try_current() {
            let _ = runtime.set(current); // it is empty
        }
        Self {
            owner: owner.map(Arc::downgrade),
            runtime,
            state: Mutex::new(State {
                supervision,
                ..State::default()
            }),
            changed: Notify::new(),
            registry,
        }
    }

    /// The names of the system that the group belongs to, if it belongs to one.
    pub(crate) fn registry(&self) -> Option<&Arc<Registry>> {
        self.registry.as_ref()
    }

    pub(crate) fn supervise(&self, supervision: Supervision) {
        lock(&self.state).supervision = supervision;
    }

    /// Adds a child. None if the group is closing.
    pub(crate) fn add(
        self: &Arc<Self>,
        cell: &Arc<ActorCell>,
        restart: Restart,
        ends: Option<&EndOrder>,
    ) -> Option<Seat> {
        let mut state = lock(&self.state);
        if state.closing {
            return None;
        }
        if self.runtime.get().is_none()
            && let Ok(current) = Handle::try_current()
        {
            let _ = self.runtime.set(current); // another member may have been faster
        }
        let order = state.next;
        state.next += 1;
        if let Some(ends) = ends {
            for peer in &ends.after {
                let peer = state.order_of(*peer);
                state.ends.extend(peer.map(|peer| (peer, order)));
            }
            for peer in &ends.before {
                let peer = state.order_of(*peer);
                state.ends.extend(peer.map(|peer| (order, peer)));
            }
        }
        state.members.push(
            order,
            Member {
                cell: cell.clone(),
                restart,
            },
        );
        Some(Seat {
            group: self.clone(),
            order,
        })
    }

    /// The runtime for rounds.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.get()
    }

    pub(crate) fn ids(&self) -> Vec<ActorId> {
        lock(&self.state)
            .members
            .values()
            .map(|member| member.cell.id())
            .collect()
    }

    pub(crate) fn phase_changed(&self) {
        self.changed.notify_waiters();
    }

    pub(super) fn set_awaited(&self, member: Option<Arc<ActorCell>>) {
        let before = std::mem::replace(&mut lock(&self.state).awaited, member);
        drop(before);
    }

    /// The failure that used up the restarts, for groups without an owner.
    pub(crate) fn failure(&self) -> Option<ExitReason> {
        lock(&self.state).failure.clone()
    }

    /// The failure that used up the restarts, else the first that ended a member for good.
    pub(crate) fn failure_for_good(&self) -> Option<ExitReason> {
        let state = lock(&self.state);
        state.failure.as_ref().or(state.lost.as_ref()).cloned()
    }

    /// Waits until `done` returns `true`; it is called after every change.
    pub(crate) async fn wait_until(&self, mut done: impl FnMut() -> bool) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if done() {
                return;
            }
            changed.await;
        }
    }

    // --- failures -----------------------------------------------------------------------------

    /// A child with a restart policy has failed.
    pub(super) fn failed(&self, order: u64, reason: &ExitReason) -> Response {
        let mut state = lock(&self.state);
        if state.stopping {
            return Response::Decided(Decision::Await); // the stop is on its way
        }
        let is_alone = state.supervision.strategy == Strategy::OneForOne;
        if !is_alone {
            state.down.insert(order, reason.clone());
            if state.round {
                return Response::Decided(Decision::Await);
            }
        }
        let Some(attempt) = Self::admit(&mut state, order) else {
            drop(state);
            self.escalate(order, reason);
            return Response::Decided(Decision::Spent);
        };
        let delay = state.supervision.backoff.delay(attempt, seed(order));
        if is_alone {
            return Response::Decided(Decision::Restart(delay));
        }
        state.round = true;
        Response::BeginRound(delay)
    }

    /// The member was told to restart: from here on it is down only if it fails again.
    pub(super) fn restarting(&self, order: u64) {
        lock(&self.state).down.remove(&order);
    }

    /// All affected members have been restarted: decides whether the round is over.
    pub(super) fn finish_round(&self) -> RoundEnd {
        let mut state = lock(&self.state);
        if state.stopping {
            return RoundEnd::Over;
        }
        let Some(trigger) = state.down.first_key_value().map(|(order, _)| *order) else {
            state.round = false;
            return RoundEnd::Over;
        };
        if let Some(attempt) = Self::admit(&mut state, trigger) {
            let delay = state.supervision.backoff.delay(attempt, seed(trigger));
            return RoundEnd::Again { trigger, delay };
        }
        // With an owner the round is over: the owner fails, and stops those that wait. Without one
        // they go on until the program acts upon the failure.
        let is_owned = self.owner.is_some();
        state.round = !is_owned;
        drop(state);
        let spent = self.end_those_down();
        if is_owned {
            RoundEnd::Over
        } else {
            RoundEnd::Spent(spent)
        }
    }

    /// Counts a restart of a member. Returns how many it has had lately, or none if that is one too
    /// many.
    fn admit(state: &mut State, order: u64) -> Option<u32> {
        let (rules, now) = (state.supervision, Instant::now());
        let own = state.windows.entry(order).or_default();
        let attempt = own.admit(now, rules.intensity)?;
        if let Some(limit) = rules.total {
            state.total.admit(now, limit)?;
        }
        Some(attempt)
    }

    fn escalate(&self, order: u64, reason: &ExitReason) {
        let mut state = lock(&self.state);
        let Some(id) = state.members.get(order).map(|member| member.cell.id()) else {
            return;
        };
        let cause = ExitReason::RestartsSpent(reason.clone().into_cause());
        if state.failure.is_some() {
            return;
        }
        state.failure = Some(ExitReason::Escalated {
            child: id,
            cause: cause.clone().into_cause(),
        });
        if !state.disowned
            && let Some(owner) = self.owner.as_ref().and_then(Weak::upgrade)
        {
            owner.post(Control::Escalate(id, cause));
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The restarts are used up in a round: the members that are down end for good. The failure of
    /// the first one is escalated.
    fn end_those_down(&self) -> BTreeMap<u64, ExitReason> {
        let mut state = lock(&self.state);
        let down = std::mem::take(&mut state.down);
        let mut spent = Vec::new();
        for (order, reason) in &down {
            if let Some(member) = state.members.get(*order) {
                spent.push(member.cell.clone());
                state.spent.insert(*order, reason.clone());
            }
        }
        drop(state);
        if let Some((order, reason)) = down.first_key_value() {
            self.escalate(*order, reason);
        }
        for cell in spent {
            cell.raise(signal::RESUME);
        }
        down
    }

    /// Why the member must end instead of restarting, if it must.
    pub(crate) fn take_spent(&self, order: u64) -> Option<ExitReason> {
        lock(&self.state).spent.remove(&order)
    }

    // --- ends ---------------------------------------------------------------------------------

    /// A child has ended for good.
    pub(crate) fn child_ended(&self, order: u64, mut end: MemberEnd) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.down.remove(&order);
        state.spent.remove(&order);
        state.windows.remove(&order);
        let Some(Member { cell, .. }) = state.members.remove(order) else {
            return;
        };
        let is_clean = end.is_clean();
        if !is_clean {
            state.note_end(&cell, &mut end);
        }
        let is_owned = !state.disowned && self.owner.is_some();
        let is_told = if let Some(ending) = &mut state.ending {
            let notice = is_owned.then(|| cell.final_notice(end.reason, end.left));
            let is_first = ending.note(order, notice);
            // A round that still runs looks at single members.
            is_first || state.members.len() == 0 || !is_clean || !state.stopping
        } else {
            if !state.ends.is_empty() {
                let ends = &mut state.ends;
                ends.retain(|(first, then)| *first != order && *then != order);
            }
            // Under the lock: who sees that the member has left finds its notice in the queue, and
            // after `disown` no notice follows.
            if is_owned && let Some(owner) = self.owner.as_ref().and_then(Weak::upgrade) {
                owner.post(Control::ChildExit(cell.final_notice(end.reason, end.left)));
            }
            true
        };
        let late = state
            .heir
            .clone()
            .map(|heir| (heir, std::mem::take(&mut state.incidents)));
        drop(guard);
        if let Some((heir, incidents)) = late {
            heir.add_incidents(incidents);
        }
        if is_told {
            self.changed.notify_waiters();
        }
        drop(cell);
    }

    /// The incarnation of the owner has ended. Members that are still there were killed, or block
    /// their threads; the next incarnation does not hear of them. What goes wrong with them is told
    /// to `heir`, the group of the owner.
    pub(crate) fn disown(&self, heir: Option<Arc<Group>>) {
        let mut state = lock(&self.state);
        state.disowned = true;
        let incidents = std::mem::take(&mut state.incidents);
        if let Some(heir) = &heir {
            drop(state);
            heir.add_incidents(incidents);
            state = lock(&self.state);
        }
        state.heir = heir;
    }

    /// Accepts no more children. With `signal::DRAIN` those that fail are restarted; otherwise
    /// there are no more restarts.
    pub(crate) fn close(&self, how: u32) {
        {
            let mut state = lock(&self.state);
            state.closing = true;
            state.stopping |= how & signal::DRAIN == 0;
        }
        self.changed.notify_waiters();
    }

    /// The number of living members.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).members.len()
    }

    /// The living members, in the order of their start, and the pairs of which the first ends
    /// before the second. From here on [`take_left`](Self::take_left) tells who leaves, and the
    /// owner finds the notices there instead of in its queue.
    pub(crate) fn begin_end(&self) -> (Ordered, Vec<(u64, u64)>) {
        let mut state = lock(&self.state);
        let ends = state.ends.clone();
        let notices = match &self.owner {
            Some(_) => state.members.len(),
            None => 0,
        };
        state.ending = Some(Ending::new(!ends.is_empty(), notices));
        let mut members = Vec::with_capacity(state.members.len());
        let living = state.members.iter();
        members.extend(living.map(|(order, member)| (order, member.cell.clone())));
        (members, ends)
    }

    /// Adds the members that have left since the last call, and sets the number of those that live.
    /// From here on the next one that leaves wakes whoever [waits](Self::wait_until).
    pub(crate) fn take_left(&self, left: &mut Left) {
        let mut state = lock(&self.state);
        if let Some(ending) = &mut state.ending {
            ending.take(left);
        }
        left.living = state.members.len();
    }

    /// Kills all children.
    pub(crate) fn kill(&self) {
        self.close(signal::STOP);
        let now = Instant::now();
        for member in self.members() {
            member.request_stop(now, signal::STOP | signal::KILL);
        }
    }

    pub(crate) fn add_incidents(&self, incidents: Incidents) {
        if !incidents.is_empty() {
            lock(&self.state).incidents.merge(incidents);
        }
    }

    /// What has gone wrong in this group and below it; each incident is returned once.
    pub(crate) fn take_incidents(&self) -> Incidents {
        std::mem::take(&mut lock(&self.state).incidents)
    }

    /// Adds the children that are left to the late actors.
    pub(crate) fn count_as_late(&self) {
        let mut state = lock(&self.state);
        let State {
            members, incidents, ..
        } = &mut *state;
        for member in members.values() {
            incidents.late(&member.cell);
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        lock(&self.state).stopping
    }

    pub(super) fn affected(&self, trigger: u64) -> Vec<(u64, Arc<ActorCell>, Restart)> {
        let state = lock(&self.state);
        let from = match state.supervision.strategy {
            Strategy::OneForOne | Strategy::RestForOne => trigger,
            Strategy::OneForAll => 0,
        };
        let members = state.members.iter();
        members
            .filter(|(order, _)| *order >= from)
            .map(|(order, member)| (order, member.cell.clone(), member.restart))
            .collect()
    }
}

/// A circle is found through it: a member waits for room in the lane of one that is down, which waits for the round, which
/// waits for the end of that member.
impl Round for Group {
    fn awaited(&self) -> Option<Arc<ActorCell>> {
        lock(&self.state).awaited.clone()
    }
}

impl Members for Group {
    fn members(&self) -> Vec<Arc<ActorCell>> {
        lock(&self.state)
            .members
            .values()
            .map(|member| member.cell.clone())
            .collect()
    }

    fn grandchildren(&self) -> Vec<Arc<dyn Members>> {
        let state = lock(&self.state);
        let members = state.members.values();
        members
            .filter_map(|member| member.cell.children())
            .collect()
    }

    fn has_members(&self) -> bool {
        self.len() > 0
    }
}
