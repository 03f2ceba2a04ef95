//! The end of a group: the actors of a system, and the children of a parent.
//!
//! All members are asked at once, those that were started last first, except those that end after
//! others. A member has its own grace period or the time that is left, and is killed then. A parent
//! keeps a part of its time for its own clean-up. It depends on how many levels of parents there
//! are: whoever begins the end counts them, so that a deep tree shares one deadline.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
    vec::Drain,
};

use tokio::{task::yield_now, time::Instant};

use crate::{
    cell::{ActorCell, Members, signal},
    exit::ExitNotice,
    id::ActorId,
    supervision::{ending::Left, group::Group},
    util::timer::{ReusableTimer, later},
};

/// Requests between two chances for other tasks.
const REQUESTS: usize = 512;
/// The moment that a system keeps for its members that were killed, at most.
const MOMENT: Duration = Duration::from_millis(250);
/// What a parent keeps for its own clean-up, if there is time for it on all levels.
const LEAST: Duration = Duration::from_millis(1);

/// Ends the members of one group.
pub(crate) struct EndMembers {
    group: Arc<Group>,
    /// `signal::STOP` or `signal::DRAIN`.
    how: u32,
    /// When the last member must have ended.
    deadline: Instant,
    /// A killed member needs a moment to be gone. One that is not gone after that blocks its
    /// thread: nothing can end it from outside.
    moment: Duration,
    /// How many levels of parents there are among the members and below them.
    parents: u32,
    is_begun: bool,
    waiting: Waiting,
    /// The last look at the members.
    left: Left,
    /// When somebody may be late.
    look: Instant,
    /// The last time at which a member was asked, its grace period, and its deadline: most are asked
    /// together and have the same one.
    asked: Option<(Instant, Duration, Instant)>,
    timer: ReusableTimer,
}

impl EndMembers {
    /// Closes the group of a system: no actor is started any more. It is over by the deadline, even
    /// if a member blocks its thread.
    pub(crate) fn of_system(group: Arc<Group>, deadline: Instant, how: u32) -> Self {
        let left = deadline.saturating_duration_since(Instant::now());
        let parents = count_parents(&*group);
        let moment = (left / 16).min(MOMENT).max(LEAST.min(left / 4));
        Self::new(group, deadline - moment, how, moment, parents)
    }

    /// Closes the group of the parent `owner`, which must have ended by the deadline itself.
    pub(crate) fn of_parent(
        group: Arc<Group>,
        owner: &ActorCell,
        deadline: Instant,
        how: u32,
    ) -> Self {
        let parents = match owner.parents() {
            0 => count_parents(&*group),
            counted => counted - 1,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let own = own_share(left, parents + 1);
        Self::new(group, deadline - own, how, own / 2, parents)
    }

    fn new(group: Arc<Group>, deadline: Instant, how: u32, moment: Duration, parents: u32) -> Self {
        group.close(how);
        Self {
            group,
            how,
            deadline,
            moment,
            parents,
            is_begun: false,
            waiting: Waiting::default(),
            left: Left::default(),
            look: deadline,
            asked: None,
            timer: ReusableTimer::default(),
        }
    }

    /// Asks those whose turn it is, and waits until members have gone or are late. Returns `false`
    /// if none is left, or if all that are left are late.
    pub(crate) async fn next(&mut self) -> bool {
        if !self.is_begun {
            self.is_begun = true;
            self.begin().await;
            self.look_for_left();
        }
        let living = self.left.living;
        if living == 0 {
            return false;
        }
        if living <= self.waiting.len() {
            // They wait for each other.
            let stuck = self.waiting.take_all();
            self.ask_all(stuck);
        }
        if Instant::now() >= self.look && !self.look_for_late() {
            return false;
        }
        let group = &self.group;
        let gone = group.wait_until(|| group.len() != living);
        self.timer.before(self.look, gone).await;
        if group.len() > 0 {
            // Others that are about to leave do so first: one look for all of them.
            yield_now().await;
        }
        self.look_for_left();
        true
    }

    /// The members that had left at the last look, in the order of their ends: what their owner is
    /// told.
    pub(crate) fn exits(&mut self) -> Drain<'_, ExitNotice> {
        self.left.exits.drain(..)
    }

    /// Kills the members that are left, and counts them as late. Looks once more who has left.
    pub(crate) fn finish(&mut self) {
        self.group.count_as_late();
        self.group.kill();
        self.group.take_left(&mut self.left);
    }

    fn look_for_left(&mut self) {
        self.group.take_left(&mut self.left);
        let orders = std::mem::take(&mut self.left.orders);
        for gone in orders {
            let free = self.waiting.gone(gone);
            self.ask_all(free);
        }
    }

    async fn begin(&mut self) {
        let (mut members, ends) = self.group.begin_end();
        if !ends.is_empty() {
            self.waiting = Waiting::new(&members, &ends);
        }
        let mut requests = 0;
        let mut now = Instant::now();
        while let Some((order, member)) = members.pop() {
            if !self.waiting.has(order) {
                self.ask(&member, 0, now);
                requests += 1;
                if requests % REQUESTS == 0 {
                    yield_now().await;
                    now = Instant::now();
                }
            }
        }
    }

    fn ask_all(&mut self, members: Vec<(u32, Arc<ActorCell>)>) {
        let now = Instant::now();
        for (level, member) in members {
            self.ask(&member, level, now);
        }
    }

    fn ask(&mut self, member: &ActorCell, level: u32, now: Instant) {
        let grace = member.grace();
        let deadline = match self.asked {
            Some((then, same, deadline)) if then == now && same == grace && level == 0 => deadline,
            _ => self.deadline_of(grace, level, now),
        };
        member.request_end(deadline, self.how, self.parents);
    }

    fn deadline_of(&mut self, grace: Duration, level: u32, now: Instant) -> Instant {
        let left = self.deadline.saturating_duration_since(now);
        let left = left - self.waiting.share_of_later_levels(left, level);
        // Its own grace period applies to a stop; to handle what is queued may take longer.
        let own = if self.how & signal::DRAIN == 0 {
            left.min(grace)
        } else {
            left
        };
        let deadline = later(now, own);
        self.look = self.look.min(later(deadline, self.moment));
        if level == 0 {
            self.asked = Some((now, grace, deadline));
        }
        deadline
    }

    /// The time of some members is up. If that is true of all that were asked, those that wait for
    /// them have their turn; returns `false` if nobody waits.
    fn look_for_late(&mut self) -> bool {
        let now = Instant::now();
        let members = self.group.members();
        let waiting = self.waiting.ids();
        let asked = members
            .iter()
            .filter(|member| !waiting.contains(&member.id()));
        let limits = asked
            .filter_map(|member| member.final_deadline())
            .map(|deadline| later(deadline, self.moment));
        if let Some(next) = limits.filter(|limit| *limit > now).min() {
            // Not once for each of many grace periods.
            self.look = next.max(later(now, self.moment.min(LEAST)));
            return true;
        }
        self.look = later(self.deadline, self.moment);
        let free = self.waiting.take_level();
        let is_any = !free.is_empty();
        self.ask_all(free);
        is_any
    }
}

/// What a parent keeps of the time that is left, if there are so many levels of parents from it
/// downwards.
fn own_share(left: Duration, parents: u32) -> Duration {
    let least = LEAST.min(left / 2 / parents);
    (left / 8 / parents).max(least)
}

/// The number of levels of parents among the members of a group and below.
fn count_parents(group: &dyn Members) -> u32 {
    let mut levels = 0;
    let mut level = group.grandchildren();
    while !level.is_empty() {
        levels += 1;
        let mut next = Vec::new();
        for group in level {
            next.append(&mut group.grandchildren());
        }
        level = next;
    }
    levels
}

/// The members that end after others.
#[derive(Default)]
struct Waiting {
    /// By order; for each how many others it waits for, and its level.
    members: BTreeMap<u64, Entry>,
    /// For a member those that wait for it.
    waiting_for: BTreeMap<u64, Vec<u64>>,
    /// The highest level; those that wait for nobody have level 0.
    highest: u32,
}

struct Entry {
    cell: Arc<ActorCell>,
    blockers: usize,
    level: u32,
}

impl Waiting {
    /// `ends` has pairs of which the first ends before the second.
    fn new(members: &[(u64, Arc<ActorCell>)], ends: &[(u64, u64)]) -> Self {
        let ends: BTreeSet<_> = ends.iter().copied().collect();
        let later: BTreeSet<_> = ends.iter().map(|(_, then)| *then).collect();
        let mut waiting = Self::default();
        for (order, cell) in members.iter().filter(|(order, _)| later.contains(order)) {
            let entry = Entry {
                cell: cell.clone(),
                blockers: 0,
                level: 0,
            };
            waiting.members.insert(*order, entry);
        }
        for (first, then) in ends {
            if let Some(entry) = waiting.members.get_mut(&then) {
                entry.blockers += 1;
                waiting.waiting_for.entry(first).or_default().push(then);
            }
        }
        waiting.find_levels();
        waiting
    }

    /// The level is the length of the longest chain before the member; of members in a circle it
    /// is the highest.
    fn find_levels(&mut self) {
        let mut blockers: BTreeMap<_, _> = self
            .members
            .iter()
            .map(|(order, entry)| (*order, entry.blockers))
            .collect();
        let firsts = self.waiting_for.keys();
        let mut level: Vec<u64> = firsts
            .filter(|order| !blockers.contains_key(order))
            .copied()
            .collect();
        while !level.is_empty() {
            let mut next = Vec::new();
            for order in level {
                for then in self.waiting_for.get(&order).into_iter().flatten() {
                    if let Some(count) = blockers.get_mut(then) {
                        *count -= 1;
                        if *count == 0 {
                            next.push(*then);
                        }
                    }
                }
            }
            if !next.is_empty() {
                self.highest += 1;
            }
            for order in &next {
                blockers.remove(order);
                if let Some(entry) = self.members.get_mut(order) {
                    entry.level = self.highest;
                }
            }
            level = next;
        }
        self.highest += u32::from(!blockers.is_empty());
        for order in blockers.into_keys() {
            if let Some(entry) = self.members.get_mut(&order) {
                entry.level = self.highest;
            }
        }
    }

    fn len(&self) -> usize {
        self.members.len()
    }

    fn has(&self, order: u64) -> bool {
        self.members.contains_key(&order)
    }

    fn ids(&self) -> BTreeSet<ActorId> {
        self.members.values().map(|entry| entry.cell.id()).collect()
    }

    /// The part of the time that is kept for the levels above this one.
    fn share_of_later_levels(&self, left: Duration, level: u32) -> Duration {
        if self.highest == 0 {
            return Duration::ZERO;
        }
        left / 8 / self.highest * (self.highest - level)
    }

    /// A member has left: those that wait for nobody any more are taken out.
    fn gone(&mut self, order: u64) -> Vec<(u32, Arc<ActorCell>)> {
        self.members.remove(&order);
        let mut free = Vec::new();
        for then in self.waiting_for.remove(&order).into_iter().flatten() {
            if let Some(entry) = self.members.get_mut(&then) {
                entry.blockers -= 1;
                if entry.blockers == 0
                    && let Some(entry) = self.members.remove(&then)
                {
                    free.push((entry.level, entry.cell));
                }
            }
        }
        free
    }

    /// Takes out the members of the lowest level.
    fn take_level(&mut self) -> Vec<(u32, Arc<ActorCell>)> {
        let level = self.members.values().map(|entry| entry.level).min();
        self.take(|entry| Some(entry.level) == level)
    }

    fn take_all(&mut self) -> Vec<(u32, Arc<ActorCell>)> {
        self.take(|_| true)
    }

    fn take(&mut self, mut is_due: impl FnMut(&Entry) -> bool) -> Vec<(u32, Arc<ActorCell>)> {
        let mut due = Vec::new();
        self.members.retain(|_, entry| {
            let is_due = is_due(entry);
            if is_due {
                due.push((entry.level, entry.cell.clone()));
            }
            !is_due
        });
        due
    }
}
