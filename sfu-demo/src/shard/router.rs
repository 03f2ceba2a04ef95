//! Who gets which packet: pure tables of one shard, without clocks, sockets or channels.
//!
//! A shard knows the subscribers it hosts, and of its own tracks which other shards want them. A
//! packet crosses to a shard once, however many subscribers that shard has.

use std::collections::HashMap;

use crate::ids::{PeerKey, ShardId, TrackId};

/// What another shard has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interest {
    /// The track.
    pub track: TrackId,
    /// The shard that has it.
    pub owner: ShardId,
    /// Whether its packets are wanted from now on, or no longer.
    pub wanted: bool,
}

/// Where a track's packets go.
#[derive(Debug, Default)]
struct Route {
    /// The shard that the track's packets come from, if not this one.
    owner: Option<ShardId>,
    local: Vec<PeerKey>,
    remote: Vec<ShardId>,
}

/// The tables of one shard.
#[derive(Debug)]
pub(super) struct Router {
    here: ShardId,
    routes: HashMap<TrackId, Route>,
}

impl Router {
    /// Empty tables of shard `here`.
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

    /// Takes a subscriber of this shard from a track.
    pub(super) fn unsubscribe(&mut self, track: TrackId, peer: PeerKey) -> Option<Interest> {
        let route = self.routes.get_mut(&track)?;
        let at = route.local.iter().position(|local| *local == peer)?;
        // In order, so that one shard and many treat subscribers alike.
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

    /// Takes a subscriber of this shard from every track.
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

    /// Notes that another shard wants a track of this one, or no longer does.
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

    /// Forgets a track, which has ended.
    pub(super) fn remove_track(&mut self, track: TrackId) {
        self.routes.remove(&track);
    }

    /// Where a packet of `track` goes: peers of this shard, and other shards.
    #[must_use]
    pub(super) fn targets(&self, track: TrackId) -> (&[PeerKey], &[ShardId]) {
        self.routes.get(&track).map_or((&[], &[]), |route| {
            (route.local.as_slice(), route.remote.as_slice())
        })
    }

    /// Which shard a track that is subscribed to here comes from.
    #[must_use]
    pub(super) fn owner(&self, track: TrackId) -> ShardId {
        self.routes
            .get(&track)
            .and_then(|route| route.owner)
            .unwrap_or(self.here)
    }

    /// How many tracks have somebody who wants them.
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
