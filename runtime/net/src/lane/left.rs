//! What the lanes of broken links have left in the mailbox of an actor.
//!
//! A lane that goes on over another link puts its messages behind those that it has in the mailbox. There is order among
//! the messages of one outlet, so it gets that one again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use lanemesh_runtime::edge::Outlet;

use crate::{event::PeerInfo, remote::Remote};

/// The outlets of an actor that have something left in its mailbox and no link, by the openers of their lanes and the numbers
/// that those have given them.
pub(crate) struct Left<A: Remote>(Mutex<HashMap<(PeerInfo, u32), Outlet<A>>>);

impl<A: Remote> Default for Left<A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<A: Remote> Left<A> {
    /// The link of a lane is down.
    pub(super) fn keep(&self, peer: &PeerInfo, lane: u32, outlet: Outlet<A>) {
        let replaced = (!outlet.is_empty()).then(|| {
            let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            left.insert((peer.clone(), lane), outlet)
        });
        drop(replaced);
    }

    /// The outlet of a lane that is opened, if that goes on. Forgets those of which the actor has taken everything, and
    /// those of earlier incarnations of the node.
    pub(crate) fn take(&self, peer: &PeerInfo, lane: u32) -> Option<Outlet<A>> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = left.remove(&(peer.clone(), lane));
        let forgotten: Vec<_> = left
            .extract_if(|(node, _), outlet| {
                outlet.is_empty() || node.name == peer.name && node.incarnation < peer.incarnation
            })
            .collect();
        drop(left);
        drop(forgotten);
        own
    }
}
