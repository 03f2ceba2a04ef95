//! The tracks that a peer receives: one [`Subscription`] each, from the announcement to the removal of its media
//! section.
//!
//! Offers and answers are made in [`super::negotiate`].

use std::time::Instant;

use str0m::media::{MediaKind, Mid};

use super::SessionEvent;
use super::downstream::{Downstream, Rewritten};
use super::layers::{Estimate, LAYER_RATES, LayersSeen, affordable};
use crate::ids::{ParticipantId, ShardId, TrackId};
use crate::media::codec::Name;
use crate::media::{Layer, MediaPacket, TrackInfo};

/// How many tracks a participant can receive.
pub(super) const MAX_SUBSCRIBED: usize = 64;

/// A track of another participant.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) info: TrackInfo,
    /// The shard of its publisher.
    owner: ShardId,
    pub(super) section: SectionState,
    /// The highest layer that the page asked for; `None` is no limit.
    cap: Option<Layer>,
    seen: Option<LayersSeen>,
}

/// How far the media section of a subscription is negotiated.
#[derive(Debug)]
pub(super) enum SectionState {
    /// It has no section yet.
    Waiting,
    /// Its section has been offered.
    Offered(Mid),
    /// Packets are forwarded.
    Open(Downstream),
    /// Its section has to be removed.
    Leaving(Mid),
    /// The removal has been offered.
    Removing(Mid),
}

/// All subscriptions of a peer.
#[derive(Debug)]
pub(super) struct Subscriptions {
    /// The peer, for the log.
    peer: ParticipantId,
    list: Vec<Subscription>,
    /// Players (WHEP): sections whose track has ended. The next track in a section continues its sequence numbers.
    idle: Vec<Downstream>,
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
            section: SectionState::Waiting,
            cap: None,
            seen: None,
        }
    }

    /// The kind of section that can carry it.
    pub(super) fn kind(&self) -> MediaKind {
        if self.info.video {
            MediaKind::Video
        } else {
            MediaKind::Audio
        }
    }

    /// The section that carries it, or will once the peer has answered.
    pub(super) fn mid(&self) -> Option<Mid> {
        match &self.section {
            SectionState::Offered(mid) => Some(*mid),
            SectionState::Open(down) => Some(down.mid),
            SectionState::Waiting | SectionState::Leaving(_) | SectionState::Removing(_) => None,
        }
    }

    /// Whether the peer has to be offered a change.
    pub(super) fn is_due(&self) -> bool {
        matches!(
            self.section,
            SectionState::Waiting | SectionState::Leaving(_)
        )
    }

    fn open(&mut self, down: Downstream, events: &mut Vec<SessionEvent>) {
        let track = self.info.id;
        events.push(SessionEvent::Subscribed(track, self.owner));
        if down.video {
            events.push(SessionEvent::NeedKeyframe(track, down.wanted()));
        }
        (self.cap, self.seen) = (None, None);
        self.section = SectionState::Open(down);
    }

    /// Chooses the best layer within `affordable` and the page's limit. Returns it if it is another than before.
    fn choose_layer(
        &mut self,
        now: Instant,
        affordable: Layer,
        events: &mut Vec<SessionEvent>,
    ) -> Option<Layer> {
        let SectionState::Open(down) = &mut self.section else {
            return None;
        };
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
        }
    }

    /// Adds a track. Returns `false` if it is known already or the limit is reached.
    pub(super) fn add(&mut self, info: TrackInfo, owner: ShardId) -> bool {
        let known = self.list.iter().any(|known| known.info.id == info.id);
        let admitted = !known && self.list.len() < MAX_SUBSCRIBED;
        if admitted {
            self.list.push(Subscription::new(info, owner));
        }
        admitted
    }

    /// Ends the subscription to a track. The section of a page has to be removed by negotiation; that of a
    /// player stays for another track.
    pub(super) fn remove(&mut self, track: TrackId, page: bool, events: &mut Vec<SessionEvent>) {
        let Some(at) = self.list.iter().position(|known| known.info.id == track) else {
            return;
        };
        let subscription = &mut self.list[at];
        (subscription.cap, subscription.seen) = (None, None);
        let section = subscription.mid();
        match section.filter(|_| page) {
            Some(mid) => {
                let open = std::mem::replace(&mut subscription.section, SectionState::Leaving(mid));
                if matches!(open, SectionState::Open(_)) {
                    events.push(SessionEvent::Unsubscribed(track));
                }
            }
            None => {
                let subscription = self.list.remove(at);
                if let SectionState::Open(down) = subscription.section {
                    self.idle.push(down);
                    events.push(SessionEvent::Unsubscribed(track));
                }
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subscription> {
        self.list.iter_mut()
    }

    /// How many sections carry video. An idle one counts: the next track takes it.
    pub(super) fn videos(&self) -> u64 {
        let all = self.downstreams().chain(&self.idle);
        all.filter(|down| down.video).count() as u64
    }

    fn downstreams(&self) -> impl Iterator<Item = &Downstream> {
        self.list
            .iter()
            .filter_map(|subscription| match &subscription.section {
                SectionState::Open(down) => Some(down),
                _ => None,
            })
    }

    /// The track that a section carries, and its layer that is forwarded or waited for.
    pub(super) fn carried_by(&self, mid: Mid) -> Option<(TrackId, Layer)> {
        self.list
            .iter()
            .find_map(|subscription| match &subscription.section {
                SectionState::Open(down) if down.mid == mid => {
                    let layer = down.current().unwrap_or(down.wanted());
                    Some((subscription.info.id, layer))
                }
                _ => None,
            })
    }

    /// The peer has agreed to the last offer: tracks in it are sent from now on, those that it removed are
    /// forgotten. Returns whether a track was opened.
    pub(super) fn agreed(&mut self, events: &mut Vec<SessionEvent>) -> bool {
        let mut opened = false;
        self.list.retain_mut(|subscription| {
            if let SectionState::Offered(mid) = subscription.section {
                subscription.open(Downstream::new(mid, subscription.info.video), events);
                opened = true;
            }
            !matches!(subscription.section, SectionState::Removing(_))
        });
        opened
    }

    /// The last offer is void: what was in it has to be offered again.
    pub(super) fn withdrawn(&mut self) {
        for subscription in &mut self.list {
            match subscription.section {
                SectionState::Offered(_) => subscription.section = SectionState::Waiting,
                SectionState::Removing(mid) => subscription.section = SectionState::Leaving(mid),
                _ => {}
            }
        }
    }

    /// Opens waiting tracks in sections that no track is using. `sections` lists those of a kind. Returns whether
    /// a track was opened.
    pub(super) fn assign(
        &mut self,
        sections: impl Fn(MediaKind) -> Vec<Mid>,
        events: &mut Vec<SessionEvent>,
    ) -> bool {
        let mut opened = false;
        for at in 0..self.list.len() {
            if !matches!(self.list[at].section, SectionState::Waiting) {
                continue;
            }
            let in_use = |mid: &Mid| self.downstreams().any(|down| down.mid == *mid);
            let mut candidates = sections(self.list[at].kind()).into_iter();
            let Some(mid) = candidates.find(|mid| !in_use(mid)) else {
                continue;
            };
            // If the section carried another track before, its numbers continue.
            let idle = self.idle.iter().position(|idle| idle.mid == mid);
            let down = match idle {
                Some(idle) => self.idle.swap_remove(idle).restarted(),
                None => Downstream::new(mid, self.list[at].info.video),
            };
            self.list[at].open(down, events);
            opened = true;
        }
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
        let SectionState::Open(down) = &mut known.section else {
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
        self.list
            .iter()
            .find_map(|subscription| match &subscription.section {
                SectionState::Open(down) if subscription.info.id == track => Some(down),
                _ => None,
            })
    }
}
