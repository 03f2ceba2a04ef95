//! One WebRTC peer, sans I/O: datagrams and time go in, datagrams and events come out.
//!
//! A session terminates ICE, DTLS and SRTP (with str0m), turns what the peer sends into [`MediaPacket`]s, and renumbers
//! what the peer receives. It does not know other peers, sockets or rooms.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::bwe::BweKind;
use str0m::ice::StunMessage;
use str0m::media::{MediaKind, Mid};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::{ExtensionValues, RtpWrite, Vp8Descriptor};
use str0m::{Event, IceCreds, Input, Output, Rtc};

use crate::ids::{ParticipantId, PersonId, TrackId};
use crate::media::codec::{self, PayloadTypes};
use crate::media::{Layer, MediaPacket};
use crate::net::classify::{PacketKind, classify, owner};
use crate::net::origin::{Origin, Transport};
use crate::stats::DropReason;

pub mod build;
mod clock;
mod crypto;
mod event;
mod ice;
mod liveness;
mod negotiate;
mod path;
mod publications;
mod restart;
pub(crate) mod signal;
mod ssrcs;
pub mod subscriptions;

use clock::report_time;
pub use crypto::crypto;
pub use event::{Received, Role, SessionEvent};
use ice::Ice;
use liveness::{CONSENT, Liveness};
use path::Path;
pub use publications::MAX_PUBLISHED;
use publications::Publications;
pub use restart::{Patch, Patched};
pub use signal::SourceOf;
use signal::{FromPage, Page, ToPage};
use ssrcs::Ssrcs;
use ssrcs::sent::SentNumbers;
use subscriptions::backlog::Backlog;
use subscriptions::layers::Estimate;
use subscriptions::{Forwarded, Pin, Subscriptions, Turn};

/// The longest message that a page may send, in bytes.
pub(crate) const MAX_MESSAGE: usize = 256 << 10;
/// How many tracks and pictures of people a page can pin.
const MAX_PINNED: usize = 8;
/// What is kept of each track to be sent again: how many packets, for how long, and the share of all that may be sent again. What is
/// older comes too late to be seen.
const RESENT: (usize, Duration, f32) = (1024, Duration::from_secs(1), 0.15);
/// A timeout of str0m that is no further away than this is due at once: a paced session has more to send.
const AT_ONCE: Duration = Duration::from_micros(1);

/// The session of one peer.
pub struct Session {
    /// The participant.
    pub id: ParticipantId,
    /// Who that is, in this session and others.
    pub person: PersonId,
    /// The room that the participant is in.
    pub room: Arc<str>,
    /// The name that other participants see.
    pub name: Arc<str>,
    /// What the participant may do.
    pub role: Role,
    rtc: Rtc,
    credentials: IceCreds,
    ice: Ice,
    path: Path,
    /// Whether the next datagram is a STUN message that was verified.
    signed: bool,
    types: PayloadTypes,
    ssrcs: Ssrcs,
    publications: Publications,
    subscriptions: Subscriptions,
    sent: SentNumbers,
    backlog: Backlog,
    estimate: Estimate,
    page: Page,
    liveness: Liveness,
    timeout: Instant,
    /// Events for the next poll.
    events: Vec<SessionEvent>,
    /// Tests only: where this session panics.
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
    /// What the ICE user name of STUN requests to this session begins with, from its beginning to its end.
    #[must_use]
    pub fn ufrag(&self) -> &str {
        owner(&self.credentials.ufrag)
    }

    /// Whether a STUN message was signed with this session's password.
    #[must_use]
    pub fn verifies(&self, message: &StunMessage<'_>) -> bool {
        let crypto = crypto();
        let is_signed_with = |credentials: &IceCreds| {
            message.verify(credentials.pass.as_bytes(), |key, parts| {
                crypto.sha1_hmac_provider.sha1_hmac(key, parts)
            })
        };
        is_signed_with(&self.credentials) || self.ice.previous.as_ref().is_some_and(is_signed_with)
    }

    /// A place where tests let a session panic.
    fn fault_point(&self, _place: &'static str) {
        #[cfg(test)]
        assert_ne!(self.fault, Some(_place), "a fault in one peer's code");
    }

    /// When [`Session::tick`] is due.
    #[must_use]
    pub fn timeout(&self) -> Instant {
        self.timeout
    }

    /// Processes a datagram for this session. A malformed or unauthenticated one has no effect. [`Session::poll`] must be
    /// called before the next datagram: only one packet is kept.
    pub fn receive(
        &mut self,
        now: Instant,
        origin: Origin,
        destination: SocketAddr,
        bytes: &[u8],
    ) -> Received {
        self.fault_point("receive");
        let kind = classify(bytes);
        let signed = std::mem::take(&mut self.signed);
        if kind == Some(PacketKind::Rtp)
            && ssrcs::of(bytes).is_some_and(|ssrc| !self.ssrcs.admit(now, ssrc))
        {
            return Received::TooManySources;
        }
        let protocol = match origin.transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let Ok(receive) = Receive::new(protocol, origin.address, destination, bytes) else {
            return Received::Rejected;
        };
        let input = Input::Receive(now, receive);
        if !self.rtc.accepts(&input) {
            return Received::Rejected;
        }
        self.path.heard(now, origin);
        if signed && kind == Some(PacketKind::Stun) {
            self.checked(now, origin, destination, bytes);
        }
        if let Err(error) = self.rtc.handle_input(input) {
            tracing::debug!(participant = self.id.0, %error, "input refused");
            self.close_for("protocol error");
        }
        Received::Accepted
    }

    /// Records that an authenticated STUN message has come from the peer, which [`Session::receive`] is given next. Its other packets are recorded by
    /// [`Session::poll`].
    pub fn consent(&mut self, now: Instant) {
        self.liveness.prove(now);
        self.signed = true;
    }

    /// Follows the peer to where a check comes from, if it has moved.
    fn checked(&mut self, now: Instant, origin: Origin, local: SocketAddr, bytes: &[u8]) {
        if let Ok(check) = StunMessage::parse(bytes)
            && check.is_binding_request()
        {
            self.path.checked(now, origin, local, check.use_candidate());
        }
    }

    /// Advances time to `now`.
    pub fn tick(&mut self, now: Instant) {
        self.fault_point("tick");
        if self.liveness.is_silent(now) {
            self.close_for("gone silent");
        }
        self.publications
            .request_deferred(now, &mut self.rtc, &mut self.events);
        self.pass_time(now);
    }

    fn pass_time(&mut self, now: Instant) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            tracing::debug!(participant = self.id.0, %error, "timeout refused");
            self.close_for("protocol error");
        }
    }

    /// Passes datagrams to `send` and adds events to `events` until there are no more.
    pub fn poll(
        &mut self,
        now: Instant,
        mut send: impl FnMut(Transmit),
        events: &mut Vec<SessionEvent>,
    ) {
        self.fault_point("poll");
        self.negotiate(now);
        self.flush_texts();
        let (mut clock, mut sent) = (now, false);
        loop {
            if !self.rtc.is_alive() {
                self.close_for("closed");
                self.timeout = now + CONSENT;
                break;
            }
            match self.rtc.poll_output() {
                Ok(Output::Transmit(mut transmit)) => {
                    if classify(&transmit.contents) != Some(PacketKind::Stun) {
                        self.path.follow(&mut transmit);
                    }
                    if let Some(ssrc) = ssrcs::of(&transmit.contents) {
                        self.backlog.left(ssrc);
                    }
                    send(transmit);
                    sent = true;
                }
                Ok(Output::Event(event)) => self.event(now, event),
                // A paced session returns one media packet each time that it is told the time.
                Ok(Output::Timeout(at)) if sent && at <= clock + AT_ONCE => {
                    clock = clock.max(at);
                    self.pass_time(clock);
                    sent = false;
                }
                Ok(Output::Timeout(_)) if self.forward_waiting(clock) => self.pass_time(clock),
                Ok(Output::Timeout(at)) => {
                    let silent = self.liveness.silent_at();
                    let deferred = self.publications.deferred_until().unwrap_or(silent);
                    let answer = self.page.late_at().unwrap_or(silent);
                    self.timeout = at.min(silent).min(deferred).min(answer);
                    break;
                }
                Err(error) => {
                    tracing::debug!(participant = self.id.0, %error, "session failed");
                    self.rtc.disconnect();
                    self.close_for("protocol error");
                }
            }
        }
        if self.liveness.is_closing() {
            self.close_for("closed");
        }
        events.append(&mut self.events);
    }

    /// Forwards a packet of a track that the peer is subscribed to, if it is of the chosen layer. Returns whether it is
    /// sent, or waits for its turn, with the next [`Session::poll`].
    pub fn deliver(&mut self, now: Instant, packet: &MediaPacket) -> bool {
        self.fault_point("deliver");
        if self.subscriptions.record(packet) {
            self.choose_layers(packet.arrived);
        }
        let before = (&mut self.backlog, self.estimate.for_videos());
        let events = &mut self.events;
        let (turn, paused) = self.subscriptions.admit(now, packet, before, events);
        if let Some(paused) = paused {
            self.send_to_page(&ToPage::Paused {
                track: packet.track.to_string(),
                paused,
            });
        }
        match turn {
            Turn::Now => self.forward(now, packet),
            Turn::Later => true,
            Turn::Never => false,
        }
    }

    /// Forwards packets that have waited, as far as it is their turn. Returns whether there was one.
    fn forward_waiting(&mut self, now: Instant) -> bool {
        let mut any = false;
        loop {
            let Some(packet) =
                self.subscriptions
                    .next_waiting(now, &mut self.backlog, &mut self.events)
            else {
                return any;
            };
            any |= self.forward(now, &packet);
        }
    }

    fn forward(&mut self, now: Instant, packet: &MediaPacket) -> bool {
        let outcome = self.subscriptions.forward(now, packet, &mut self.events);
        if let Some(layer) = outcome.switched
            && packet.codec.name != codec::Name::Opus
        {
            self.send_to_page(&ToPage::Layer {
                track: packet.track.to_string(),
                layer,
            });
        }
        let Some(Forwarded {
            mid,
            rewritten,
            source_known,
            is_missing,
        }) = outcome.forwarded
        else {
            return false;
        };
        let Some(pt) = self.types.payload_type(&mid, packet.codec) else {
            self.codec_missing(mid, packet, is_missing);
            return false;
        };
        if is_missing {
            self.codec_found(packet.track);
        }
        let captured = packet.captured.unwrap_or(packet.arrived);
        let mut write = RtpWrite::new(
            pt.into(),
            rewritten.sequence.into(),
            rewritten.time,
            report_time(now, captured, packet.codec.name.clock_rate()),
            Arc::clone(&packet.payload),
        )
        .marker(packet.marker)
        .nackable(packet.codec.name != codec::Name::Opus)
        .ext_vals(ExtensionValues {
            audio_level: packet.audio_level,
            voice_activity: packet.voice,
            video_orientation: packet.orientation,
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
            // A 7-bit picture ID has no room for a larger one: then the descriptor stays as it is.
            if let Ok(patch) = patch.build() {
                write = write.vp8_patch(patch);
            }
        }
        let mut direct = self.rtc.direct_api();
        if self.sent.is_crowded() {
            let mut exists = |ssrc: u32| direct.stream_tx(&ssrc.into()).is_some();
            self.sent.retain(&mut exists);
        }
        let Some(stream) = direct.stream_tx_by_mid(mid, None) else {
            return false;
        };
        let ssrc = *stream.ssrc();
        if !source_known {
            stream.set_rtx_cache(RESENT.0, RESENT.1, Some(RESENT.2));
        }
        if !self.sent.insert(ssrc, rewritten.sequence) {
            let repeated = SessionEvent::Dropped(DropReason::Repeated);
            self.events.push(repeated);
            return false;
        }
        stream.write_rtp(write);
        if packet.codec.name != codec::Name::Opus {
            self.backlog.written(ssrc, now, packet.payload.len());
        }
        if !source_known {
            self.subscriptions.set_source(mid, ssrc);
        }
        true
    }

    /// Sends a text to the page, in order, as soon as its data channel has room. Returns `false` if the channel is not
    /// open, or too much waits for it.
    pub fn send_text(&mut self, text: &Arc<str>) -> bool {
        self.page.listens() && self.page.queue(Arc::clone(text))
    }

    /// The page has connected by WebSocket, perhaps again: what was on its way to it is lost, and is said anew.
    pub(crate) fn attach_page(&mut self) {
        self.page.attach();
        self.page.offer_again();
        self.say_tracks();
        for track in self.subscriptions.forget_told() {
            self.send_to_page(&ToPage::Paused {
                track: track.to_string(),
                paused: true,
            });
        }
        self.events.push(SessionEvent::ChannelOpen);
    }

    /// The WebSocket of the page is gone.
    pub(crate) fn detach_page(&mut self) {
        self.page.detach();
    }

    /// Handles JSON from the page's WebSocket.
    pub(crate) fn page_text(&mut self, now: Instant, text: &str) {
        self.page_message(now, text.as_bytes());
    }

    fn flush_texts(&mut self) {
        if self.page.by_socket() {
            let events = &mut self.events;
            return self.page.flush(|text| {
                events.push(SessionEvent::Text(Arc::clone(text)));
                true
            });
        }
        let Some(channel) = self.page.channel else {
            return;
        };
        let rtc = &mut self.rtc;
        self.page.flush(|text| {
            let channel = rtc.channel(channel);
            // What can never be sent does not hold back the rest.
            channel.is_none_or(|mut it| it.write(false, text.as_bytes()).unwrap_or(true))
        });
    }

    /// Closes the session with the next [`Session::poll`], without waiting for the peer to confirm.
    pub fn close(&mut self) {
        self.liveness.close();
        let _ = self.rtc.close();
    }

    /// Asks the peer for a keyframe of a track that it sends. Requests that follow each other closely are
    /// made one, which is sent as soon as the last is old enough. Returns whether the peer was asked.
    pub fn request_keyframe(&mut self, now: Instant, track: TrackId, layer: Layer) -> bool {
        self.publications
            .request_keyframe(now, track, layer, &mut self.rtc)
    }

    fn close_for(&mut self, why: &'static str) {
        if self.liveness.end() {
            self.events.push(SessionEvent::Closed(why));
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Connected => {
                self.liveness.connect();
                self.events.push(SessionEvent::Connected);
                self.set_desired_rate();
                self.add_sections();
            }
            // str0m reports a disconnection when STUN stops. The session lasts as long as the peer shows that it is there.
            Event::RtpPacket(packet) => {
                self.liveness.prove(now);
                let (rtc, types) = (&mut self.rtc, &self.types);
                let events = &mut self.events;
                let learnt = self.publications.receive(now, packet, rtc, types, events);
                if let Some(ssrc) = learnt {
                    self.ssrcs.confirm(*ssrc);
                }
            }
            Event::MediaAdded(media) if media.direction.is_receiving() => {
                self.publish(media.mid, media.kind);
            }
            Event::MediaChanged(media) => {
                if media.direction.is_receiving() {
                    if let Some(kind) = self.rtc.media(media.mid).map(|media| media.kind()) {
                        self.publish(media.mid, kind);
                    }
                } else {
                    self.publications.remove(media.mid, &mut self.events);
                }
            }
            Event::KeyframeRequest(request) => {
                self.liveness.prove(now);
                if let Some((track, layer)) = self.subscriptions.carried_by(request.mid) {
                    self.events.push(SessionEvent::NeedKeyframe(track, layer));
                }
            }
            Event::SenderFeedback(_) => self.liveness.prove(now),
            // The peer has sent a receiver report since the last statistics.
            Event::MediaEgressStats(stats) if stats.loss.is_some() => self.liveness.prove(now),
            Event::EgressBitrateEstimate(estimate) => {
                let rate = match estimate {
                    BweKind::Twcc { estimate, .. } => estimate,
                    BweKind::Remb { estimate, .. } => estimate,
                    _ => return,
                };
                let rate = rate.as_u64();
                let changed = self.estimate.record(rate);
                self.choose_layers(now);
                if changed {
                    self.send_to_page(&ToPage::Bandwidth { estimate: rate });
                }
            }
            Event::ChannelOpen(id, _) if self.page.channel.is_none() => {
                self.page.channel = Some(id);
                self.events.push(SessionEvent::ChannelOpen);
            }
            Event::ChannelClose(id) if self.page.channel == Some(id) => self.page.channel = None,
            Event::ChannelData(data) => {
                self.liveness.prove(now);
                if Some(data.id) == self.page.channel {
                    self.page_message(now, &data.data);
                }
            }
            Event::Closed => self.close_for("left"),
            _ => {}
        }
    }

    fn page_message(&mut self, now: Instant, text: &[u8]) {
        let fits = text.len() <= MAX_MESSAGE;
        let Some(message) = fits.then(|| serde_json::from_slice(text).ok()).flatten() else {
            return self.ignore("malformed or too long");
        };
        match self.page.admit(now, self.role, &message) {
            Ok(()) => self.message(now, message),
            Err(error) => {
                self.ignore(error);
                if let FromPage::Chat { text } = &message {
                    self.send_to_page(&ToPage::Unsaid { text, error });
                }
            }
        }
    }

    fn ignore(&mut self, why: &'static str) {
        tracing::debug!(participant = self.id.0, why, "message ignored");
        self.events.push(SessionEvent::MessageRefused);
    }

    fn message(&mut self, now: Instant, message: FromPage) {
        match message {
            FromPage::Offer { sdp, sources } => self.offer(&sdp, sources),
            FromPage::Answer { sdp } => self.answer(&sdp),
            FromPage::Layer { track, layer } => {
                let Ok(track) = track.parse() else { return };
                self.subscriptions.cap(track, layer);
                self.choose_layers(now);
            }
            FromPage::Pin { tracks, people } => {
                let tracks = tracks.iter().filter_map(|track| track.parse().ok());
                let people = people.iter().map(|it| Pin::Person(it.person, it.source));
                self.pin(tracks.map(Pin::Track).chain(people).take(MAX_PINNED));
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

    fn publish(&mut self, mid: Mid, kind: MediaKind) {
        if self.role != Role::Subscribe {
            self.publications.add(mid, kind);
        }
    }

    fn choose_layers(&mut self, now: Instant) {
        self.subscriptions
            .choose_layers(now, &self.estimate, &mut self.events);
        self.set_desired_rate();
    }

    fn send_to_page(&mut self, message: &ToPage<'_>) {
        if self.page.listens() {
            self.page.say(message);
        }
    }
}

#[cfg(test)]
mod tests;
