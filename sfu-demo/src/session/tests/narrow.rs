//! A session and a peer of the same stack on a simulated link, in simulated time: the estimate follows the link's
//! bandwidth, and the layer follows the estimate, down and up again.

use std::collections::VecDeque;

use str0m::Candidate;
use str0m::RtcConfig;
use str0m::change::SdpAnswer;
use str0m::media::Direction;

use super::*;

const SERVER: SocketAddr = address(4000);
const PEER: SocketAddr = address(5000);
const TRACK: TrackId = TRACKS[0];
const FRAMES: u32 = 30;
/// How long anything may take, in simulated time.
const PATIENCE: Duration = Duration::from_secs(120);

const fn address(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// A link with a bandwidth, a delay and a tail-drop queue.
struct Link {
    bits_per_second: u64,
    /// Datagrams sent into it, and their bytes.
    entered: usize,
    bytes: usize,
    queued: VecDeque<(Instant, Vec<u8>)>,
    free: Instant,
    lost: usize,
}

impl Link {
    const DELAY: Duration = Duration::from_millis(20);
    const QUEUE: Duration = Duration::from_millis(300);

    fn new(now: Instant) -> Self {
        Self {
            bits_per_second: u64::MAX,
            entered: 0,
            bytes: 0,
            queued: VecDeque::new(),
            free: now,
            lost: 0,
        }
    }

    fn enter(&mut self, now: Instant, bytes: &[u8]) {
        self.entered += 1;
        self.bytes += bytes.len();
        let start = self.free.max(now);
        if start > now + Self::QUEUE {
            self.lost += 1;
            return;
        }
        let nanos = bytes.len() as u64 * 8 * 1_000_000_000 / self.bits_per_second;
        self.free = start + Duration::from_nanos(nanos);
        self.queued
            .push_back((self.free + Self::DELAY, bytes.to_vec()));
    }

    fn leave(&mut self, now: Instant) -> Option<Vec<u8>> {
        let due = self.queued.front().is_some_and(|(at, _)| *at <= now);
        due.then(|| self.queued.pop_front())?
            .map(|(_, bytes)| bytes)
    }

    fn next(&self) -> Option<Instant> {
        self.queued.front().map(|(at, _)| *at)
    }
}

/// Both ends, and a camera that sends three layers of one video to the server.
struct World {
    now: Instant,
    session: Session,
    peer: Rtc,
    peer_timeout: Instant,
    down: Link,
    up: Link,
    frame_due: Instant,
    frames: u32,
    /// The bitrate of each layer.
    rates: Vec<u64>,
    sequence: [u64; 3],
    keyframe_of: [bool; 3],
    /// When each packet of layer 0 was filmed, and how long those that arrived took.
    filmed: Vec<Instant>,
    delays: Vec<Duration>,
    /// Packets of the last frame of the chosen layer.
    frame: usize,
    /// Packets of each layer that the peer has received.
    got: [usize; 3],
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let mut peer = RtcConfig::new()
            .set_crypto_provider(Arc::clone(crypto()))
            .set_rtp_mode(true)
            .build(now);
        peer.add_local_candidate(Candidate::host(PEER, "udp").unwrap());
        let mut change = peer.sdp_api();
        change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = change.apply().unwrap();
        let offer = offer.to_sdp_string();
        let (mut session, answer) = answer_to(&offer, Role::Subscribe, SERVER, now);
        let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
        peer.sdp_api().accept_answer(pending, answer).unwrap();
        session.add_track(video(TRACK), 0);
        Self {
            now,
            session,
            peer,
            peer_timeout: now,
            down: Link::new(now),
            up: Link::new(now),
            frame_due: now,
            frames: 0,
            rates: RATES.to_vec(),
            sequence: [0; 3],
            keyframe_of: [true; 3],
            filmed: Vec::new(),
            delays: Vec::new(),
            frame: 0,
            got: [0; 3],
        }
    }

    /// Advances to the next event, and handles it.
    fn step(&mut self) {
        let ways = [self.down.next(), self.up.next()].into_iter().flatten();
        let next = ways.fold(self.frame_due, Instant::min);
        let next = next.min(self.session.timeout()).min(self.peer_timeout);
        // Some timeouts say "at once".
        self.now = next.max(self.now + Duration::from_micros(10));
        if self.frame_due <= self.now {
            self.frame_due += Duration::from_secs(1) / FRAMES;
            self.film();
        }
        while let Some(bytes) = self.up.leave(self.now) {
            if classify(&bytes) == Some(PacketKind::Stun) {
                self.session.consent(self.now);
            }
            let origin = Origin::udp(PEER);
            self.session.receive(self.now, origin, SERVER, &bytes);
            self.poll_session();
        }
        self.session.tick(self.now);
        self.poll_session();
        while let Some(bytes) = self.down.leave(self.now) {
            let receive = Receive::new(Protocol::Udp, SERVER, PEER, &bytes).unwrap();
            let input = Input::Receive(self.now, receive);
            self.peer.handle_input(input).unwrap();
            self.poll_peer();
        }
        self.peer.handle_input(Input::Timeout(self.now)).unwrap();
        self.poll_peer();
    }

    /// The camera sends a frame of each layer, of the size that its bitrate gives.
    fn film(&mut self) {
        self.frames += 1;
        self.frame = 0;
        for (layer, rate) in (0..).zip(self.rates.clone()) {
            let index = usize::from(layer);
            let keyframe = self.keyframe_of[index];
            // A keyframe has four times the size.
            let bytes = rate / 8 / u64::from(FRAMES) * if keyframe { 4 } else { 1 };
            let packets = bytes.div_ceil(1100);
            for part in 0..packets {
                let mut payload = vec![layer; (bytes / packets) as usize];
                if layer == 0 {
                    payload[1..9].copy_from_slice(&self.sequence[0].to_be_bytes());
                    self.filmed.push(self.now);
                }
                let packet = MediaPacket {
                    ssrc: u32::from(layer),
                    sequence: self.sequence[index],
                    time: self.frames * (90_000 / FRAMES),
                    marker: part + 1 == packets,
                    keyframe: part == 0 && std::mem::take(&mut self.keyframe_of[index]),
                    measure: Measure {
                        rate: rate as u32,
                        pixels: 0,
                    },
                    payload: payload.into(),
                    ..packet(TRACK, layer, self.now)
                };
                let is_chosen = self.session.deliver(self.now, &packet);
                self.frame += usize::from(is_chosen);
                self.sequence[index] += 1;
            }
        }
        self.poll_session();
    }

    fn poll_session(&mut self) {
        let mut events = Vec::new();
        let send = |transmit: Transmit| self.down.enter(self.now, &transmit.contents);
        self.session.poll(self.now, send, &mut events);
        for event in events {
            match event {
                SessionEvent::NeedKeyframe(TRACK, Layer::ANY) => self.keyframe_of = [true; 3],
                SessionEvent::NeedKeyframe(TRACK, layer) => {
                    self.keyframe_of[usize::from(layer.0)] = true;
                }
                SessionEvent::Closed(why) => panic!("the session is over: {why}"),
                _ => {}
            }
        }
    }

    fn poll_peer(&mut self) {
        loop {
            match self.peer.poll_output().unwrap() {
                Output::Timeout(at) => {
                    self.peer_timeout = at;
                    return;
                }
                Output::Transmit(transmit) => self.up.enter(self.now, &transmit.contents),
                Output::Event(Event::RtpPacket(packet)) => {
                    if let Some(layer) = packet.payload.first() {
                        self.got[usize::from(*layer)] += 1;
                        if let (0, Some(number)) = (*layer, packet.payload.get(1..9)) {
                            let number = u64::from_be_bytes(number.try_into().unwrap());
                            let filmed = self.filmed.get(number as usize);
                            self.delays.extend(filmed.map(|at| self.now - *at));
                        }
                    }
                }
                Output::Event(_) => {}
            }
        }
    }

    fn layer(&self) -> Option<u8> {
        Some(self.session.subscriptions.current(TRACK)?.0)
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = self.now;
        while !done(self) {
            assert!(
                self.now - start < PATIENCE,
                "timed out waiting until {what}: layer {:?}, estimate {:?}, {:?}",
                self.layer(),
                self.session.estimate,
                self.got
            );
            self.step();
        }
    }

    /// Lets `time` pass. Returns the packets of each layer that the peer receives, and those that the link drops.
    fn pass(&mut self, time: Duration) -> ([usize; 3], usize) {
        let (end, got, lost) = (self.now + time, self.got, self.down.lost);
        while self.now < end {
            self.step();
        }
        let got = [0, 1, 2].map(|layer| self.got[layer] - got[layer]);
        (got, self.down.lost - lost)
    }
}

#[test]
fn estimate_and_layer_fall_on_a_narrow_way_and_rise_on_a_wide_one() {
    const WIDE: u64 = 5_000_000;
    const NARROW: u64 = 350_000;
    let mut world = World::new();
    world.down.bits_per_second = WIDE;
    world.until("the largest layer is sent", |world| {
        world.layer() == Some(2) && world.got[2] > 0
    });
    world.pass(Duration::from_secs(10));
    assert_eq!(world.layer(), Some(2));
    let wide = world.session.estimate.get().unwrap();
    assert!(wide > RATES[2], "{wide}");

    world.down.bits_per_second = NARROW;
    world.until("the estimate and the layer have fallen", |world| {
        world.layer() == Some(0) && world.session.estimate.get().unwrap() < 2 * NARROW
    });
    // What is sent then fits, and arrives.
    world.pass(Duration::from_secs(5));
    let (got, lost) = world.pass(Duration::from_secs(10));
    assert!(got[0] > 250 && got[1..] == [0, 0], "{got:?}");
    assert_eq!(lost, 0);

    world.down.bits_per_second = WIDE;
    world.until("both have risen", |world| {
        world.layer() == Some(2) && world.session.estimate.get().unwrap() > RATES[2]
    });
}

#[test]
fn packets_of_a_frame_leave_together() {
    let mut world = World::new();
    world.until("the largest layer is sent", |world| {
        world.layer() == Some(2) && world.got[2] > 0
    });
    world.pass(Duration::from_secs(10));
    for _ in 0..FRAMES {
        let frames = world.frames;
        let mut entered = 0;
        while world.frames == frames {
            entered = world.down.entered;
            world.step();
        }
        let sent = world.down.entered - entered;
        assert!(world.frame > 5, "a frame of {} packets", world.frame);
        assert!(sent >= world.frame, "{sent} of {} have left", world.frame);
    }
}

/// The largest delay of what arrives in `time`, and how many packets arrive and were filmed.
fn delays(world: &mut World, time: Duration) -> (Duration, usize, usize) {
    world.delays.clear();
    let filmed = world.filmed.len();
    world.pass(time);
    let filmed = world.filmed.len() - filmed;
    let most = world.delays.iter().max().copied();
    (most.unwrap_or_default(), world.delays.len(), filmed)
}

const SECONDS: Duration = Duration::from_secs(10);

#[test]
fn video_of_a_high_rate_is_sent_at_that_rate() {
    let mut world = World::new();
    world.rates = vec![8_000_000];
    world.until("it is sent", |world| world.got[0] > 0);
    let (first, ..) = delays(&mut world, Duration::from_secs(3));
    assert!(first < Duration::from_millis(600), "{first:?}");
    let (most, arrived, filmed) = delays(&mut world, SECONDS);
    assert!(most < Duration::from_millis(100), "{most:?}");
    assert!(arrived * 100 > filmed * 99, "{arrived} of {filmed}");
}

#[test]
fn video_that_does_not_fit_does_not_arrive_late() {
    let mut world = World::new();
    world.rates = vec![1_500_000];
    world.down.bits_per_second = 700_000;
    world.until("it is sent", |world| world.got[0] > 0);
    let mut seen = 0;
    for _ in 0..6 {
        let (most, arrived, _) = delays(&mut world, SECONDS);
        // The keyframe that is tried waits for itself; nothing waits behind a video that does not fit.
        assert!(most < Duration::from_millis(1500), "{most:?}");
        seen += arrived;
    }
    assert!(seen > 0, "some of it is seen");
    // The link becomes wide enough: all is seen, and at once.
    world.down.bits_per_second = 5_000_000;
    world.pass(2 * SECONDS);
    let (most, arrived, filmed) = delays(&mut world, SECONDS);
    assert!(most < Duration::from_millis(100), "{most:?}");
    assert!(arrived * 100 > filmed * 95, "{arrived} of {filmed}");
}

#[test]
fn nothing_is_late_from_the_first_packet_on() {
    let links = [
        (1_500_000, 700_000),
        (1_500_000, 300_000),
        (3_000_000, 1_000_000),
        (8_000_000, 2_000_000),
    ];
    // Who has been there for a while has another estimate, which falls further: what was given to the stack before leaves at the
    // new rate, and what the link has lost may be sent again for a second, at that rate too.
    let idle = [(0, 1200), (2500, 1800), (10_000, 1800)];
    for ((rate, link), (idle, bound)) in links.into_iter().flat_map(|it| idle.map(|of| (it, of))) {
        let mut world = World::new();
        world.rates = Vec::new();
        world.down.bits_per_second = link;
        world.pass(Duration::from_millis(idle));
        world.rates = vec![rate];
        for second in 0..12 {
            let (most, ..) = delays(&mut world, Duration::from_secs(1));
            assert!(
                most < Duration::from_millis(bound),
                "{rate} by {link} in second {second} after {idle} ms: {most:?}"
            );
        }
    }
}

#[test]
fn cameras_that_are_off_cost_little_padding() {
    let mut world = World::new();
    world.rates = Vec::new();
    world.pass(SECONDS);
    let before = world.down.bytes;
    world.pass(SECONDS);
    let rate = (world.down.bytes - before) * 8 / 10;
    // The stack sends 50 kbit/s a session to keep its state, in small packets with a header each.
    assert!(rate < 130_000, "{rate} bits per second without media");
}
