//! What a peer sends: its tracks, their streams, and how loud it is.
//!
//! It says what has come in; where that goes is not known here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::{KeyframeRequestKind, MediaKind, Mid};
use str0m::rtp::{RtpPacket, Ssrc};

use super::{MAX_PUBLISHED, Role, Session, SessionEvent};
use crate::ids::TrackId;
use crate::media::{Layer, MediaPacket, Source, TrackInfo, codec};

/// A track that the peer sends.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) info: TrackInfo,
    pub(super) mid: Mid,
    pub(super) announced: bool,
    pub(super) gone: bool,
    pub(super) last_keyframe_request: [Option<Instant>; 3],
}

impl Session {
    /// Asks the peer for a keyframe of a track that it sends; requests for one are coalesced.
    pub fn request_keyframe(&mut self, now: Instant, track: TrackId, layer: Layer) -> bool {
        const AT_MOST_EVERY: Duration = Duration::from_millis(500);
        let Some(index) = self.upstreams.iter().position(|up| up.info.id == track) else {
            return false;
        };
        let last = &mut self.upstreams[index].last_keyframe_request[usize::from(layer.0.min(2))];
        if last.is_some_and(|last| now.saturating_duration_since(last) < AT_MOST_EVERY) {
            return false;
        }
        let known = self.streams.iter().filter(|stream| stream.1 == index);
        // A track without layers has only the highest, whatever was asked for.
        let ssrc = known
            .clone()
            .find(|stream| stream.2 == layer)
            .or_else(|| known.clone().next());
        let Some(&(ssrc, _, _)) = ssrc else {
            return false;
        };
        *last = Some(now);
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_rx(&ssrc) else {
            return false;
        };
        stream.request_keyframe(KeyframeRequestKind::Pli);
        true
    }

    pub(super) fn incoming(&mut self, now: Instant, packet: RtpPacket) {
        let ssrc = packet.header.ssrc;
        let known = self.streams.iter().find(|stream| stream.0 == ssrc).copied();
        let Some((_, index, layer)) = known.or_else(|| self.learn_stream(ssrc)) else {
            return;
        };
        let upstream = &self.upstreams[index];
        let mid = upstream.mid;
        let Some(codec) = self.types.codec(&mid, *packet.header.payload_type) else {
            tracing::debug!(pt = *packet.header.payload_type, %mid, "unknown payload type");
            return;
        };
        if upstream.gone {
            return;
        }
        // Packets of padding alone come through with nothing in them and go on as such: a receiver
        // that misses their numbers waits for them.
        let packet = MediaPacket {
            track: upstream.info.id,
            layer,
            ssrc: *ssrc,
            codec,
            sequence: *packet.seq_no,
            time: packet.header.timestamp,
            marker: packet.header.marker,
            keyframe: codec::starts_keyframe(codec.name, &packet.payload),
            audio_level: packet.header.ext_vals.audio_level,
            voice: packet.header.ext_vals.voice_activity,
            arrived: packet.timestamp,
            payload: packet.payload,
        };
        if !upstream.announced {
            self.upstreams[index].announced = true;
            let info = self.upstreams[index].info.clone();
            self.events.push(SessionEvent::Published(info));
        }
        if let Some(level) = packet.audio_level {
            self.hear(now, level);
        }
        self.events.push(SessionEvent::Media(packet));
    }

    /// The active speaker is found from a level that follows the voice slowly.
    fn hear(&mut self, now: Instant, level: i8) {
        const TELL_EVERY: Duration = Duration::from_millis(200);
        self.level += (f32::from(level) - self.level) * 0.1;
        if self
            .level_told
            .is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY)
        {
            self.level_told = Some(now);
            self.events.push(SessionEvent::Level(self.level as i8));
        }
    }

    fn learn_stream(&mut self, ssrc: Ssrc) -> Option<(Ssrc, usize, Layer)> {
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_rx(&ssrc)?;
        let (mid, layer) = (stream.mid(), Layer::of(stream.rid()));
        let index = self
            .upstreams
            .iter()
            .position(|upstream| upstream.mid == mid)?;
        tracing::debug!(participant = self.id.0, %mid, layer = layer.0, ssrc = *ssrc, "stream");
        let stream = (ssrc, index, layer);
        // A sender that begins anew may do so from another source.
        self.streams
            .retain(|known| (known.1, known.2) != (index, layer));
        self.streams.push(stream);
        self.ssrcs.heard(*ssrc);
        Some(stream)
    }

    pub(super) fn publish(&mut self, mid: Mid, kind: MediaKind) {
        if self.role == Role::Subscribe {
            return;
        }
        if let Some(upstream) = self
            .upstreams
            .iter_mut()
            .find(|upstream| upstream.mid == mid)
        {
            if upstream.gone {
                upstream.gone = false;
                upstream.announced = false;
            }
            return;
        }
        if self
            .upstreams
            .iter()
            .filter(|upstream| !upstream.gone)
            .count()
            >= MAX_PUBLISHED
        {
            return;
        }
        let Some(published) = self.published.checked_add(1) else {
            return;
        };
        let video = kind == MediaKind::Video;
        let said = self
            .sources
            .iter()
            .find(|source| source.0 == *mid)
            .map(|source| source.1);
        let source = said.unwrap_or(if video {
            Source::Camera
        } else {
            Source::Microphone
        });
        let info = TrackInfo {
            id: TrackId::new(self.id, self.published),
            participant: self.id,
            name: Arc::clone(&self.name),
            video,
            source,
        };
        self.published = published;
        self.upstreams.push(Upstream {
            info,
            mid,
            announced: false,
            gone: false,
            last_keyframe_request: [None; 3],
        });
    }

    pub(super) fn unpublish(&mut self, mid: Mid) {
        let upstream = self
            .upstreams
            .iter_mut()
            .find(|upstream| upstream.mid == mid);
        if let Some(upstream) = upstream
            && !upstream.gone
        {
            upstream.gone = true;
            if upstream.announced {
                self.events
                    .push(SessionEvent::Unpublished(upstream.info.id));
            }
        }
    }
}
