//! What a peer publishes: tracks, their RTP streams, and the audio level.
//!
//! Packets are reported as events; who receives them is not known here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid, Rid};
use str0m::rtp::rtcp::SenderInfo;
use str0m::rtp::{RtpPacket, Ssrc};

use super::SessionEvent;
use super::clock::{Clock, Moment};
use crate::ids::{ParticipantId, PersonId, TrackId};
use crate::media::codec::{self, Codecs, Name, PayloadTypes};
use crate::media::{Layer, MAX_LAYERS, Measure, MediaPacket, Source, TrackInfo};

/// How many tracks a participant may publish.
pub const MAX_PUBLISHED: usize = 4;
/// The shortest time between two keyframe requests for one layer of a track.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);
/// How many media sections one message may describe, and how many descriptions are kept.
const MAX_HINTS: (usize, usize) = (8, 32);

/// A track that the peer publishes.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) info: TrackInfo,
    mid: Mid,
    /// Whether it was reported as published, which happens with its first packet.
    announced: bool,
    gone: bool,
    /// The codecs that it could be sent with.
    possible: Codecs,
    /// When each layer's last keyframe was requested.
    keyframe_requested: [Option<Instant>; MAX_LAYERS],
    /// Layers whose keyframe is requested as soon as the last request is old enough.
    keyframe_deferred: [bool; MAX_LAYERS],
}

/// An RTP stream of a track.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    ssrc: Ssrc,
    /// The index of its [`Upstream`].
    upstream: usize,
    layer: Layer,
    rid: Option<Rid>,
    meter: Meter,
    reported: Option<Reported>,
}

/// What the last sender report of a stream said.
#[derive(Debug, Clone, Copy)]
struct Reported {
    report: SenderInfo,
    moment: Option<Moment>,
}

impl Stream {
    /// Records the last sender report.
    fn report(&mut self, clock: &mut Clock, now: Instant, report: SenderInfo) {
        if self.reported.is_none_or(|known| known.report != report) {
            let moment = clock.moment(now, &report);
            self.reported = Some(Reported { report, moment });
        }
    }

    fn captured(&self, time: u32, codec: Name) -> Option<Instant> {
        self.reported?.moment?.captured(time, codec.clock_rate())
    }
}

/// Measures a stream.
#[derive(Debug, Clone, Copy)]
struct Meter {
    measure: Measure,
    since: Instant,
    bytes: u64,
}

impl Meter {
    /// How long bytes are counted for a measurement.
    const WINDOW: Duration = Duration::from_millis(500);

    fn new(now: Instant) -> Self {
        Self {
            measure: Measure::default(),
            since: now,
            bytes: 0,
        }
    }

    fn record(&mut self, now: Instant, codec: Name, payload: &[u8]) -> Measure {
        self.bytes += payload.len() as u64;
        let elapsed = now.saturating_duration_since(self.since);
        let rate = |time: Duration| {
            let rate = u128::from(self.bytes) * 8_000_000 / time.as_micros().max(1);
            u32::try_from(rate).unwrap_or(u32::MAX)
        };
        if elapsed >= Self::WINDOW {
            let (now_is, before) = (rate(elapsed), self.measure.rate);
            let first = before == 0;
            self.measure.rate = if first {
                now_is
            } else {
                before / 2 + now_is / 2
            };
            (self.since, self.bytes) = (now, 0);
        } else if self.measure.rate == 0 {
            // At first, better a rough measurement than none.
            let pixels = self.measure.pixels;
            let rate = rate(elapsed.max(Duration::from_millis(100)));
            let pixels = codec::pixels(codec, payload).unwrap_or(pixels);
            self.measure.pixels = pixels;
            return Measure { rate, pixels };
        }
        if let Some(pixels) = codec::pixels(codec, payload) {
            self.measure.pixels = pixels;
        }
        self.measure
    }
}

/// All tracks that a peer publishes.
#[derive(Debug)]
pub(super) struct Publications {
    participant: ParticipantId,
    person: PersonId,
    /// The name that other participants see.
    name: Arc<str>,
    upstreams: Vec<Upstream>,
    /// At most one for each layer of each track: the last that packets came from.
    streams: Vec<Stream>,
    /// The devices of the media sections, by mid, as the page described them.
    hints: Vec<(String, Source)>,
    /// The number of tracks so far, which numbers the next.
    count: u16,
    loudness: Loudness,
    clock: Clock,
}

/// The smoothed audio level, from which the active speaker is determined.
#[derive(Debug)]
struct Loudness {
    /// In dBov, -127 (silent) to 0.
    level: f32,
    reported: Option<Instant>,
}

impl Publications {
    pub(super) fn new(participant: ParticipantId, person: PersonId, name: Arc<str>) -> Self {
        Self {
            participant,
            person,
            name,
            upstreams: Vec::new(),
            streams: Vec::new(),
            hints: Vec::new(),
            count: 0,
            loudness: Loudness {
                level: -127.0,
                reported: None,
            },
            clock: Clock::default(),
        }
    }

    /// Records the devices of media sections.
    pub(super) fn hint(&mut self, hints: impl IntoIterator<Item = (String, Source)>) {
        for (mid, source) in hints.into_iter().take(MAX_HINTS.0) {
            self.hints.retain(|known| known.0 != mid);
            self.hints.push((mid, source));
        }
        self.hints.truncate(MAX_HINTS.1);
    }

    /// Adds the track of a media section, or revives it.
    pub(super) fn add(&mut self, mid: Mid, kind: MediaKind) {
        if let Some(upstream) = self.find(mid) {
            if upstream.gone {
                upstream.gone = false;
                upstream.announced = false;
            }
            return;
        }
        let present = self.upstreams.iter().filter(|upstream| !upstream.gone);
        if present.count() >= MAX_PUBLISHED {
            return;
        }
        let Some(next) = self.count.checked_add(1) else {
            return;
        };
        let video = kind == MediaKind::Video;
        let hint = self.hints.iter().find(|hint| hint.0 == *mid);
        let source = hint.map_or(
            if video {
                Source::Camera
            } else {
                Source::Microphone
            },
            |hint| hint.1,
        );
        let info = TrackInfo {
            id: TrackId::new(self.participant, self.count),
            participant: self.participant,
            person: self.person,
            name: Arc::clone(&self.name),
            video,
            source,
        };
        self.count = next;
        self.upstreams.push(Upstream {
            info,
            mid,
            announced: false,
            gone: false,
            possible: Codecs::default(),
            keyframe_requested: [None; MAX_LAYERS],
            keyframe_deferred: [false; MAX_LAYERS],
        });
    }

    /// Ends the track of a media section.
    pub(super) fn remove(&mut self, mid: Mid, events: &mut Vec<SessionEvent>) {
        if let Some(upstream) = self.find(mid)
            && !upstream.gone
        {
            upstream.gone = true;
            if upstream.announced {
                events.push(SessionEvent::Unpublished(upstream.info.id));
            }
        }
    }

    fn find(&mut self, mid: Mid) -> Option<&mut Upstream> {
        self.upstreams
            .iter_mut()
            .find(|upstream| upstream.mid == mid)
    }

    /// Reports a packet. Returns its source if that was not known before.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        packet: RtpPacket,
        rtc: &mut Rtc,
        types: &PayloadTypes,
        events: &mut Vec<SessionEvent>,
    ) -> Option<Ssrc> {
        let ssrc = packet.header.ssrc;
        let known = self.streams.iter().find(|it| it.ssrc == ssrc);
        let learnt = known.is_none().then_some(ssrc);
        if known.is_none() {
            self.learn_stream(now, ssrc, rtc)?;
        }
        let stream = self.streams.iter_mut().find(|it| it.ssrc == ssrc)?;
        let upstream = &mut self.upstreams[stream.upstream];
        let mid = upstream.mid;
        let Some(codec) = types.codec(&mid, *packet.header.payload_type) else {
            tracing::debug!(pt = *packet.header.payload_type, %mid, "unknown payload type");
            return learnt;
        };
        if upstream.gone {
            return learnt;
        }
        if let Some(report) = packet.last_sender_info {
            stream.report(&mut self.clock, now, report);
        }
        // A packet that is only padding has an empty payload and is forwarded like any other: receivers wait for its
        // sequence number.
        if !upstream.announced {
            upstream.possible = types.codecs(&mid);
        }
        let packet = MediaPacket {
            track: upstream.info.id,
            layer: stream.layer,
            measure: if codec.name == Name::Opus {
                Measure::default()
            } else {
                stream.meter.record(now, codec.name, &packet.payload)
            },
            ssrc: *ssrc,
            codec,
            sequence: *packet.seq_no,
            time: packet.header.timestamp,
            marker: packet.header.marker,
            keyframe: codec::starts_keyframe(codec.name, &packet.payload),
            audio_level: packet.header.ext_vals.audio_level,
            voice: packet.header.ext_vals.voice_activity,
            orientation: packet.header.ext_vals.video_orientation,
            possible: upstream.possible,
            arrived: packet.timestamp,
            captured: stream.captured(packet.header.timestamp, codec.name),
            payload: packet.payload,
        };
        let stream = *stream;
        if packet.keyframe && packet.codec.name != Name::Opus {
            // It is what the deferred request would ask for.
            let single = self
                .streams
                .iter()
                .filter(|other| other.upstream == stream.upstream);
            if single.count() == 1 {
                upstream.keyframe_deferred = [false; MAX_LAYERS];
            }
            upstream.keyframe_deferred[usize::from(stream.layer.0)] = false;
        }
        if !upstream.announced {
            upstream.announced = true;
            events.push(SessionEvent::Published(upstream.info.clone()));
        }
        if let Some(level) = packet
            .audio_level
            .and_then(|level| self.loudness.record(now, level))
        {
            events.push(SessionEvent::Level(level));
        }
        events.push(SessionEvent::Media(packet));
        learnt
    }

    fn learn_stream(&mut self, now: Instant, ssrc: Ssrc, rtc: &mut Rtc) -> Option<()> {
        let mut direct = rtc.direct_api();
        let received = direct.stream_rx(&ssrc)?;
        let (mid, rid) = (received.mid(), received.rid());
        let mut upstreams = self.upstreams.iter();
        let upstream = upstreams.position(|upstream| upstream.mid == mid)?;
        let participant = self.participant.0;
        // A sender that restarts may use another source for a layer.
        let mut known = self.streams.iter();
        let known = known.position(|it| (it.upstream, it.rid) == (upstream, rid));
        let layer = match known {
            Some(at) => self.streams.swap_remove(at).layer,
            None => {
                let used = |layer: &u8| {
                    let mut known = self.streams.iter();
                    known.any(|it| it.upstream == upstream && it.layer.0 == *layer)
                };
                Layer((0..MAX_LAYERS as u8).find(|layer| !used(layer))?)
            }
        };
        tracing::debug!(participant, %mid, ?rid, layer = layer.0, ssrc = *ssrc, "stream");
        self.streams.push(Stream {
            ssrc,
            upstream,
            layer,
            rid,
            meter: Meter::new(now),
            reported: None,
        });
        Some(())
    }

    /// When the next deferred keyframe request is due; `None` if there is none.
    pub(super) fn deferred_until(&self) -> Option<Instant> {
        let upstreams = self.upstreams.iter().filter(|upstream| !upstream.gone);
        let due = upstreams.flat_map(|upstream| {
            let layers = upstream.keyframe_requested.iter();
            let layers = layers.zip(upstream.keyframe_deferred);
            layers.filter_map(|(last, deferred)| {
                Some((*last)? + KEYFRAME_INTERVAL).filter(|_| deferred)
            })
        });
        due.min()
    }

    /// Sends the deferred keyframe requests that are due.
    pub(super) fn request_deferred(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        events: &mut Vec<SessionEvent>,
    ) {
        if self.deferred_until().is_none_or(|due| due > now) {
            return;
        }
        for index in 0..self.upstreams.len() {
            let upstream = &mut self.upstreams[index];
            let track = upstream.info.id;
            for (layer, _) in (0..)
                .zip(std::mem::take(&mut upstream.keyframe_deferred))
                .filter(|(_, deferred)| *deferred)
            {
                // One that is not due yet is deferred again.
                if self.request_keyframe(now, track, Layer(layer), rtc) {
                    events.push(SessionEvent::KeyframeRequested);
                }
            }
        }
    }

    /// Asks the peer for a keyframe of a track. If it was asked lately, the request is deferred until the interval is over.
    /// Returns whether it was asked now.
    pub(super) fn request_keyframe(
        &mut self,
        now: Instant,
        track: TrackId,
        layer: Layer,
        rtc: &mut Rtc,
    ) -> bool {
        let mut upstreams = self.upstreams.iter();
        let Some(index) = upstreams.position(|upstream| upstream.info.id == track) else {
            return false;
        };
        if layer == Layer::ANY {
            let streams = self.streams.iter().filter(|it| it.upstream == index);
            let layers: Vec<_> = streams.map(|it| it.layer).collect();
            let asked = layers
                .into_iter()
                .map(|layer| self.request_keyframe(now, track, layer, rtc));
            return asked.fold(false, std::ops::BitOr::bitor);
        }
        let upstream = &mut self.upstreams[index];
        let at = usize::from(layer.0).min(MAX_LAYERS - 1);
        let last = &mut upstream.keyframe_requested[at];
        let deferred = &mut upstream.keyframe_deferred[at];
        *deferred =
            last.is_some_and(|last| now.saturating_duration_since(last) < KEYFRAME_INTERVAL);
        if *deferred {
            return false;
        }
        let mut streams = self
            .streams
            .iter()
            .filter(|stream| stream.upstream == index);
        // A track without simulcast has one stream, whichever layer was asked for.
        let stream = streams
            .clone()
            .find(|stream| stream.layer == layer)
            .or_else(|| streams.next());
        let Some(stream) = stream else {
            return false;
        };
        *last = Some(now);
        let mut direct = rtc.direct_api();
        let Some(received) = direct.stream_rx(&stream.ssrc) else {
            return false;
        };
        received.request_keyframe(KeyframeRequestKind::Pli);
        true
    }

    #[cfg(test)]
    pub(super) fn add_stream(&mut self, ssrc: Ssrc, layer: Layer) -> TrackId {
        self.streams.push(Stream {
            ssrc,
            upstream: 0,
            layer,
            rid: None,
            meter: Meter::new(Instant::now()),
            reported: None,
        });
        self.upstreams[0].info.id
    }
}

impl Loudness {
    /// Adds a measurement. Returns the smoothed level if it is due to be reported.
    fn record(&mut self, now: Instant, level: i8) -> Option<i8> {
        const REPORT_INTERVAL: Duration = Duration::from_millis(200);
        self.level += (f32::from(level) - self.level) * 0.1;
        let due = self
            .reported
            .is_none_or(|at| now.saturating_duration_since(at) >= REPORT_INTERVAL);
        due.then(|| {
            self.reported = Some(now);
            self.level as i8
        })
    }
}
