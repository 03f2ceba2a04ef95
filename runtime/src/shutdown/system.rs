//! The shutdown of a system: its actors stop or drain in reverse order of their start.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::{
    shutdown::{grace::share, report::ShutdownReport},
    supervision::group::Group,
    util::timer::later,
};

/// Stops the members of a group, or drains them, by one deadline.
pub(crate) async fn system(group: &Arc<Group>, grace: Duration, how: u32) -> ShutdownReport {
    let begun = Instant::now();
    let deadline = later(begun, grace);
    group.close();
    let mut order = u64::MAX;
    while let Some((found, actor)) = group.last_before(order) {
        order = found;
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        // An eighth of the time is reserved for the others; the last one gets all that is left.
        let (slice, moment) = if group.last_before(order).is_some() {
            (left / 8, left / 16)
        } else {
            (Duration::ZERO, grace / 16)
        };
        let own = later(now, share(&actor, left - slice, how));
        actor.request_stop(own, how);
        // A killed actor needs a moment to be gone. One that is not gone after that blocks its
        // thread: nothing can end it from outside.
        let _ = timeout_at(later(own, moment), group.gone(order)).await;
    }
    group.count_as_late();
    group.kill();
    ShutdownReport::new(group.take_incidents(), group.failure(), begun.elapsed())
}
