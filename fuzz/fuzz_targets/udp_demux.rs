//! Datagrams from any source, at a shard with one connected peer: to whom each is routed, and how the
//! peer's session handles it. The input is a sequence of events: datagrams from strangers, corruption of
//! the peer's own datagrams, contents inside its encryption, and the passing of time.
#![no_main]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use libfuzzer_sys::fuzz_target;
use sfu_demo::ids::{ParticipantId, PersonId};
use sfu_demo::media::codec::{Codec, Name, PayloadTypes};
use sfu_demo::net::classify::{PacketKind, classify};
use sfu_demo::net::origin::Origin;
use sfu_demo::session::build::{Identity, Setup};
use sfu_demo::session::{Role, Session, SessionEvent, crypto};
use sfu_demo::shard::demux::{Directory, Lookup};
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    channel::ChannelId,
    ice::StunMessage,
    media::{Direction, MediaKind, Mid},
    net::{DatagramSend, Protocol, Receive},
    rtp::RtpWrite,
};

/// Key of the peer in the directory.
const PEER: usize = 3;
/// A shard that serves other peers.
const ELSEWHERE: usize = 1;
const NAMED_ELSEWHERE: &str = "else";

fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4000))
}

fn client() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 5000))
}

/// Addresses that the fuzzer sends from: the peer's, one of a peer at another shard, and strangers'.
fn source(n: u8) -> SocketAddr {
    match n % 4 {
        0 => client(),
        n => SocketAddr::from(([192, 0, 2, 100 + n], 6000)),
    }
}

/// A peer and what a shard knows about it.
struct World {
    directory: Directory,
    session: Session,
    name: String,
    peer: Rtc,
    video: Mid,
    types: PayloadTypes,
    channel: Option<ChannelId>,
    now: Instant,
    sequence: u64,
    to_server: Vec<DatagramSend>,
    connected: bool,
    /// Whether the peer's datagrams arrive unchanged.
    clean: bool,
    closed: bool,
    events: Vec<SessionEvent>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let mut peer = RtcConfig::new()
            .set_crypto_provider(Arc::clone(crypto()))
            .set_rtp_mode(true)
            .build(now);
        peer.add_local_candidate(Candidate::host(client(), "udp").unwrap());
        let mut change = peer.sdp_api();
        let video = change.add_media(MediaKind::Video, Direction::SendRecv, None, None, None);
        change.add_channel("page".to_owned());
        let (offer, pending) = change.apply().unwrap();
        let identity = Identity {
            id: ParticipantId(1),
            person: PersonId(1),
            room: "room".into(),
            name: "name".into(),
            role: Role::Page,
        };
        let setup = Setup {
            udp: vec![server()],
            tcp: vec![server()],
            estimate: true,
        };
        let offer = offer.to_sdp_string();
        let (session, answer) = Session::answer_to(&setup, identity, &offer, Vec::new(), now)
            .expect("the offer is valid");
        let mut types = PayloadTypes::default();
        types.learn(&answer);
        let parsed = str0m::change::SdpAnswer::from_sdp_string(&answer).unwrap();
        peer.sdp_api().accept_answer(pending, parsed).unwrap();
        let name = session.ufrag().to_owned();
        let mut directory = Directory::new();
        directory.insert(&name, PEER);
        directory.insert_elsewhere(NAMED_ELSEWHERE, ELSEWHERE);
        let mut world = Self {
            directory,
            session,
            name,
            peer,
            video,
            types,
            channel: None,
            now,
            sequence: 1 << 20,
            to_server: Vec::new(),
            connected: false,
            clean: true,
            closed: false,
            events: Vec::new(),
        };
        for _ in 0..2000 {
            world.advance(Duration::from_millis(1));
            world.deliver();
            if world.connected && world.channel.is_some() {
                return world;
            }
        }
        panic!("the peer could not connect");
    }

    /// Delivers the peer's datagrams to this shard.
    fn deliver(&mut self) {
        for datagram in std::mem::take(&mut self.to_server) {
            self.receive(client(), &datagram);
        }
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        let _ = self.peer.handle_input(Input::Timeout(self.now));
        self.poll_peer();
        self.session.tick(self.now);
        self.poll_session();
    }

    fn poll_peer(&mut self) {
        while self.peer.is_alive() {
            match self.peer.poll_output() {
                Ok(Output::Transmit(transmit)) => self.to_server.push(transmit.contents),
                Ok(Output::Event(Event::Connected)) => self.connected = true,
                Ok(Output::Event(Event::ChannelOpen(channel, _))) => self.channel = Some(channel),
                Ok(Output::Event(_)) => {}
                Ok(Output::Timeout(_)) | Err(_) => return,
            }
        }
    }

    fn poll_session(&mut self) {
        let mut sent = Vec::new();
        let send = |transmit: str0m::net::Transmit| {
            assert_eq!(transmit.source, server());
            sent.push((transmit.destination, transmit.contents));
        };
        self.session.poll(self.now, send, &mut self.events);
        for event in self.events.drain(..) {
            self.closed |= matches!(event, SessionEvent::Closed(_));
        }
        for (destination, contents) in sent {
            assert_eq!(destination, client(), "sends to a stranger");
            if let Ok(receive) = Receive::new(Protocol::Udp, server(), client(), contents.as_ref())
            {
                let _ = self.peer.handle_input(Input::Receive(self.now, receive));
                self.poll_peer();
            }
        }
    }

    /// Receives a datagram, as a shard does.
    fn receive(&mut self, from: SocketAddr, bytes: &[u8]) {
        let origin = Origin::udp(from);
        let kind = classify(bytes);
        let known = from == client();
        let mine = match self.directory.lookup(origin, bytes, false) {
            Lookup::Malformed => {
                assert!(kind.is_none() || StunMessage::parse(bytes).is_err());
                false
            }
            Lookup::Peer(key) => {
                assert!(key == PEER && known && kind != Some(PacketKind::Stun));
                true
            }
            Lookup::IfSigned(key, message) => {
                assert_eq!(key, PEER);
                let signed = self.session.verifies(&message);
                assert!(
                    !signed
                        || message
                            .split_username()
                            .is_some_and(|(to, _)| to == self.name)
                );
                if signed {
                    assert!(known || !self.clean, "a stranger knows the password");
                    self.session.consent(self.now);
                    self.directory.learn(PEER, origin);
                }
                signed
            }
            Lookup::Elsewhere(shard) | Lookup::NamesElsewhere(_, shard) => {
                assert_eq!(shard, ELSEWHERE);
                false
            }
            Lookup::NamesUnknown(name) => {
                assert!(name != self.name && name != NAMED_ELSEWHERE);
                false
            }
            Lookup::Stranger => false,
        };
        // A datagram that another shard forwarded is not forwarded again.
        assert!(!matches!(
            self.directory.lookup(origin, bytes, true),
            Lookup::Elsewhere(_) | Lookup::NamesElsewhere(..) | Lookup::NamesUnknown(_)
        ));
        if mine && from == client() {
            self.session.receive(self.now, origin, server(), bytes);
            self.poll_session();
        }
    }

    /// Lets the peer send media with these contents.
    fn send_media(&mut self, bytes: &[u8]) {
        let Some((&[head, codec], payload)) = bytes.split_first_chunk() else {
            return;
        };
        // The peer's own stack cannot send more than fits a datagram.
        let payload = &payload[..payload.len().min(1400)];
        let name = [Name::Vp8, Name::H264, Name::Vp9, Name::Av1][usize::from(codec % 4)];
        let Some(pt) = self
            .types
            .payload_type(&self.video, Codec { name, profile: 0 })
        else {
            return;
        };
        self.sequence = self.sequence.wrapping_add_signed(i64::from(head as i8));
        let mut direct = self.peer.direct_api();
        if let Some(stream) = direct.stream_tx_by_mid(self.video, None) {
            let time = (self.sequence as u32).wrapping_mul(3000);
            let (sequence, payload) = (self.sequence.into(), Arc::<[u8]>::from(payload));
            stream.write_rtp(
                RtpWrite::new(pt.into(), sequence, time, self.now, payload).marker(codec & 4 != 0),
            );
        }
    }

    /// Lets the peer send text on its data channel.
    fn send_text(&mut self, text: &[u8]) {
        if let Some(channel) = self.channel
            && let Some(mut channel) = self.peer.channel(channel)
        {
            let _ = channel.write(std::str::from_utf8(text).is_err(), text);
        }
    }

    /// Corrupts the next of the peer's datagrams: shortens, extends, duplicates or alters it.
    fn corrupt(&mut self, how: &[u8]) {
        let (Some(&at), Some(&with)) = (how.first(), how.get(1)) else {
            return;
        };
        if self.to_server.is_empty() {
            return;
        }
        let datagram = self.to_server.remove(0);
        let mut bytes = datagram.to_vec();
        let at = usize::from(at) % bytes.len();
        self.clean = false;
        match with {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_slice(&how[2..]),
            2 => self.receive(client(), &bytes.clone()),
            with => bytes[at] ^= with,
        }
        self.receive(client(), &bytes);
        self.clean = true;
    }
}

fn next<'a>(data: &mut &'a [u8]) -> Option<(u8, u8, &'a [u8])> {
    let ([what, who, high, low], rest) = data.split_first_chunk()?;
    let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (bytes, rest) = rest.split_at(len);
    *data = rest;
    Some((*what, *who, bytes))
}

thread_local! {
    /// Kept across inputs until its peer is gone, because a handshake takes much longer than an input.
    static WORLD: std::cell::RefCell<Option<World>> = const { std::cell::RefCell::new(None) };
}

fuzz_target!(|data: &[u8]| {
    WORLD.with_borrow_mut(|world| {
        let mut data = data;
        let here = world.get_or_insert_with(World::new);
        while let Some((what, who, bytes)) = next(&mut data) {
            match what % 6 {
                0 => here.receive(source(who), bytes),
                1 => here.send_media(bytes),
                2 => here.send_text(bytes),
                3 => here.corrupt(bytes),
                4 => here.directory.learn_elsewhere(
                    &NAMED_ELSEWHERE.into(),
                    ELSEWHERE,
                    Origin::udp(source(who | 1)),
                ),
                _ => {
                    here.deliver();
                    here.advance(Duration::from_millis(who.into()));
                }
            }
        }
        here.deliver();
        here.advance(Duration::from_millis(20));
        here.deliver();
        if here.closed || !here.peer.is_alive() {
            here.directory.remove(&here.name.clone(), PEER);
            here.directory.remove_elsewhere(NAMED_ELSEWHERE);
            assert!(
                here.directory.is_empty(),
                "the directory still knows peers that are gone"
            );
            *world = None;
        }
    });
});
