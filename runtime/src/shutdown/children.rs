//! The stop of an actor's children: in reverse order of their start, before the actor's clean-up.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    shutdown::grace::share,
    supervision::group::Group,
    util::timer::{ReusableTimer, later},
};

/// Stops the children of one actor one after the other.
pub(crate) struct StopChildren {
    group: Arc<Group>,
    /// The deadline of the parent.
    deadline: Instant,
    /// `signal::STOP` or `signal::DRAIN`.
    how: u32,
    /// The order of the child that was stopped last.
    order: u64,
    timer: ReusableTimer,
}

impl StopChildren {
    /// Closes the group: no child is started any more.
    pub(crate) fn new(group: Arc<Group>, deadline: Instant, how: u32) -> Self {
        group.close();
        Self {
            group,
            deadline,
            how,
            order: u64::MAX,
            timer: ReusableTimer::default(),
        }
    }

    /// Stops the next child and waits until it is gone or late. Returns `false` if none is left.
    pub(crate) async fn stop_next(&mut self) -> bool {
        let Some((order, child)) = self.group.last_before(self.order) else {
            return false;
        };
        self.order = order;
        let now = Instant::now();
        // An eighth of what is left stays with the parent, for its own clean-up.
        let left = self.deadline.saturating_duration_since(now);
        let child_deadline = later(now, share(&child, left - left / 8, self.how));
        child.request_stop(child_deadline, self.how);
        // One that is not gone by then blocks its thread: nothing can end it from outside.
        let limit = later(child_deadline, left / 16);
        self.timer.before(limit, self.group.gone(order)).await;
        true
    }

    /// Kills the children that are left, and counts them as late.
    pub(crate) fn finish(self) {
        self.group.count_as_late();
        self.group.kill();
    }
}
