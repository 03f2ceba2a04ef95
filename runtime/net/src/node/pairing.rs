//! One link to a node, also when both dial each other in the same moment.
//!
//! Of two nodes that dial each other, the one with the lesser name makes the link. It alone decides: from the moment
//! at which it knows whom it dials, it refuses the other's connections, unless it has welcomed both of them
//! before; then it gives up its own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{event::PeerInfo, link::Link};

/// The links of a node, and those that are about to be made.
#[derive(Default)]
pub(super) struct Pairing(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    up: BTreeMap<u64, Up>,
    claims: HashMap<PeerInfo, Claims>,
}

struct Up {
    link: Arc<Link>,
    is_dialled: bool,
}

/// What is on its way to be the link to a node.
#[derive(Default)]
struct Claims {
    is_dialled: bool,
    accepted: usize,
}

/// The right to make the link to a node, until it is dropped.
pub(super) struct Claim {
    pairing: Arc<Pairing>,
    peer: PeerInfo,
    is_dialled: bool,
}

impl Pairing {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a connection of this node, which has learnt whom it has reached. None if there is a link to that node, or
    /// will be by another connection.
    pub(super) fn claim_dialled(self: &Arc<Self>, peer: &PeerInfo) -> Option<Claim> {
        let mut inside = self.lock();
        if inside.up.values().any(|up| up.link.peer() == peer) {
            return None;
        }
        let claims = inside.claims.entry(peer.clone()).or_default();
        if claims.is_dialled || claims.accepted > 0 {
            return None;
        }
        claims.is_dialled = true;
        Some(self.claim(peer, true))
    }

    /// For both connections that a node has made to this one, `me`. None if the link is this node's to make.
    pub(super) fn claim_accepted(
        self: &Arc<Self>,
        me: &PeerInfo,
        peer: &PeerInfo,
    ) -> Option<Claim> {
        let mut inside = self.lock();
        if inside.is_ours(me, peer) {
            return None;
        }
        inside.claims.entry(peer.clone()).or_default().accepted += 1;
        Some(self.claim(peer, false))
    }

    /// Whether a connection of `peer` is refused, because this node makes the link.
    pub(super) fn is_ours(&self, me: &PeerInfo, peer: &PeerInfo) -> bool {
        self.lock().is_ours(me, peer)
    }

    fn claim(self: &Arc<Self>, peer: &PeerInfo, is_dialled: bool) -> Claim {
        Claim {
            pairing: self.clone(),
            peer: peer.clone(),
            is_dialled,
        }
    }

    /// The link is up. Returns those that it takes the place of: to earlier incarnations of its node; and to
    /// the same one, which would not have made another if it knew of that one.
    pub(super) fn insert(&self, link: Arc<Link>, claim: &Claim) -> Vec<Arc<Link>> {
        let mut inside = self.lock();
        let peer = link.peer();
        let replaced = inside.up.values().map(|up| &up.link);
        let replaced = replaced.filter(|old| {
            old.peer().name == peer.name && old.peer().incarnation <= peer.incarnation
        });
        let replaced = replaced.cloned().collect();
        let is_dialled = claim.is_dialled;
        inside.up.insert(link.number(), Up { link, is_dialled });
        replaced
    }

    /// The link is down. Returns whether there is no other one to a node of its name.
    pub(super) fn remove(&self, link: &Link) -> bool {
        let mut inside = self.lock();
        inside.up.remove(&link.number());
        // A later incarnation too: it is what fences this one off.
        let mut others = inside.up.values();
        !others.any(|other| other.link.peer().name == link.peer().name)
    }

    /// The links to a node, or to all; the newest first.
    pub(super) fn links_to(&self, name: Option<&str>) -> Vec<Arc<Link>> {
        let inside = self.lock();
        let links = inside.up.values().rev().map(|up| &up.link);
        let links = links.filter(|link| name.is_none_or(|name| *link.peer().name == *name));
        links.cloned().collect()
    }
}

impl Inside {
    fn is_ours(&self, me: &PeerInfo, peer: &PeerInfo) -> bool {
        if me.name > peer.name {
            return false;
        }
        let is_dialling = self
            .claims
            .get(peer)
            .is_some_and(|claims| claims.is_dialled);
        let mut up = self.up.values();
        is_dialling || up.any(|up| up.is_dialled && up.link.peer() == peer)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut inside = self.pairing.lock();
        let Some(claims) = inside.claims.get_mut(&self.peer) else {
            return;
        };
        match self.is_dialled {
            true => claims.is_dialled = false,
            false => claims.accepted -= 1,
        }
        if !claims.is_dialled && claims.accepted == 0 {
            inside.claims.remove(&self.peer);
        }
    }
}
