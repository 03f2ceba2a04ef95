//! The peers of a shard, by key, participant and published track, and the queue of those to poll.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::ids::{ParticipantId, PeerKey, TrackId};
use crate::media::{Source, TrackInfo};
use crate::messages::{Guest, Member, PageLink};
use crate::session::{Role, Session};

struct Peer {
    session: Session,
    guest: Arc<Guest>,
    /// The WebSocket of its page.
    page: Option<PageLink>,
    /// What it publishes.
    tracks: Vec<TrackInfo>,
    /// The devices that it has muted.
    muted: Vec<Source>,
    /// Whether it is in the queue of peers to poll.
    dirty: bool,
}

/// A peer that has been removed.
pub(super) struct Removed {
    pub(super) session: Session,
    pub(super) page: Option<PageLink>,
    pub(super) tracks: Vec<TrackId>,
}

#[derive(Default)]
pub(super) struct Peers {
    slots: Vec<Option<Peer>>,
    /// When each session has to be polled at the latest, in the order of `slots`. All of them are looked at in each turn, and
    /// sessions are large.
    due: Vec<Option<Instant>>,
    free: Vec<PeerKey>,
    by_participant: HashMap<ParticipantId, PeerKey>,
    by_track: HashMap<TrackId, PeerKey>,
    dirty: VecDeque<PeerKey>,
}

impl Peers {
    pub(super) fn insert(&mut self, session: Session, guest: Arc<Guest>) -> PeerKey {
        let key = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.due.push(None);
            self.slots.len() - 1
        });
        self.due[key] = Some(session.timeout());
        self.by_participant.insert(session.id, key);
        self.slots[key] = Some(Peer {
            session,
            guest,
            page: None,
            tracks: Vec::new(),
            muted: Vec::new(),
            dirty: false,
        });
        self.mark(key);
        key
    }

    /// Removes a peer. Returns its session, its page, and the tracks that it published.
    pub(super) fn remove(&mut self, key: PeerKey) -> Option<Removed> {
        let peer = self.slots[key].take()?;
        self.due[key] = None;
        self.free.push(key);
        self.by_participant.remove(&peer.session.id);
        let tracks: Vec<_> = peer.tracks.iter().map(|track| track.id).collect();
        for track in &tracks {
            self.by_track.remove(track);
        }
        Some(Removed {
            session: peer.session,
            page: peer.page,
            tracks,
        })
    }

    pub(super) fn session(&mut self, key: PeerKey) -> Option<&mut Session> {
        Some(&mut self.slots[key].as_mut()?.session)
    }

    pub(super) fn key_of(&self, participant: ParticipantId) -> Option<PeerKey> {
        self.by_participant.get(&participant).copied()
    }

    pub(super) fn publisher_of(&self, track: TrackId) -> Option<PeerKey> {
        self.by_track.get(&track).copied()
    }

    pub(super) fn publish(&mut self, track: &TrackInfo, key: PeerKey) {
        if let Some(peer) = self.slots[key].as_mut() {
            peer.tracks.push(track.clone());
            self.by_track.insert(track.id, key);
        }
    }

    pub(super) fn unpublish(&mut self, track: TrackId) {
        if let Some(key) = self.by_track.remove(&track)
            && let Some(peer) = self.slots[key].as_mut()
        {
            peer.tracks.retain(|known| known.id != track);
        }
    }

    pub(super) fn mute(&mut self, key: PeerKey, source: Source, muted: bool) {
        if let Some(peer) = self.slots[key].as_mut() {
            peer.muted.retain(|known| *known != source);
            if muted {
                peer.muted.push(source);
            }
        }
    }

    pub(super) fn page(&mut self, key: PeerKey) -> Option<&mut Option<PageLink>> {
        Some(&mut self.slots[key].as_mut()?.page)
    }

    pub(super) fn role(&self, key: PeerKey) -> Option<Role> {
        Some(self.slots[key].as_ref()?.session.role)
    }

    /// A peer as a member of its room.
    pub(super) fn member(&self, key: PeerKey) -> Option<Member> {
        let peer = self.slots[key].as_ref()?;
        Some(Member {
            id: peer.session.id,
            person: peer.session.person,
            name: Arc::clone(&peer.session.name),
            role: peer.session.role,
            tracks: peer.tracks.clone(),
            muted: peer.muted.clone(),
        })
    }

    /// All peers as admission knows them.
    pub(super) fn guests(&self) -> Vec<Arc<Guest>> {
        let peers = self.slots.iter().flatten();
        peers.map(|peer| Arc::clone(&peer.guest)).collect()
    }

    /// Every key that a peer has or had.
    pub(super) fn keys(&self) -> std::ops::Range<PeerKey> {
        0..self.slots.len()
    }

    pub(super) fn len(&self) -> usize {
        self.by_participant.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_participant.is_empty()
    }

    /// Queues a peer to be polled.
    pub(super) fn mark(&mut self, key: PeerKey) {
        if let Some(peer) = self.slots[key].as_mut()
            && !peer.dirty
        {
            peer.dirty = true;
            self.dirty.push_back(key);
        }
    }

    /// Records when a session has to be polled again, after it was polled.
    pub(super) fn polled(&mut self, key: PeerKey) {
        let peer = self.slots[key].as_ref();
        self.due[key] = peer.map(|peer| peer.session.timeout());
    }

    /// Queues every peer whose timeout has passed.
    pub(super) fn mark_due(&mut self, now: Instant) {
        for key in self.keys() {
            if self.due[key].is_some_and(|due| due <= now) {
                self.mark(key);
            }
        }
    }

    /// Removes and returns the next peer to poll.
    pub(super) fn next_marked(&mut self) -> Option<PeerKey> {
        while let Some(key) = self.dirty.pop_front() {
            if let Some(peer) = self.slots[key].as_mut() {
                peer.dirty = false;
                return Some(key);
            }
        }
        None
    }

    /// The earliest timeout of a peer, but no later than `latest`.
    pub(super) fn next_timeout(&self, latest: Instant) -> Instant {
        self.due
            .iter()
            .flatten()
            .copied()
            .fold(latest, Instant::min)
    }

    #[cfg(test)]
    pub(super) fn tracks(&self) -> impl Iterator<Item = TrackId> + '_ {
        self.by_track.keys().copied()
    }

    /// Whether no peer, no track and no used slot is left.
    #[cfg(test)]
    pub(super) fn has_forgotten_all(&self) -> bool {
        self.is_empty()
            && self.by_track.is_empty()
            && self.slots.iter().all(Option::is_none)
            && self.due.iter().all(Option::is_none)
            && self.free.len() == self.slots.len()
    }
}
