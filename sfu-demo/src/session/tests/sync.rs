//! Sound and picture stay together, and pictures upright: reports and rotation reach the viewer, however long the packets of a
//! track were on their way.

use std::collections::VecDeque;

use str0m::change::SdpAnswer;
use str0m::media::Direction;
use str0m::rtp::{Extension, VideoOrientation};
use str0m::{Candidate, RtcConfig};

use super::*;

const STEP: Duration = Duration::from_millis(10);
const SERVER: SocketAddr = address(4000);

const fn address(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// A peer and its session.
struct Leg {
    peer: Rtc,
    session: Session,
    mids: Vec<Mid>,
    /// What the peer has sent, and when it arrives.
    up: VecDeque<(Instant, Vec<u8>)>,
    /// What the peer has received.
    got: Vec<str0m::rtp::RtpPacket>,
    connected: bool,
}

impl Leg {
    fn new(role: Role, id: u64, now: Instant) -> Self {
        let mut peer = RtcConfig::new()
            .set_crypto_provider(Arc::clone(crypto()))
            .set_rtp_mode(true)
            .build(now);
        peer.add_local_candidate(Candidate::host(address(5000), "udp").unwrap());
        let mut change = peer.sdp_api();
        let direction = match role {
            Role::Publish => Direction::SendOnly,
            _ => Direction::RecvOnly,
        };
        let kinds = [MediaKind::Audio, MediaKind::Video];
        let mids = kinds.map(|kind| change.add_media(kind, direction, None, None, None));
        let (offer, pending) = change.apply().unwrap();
        let (mut session, answer) = answer_to(&offer.to_sdp_string(), role, SERVER, now);
        session.id = ParticipantId(id);
        let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
        peer.sdp_api().accept_answer(pending, answer).unwrap();
        Self {
            peer,
            session,
            mids: mids.to_vec(),
            up: VecDeque::new(),
            got: Vec::new(),
            connected: false,
        }
    }

    fn poll_peer(&mut self, now: Instant, delay: impl Fn(&[u8]) -> Duration) {
        loop {
            match self.peer.poll_output().unwrap() {
                Output::Timeout(_) => break,
                Output::Transmit(transmit) => {
                    let bytes = transmit.contents.to_vec();
                    self.up.push_back((now + delay(&bytes), bytes));
                }
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::RtpPacket(packet)) => self.got.push(packet),
                Output::Event(_) => {}
            }
        }
    }

    /// Advances to `now`. `delay` is how long each datagram of the peer is on its way.
    fn step(&mut self, now: Instant, delay: impl Fn(&[u8]) -> Duration) -> Vec<SessionEvent> {
        self.peer.handle_input(Input::Timeout(now)).unwrap();
        self.poll_peer(now, &delay);
        let mut events = Vec::new();
        self.session.tick(now);
        self.exchange(now, &delay, &mut events);
        let (arrived, waits): (VecDeque<_>, _) = std::mem::take(&mut self.up)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.up = waits;
        for (_, bytes) in arrived {
            if classify(&bytes) == Some(PacketKind::Stun) {
                self.session.consent(now);
            }
            let origin = Origin::udp(address(5000));
            self.session.receive(now, origin, SERVER, &bytes);
            self.exchange(now, &delay, &mut events);
        }
        events
    }

    fn exchange(
        &mut self,
        now: Instant,
        delay: impl Fn(&[u8]) -> Duration,
        events: &mut Vec<SessionEvent>,
    ) {
        let mut down = Vec::new();
        let send = |transmit: Transmit| down.push(transmit.contents.to_vec());
        self.session.poll(now, send, events);
        for bytes in down {
            let receive = Receive::new(Protocol::Udp, SERVER, address(5000), &bytes).unwrap();
            self.peer
                .handle_input(Input::Receive(now, receive))
                .unwrap();
            self.poll_peer(now, &delay);
        }
    }

    fn write(&mut self, now: Instant, track: usize, codec: Codec, sequence: u64, time: u32) {
        let mid = self.mids[track];
        let pt = self.session.types.payload_type(&mid, codec).unwrap();
        let mut direct = self.peer.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None).unwrap();
        let rotated = track == 1 && sequence.is_multiple_of(10);
        let payload = [&[0x10, 0][..], &sequence.to_be_bytes()].concat();
        let packet = RtpWrite::new(pt.into(), sequence.into(), time, now, payload);
        let extensions = ExtensionValues {
            video_orientation: rotated.then_some(VideoOrientation::Deg90),
            ..ExtensionValues::default()
        };
        stream.write_rtp(packet.marker(true).ext_vals(extensions));
    }
}

/// What a player gets of sound and of pictures: the number of each packet that the publisher gave it, its timestamp, and the
/// moment that the last report puts it at, in milliseconds after the start; and how many packets say that they are rotated.
fn play(delays: [Duration; 2]) -> ([Vec<(u64, f64)>; 2], usize) {
    let start = Instant::now();
    let mut publisher = Leg::new(Role::Publish, 1, start);
    let mut player = Leg::new(Role::Subscribe, 2, start);
    let opus = Codec {
        name: Name::Opus,
        profile: 0,
    };
    let vp8 = Codec {
        name: Name::Vp8,
        profile: 0,
    };
    let ssrcs = [0, 1].map(|track| {
        let mut direct = publisher.peer.direct_api();
        let stream = direct.stream_tx_by_mid(publisher.mids[track], None);
        *stream.unwrap().ssrc()
    });
    // Reports and packets of a track are on their way equally long.
    let delay = |bytes: &[u8]| {
        let at = match classify(bytes) {
            Some(PacketKind::Rtp) => 8..12,
            Some(PacketKind::Rtcp) => 4..8,
            _ => return STEP,
        };
        let ssrc = bytes
            .get(at)
            .map(|it| u32::from_be_bytes(it.try_into().unwrap()));
        let track = ssrcs.iter().position(|known| Some(*known) == ssrc);
        track.map_or(STEP, |track| delays[track])
    };
    let (mut now, mut sequence, mut added) = (start, 0, false);
    while sequence < 2000 {
        now += STEP;
        if publisher.connected && player.connected {
            for (track, codec) in [opus, vp8].into_iter().enumerate() {
                let rate = codec.name.clock_rate();
                let time = 7_000_000 * (track as u32 + 1) + sequence as u32 * (rate / 100);
                publisher.write(now, track, codec, sequence, time);
            }
            sequence += 1;
        }
        for event in publisher.step(now, delay) {
            match event {
                SessionEvent::Published(track) => {
                    player.session.add_track(track, 0);
                    added = true;
                }
                SessionEvent::Media(packet) => _ = player.session.deliver(now, &packet),
                _ => {}
            }
        }
        player.step(now, |_| STEP);
    }
    assert!(added);
    let mut moments = [Vec::new(), Vec::new()];
    let rotated = |it: &&str0m::rtp::RtpPacket| it.header.ext_vals.video_orientation.is_some();
    let count = player.got.iter().filter(rotated).count();
    for packet in player.got {
        let Some(report) = packet.last_sender_info else {
            continue;
        };
        let number = u64::from_be_bytes(packet.payload[2..].try_into().unwrap());
        let ticks = packet
            .header
            .timestamp
            .wrapping_sub(report.rtp_time.numer() as u32);
        let rate = f64::from(packet.time.frequency().get());
        let after = f64::from(ticks.cast_signed()) / rate;
        let at = report
            .ntp_time
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let track = usize::from(rate == 90_000.0);
        moments[track].push((number, (at.as_secs_f64() + after) * 1e3));
    }
    (moments, count)
}

fn differences([sound, pictures]: &[Vec<(u64, f64)>; 2]) -> Vec<f64> {
    let sound: HashMap<_, _> = sound.iter().copied().collect();
    let both = pictures
        .iter()
        .filter_map(|(number, at)| Some(at - sound.get(number)?));
    both.collect()
}

#[test]
fn viewer_is_told_when_media_was_captured_not_when_it_arrived() {
    let delays = [Duration::from_millis(20), Duration::from_millis(320)];
    let (moments, _) = play(delays);
    // Both the publisher and the session report on sound every five seconds: then the viewer knows.
    let differences = differences(&moments.map(|of| {
        let known = of.into_iter().filter(|(number, _)| *number >= 1100);
        known.collect()
    }));
    assert!(differences.len() > 300);
    let worst = differences
        .iter()
        .fold(0.0_f64, |worst, it| worst.max(it.abs()));
    assert!(worst < 2.0, "{worst} ms apart");
}

#[test]
fn rotation_reaches_the_viewer() {
    let (_, rotated) = play([Duration::from_millis(20); 2]);
    assert!(rotated >= 150, "{rotated}");
    let map = str0m::rtp::ExtensionMap::standard();
    assert!(map.id_of(Extension::VideoOrientation).is_some());
}
