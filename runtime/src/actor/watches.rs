//! The peers that an actor watches.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use crate::{cell::ActorCell, id::ActorId};

/// For each watched peer, its cell and the key of the watch in it.
#[derive(Default)]
pub(crate) struct Watches(BTreeMap<ActorId, (Weak<ActorCell>, u64)>);

impl Watches {
    pub(crate) fn insert(&mut self, peer: &Arc<ActorCell>, key: u64) {
        self.0.insert(peer.id(), (Arc::downgrade(peer), key));
    }

    /// The peer has ended, and its watch with it.
    pub(crate) fn ended(&mut self, id: ActorId) {
        self.0.remove(&id);
    }

    /// Ends the watch of a peer.
    pub(crate) fn end(&mut self, id: ActorId) {
        if let Some(watch) = self.0.remove(&id) {
            unwatch(watch);
        }
    }

    /// Ends all watches.
    pub(crate) fn end_all(&mut self) {
        std::mem::take(&mut self.0).into_values().for_each(unwatch);
    }
}

fn unwatch((peer, key): (Weak<ActorCell>, u64)) {
    if let Some(peer) = peer.upgrade() {
        peer.unwatch(key);
    }
}
