//! Follows the links of the node.

use std::sync::Arc;

use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep_until},
};

use super::state::Members;
use crate::event::{DownReason, Event};

/// Longer than anything here takes.
const NEVER: std::time::Duration = std::time::Duration::from_secs(3600);

pub(super) async fn run(members: Arc<Members>) {
    let node = members.node();
    let mut events = node.events();
    loop {
        let next = members.reconcile(Instant::now());
        let next = next.unwrap_or_else(|| Instant::now() + NEVER);
        tokio::select! {
            biased;
            () = node.closed() => return members.stop(),
            () = members.greeting() => {}
            event = events.recv() => match event {
                Ok(Event::LinkDown(down)) if down.why == DownReason::ClosedByPeer => {
                    members.said_bye(down.peer);
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            () = sleep_until(next) => {}
        }
    }
}
