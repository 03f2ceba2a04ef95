//! The tracks that a peer receives: which of the room's tracks the media sections of a peer carry, and how.
//!
//! Offers and answers are made in `session/negotiate.rs`.

mod allocation;
pub(in crate::session) mod backlog;
mod congestion;
pub mod downstream;
pub(in crate::session) mod layers;
mod line;
mod pin;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use str0m::media::{MediaKind, Mid};

use super::SessionEvent;
use crate::ids::{ParticipantId, ShardId, TrackId};
use crate::media::codec::Name;
use crate::media::{Layer, MediaPacket, Source, TrackInfo};
use crate::stats::DropReason;
use allocation::{Demand, share_out};
use backlog::Backlog;
use congestion::{Verdict, longest_wait};
use downstream::{Downstream, Rewritten};
use layers::{Estimate, Ladder, Layers};
use line::{Line, Picture};
pub(in crate::session) use pin::Pin;

/// The media sections of a page, of each kind, and so how many tracks it receives at a time. A player (WHEP) has as many
/// as it has offered.
pub(in crate::session) const MAX_SECTIONS: Sections<usize> = Sections {
    audio: 24,
    video: 36,
};
/// The number of media sections that an offer may have.
pub(in crate::session) const MAX_OFFERED: usize = 160;
/// Bits per second of one voice.
const SOUND: u64 = 40_000;
/// How many tracks of other participants a session knows, whether the peer receives them or not.
const MAX_KNOWN: usize = 2048;

/// Something for each kind of media.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::session) struct Sections<T> {
    pub(in crate::session) audio: T,
    pub(in crate::session) video: T,
}

impl<T: Copy> Sections<T> {
    pub(in crate::session) fn of(&self, kind: MediaKind) -> T {
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
    /// How large a layer may be: 0 (the smallest) to 2; `None` is no limit.
    cap: Option<u8>,
    pinned: bool,
    /// Whether the peer lacks the codec of the track.
    missing: bool,
    /// The layers of a video.
    layers: Layers,
    /// Its packets that wait for their turn.
    line: Line,
    /// The last keyframe that was sent, or waits.
    keyframe: Option<Picture>,
}

/// The tracks of the room, and the sections of a peer, which carry the most important of them.
///
/// A section outlives its track: the next one continues its sequence numbers, and the peer is told which track a section
/// carries, without an offer.
#[derive(Debug)]
pub(in crate::session) struct Subscriptions {
    /// The peer, for the log.
    peer: ParticipantId,
    list: Vec<Subscription>,
    /// Where each track is in `list`.
    places: HashMap<TrackId, usize>,
    /// Sections that carry no track.
    idle: Vec<Downstream>,
    /// Sections that the peer has been offered and has not answered.
    offered: Vec<(Mid, MediaKind)>,
    /// What has a section in any case, whether it is known already or not.
    pins: Vec<Pin>,
    /// Participants by when they were last heard, the latest first.
    heard: Arc<[ParticipantId]>,
    /// Whether the peer has to be told what its sections carry.
    changed: bool,
    /// Whether packets may wait in lines.
    waiting: bool,
}

/// A packet to be sent.
#[derive(Debug)]
pub(in crate::session) struct Forwarded {
    /// The section that carries it.
    pub(in crate::session) mid: Mid,
    pub(in crate::session) rewritten: Rewritten,
    /// Whether the section's source is known.
    pub(in crate::session) source_known: bool,
    /// Whether the peer lacked the codec of the packet before.
    pub(in crate::session) is_missing: bool,
}

/// What became of a packet.
#[derive(Debug, Default)]
pub(in crate::session) struct Outcome {
    /// The packet to be sent.
    pub(in crate::session) forwarded: Option<Forwarded>,
    /// The rank of the layer, if the packet switches to it.
    pub(in crate::session) switched: Option<u8>,
}

/// What becomes of a packet that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Turn {
    /// It is forwarded at once.
    Now,
    /// It waits, until [`Subscriptions::next_waiting`] gives it back.
    Later,
    /// It is dropped.
    Never,
}

/// What is before the packets that wait: the stack's backlog, and the rate at which it leaves, in bits per second.
pub(in crate::session) type Before<'a> = (&'a mut Backlog, u64);

impl Subscription {
    fn new(info: TrackInfo, owner: ShardId) -> Self {
        Self {
            info,
            owner,
            down: None,
            cap: None,
            pinned: false,
            missing: false,
            layers: Layers::default(),
            line: Line::default(),
            keyframe: None,
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
            events.push(SessionEvent::NeedKeyframe(track, down.asks_for()));
        }
        self.layers = Layers::default();
        self.missing = false;
        self.down = Some(down);
    }

    /// Ends the forwarding. Returns the section, for another track.
    fn close(&mut self, events: &mut Vec<SessionEvent>) -> Option<Downstream> {
        let down = self.down.take()?;
        self.line.keep(None, None);
        events.push(SessionEvent::Unsubscribed(self.info.id));
        Some(down.restarted())
    }

    /// What waits would be too late: the video goes on with another keyframe.
    fn give_up(&mut self, events: &mut Vec<SessionEvent>) {
        let Some(down) = &mut self.down else { return };
        let dropped = self.line.keep(None, down.current());
        events.extend((0..dropped).map(|_| SessionEvent::Dropped(DropReason::Congested)));
        self.keyframe = None;
        down.skip();
    }

    /// The layers to choose from.
    fn ladder(&self) -> Ladder {
        self.layers.ladder().clone().up_to(self.cap)
    }
}

impl Subscriptions {
    pub(in crate::session) fn new(peer: ParticipantId) -> Self {
        Self {
            peer,
            list: Vec::new(),
            places: HashMap::new(),
            idle: Vec::new(),
            offered: Vec::new(),
            pins: Vec::new(),
            heard: Arc::from([]),
            changed: false,
            waiting: false,
        }
    }

    /// Adds a track. Returns `false` if it is known already or the limit is reached.
    pub(in crate::session) fn add(&mut self, info: TrackInfo, owner: ShardId) -> bool {
        let known = self.places.contains_key(&info.id);
        let admitted = !known && self.list.len() < MAX_KNOWN;
        if admitted {
            self.push(Subscription::new(info, owner));
        }
        admitted
    }

    fn push(&mut self, mut subscription: Subscription) {
        subscription.pinned = self.pins.iter().any(|pin| pin.is_of(&subscription.info));
        self.places.insert(subscription.info.id, self.list.len());
        self.list.push(subscription);
    }

    fn find(&mut self, track: TrackId) -> Option<&mut Subscription> {
        let at = *self.places.get(&track)?;
        self.list.get_mut(at)
    }

    /// Ends a track. Its section stays for another.
    pub(in crate::session) fn remove(&mut self, track: TrackId, events: &mut Vec<SessionEvent>) {
        if let Some(at) = self.places.remove(&track) {
            let mut subscription = self.list.remove(at);
            for (place, known) in (at..).zip(&self.list[at..]) {
                self.places.insert(known.info.id, place);
            }
            self.changed |= subscription.down.is_some();
            self.idle.extend(subscription.close(events));
        }
    }

    /// Records who was heard last.
    pub(in crate::session) fn set_heard(&mut self, heard: Arc<[ParticipantId]>) {
        self.heard = heard;
    }

    /// Records what the page wants in any case.
    pub(in crate::session) fn pin(&mut self, pins: Vec<Pin>) {
        for known in &mut self.list {
            known.pinned = pins.iter().any(|pin| pin.is_of(&known.info));
        }
        self.pins = pins;
    }

    /// The tracks that sections carry.
    pub(in crate::session) fn carried(&self) -> impl Iterator<Item = (Mid, &TrackInfo)> {
        self.list
            .iter()
            .filter_map(|known| Some((known.down.as_ref()?.mid, &known.info)))
    }

    /// Whether what the sections carry has changed since the last call.
    pub(in crate::session) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn downstreams(&self) -> impl Iterator<Item = &Downstream> {
        self.list.iter().filter_map(|known| known.down.as_ref())
    }

    /// The track that a section carries, and its layer that is forwarded or waited for.
    pub(in crate::session) fn carried_by(&self, mid: Mid) -> Option<(TrackId, Layer)> {
        self.list.iter().find_map(|known| {
            let down = known.down.as_ref().filter(|down| down.mid == mid)?;
            Some((known.info.id, down.current().unwrap_or(down.asks_for())))
        })
    }

    /// The sections of a kind that the peer has agreed to.
    fn agreed_sections(&self, kind: MediaKind) -> usize {
        let video = kind == MediaKind::Video;
        let all = self.downstreams().chain(&self.idle);
        all.filter(|down| down.video == video).count()
    }

    /// How many more sections of a kind a page has to be offered.
    pub(in crate::session) fn missing(&self, kind: MediaKind) -> usize {
        let tracks = self.list.iter().filter(|known| known.kind() == kind);
        let wanted = tracks.count().min(MAX_SECTIONS.of(kind));
        let offered = self.offered.iter().filter(|offered| offered.1 == kind);
        wanted.saturating_sub(self.agreed_sections(kind) + offered.count())
    }

    /// Records that the peer has been offered a section.
    pub(in crate::session) fn offered(&mut self, mid: Mid, kind: MediaKind) {
        self.offered.push((mid, kind));
    }

    /// The peer has agreed to the sections of the last offer.
    pub(in crate::session) fn agreed(&mut self) {
        for (mid, kind) in std::mem::take(&mut self.offered) {
            self.add_section(mid, kind);
        }
    }

    /// Adds a section that carries no track yet.
    pub(in crate::session) fn add_section(&mut self, mid: Mid, kind: MediaKind) {
        let down = Downstream::new(mid, kind == MediaKind::Video);
        self.idle.push(down);
    }

    /// The last offer is void: what was in it has to be offered again.
    pub(in crate::session) fn withdrawn(&mut self) {
        self.offered.clear();
    }

    /// The peer has forgotten why it has no picture of some tracks. Returns the videos that are paused. A codec that it
    /// lacks is found with the next packet.
    pub(in crate::session) fn forget_told(&mut self) -> Vec<TrackId> {
        let mut paused = Vec::new();
        for known in &mut self.list {
            known.missing = false;
            let down = known.down.as_ref();
            if down.is_some_and(|down| down.congestion.is_paused()) {
                paused.push(known.info.id);
            }
        }
        paused
    }

    /// Gives the sections to the most important tracks. Returns whether one was opened.
    pub(in crate::session) fn assign(&mut self, events: &mut Vec<SessionEvent>) -> bool {
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

    /// Records the source that a section sends from.
    pub(in crate::session) fn set_source(&mut self, mid: Mid, ssrc: u32) {
        let downs = self.list.iter_mut().filter_map(|known| known.down.as_mut());
        if let Some(down) = downs.into_iter().find(|down| down.mid == mid) {
            down.source = Some(ssrc);
        }
    }

    /// Records whether the peer lacks the codec of a track.
    pub(in crate::session) fn set_missing(&mut self, track: TrackId, missing: bool) {
        if let Some(known) = self.find(track) {
            known.missing = missing;
        }
    }

    /// Limits the layer of a track: 0 (the smallest) to 2; `None` is no limit.
    pub(in crate::session) fn cap(&mut self, track: TrackId, layer: Option<u8>) {
        if let Some(known) = self.find(track) {
            known.cap = layer;
        }
    }

    /// Records that a layer of a track is being sent. Returns whether layers have to be chosen again.
    pub(in crate::session) fn record(&mut self, packet: &MediaPacket) -> bool {
        if packet.codec.name == Name::Opus {
            return false;
        }
        self.find(packet.track)
            .is_some_and(|known| known.layers.record(packet))
    }

    /// Chooses the layer of each video, within its share of the estimate and the page's limit, among those that the
    /// publisher sends.
    pub(in crate::session) fn choose_layers(
        &mut self,
        now: Instant,
        estimate: &Estimate,
        events: &mut Vec<SessionEvent>,
    ) {
        let is_video = |known: &&mut Subscription| known.down.as_ref().is_some_and(|it| it.video);
        let mut videos: Vec<_> = self.list.iter_mut().filter(is_video).collect();
        let demand = |known: &&mut Subscription| Demand {
            ladder: known.ladder(),
            wanted: known.down.as_ref().and_then(Downstream::wanted),
        };
        let demands: Vec<_> = videos.iter().map(demand).collect();
        let choices = share_out(&demands, estimate.for_videos());
        for (known, choice) in videos.iter_mut().zip(choices) {
            let (Some(choice), Some(down)) = (choice, &mut known.down) else {
                continue;
            };
            down.fits = choice.fits;
            if !down.want(choice.layer) {
                continue;
            }
            if down.needs_keyframe(now) {
                events.push(SessionEvent::NeedKeyframe(known.info.id, choice.layer));
            }
            let (participant, track) = (self.peer.0, known.info.id.0);
            tracing::debug!(
                participant,
                track,
                layer = choice.layer.0,
                fits = choice.fits,
                "layer chosen"
            );
        }
    }

    /// Decides whether a packet waits, or is held back because it would be late. Returns too whether the video is paused from now on,
    /// if that has changed.
    pub(in crate::session) fn admit(
        &mut self,
        now: Instant,
        packet: &MediaPacket,
        (backlog, rate): Before<'_>,
        events: &mut Vec<SessionEvent>,
    ) -> (Turn, Option<bool>) {
        let Some(known) = self.find(packet.track) else {
            return (Turn::Never, None);
        };
        let (Some(down), line) = (&mut known.down, &mut known.line) else {
            return (Turn::Never, None);
        };
        if !down.video {
            return (Turn::Now, None);
        }
        let before = backlog.wait(now, rate);
        let was_paused = down.congestion.is_paused();
        let wait = line.wait(now, before, rate);
        let of_keyframe = known.keyframe.is_some_and(|it| it.has(packet));
        let verdict = down.congestion.admit(now, wait, down.fits, of_keyframe);
        let paused = down.congestion.is_paused();
        let changed = (paused != was_paused).then_some(paused);
        let layer = Some(packet.layer);
        match verdict {
            Verdict::Send => {}
            Verdict::Resume => down.skip(),
            Verdict::Drop => {
                // A keyframe that is not whole is no use.
                known.keyframe = known.keyframe.filter(|_| !of_keyframe);
                let dropped = line.keep(known.keyframe, down.current());
                let dropped = dropped + usize::from(down.current() == layer);
                let dropped = (0..dropped).map(|_| SessionEvent::Dropped(DropReason::Congested));
                events.extend(dropped);
                return (Turn::Never, changed);
            }
        }
        let is_wanted = down.wanted() == layer;
        if packet.keyframe && (is_wanted || down.current() == layer) {
            known.keyframe = Some(Picture::of(packet));
        }
        if line.is_empty() && backlog.has_room(now) {
            return (Turn::Now, changed);
        }
        let begins = packet.keyframe || !line.is_empty();
        if down.current() != layer && !(is_wanted && begins) {
            return (Turn::Never, changed);
        }
        line.push(now, packet.clone());
        self.waiting = true;
        (Turn::Later, changed)
    }

    /// Takes the packet that has waited longest out of its line, if the stack has room for it.
    pub(in crate::session) fn next_waiting(
        &mut self,
        now: Instant,
        backlog: &mut Backlog,
        events: &mut Vec<SessionEvent>,
    ) -> Option<MediaPacket> {
        while self.waiting && backlog.has_room(now) {
            let waiting = self.list.iter_mut();
            let waiting = waiting.filter_map(|known| Some((known.line.since()?, known)));
            let Some((since, first)) = waiting.min_by_key(|(since, _)| *since) else {
                self.waiting = false;
                break;
            };
            let fits = first.down.as_ref().is_some_and(|down| down.fits);
            if now.saturating_duration_since(since) <= longest_wait(fits) {
                return first.line.pop();
            }
            first.give_up(events);
        }
        None
    }

    /// Forwards a packet whose turn it is, if it is of the chosen layer.
    pub(in crate::session) fn forward(
        &mut self,
        now: Instant,
        packet: &MediaPacket,
        events: &mut Vec<SessionEvent>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(known) = self.find(packet.track) else {
            return outcome;
        };
        let Some(down) = &mut known.down else {
            return outcome;
        };
        let before = down.current();
        let rewritten = down.rewrite(packet);
        if down.needs_keyframe(now) {
            let needed = down.asks_for();
            events.push(SessionEvent::NeedKeyframe(packet.track, needed));
        }
        let mid = down.mid;
        let (source_known, is_missing) = (down.source.is_some(), known.missing);
        outcome.forwarded = rewritten.map(|rewritten| Forwarded {
            mid,
            rewritten,
            source_known,
            is_missing,
        });
        let switched = down.current().filter(|layer| Some(*layer) != before);
        outcome.switched = switched.map(|layer| known.layers.ladder().rank(layer));
        outcome
    }

    /// The bitrate of the largest layers, in bits per second. What does not flow counts for nothing.
    pub(in crate::session) fn desired_rate(&self) -> u64 {
        let desired = |known: &Subscription| match &known.down {
            Some(down) if down.video => known.ladder().most(),
            Some(down) if down.current().is_some() => SOUND,
            _ => 0,
        };
        self.list.iter().map(desired).sum()
    }

    #[cfg(test)]
    pub(in crate::session) fn add_open(&mut self, info: TrackInfo, mid: Mid) {
        let down = Downstream::new(mid, info.video);
        let mut subscription = Subscription::new(info, 0);
        subscription.open(down, &mut Vec::new());
        self.push(subscription);
    }

    #[cfg(test)]
    pub(in crate::session) fn wanted(&self, track: TrackId) -> Option<Layer> {
        self.downstream(track)?.wanted()
    }

    #[cfg(test)]
    pub(in crate::session) fn current(&self, track: TrackId) -> Option<Layer> {
        self.downstream(track)?.current()
    }

    #[cfg(test)]
    fn downstream(&self, track: TrackId) -> Option<&Downstream> {
        let known = self.list.iter().find(|known| known.info.id == track);
        known?.down.as_ref()
    }
}
