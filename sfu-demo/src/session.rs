//! One WebRTC peer, without I/O: datagrams and time go in, datagrams and events come out.
//!
//! It terminates ICE, DTLS and SRTP (by str0m), publishes what the peer sends as [`MediaPacket`]s
//! and renumbers what the peer is to get. It knows no other peer, no socket and no room.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use str0m::bwe::BweKind;
use str0m::change::SdpPendingOffer;
use str0m::channel::ChannelId;
use str0m::ice::StunMessage;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid, Rid};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, Ssrc, Vp8Descriptor};
use str0m::{Event, IceConnectionState, Input, Output, Rtc};

pub mod build;
pub mod codec;
pub mod downstream;
mod layers;
mod negotiate;
pub mod signal;

use codec::{Codec, PayloadTypes};
use downstream::Downstream;
use signal::{FromPage, Source, ToPage};

/// How many tracks a participant may publish.
pub const MAX_PUBLISHED: usize = 4;
/// How many streams (layers of tracks) a participant may send.
pub const MAX_STREAMS: usize = 16;
/// How many tracks a participant is sent at most.
pub const MAX_SUBSCRIBED: usize = 64;
/// The longest message that a page may send.
const MAX_MESSAGE: usize = 64 << 10;
/// A peer that has not shown that it is there for this long is gone.
const CONSENT: Duration = Duration::from_secs(20);

/// A participant of the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ParticipantId(pub u64);

/// A track of the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

impl TrackId {
    fn new(participant: ParticipantId, index: usize) -> Self {
        Self(participant.0 << 8 | index as u64)
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl std::str::FromStr for TrackId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.strip_prefix('t').ok_or(())?;
        number.parse().map(Self).map_err(|_| ())
    }
}

/// A simulcast layer, 0 (small) to 2 (large); a track without layers has the largest alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Layer(pub u8);

impl Layer {
    /// The largest.
    pub const HIGHEST: Self = Self(2);

    /// The layer of a stream that is called `rid`: `q`, `h`, `f` or `0`, `1`, `2`.
    #[must_use]
    pub fn of(rid: Option<Rid>) -> Self {
        match rid.as_deref() {
            Some("q" | "l" | "lo" | "0") => Self(0),
            Some("h" | "m" | "mid" | "1") => Self(1),
            _ => Self::HIGHEST,
        }
    }
}

/// What a participant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The page: sends, receives, and speaks over a data channel.
    Page,
    /// WHIP: sends.
    Publish,
    /// WHEP: receives.
    Subscribe,
}

/// What others are told of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackInfo {
    /// Which.
    pub id: TrackId,
    /// Whose.
    pub participant: ParticipantId,
    /// The name of whose it is.
    pub name: Arc<str>,
    /// Whether it is video.
    pub video: bool,
    /// What it is.
    pub source: Source,
}

/// One RTP packet on its way through the server, as all subscribers share it.
#[derive(Debug, Clone)]
pub struct MediaPacket {
    /// Of which track.
    pub track: TrackId,
    /// Of which layer.
    pub layer: Layer,
    /// What it is.
    pub codec: Codec,
    /// The sequence number, extended.
    pub sequence: u64,
    /// The RTP time.
    pub time: u32,
    /// The marker bit.
    pub marker: bool,
    /// Whether a receiver can start here.
    pub keyframe: bool,
    /// Audio: the level in dBov, 0 (loud) to -127.
    pub audio_level: Option<i8>,
    /// Audio: whether there is a voice.
    pub voice: Option<bool>,
    /// When it came in.
    pub arrived: Instant,
    /// The payload.
    pub payload: Arc<[u8]>,
}

/// What a session has to say.
#[derive(Debug)]
pub enum SessionEvent {
    /// ICE and DTLS are done.
    Connected,
    /// The peer sent a packet.
    Media(MediaPacket),
    /// The peer sends a track.
    Published(TrackInfo),
    /// The peer no longer sends a track.
    Unpublished(TrackId),
    /// The peer is now sent this track.
    Subscribed(TrackId),
    /// The peer is no longer sent this track.
    Unsubscribed(TrackId),
    /// A keyframe of another's track is needed.
    NeedKeyframe(TrackId, Layer),
    /// How loud the peer is.
    Level(i8),
    /// The peer switched something off or on.
    Muted(Source, bool),
    /// A message for the room.
    Chat(String),
    /// The page can be told things.
    ChannelOpen,
    /// It is over; nothing follows.
    Closed(&'static str),
}

/// A track that the peer sends.
#[derive(Debug)]
struct Upstream {
    info: TrackInfo,
    mid: Mid,
    announced: bool,
    gone: bool,
    last_keyframe_request: [Option<Instant>; 3],
}

/// A track of somebody else's that the peer is to get.
#[derive(Debug)]
struct Offered {
    info: TrackInfo,
    state: OfferState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfferState {
    Waiting,
    Negotiating(Mid),
    Open(Mid),
    Leaving(Mid),
    NegotiatingEnd(Mid),
}

/// One peer.
pub struct Session {
    /// Who.
    pub id: ParticipantId,
    /// In which room.
    pub room: Arc<str>,
    /// By what name.
    pub name: Arc<str>,
    /// Doing what.
    pub role: Role,
    rtc: Rtc,
    ufrag: String,
    password: String,
    types: PayloadTypes,
    sources: Vec<(String, Source)>,
    published: usize,
    upstreams: Vec<Upstream>,
    streams: Vec<(Ssrc, usize, Layer)>,
    offered: Vec<Offered>,
    downstreams: Vec<Downstream>,
    layers_seen: Vec<(TrackId, [Option<Instant>; 3])>,
    layer_caps: Vec<(TrackId, Layer)>,
    estimate: Option<u64>,
    told_estimate: u64,
    channel: Option<ChannelId>,
    pending: Option<SdpPendingOffer>,
    events: Vec<SessionEvent>,
    level: f32,
    level_told: Option<Instant>,
    alive: Instant,
    timeout: Instant,
    connected: bool,
    closing: bool,
    closed: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("room", &self.room)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// What a binding request to this session starts its user name with.
    #[must_use]
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// Whether a STUN message was made by somebody who knows this session's password.
    #[must_use]
    pub fn verifies(&self, message: &StunMessage<'_>) -> bool {
        let crypto = build::crypto();
        message.verify(self.password.as_bytes(), |key, parts| {
            crypto.sha1_hmac_provider.sha1_hmac(key, parts)
        })
    }

    /// When [`Session::tick`] is due.
    #[must_use]
    pub fn timeout(&self) -> Instant {
        self.timeout
    }

    /// Takes a datagram that is for this session. One that is malformed or not authentic changes
    /// nothing. [`Session::poll`] must follow before the next: only one packet is kept.
    pub fn receive(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
    ) -> bool {
        let Ok(receive) = Receive::new(Protocol::Udp, source, destination, bytes) else {
            return false;
        };
        let input = Input::Receive(now, receive);
        if !self.rtc.accepts(&input) {
            return false;
        }
        if let Err(error) = self.rtc.handle_input(input) {
            tracing::debug!(participant = self.id.0, %error, "input refused");
            self.close_for("protocol error");
        }
        true
    }

    /// Notes that the peer has just proved that it is there.
    pub fn consent(&mut self, now: Instant) {
        self.alive = now;
    }

    /// Drives time.
    pub fn tick(&mut self, now: Instant) {
        if now.saturating_duration_since(self.alive) > CONSENT {
            self.close_for("gone silent");
        }
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            tracing::debug!(participant = self.id.0, %error, "timeout refused");
            self.close_for("protocol error");
        }
    }

    /// Hands out what there is to send and to say, until there is nothing more for now.
    pub fn poll(
        &mut self,
        now: Instant,
        mut send: impl FnMut(Transmit),
        events: &mut Vec<SessionEvent>,
    ) {
        self.negotiate();
        loop {
            if !self.rtc.is_alive() {
                self.close_for("closed");
                self.timeout = now + CONSENT;
                break;
            }
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => send(transmit),
                Ok(Output::Event(event)) => self.event(now, event),
                Ok(Output::Timeout(at)) => {
                    self.timeout = at.min(self.alive + CONSENT + Duration::from_millis(1));
                    break;
                }
                Err(error) => {
                    tracing::debug!(participant = self.id.0, %error, "session failed");
                    self.rtc.disconnect();
                    self.close_for("protocol error");
                }
            }
        }
        if self.closing {
            self.close_for("closed");
        }
        events.append(&mut self.events);
    }

    /// Sends a packet of a track to which this peer is subscribed, if its layer is the chosen one.
    /// It leaves with the next [`Session::poll`].
    pub fn deliver(&mut self, now: Instant, packet: &MediaPacket) -> bool {
        self.note_layer(packet);
        let Some(down) = self
            .downstreams
            .iter_mut()
            .find(|down| down.track == packet.track)
        else {
            return false;
        };
        let before = down.current();
        let rewritten = down.rewrite(packet);
        if down.needs_keyframe(now) {
            self.events
                .push(SessionEvent::NeedKeyframe(down.track, down.wanted()));
        }
        let (mid, track, current) = (down.mid, down.track, down.current());
        if current != before
            && let Some(layer) = current
            && packet.codec.name != codec::Name::Opus
        {
            self.tell(&ToPage::Layer {
                track: track.to_string(),
                layer: layer.0,
            });
        }
        let Some(rewritten) = rewritten else {
            return false;
        };
        let Some(pt) = self.types.payload_type(&mid, packet.codec) else {
            return false;
        };
        let mut write = RtpWrite::new(
            pt.into(),
            rewritten.sequence.into(),
            rewritten.time,
            packet.arrived,
            Arc::clone(&packet.payload),
        )
        .marker(packet.marker)
        .nackable(packet.codec.name != codec::Name::Opus)
        .ext_vals(ExtensionValues {
            audio_level: packet.audio_level,
            voice_activity: packet.voice,
            ..ExtensionValues::default()
        });
        if let Some((picture, base)) = rewritten.vp8
            && let Ok(descriptor) = Vp8Descriptor::parse(&packet.payload)
        {
            let mut patch = descriptor.patch();
            if let Some(picture) = picture {
                patch = patch.picture_id(picture);
            }
            if let Some(base) = base {
                patch = patch.tl0_pic_idx(base);
            }
            // A short picture number has no room for a large one: then all stay as they are.
            if let Ok(patch) = patch.build() {
                write = write.vp8_patch(patch);
            }
        }
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(mid, None) else {
            return false;
        };
        stream.write_rtp(write);
        true
    }

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

    /// Sends a text to the page, if it is there to listen.
    pub fn send_text(&mut self, text: &str) -> bool {
        let Some(channel) = self.channel else {
            return false;
        };
        let Some(mut channel) = self.rtc.channel(channel) else {
            return false;
        };
        channel.write(false, text.as_bytes()).unwrap_or(false)
    }

    /// Says goodbye with the next [`Session::poll`], and is over then: it does not wait for the
    /// peer to say it too.
    pub fn close(&mut self) {
        self.closing = true;
        let _ = self.rtc.close();
    }

    /// What is known of the tracks that the peer gets: their number, and the estimate.
    #[must_use]
    pub fn subscriptions(&self) -> (usize, Option<u64>) {
        (self.downstreams.len(), self.estimate)
    }

    fn close_for(&mut self, why: &'static str) {
        if !self.closed {
            self.closed = true;
            self.events.push(SessionEvent::Closed(why));
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Connected => {
                self.connected = true;
                self.events.push(SessionEvent::Connected);
                self.assign();
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.rtc.disconnect();
                self.close_for("connection lost");
            }
            Event::RtpPacket(packet) => self.incoming(now, packet),
            Event::MediaAdded(media) if media.direction.is_receiving() => {
                self.publish(media.mid, media.kind);
            }
            Event::MediaChanged(media) => {
                if media.direction.is_receiving() {
                    if let Some(kind) = self.rtc.media(media.mid).map(|media| media.kind()) {
                        self.publish(media.mid, kind);
                    }
                } else {
                    self.unpublish(media.mid);
                }
            }
            Event::KeyframeRequest(request) => {
                let down = self.downstreams.iter().find(|down| down.mid == request.mid);
                if let Some(down) = down {
                    let layer = down.current().unwrap_or(down.wanted());
                    self.events
                        .push(SessionEvent::NeedKeyframe(down.track, layer));
                }
            }
            Event::EgressBitrateEstimate(estimate) => {
                let rate = match estimate {
                    BweKind::Twcc { estimate, .. } => estimate,
                    BweKind::Remb { estimate, .. } => estimate,
                    _ => return,
                };
                self.estimate = Some(rate.as_u64());
                self.choose_layers(now);
                let rate = rate.as_u64();
                if rate.abs_diff(self.told_estimate) > self.told_estimate / 10 {
                    self.told_estimate = rate;
                    self.tell(&ToPage::Bandwidth { estimate: rate });
                }
            }
            Event::ChannelOpen(id, _) if self.channel.is_none() => {
                self.channel = Some(id);
                self.events.push(SessionEvent::ChannelOpen);
            }
            Event::ChannelClose(id) if self.channel == Some(id) => self.channel = None,
            Event::ChannelData(data)
                if Some(data.id) == self.channel && data.data.len() <= MAX_MESSAGE =>
            {
                match serde_json::from_slice(&data.data) {
                    Ok(message) => self.message(now, message),
                    Err(error) => {
                        tracing::debug!(participant = self.id.0, %error, "not understood");
                    }
                }
            }
            Event::Closed => self.close_for("left"),
            _ => {}
        }
    }

    fn incoming(&mut self, now: Instant, packet: RtpPacket) {
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
        if self.streams.len() >= MAX_STREAMS {
            return None;
        }
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_rx(&ssrc)?;
        let (mid, layer) = (stream.mid(), Layer::of(stream.rid()));
        let index = self
            .upstreams
            .iter()
            .position(|upstream| upstream.mid == mid)?;
        tracing::debug!(participant = self.id.0, %mid, layer = layer.0, ssrc = *ssrc, "stream");
        let stream = (ssrc, index, layer);
        self.streams.push(stream);
        Some(stream)
    }

    fn publish(&mut self, mid: Mid, kind: MediaKind) {
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
        self.published += 1;
        self.upstreams.push(Upstream {
            info,
            mid,
            announced: false,
            gone: false,
            last_keyframe_request: [None; 3],
        });
    }

    fn unpublish(&mut self, mid: Mid) {
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

    fn message(&mut self, now: Instant, message: FromPage) {
        match message {
            FromPage::Offer { sdp, sources } => self.offer(&sdp, sources),
            FromPage::Answer { sdp } => self.answer(&sdp),
            FromPage::Layer { track, layer } => {
                let Ok(track) = track.parse() else { return };
                self.layer_caps.retain(|cap| cap.0 != track);
                if let Some(layer) = layer
                    && self.layer_caps.len() < MAX_SUBSCRIBED
                {
                    self.layer_caps.push((track, Layer(layer.min(2))));
                }
                self.choose_layers(now);
            }
            FromPage::Mute { source, muted } => {
                self.events.push(SessionEvent::Muted(source, muted));
            }
            FromPage::Chat { text } => self.events.push(SessionEvent::Chat(text)),
            FromPage::Leave => {
                self.close();
                self.close_for("left");
            }
        }
    }

    fn tell(&mut self, message: &ToPage<'_>) {
        let text = serde_json::to_string(message).expect("plain data");
        self.send_text(&text);
    }
}
