//! How the time until a deadline is divided.

use std::time::Duration;

use crate::cell::{ActorCell, signal};

/// How much of the remaining time a member gets, to stop or to drain.
///
/// Its own grace period applies to a stop; to handle what is queued may take longer.
pub(crate) fn share(member: &ActorCell, left: Duration, how: u32) -> Duration {
    if how & signal::DRAIN != 0 {
        left
    } else {
        left.min(member.grace())
    }
}
