//! One WebRTC peer, without I/O: datagrams and time go in, datagrams and events come out.
//!
//! It terminates ICE, DTLS and SRTP (by str0m), publishes what the peer sends as [`MediaPacket`]s
//! and renumbers what the peer is to get. It knows no other peer, no socket and no room.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::bwe::BweKind;
use str0m::change::SdpPendingOffer;
use str0m::channel::ChannelId;
use str0m::ice::StunMessage;
use str0m::media::Mid;
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::{ExtensionValues, RtpWrite, Ssrc, Vp8Descriptor};
use str0m::{Event, IceConnectionState, Input, Output, Rtc};

use crate::ids::{ParticipantId, ShardId, TrackId};
use crate::media::codec::{self, PayloadTypes};
use crate::media::{Layer, MediaPacket, Source, TrackInfo};
use crate::net::classify::{Kind, kind};
use crate::net::origin::{Origin, Transport};

pub mod build;
pub mod downstream;
mod event;
mod layers;
mod negotiate;
mod publish;
pub mod signal;
mod ssrcs;

use downstream::Downstream;
pub use event::{Role, SessionEvent, Taken};
use publish::Upstream;
use signal::{FromPage, ToPage};
use ssrcs::Ssrcs;

/// How many tracks a participant may publish.
pub const MAX_PUBLISHED: usize = 4;
/// How many tracks a participant is sent at most.
pub const MAX_SUBSCRIBED: usize = 64;
/// The longest message that a page may send.
const MAX_MESSAGE: usize = 64 << 10;
/// A peer that has not shown that it is there for this long is gone.
const CONSENT: Duration = Duration::from_secs(20);
/// How much later a session that has more to send at once says that it wants to be polled again.
const AT_ONCE: Duration = Duration::from_micros(1);

/// A track of somebody else's that the peer is to get.
#[derive(Debug)]
struct Offered {
    info: TrackInfo,
    owner: ShardId,
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
    published: u16,
    upstreams: Vec<Upstream>,
    /// At most one of each layer of each upstream: the one it was last sent by.
    streams: Vec<(Ssrc, usize, Layer)>,
    ssrcs: Ssrcs,
    offered: Vec<Offered>,
    downstreams: Vec<Downstream>,
    layers_seen: Vec<(TrackId, [Option<Instant>; 3])>,
    layer_caps: Vec<(TrackId, Layer)>,
    estimate: Option<u64>,
    told_estimate: u64,
    channel: Option<ChannelId>,
    pending: Option<SdpPendingOffer>,
    events: Vec<SessionEvent>,
    budget: signal::Budget,
    level: f32,
    level_told: Option<Instant>,
    alive: Instant,
    timeout: Instant,
    connected: bool,
    closing: bool,
    closed: bool,
    /// Where this session's code is to fail, for tests.
    #[cfg(test)]
    pub(crate) fault: Option<&'static str>,
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

    /// A place where the code of a session may turn out to be wrong.
    fn passes(&self, _place: &'static str) {
        #[cfg(test)]
        assert_ne!(self.fault, Some(_place), "a fault in one peer's code");
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
        origin: Origin,
        destination: SocketAddr,
        bytes: &[u8],
    ) -> Taken {
        self.passes("receive");
        if kind(bytes) == Some(Kind::Rtp)
            && ssrcs::of(bytes).is_some_and(|ssrc| !self.ssrcs.admit(now, ssrc))
        {
            return Taken::TooManySources;
        }
        let protocol = match origin.transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let Ok(receive) = Receive::new(protocol, origin.address, destination, bytes) else {
            return Taken::No;
        };
        let input = Input::Receive(now, receive);
        if !self.rtc.accepts(&input) {
            return Taken::No;
        }
        if let Err(error) = self.rtc.handle_input(input) {
            tracing::debug!(participant = self.id.0, %error, "input refused");
            self.close_for("protocol error");
        }
        Taken::Yes
    }

    /// Notes that the peer has just proved that it is there.
    pub fn consent(&mut self, now: Instant) {
        self.alive = now;
    }

    /// Drives time.
    pub fn tick(&mut self, now: Instant) {
        self.passes("tick");
        if now.saturating_duration_since(self.alive) > CONSENT {
            self.close_for("gone silent");
        }
        self.pass_time(now);
    }

    fn pass_time(&mut self, now: Instant) {
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
        self.passes("poll");
        self.negotiate();
        let (mut clock, mut sent) = (now, false);
        loop {
            if !self.rtc.is_alive() {
                self.close_for("closed");
                self.timeout = now + CONSENT;
                break;
            }
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    send(transmit);
                    sent = true;
                }
                Ok(Output::Event(event)) => self.event(now, event),
                // A paced session gives one packet of media each time that it hears how late it is.
                Ok(Output::Timeout(at)) if sent && at <= clock + AT_ONCE => {
                    clock = clock.max(at);
                    self.pass_time(clock);
                    sent = false;
                }
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
        self.passes("deliver");
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
                self.said(now, &data.data);
            }
            Event::Closed => self.close_for("left"),
            _ => {}
        }
    }

    fn said(&mut self, now: Instant, text: &[u8]) {
        let message = match serde_json::from_slice(text) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(participant = self.id.0, %error, "not understood");
                return;
            }
        };
        // An answer has been asked for, and whoever wants to go may.
        let asked = match &message {
            FromPage::Answer { .. } => self.pending.is_some(),
            FromPage::Leave => true,
            _ => false,
        };
        if asked || self.budget.spend(now) {
            self.message(now, message);
        } else {
            tracing::debug!(participant = self.id.0, "asks for too much");
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

#[cfg(test)]
mod tests;
