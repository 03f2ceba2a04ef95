//! No number is encrypted twice: a session and a peer of the same stack, with a publisher whose packets are lost,
//! reordered, late and repeated, whose sources restart, and whose layers are switched at random.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use str0m::Candidate;
use str0m::RtcConfig;
use str0m::change::SdpAnswer;
use str0m::media::Direction;

use super::*;
use crate::stats::DropReason;

const TRACK: TrackId = TRACKS[0];
const STEP: Duration = Duration::from_millis(5);

const fn address(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// A session that receives one video, its peer, and every number that it has sent.
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) session: Session,
    pub(super) peer: Rtc,
    /// Datagrams from the peer that the session has not received yet.
    answers: Vec<Vec<u8>>,
    /// By source, the highest number.
    highest: HashMap<u32, u64>,
    /// By source and number, the datagram.
    sent: HashMap<(u32, u64), Vec<u8>>,
    repeated: usize,
    /// Packets that the guard refused.
    refused: usize,
    /// Packets that the peer has received, without padding.
    pub(super) got: usize,
    /// Every how many packets one is lost on the way to the peer, which asks for it again.
    lost: usize,
    /// Whether STUN messages of the peer arrive.
    pub(super) stun: bool,
    /// Whether nothing of the peer arrives.
    pub(super) deaf: bool,
    /// The peer's port as the session sees it, which is the only one to reach the peer at.
    pub(super) port: u16,
    /// Why the session has ended.
    pub(super) closed: Option<&'static str>,
}

impl Pair {
    pub(super) fn new(lost: usize) -> Self {
        let now = Instant::now();
        let mut peer = RtcConfig::new()
            .set_crypto_provider(Arc::clone(crypto()))
            .set_rtp_mode(true)
            .build(now);
        peer.add_local_candidate(Candidate::host(address(5000), "udp").unwrap());
        let mut change = peer.sdp_api();
        change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = change.apply().unwrap();
        let offer = offer.to_sdp_string();
        let (mut session, answer) = answer_to(&offer, Role::Subscribe, address(4000), now);
        let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
        peer.sdp_api().accept_answer(pending, answer).unwrap();
        session.add_track(video(TRACK), 0);
        let mut pair = Self {
            now,
            session,
            peer,
            answers: Vec::new(),
            highest: HashMap::new(),
            sent: HashMap::new(),
            repeated: 0,
            refused: 0,
            got: 0,
            lost,
            stun: true,
            deaf: false,
            port: 5000,
            closed: None,
        };
        for _ in 0..2000 {
            if pair.session.subscriptions.carried().next().is_some() {
                return pair;
            }
            pair.step();
        }
        panic!("the peer does not connect");
    }

    pub(super) fn step(&mut self) {
        self.now += STEP;
        self.peer.handle_input(Input::Timeout(self.now)).unwrap();
        self.poll_peer();
        for bytes in std::mem::take(&mut self.answers) {
            if self.deaf {
                continue;
            }
            if classify(&bytes) == Some(PacketKind::Stun) {
                if !self.stun {
                    continue;
                }
                if !StunMessage::parse(&bytes).is_ok_and(|it| self.session.verifies(&it)) {
                    continue;
                }
                self.session.consent(self.now);
            }
            let origin = Origin::udp(address(self.port));
            self.session
                .receive(self.now, origin, address(4000), &bytes);
            self.poll();
        }
        self.session.tick(self.now);
        self.poll();
    }

    fn poll_peer(&mut self) {
        loop {
            match self.peer.poll_output().unwrap() {
                Output::Timeout(_) => break,
                Output::Transmit(transmit) => self.answers.push(transmit.contents.to_vec()),
                Output::Event(Event::RtpPacket(packet)) => {
                    self.got += usize::from(!packet.payload.is_empty());
                }
                Output::Event(_) => {}
            }
        }
    }

    fn poll(&mut self) {
        let (mut out, mut events) = (Vec::new(), Vec::new());
        let here = address(self.port);
        let send = |transmit: Transmit| {
            let arrives = transmit.destination == here;
            out.push((arrives, transmit.contents.to_vec()));
        };
        self.session.poll(self.now, send, &mut events);
        let refused =
            |event: &&SessionEvent| matches!(event, SessionEvent::Dropped(DropReason::Repeated));
        self.refused += events.iter().filter(refused).count();
        for event in &events {
            if let SessionEvent::Closed(why) = event {
                self.closed = Some(why);
            }
        }
        for (at, (arrives, bytes)) in out.into_iter().enumerate() {
            let rtp = classify(&bytes) == Some(PacketKind::Rtp);
            if rtp {
                self.record(&bytes);
            }
            if !arrives || rtp && (self.sent.len() + at).is_multiple_of(self.lost) {
                continue;
            }
            let (from, to) = (address(4000), address(5000));
            let receive = Receive::new(Protocol::Udp, from, to, &bytes).unwrap();
            self.peer
                .handle_input(Input::Receive(self.now, receive))
                .unwrap();
            self.poll_peer();
        }
    }

    /// Extends the number of a packet as a receiver does, and checks that it is new.
    fn record(&mut self, bytes: &[u8]) {
        let ssrc = super::super::ssrcs::of(bytes).unwrap();
        let number = u16::from_be_bytes([bytes[2], bytes[3]]);
        let highest = self
            .highest
            .entry(ssrc)
            .or_insert((1 << 16) + u64::from(number));
        let ahead = number.wrapping_sub(*highest as u16) as i16;
        let index = highest.checked_add_signed(i64::from(ahead)).unwrap();
        *highest = index.max(*highest);
        if self.sent.insert((ssrc, index), bytes.to_vec()).is_some() {
            self.repeated += 1;
        }
    }

    pub(super) fn deliver(&mut self, layer: usize, (ssrc, sequence, keyframe): (u32, u64, bool)) {
        // A VP8 descriptor without picture numbers, and what tells the packet from all others.
        let content = (u64::from(ssrc) << 32 | sequence).to_be_bytes();
        let payload: Vec<u8> = [0x10].into_iter().chain(content).chain([7; 40]).collect();
        let packet = MediaPacket {
            ssrc,
            sequence,
            time: sequence as u32 * 90,
            keyframe,
            payload: payload.into(),
            // Every layer fits.
            measure: Measure::default(),
            ..packet(TRACK, layer as u8, self.now)
        };
        note(&mut self.session, &packet);
        self.session.deliver(self.now, &packet);
    }
}

/// A layer's source, as its packets arrive.
struct Layered {
    ssrc: u32,
    next: u64,
    /// Packets on their way, by the step in which they arrive.
    late: BTreeMap<(usize, u64), (u32, u64, bool)>,
}

#[derive(Debug, Clone)]
enum Act {
    /// A packet of a layer: a keyframe or not, this many steps late, and how often it arrives.
    Packet(usize, bool, usize, usize),
    /// Packets that are lost.
    Lost(usize, u64),
    Switch(u8),
    /// A layer goes on with another source.
    Restart(usize, u64),
    /// The track ends, and another takes its section.
    Replace,
    Wait,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let late = prop_oneof![6 => Just(0usize), 3 => 1..4usize, 2 => 5..60usize];
    let packet = (0..3usize, prop::bool::weighted(0.15), late, 1..10usize);
    let act = prop_oneof![
        40 => packet.prop_map(|(layer, key, late, n)| Act::Packet(layer, key, late, n / 8 + 1)),
        3 => (0..3usize, prop_oneof![8 => 1..20u64, 1 => 20_000..40_000u64])
            .prop_map(|(layer, n)| Act::Lost(layer, n)),
        4 => (0..3u8).prop_map(Act::Switch),
        1 => (0..3usize, 0..70_000u64).prop_map(|(layer, first)| Act::Restart(layer, first)),
        1 => Just(Act::Replace),
        4 => Just(Act::Wait),
    ];
    prop::collection::vec(act, 100..700)
}

fn play(acts: &[Act], firsts: [u64; 3], lost: usize) -> Pair {
    let mut pair = Pair::new(lost);
    let mut layers = firsts.map(|first| Layered {
        ssrc: 1000 + first as u32 % 7,
        next: first,
        late: BTreeMap::new(),
    });
    for (at, layer) in layers.iter_mut().enumerate() {
        layer.ssrc += 100 * at as u32;
    }
    let mut sources = 5000;
    for (step, act) in acts.iter().enumerate() {
        match *act {
            Act::Packet(layer, keyframe, late, times) => {
                let layer = &mut layers[layer];
                let packet = (layer.ssrc, layer.next, keyframe);
                for again in 0..times {
                    layer
                        .late
                        .insert((step + late * (again + 1), layer.next), packet);
                }
                layer.next += 1;
            }
            Act::Lost(layer, count) => layers[layer].next += count,
            Act::Switch(layer) => {
                pair.session.subscriptions.cap(TRACK, Some(layer));
                let now = pair.now;
                pair.session.choose_layers(now);
            }
            Act::Restart(layer, first) => {
                sources += 1;
                (layers[layer].ssrc, layers[layer].next) = (sources, first);
            }
            Act::Replace => {
                pair.session.remove_track(TRACK);
                pair.session.add_track(video(TRACK), 0);
            }
            Act::Wait => pair.step(),
        }
        for (at, layer) in layers.iter_mut().enumerate() {
            let later = layer.late.split_off(&(step + 1, 0));
            for packet in std::mem::replace(&mut layer.late, later).into_values() {
                pair.deliver(at, packet);
            }
        }
        if step % 4 == 0 {
            pair.step();
        }
    }
    for _ in 0..40 {
        pair.step();
    }
    pair
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_number_of_a_source_is_encrypted_twice(
        acts in acts(),
        firsts in [0..70_000u64, 65_400..65_600u64, 0..200_000u64],
        lost in 5..30usize,
    ) {
        let pair = play(&acts, firsts, lost);
        prop_assert_eq!(pair.repeated, 0);
    }
}

#[test]
fn packet_older_than_the_keyframe_of_a_switch_is_dropped() {
    let packet = |keyframe, late| Act::Packet(2, keyframe, late, 1);
    let small = |keyframe| Act::Packet(0, keyframe, 0, 1);
    let mut acts = vec![Act::Switch(0), small(true)];
    acts.extend((0..30).map(|_| small(false)));
    acts.push(Act::Switch(2));
    // Ten packets that arrive after the keyframe which follows them.
    acts.extend((0..10).map(|_| packet(false, 40)));
    acts.push(packet(true, 0));
    acts.extend((0..60).map(|_| packet(false, 0)));
    let pair = play(&acts, [1000, 2000, 490], 1000);
    assert_eq!((pair.repeated, pair.refused), (0, 0));
    // All of the small layer and all from the keyframe on.
    assert_eq!(pair.got, 31 + 61);
}

#[test]
fn packet_that_arrives_twice_is_sent_once_and_counted() {
    let mut acts = vec![Act::Switch(2), Act::Packet(2, true, 0, 1)];
    acts.extend((0..20).map(|_| Act::Packet(2, false, 3, 2)));
    acts.extend((0..20).map(|_| Act::Wait));
    let pair = play(&acts, [0, 0, 7], 1000);
    assert_eq!((pair.repeated, pair.refused), (0, 20));
    assert_eq!(pair.got, 21);
}
