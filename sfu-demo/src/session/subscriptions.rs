//! The tracks that a peer receives: which of the room's tracks the media sections of a peer carry, and how.
//!
//! Offers and answers are made in [`super::negotiate`].

use std::sync::Arc;
use std::time::Instant;

use str0m::media::{MediaKind, Mid};

use super::SessionEvent;
use super::downstream::{Downstream, Rewritten};
use super::layers::{Estimate, LAYER_RATES, LayersSeen, affordable};
use crate::ids::{ParticipantId, ShardId, TrackId};
use crate::media::codec::Name;
use crate::media::{Layer, MediaPacket, Source, TrackInfo};

/// The media sections of a page, of each kind, and so how many tracks it receives at a time. A player (WHEP) has as many
/// as it has offered.
pub(super) const MAX_SECTIONS: Sections<usize> = Sections {
    audio: 24,
    video: 36,
};
/// The number of media sections that an offer may have.
pub(super) const MAX_OFFERED: usize = 160;
/// How many tracks of other participants a session knows, whether the peer receives them or not.
const MAX_KNOWN: usize = 2048;

/// Something for each kind of media.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sections<T> {
    pub(super) audio: T,
    pub(super) video: T,
}

impl<T: Copy> Sections<T> {
    pub(super) fn of(&self, kind: MediaKind) -> T {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
        }
    }
}

/// A track of another participant.
#[derive(Debug)]
struct Subscription {
    info: TrackInfo,
    /// The shard of its publisher.
    owner: ShardId,
    /// The section that carries it; `None` while others are more important.
    down: Option<Downstream>,
    /// The highest layer that the page asked for; `None` is no limit.
    cap: Option<Layer>,
    pinned: bool,
    seen: Option<LayersSeen>,
}

/// The tracks of the room, and the sections of a peer, which carry the most important of them.
///
/// A section outlives its track: the next one continues its sequence numbers, and the peer is told which track a section
/// carries, without an offer.
#[derive(Debug)]
pub(super) struct Subscriptions {
    /// The peer, for the log.
    peer: ParticipantId,
    list: Vec<Subscription>,
    /// Sections that carry no track.
    idle: Vec<Downstream>,
    /// Sections that the peer has been offered and has not answered.
    offered: Vec<(Mid, MediaKind)>,
    /// Participants by when they were last heard, the latest first.
    heard: Arc<[ParticipantId]>,
    /// Whether the peer has to be told what its sections carry.
    changed: bool,
}

/// A packet to be sent.
#[derive(Debug)]
pub(super) struct Forwarded {
    /// The section that carries it.
    pub(super) mid: Mid,
    pub(super) rewritten: Rewritten,
}

impl Subscription {
    fn new(info: TrackInfo, owner: ShardId) -> Self {
        Self {
            info,
            owner,
            down: None,
            cap: None,
            pinned: false,
            seen: None,
        }
    }

    fn kind(&self) -> MediaKind {
        if self.info.video {
            MediaKind::Video
        } else {
            MediaKind::Audio
        }
    }

    /// The order in which tracks get sections: pinned ones, shared screens, who was heard last, who came first.
    fn rank(&self, heard: &[ParticipantId]) -> (bool, bool, usize) {
        let participant = self.info.participant;
        let heard = heard.iter().position(|id| *id == participant);
        let screen = self.info.source == Source::Screen;
        (!self.pinned, !screen, heard.unwrap_or(usize::MAX))
    }

    fn open(&mut self, down: Downstream, events: &mut Vec<SessionEvent>) {
        let track = self.info.id;
        events.push(SessionEvent::Subscribed(track, self.owner));
        if down.video {
            events.push(SessionEvent::NeedKeyframe(track, down.wanted()));
        }
        self.seen = None;
        self.down = Some(down);
    }

    /// Ends the forwarding. Returns the section, for another track.
    fn close(&mut self, events: &mut Vec<SessionEvent>) -> Option<Downstream> {
        let down = self.down.take()?;
        events.push(SessionEvent::Unsubscribed(self.info.id));
        Some(down.restarted())
    }

    /// Chooses the best layer within `affordable` and the page's limit. Returns it if it is another than before.
    fn choose_layer(
        &mut self,
        now: Instant,
        affordable: Layer,
        events: &mut Vec<SessionEvent>,
    ) -> Option<Layer> {
        let down = self.down.as_mut()?;
        let most = self.cap.map_or(affordable, |cap| cap.min(affordable));
        let layer = self.seen?.best_up_to(most)?;
        if !down.video || !down.want(layer) {
            return None;
        }
        if down.needs_keyframe(now) {
            events.push(SessionEvent::NeedKeyframe(self.info.id, layer));
        }
        Some(layer)
    }
}

impl Subscriptions {
    pub(super) fn new(peer: ParticipantId) -> Self {
        Self {
            peer,
            list: Vec::new(),
            idle: Vec::new(),
            offered: Vec::new(),
            heard: Arc::from([]),
            changed: false,
        }
    }

    /// Adds a track. Returns `false` if it is known already or the limit is reached.
    pub(super) fn add(&mut self, info: TrackInfo, owner: ShardId) -> bool {
        let known = self.list.iter().any(|known| known.info.id == info.id);
        let admitted = !known && self.list.len() < MAX_KNOWN;
        if admitted {
            self.list.push(Subscription::new(info, owner));
        }
        admitted
    }

    /// Ends a track. Its section stays for another.
    pub(super) fn remove(&mut self, track: TrackId, events: &mut Vec<SessionEvent>) {
        if let Some(at) = self.list.iter().position(|known| known.info.id == track) {
            let mut subscription = self.list.remove(at);
            self.changed |= subscription.down.is_some();
            self.idle.extend(subscription.close(events));
        }
    }

    /// Records who was heard last.
    pub(super) fn set_heard(&mut self, heard: Arc<[ParticipantId]>) {
        self.heard = heard;
    }

    /// Records which tracks the page wants in any case.
    pub(super) fn pin(&mut self, tracks: &[TrackId]) {
        for known in &mut self.list {
            known.pinned = tracks.contains(&known.info.id);
        }
    }

    /// How many videos the sections carry.
    pub(super) fn videos(&self) -> u64 {
        self.downstreams().filter(|down| down.video).count() as u64
    }

    /// The tracks that sections carry.
    pub(super) fn carried(&self) -> impl Iterator<Item = (Mid, &TrackInfo)> {
        self.list
            .iter()
            .filter_map(|known| Some((known.down.as_ref()?.mid, &known.info)))
    }

    /// Whether what the sections carry has changed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn downstreams(&self) -> impl Iterator<Item = &Downstream> {
        self.list.iter().filter_map(|known| known.down.as_ref())
    }

    /// The track that a section carries, and its layer that is forwarded or waited for.
    pub(super) fn carried_by(&self, mid: Mid) -> Option<(TrackId, Layer)> {
        self.list.iter().find_map(|known| {
            let down = known.down.as_ref().filter(|down| down.mid == mid)?;
            Some((known.info.id, down.current().unwrap_or(down.wanted())))
        })
    }

    /// The sections of a kind that the peer has agreed to.
    fn agreed_sections(&self, kind: MediaKind) -> usize {
        let video = kind == MediaKind::Video;
        let all = self.downstreams().chain(&self.idle);
        all.filter(|down| down.video == video).count()
    }

    /// How many more sections of a kind a page has to be offered.
    pub(super) fn missing(&self, kind: MediaKind) -> usize {
        let tracks = self.list.iter().filter(|known| known.kind() == kind);
        let wanted = tracks.count().min(MAX_SECTIONS.of(kind));
        let offered = self.offered.iter().filter(|offered| offered.1 == kind);
        wanted.saturating_sub(self.agreed_sections(kind) + offered.count())
    }

    /// Records that the peer has been offered a section.
    pub(super) fn offered(&mut self, mid: Mid, kind: MediaKind) {
        self.offered.push((mid, kind));
    }

    /// The peer has agreed to the sections of the last offer.
    pub(super) fn agreed(&mut self) {
        for (mid, kind) in std::mem::take(&mut self.offered) {
            self.add_section(mid, kind);
        }
    }

    /// Adds a section that carries no track yet.
    pub(super) fn add_section(&mut self, mid: Mid, kind: MediaKind) {
        let down = Downstream::new(mid, kind == MediaKind::Video);
        self.idle.push(down);
    }

    /// The last offer is void: what was in it has to be offered again.
    pub(super) fn withdrawn(&mut self) {
        self.offered.clear();
    }

    /// Gives the sections to the most important tracks. Returns whether one was opened.
    pub(super) fn assign(&mut self, events: &mut Vec<SessionEvent>) -> bool {
        let kinds = [MediaKind::Audio, MediaKind::Video];
        let opened = kinds.map(|kind| self.assign_kind(kind, events));
        self.changed |= opened.contains(&true);
        opened.contains(&true)
    }

    fn assign_kind(&mut self, kind: MediaKind, events: &mut Vec<SessionEvent>) -> bool {
        let sections = self.agreed_sections(kind);
        let of_kind = |known: &&mut Subscription| known.kind() == kind;
        let heard = &self.heard;
        let mut ranked: Vec<_> = self.list.iter_mut().filter(of_kind).collect();
        if ranked.iter().all(|known| known.down.is_some()) {
            return false;
        }
        // The sort is stable: earlier tracks are first among those that nothing else tells apart.
        ranked.sort_by_cached_key(|known| known.rank(heard));
        let chosen = sections.min(ranked.len());
        let (chosen, others) = ranked.split_at_mut(chosen);
        let mut waiting = chosen.iter_mut().filter(|known| known.down.is_none());
        let free = others.iter_mut().filter_map(|known| known.close(events));
        self.idle.extend(free);
        let mut opened = false;
        waiting.all(|known| {
            let video = kind == MediaKind::Video;
            let at = self.idle.iter().position(|down| down.video == video);
            let Some(at) = at else { return false };
            known.open(self.idle.swap_remove(at), events);
            opened = true;
            true
        });
        opened
    }

    /// Sets the highest layer of a track; `None` is no limit.
    pub(super) fn cap(&mut self, track: TrackId, layer: Option<Layer>) {
        if let Some(known) = self.list.iter_mut().find(|known| known.info.id == track) {
            known.cap = layer;
        }
    }

    /// Records that a layer of a track is being sent. Returns whether layers have to be chosen again.
    pub(super) fn record(&mut self, packet: &MediaPacket) -> bool {
        if packet.codec.name == Name::Opus {
            return false;
        }
        let mut list = self.list.iter_mut();
        let Some(known) = list.find(|known| known.info.id == packet.track) else {
            return false;
        };
        let seen = known.seen.get_or_insert_default();
        seen.record(packet.arrived, packet.layer)
    }

    /// Chooses the layer of each video: the largest that fits into an equal share of the estimate and into the page's
    /// limit, among those that the publisher sends.
    pub(super) fn choose_layers(
        &mut self,
        now: Instant,
        estimate: &Estimate,
        events: &mut Vec<SessionEvent>,
    ) {
        let share = estimate.share(self.videos());
        let affordable = affordable(share);
        for subscription in &mut self.list {
            if let Some(layer) = subscription.choose_layer(now, affordable, events) {
                let (participant, track) = (self.peer.0, subscription.info.id.0);
                tracing::debug!(participant, track, layer = layer.0, share, "layer chosen");
            }
        }
    }

    /// The packet to be sent, if it is of the chosen layer; and the layer, if the packet switches to it.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        packet: &MediaPacket,
        events: &mut Vec<SessionEvent>,
    ) -> (Option<Forwarded>, Option<Layer>) {
        let mut list = self.list.iter_mut();
        let Some(known) = list.find(|known| known.info.id == packet.track) else {
            return (None, None);
        };
        let Some(down) = &mut known.down else {
            return (None, None);
        };
        let before = down.current();
        let rewritten = down.rewrite(packet);
        if down.needs_keyframe(now) {
            events.push(SessionEvent::NeedKeyframe(packet.track, down.wanted()));
        }
        let switched = down.current().filter(|layer| Some(*layer) != before);
        let mid = down.mid;
        let forwarded = rewritten.map(|rewritten| Forwarded { mid, rewritten });
        (forwarded, switched)
    }

    /// The least bitrate of all tracks, and the most that they can use, in bits per second.
    pub(super) fn bitrates(&self) -> (u64, u64) {
        let videos = self.videos();
        (LAYER_RATES[0] * videos, LAYER_RATES[2] * videos + 100_000)
    }

    #[cfg(test)]
    pub(super) fn add_open(&mut self, info: TrackInfo, mid: Mid) {
        let down = Downstream::new(mid, info.video);
        let mut subscription = Subscription::new(info, 0);
        subscription.open(down, &mut Vec::new());
        self.list.push(subscription);
    }

    #[cfg(test)]
    pub(super) fn wanted(&self, track: TrackId) -> Option<Layer> {
        Some(self.downstream(track)?.wanted())
    }

    #[cfg(test)]
    pub(super) fn current(&self, track: TrackId) -> Option<Layer> {
        self.downstream(track)?.current()
    }

    #[cfg(test)]
    fn downstream(&self, track: TrackId) -> Option<&Downstream> {
        let known = self.list.iter().find(|known| known.info.id == track);
        known?.down.as_ref()
    }
}
