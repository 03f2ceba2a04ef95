//! Tells an actor of a peer what there is and what changes, over one link after the other.

use lanemesh_runtime::ActorHandle;
use tokio::{sync::watch, time::sleep};

use crate::{error::LookupError, node::Node, remote::Remote};

/// Looks up the actor of this name on a peer, tells it what `next` returns, and again after each change;
/// over each link anew, for which `next` is told that it is the first time. Ends when `changes` does.
pub(crate) async fn feed<A: Remote>(
    node: Node,
    peer: String,
    name: &'static str,
    mut changes: watch::Receiver<u64>,
    mut next: impl FnMut(bool) -> Vec<A::HighPriorityMsg>,
) {
    let mut failures = 0;
    loop {
        let mut factor = 1;
        match node.lookup::<A>(name).on(peer.as_str()).await {
            Ok(handle) => {
                failures = 0;
                if tell(handle, &mut changes, &mut next).await.is_none() {
                    return;
                }
            }
            // It has no such actor, and logs each look-up: it may never have one.
            Err(LookupError::Unknown) => factor = 6,
            Err(_) => {}
        }
        sleep(node.pause(failures) * factor).await;
        failures += 1;
    }
}

/// Until the handle ends; None if the changes do.
async fn tell<A: Remote>(
    mut handle: ActorHandle<A>,
    changes: &mut watch::Receiver<u64>,
    next: &mut impl FnMut(bool) -> Vec<A::HighPriorityMsg>,
) -> Option<()> {
    let mut ended = handle.monitor();
    let mut is_first = true;
    loop {
        changes.mark_unchanged(); // what changes from here on is told next time
        for message in next(is_first) {
            if handle.send_high(message).await.is_err() {
                return Some(());
            }
        }
        is_first = false;
        tokio::select! {
            _ = &mut ended => return Some(()),
            changed = changes.changed() => changed.ok()?,
        }
    }
}
