//! How the time until a deadline is divided.

use std::time::Duration;

use crate::cell::{ActorCell, signal};

/// How much of the time that is left is the member's, to stop or to drain in.
///
/// Its own grace period is for a stop. To handle what is queued may take longer.
pub(crate) fn share(member: &ActorCell, left: Duration, how: u32) -> Duration {
    if how & signal::DRAIN != 0 {
        left
    } else {
        left.min(member.grace())
    }
}
