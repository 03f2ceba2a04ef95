//! Which peers and shards get the packets of a track: pure tables of one shard, without clocks, sockets or channels.
//!
//! A shard knows its own subscribers, and which other shards want its tracks. A packet crosses to a shard once, however
//! many subscribers are there.

use std::collections::HashMap;

use crate::ids::{PeerKey, ShardId, TrackId};

/// A message for the shard of a track's publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interest {
    /// The track whose packets are wanted, or no longer wanted.
    pub track: TrackId,
    /// The shard of its publisher.
    pub owner: ShardId,
    /// Whether this shard wants its packets from now on, or no longer.
    pub wanted: bool,
}

/// The destinations of a track's packets.
#[derive(Debug, Default)]
struct Route {
    /// The shard of the publisher, if it is another.
    owner: Option<ShardId>,
    local: Vec<PeerKey>,
    remote: Vec<ShardId>,
}

/// The routes of all tracks.
#[derive(Debug)]
pub(super) struct Router {
    here: ShardId,
    routes: HashMap<TrackId, Route>,
}

impl Router {
    /// No routes, in shard `here`.
    #[must_use]
    pub(super) fn new(here: ShardId) -> Self {
        Self {
            here,
            routes: HashMap::new(),
        }
    }

    /// Adds a subscriber of this shard to a track of shard `owner`.
    pub(super) fn subscribe(
        &mut self,
        track: TrackId,
        owner: ShardId,
        peer: PeerKey,
    ) -> Option<Interest> {
        let here = self.here;
        let route = self.routes.entry(track).or_default();
        if owner != here {
            route.owner = Some(owner);
        }
        if route.local.contains(&peer) {
            return None;
        }
        route.local.push(peer);
        let first = route.local.len() == 1 && owner != here;
        first.then_some(Interest {
            track,
            owner,
            wanted: true,
        })
    }

    /// Removes a subscriber of this shard from a track.
    pub(super) fn unsubscribe(&mut self, track: TrackId, peer: PeerKey) -> Option<Interest> {
        let route = self.routes.get_mut(&track)?;
        let at = route.local.iter().position(|local| *local == peer)?;
        // Keeps the order, so that the result does not depend on the number of shards.
        route.local.remove(at);
        let owner = route.owner;
        let last = route.local.is_empty();
        if last && route.remote.is_empty() {
            self.routes.remove(&track);
        }
        owner.filter(|_| last).map(|owner| Interest {
            track,
            owner,
            wanted: false,
        })
    }

    /// Removes a subscriber of this shard from every track.
    pub(super) fn remove_peer(&mut self, peer: PeerKey) -> Vec<Interest> {
        let tracks: Vec<_> = self
            .routes
            .iter()
            .filter(|(_, route)| route.local.contains(&peer))
            .map(|(track, _)| *track)
            .collect();
        tracks
            .into_iter()
            .filter_map(|track| self.unsubscribe(track, peer))
            .collect()
    }

    /// Records whether another shard wants a track of this one.
    pub(super) fn remote(&mut self, track: TrackId, shard: ShardId, wanted: bool) {
        if shard == self.here {
            return;
        }
        if wanted {
            let route = self.routes.entry(track).or_default();
            if !route.remote.contains(&shard) {
                route.remote.push(shard);
            }
        } else if let Some(route) = self.routes.get_mut(&track) {
            route.remote.retain(|remote| *remote != shard);
            if route.remote.is_empty() && route.local.is_empty() {
                self.routes.remove(&track);
            }
        }
    }

    /// Forgets what another shard wanted.
    pub(super) fn forget_shard(&mut self, shard: ShardId) {
        self.routes.retain(|_, route| {
            route.remote.retain(|remote| *remote != shard);
            !route.remote.is_empty() || !route.local.is_empty()
        });
    }

    /// Removes a track that has ended.
    pub(super) fn remove_track(&mut self, track: TrackId) {
        self.routes.remove(&track);
    }

    /// The destinations of a packet of `track`: peers of this shard, and other shards.
    #[must_use]
    pub(super) fn targets(&self, track: TrackId) -> (&[PeerKey], &[ShardId]) {
        self.routes.get(&track).map_or((&[], &[]), |route| {
            (route.local.as_slice(), route.remote.as_slice())
        })
    }

    /// The shard of the publisher of a track that has subscribers here.
    #[must_use]
    pub(super) fn owner(&self, track: TrackId) -> ShardId {
        self.routes
            .get(&track)
            .and_then(|route| route.owner)
            .unwrap_or(self.here)
    }

    /// The number of tracks with subscribers.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether no track has a subscriber.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ShardId = 0;
    const THERE: ShardId = 1;

    #[test]
    fn first_and_last_subscriber_tell_the_owner() {
        let mut router = Router::new(HERE);
        let track = TrackId(7);
        let wanted = Interest {
            track,
            owner: THERE,
            wanted: true,
        };
        assert_eq!(router.subscribe(track, THERE, 1), Some(wanted));
        assert_eq!(router.subscribe(track, THERE, 2), None);
        assert_eq!(router.subscribe(track, THERE, 2), None, "twice is once");
        assert_eq!(router.targets(track).0, [1, 2]);
        assert_eq!(router.owner(track), THERE);
        assert_eq!(router.unsubscribe(track, 1), None);
        assert_eq!(router.unsubscribe(track, 1), None);
        let unwanted = Interest {
            wanted: false,
            ..wanted
        };
        assert_eq!(router.unsubscribe(track, 2), Some(unwanted));
        assert!(router.is_empty());
    }

    #[test]
    fn own_track_needs_no_telling() {
        let mut router = Router::new(HERE);
        assert_eq!(router.subscribe(TrackId(7), HERE, 1), None);
        assert_eq!(router.unsubscribe(TrackId(7), 1), None);
        assert!(router.is_empty());
    }

    #[test]
    fn a_shard_gets_a_packet_once_however_often_it_asks() {
        let mut router = Router::new(HERE);
        let track = TrackId(7);
        router.remote(track, THERE, true);
        router.remote(track, THERE, true);
        router.remote(track, HERE, true);
        router.subscribe(track, HERE, 3);
        assert_eq!(router.targets(track), (&[3][..], &[THERE][..]));
        router.unsubscribe(track, 3);
        assert_eq!(router.targets(track).1, [THERE]);
        router.remote(track, THERE, false);
        assert!(router.is_empty());
    }

    #[test]
    fn peer_that_goes_leaves_nothing_behind() {
        let mut router = Router::new(HERE);
        router.subscribe(TrackId(1), THERE, 1);
        router.subscribe(TrackId(2), THERE, 1);
        router.subscribe(TrackId(2), THERE, 2);
        router.subscribe(TrackId(3), HERE, 1);
        let gone = router.remove_peer(1);
        assert_eq!(
            gone,
            [Interest {
                track: TrackId(1),
                owner: THERE,
                wanted: false
            }]
        );
        assert_eq!(router.len(), 1);
        assert_eq!(router.targets(TrackId(2)).0, [2]);
    }
}
