//! The shutdown of a system.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    shutdown::{members::EndMembers, report::ShutdownReport},
    supervision::group::Group,
    util::timer::later,
};

/// Stops the members of a group, or drains them, by one deadline.
pub(crate) async fn system(group: &Arc<Group>, grace: Duration, how: u32) -> ShutdownReport {
    let begun = Instant::now();
    let mut members = EndMembers::of_system(group.clone(), later(begun, grace), how);
    while members.next().await {}
    members.finish();
    ShutdownReport::new(group.take_incidents(), group.failure(), begun.elapsed())
}
