//! A peer that sends media, loses packets, and gets some.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::SdpAnswer,
    channel::ChannelConfig,
    media::{Direction, KeyframeRequestKind, MediaKind as StackKind, MediaTime, Mid},
    net::{Protocol, Receive},
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, sleep_until},
};

use super::{WebRtc, session};
use crate::{
    task::Task,
    transport::{
        Connection,
        media::{Arrived, Media, MediaFrame, MediaKind, Order},
    },
};

const KEY: u8 = 0x10;
const OTHER: u8 = 0x11;

/// What a test and its peer tell each other.
#[derive(Default)]
struct State {
    /// How many packets are still to be dropped, each with its retransmissions.
    lose: AtomicUsize,
    /// Key frames that the peer was asked for.
    requests: AtomicUsize,
}

/// A peer that sends frames all the time: their number, and a key frame where one is asked for.
struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    mids: [Mid; 2],
    number: u32,
    is_key: bool,
    source: Option<[u8; 4]>,
    state: Arc<State>,
    shown: mpsc::UnboundedSender<Bytes>,
}

/// A frame of some packets, which begins as VP8 does.
fn frame(is_key: bool, number: u32) -> Vec<u8> {
    let mut bytes = vec![if is_key { KEY } else { OTHER }];
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.resize(3000, 7);
    bytes
}

fn number(frame: &MediaFrame) -> u32 {
    assert_eq!((frame.kind, &*frame.codec), (MediaKind::Video, "VP8"));
    assert_eq!(frame.data.len(), 3000);
    u32::from_le_bytes(frame.data[1..5].try_into().unwrap())
}

impl Peer {
    /// A session of it with `transport`, and what it is shown.
    async fn join(
        transport: &WebRtc,
    ) -> (Connection, Task, Arc<State>, mpsc::UnboundedReceiver<Bytes>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let local = socket.local_addr().unwrap();
        let mut rtc = RtcConfig::new().build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
        let mut changes = rtc.sdp_api();
        let ways = [Direction::SendOnly, Direction::RecvOnly];
        let mids = ways.map(|way| changes.add_media(StackKind::Video, way, None, None, None));
        for id in 0..4 {
            changes.add_channel_with_config(ChannelConfig {
                label: "any".to_owned(),
                negotiated: Some(id),
                ..ChannelConfig::default()
            });
        }
        let (offer, pending) = changes.apply().unwrap();
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let answered = session::answer(transport, &offer.to_sdp_string(), host).unwrap();
        let (answer, _, session) = answered.unwrap();
        let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
        rtc.sdp_api().accept_answer(pending, answer).unwrap();
        let state = Arc::<State>::default();
        let (tx, shown) = mpsc::unbounded_channel();
        let peer = Self {
            rtc,
            socket,
            local,
            mids,
            number: 0,
            is_key: true,
            source: None,
            state: state.clone(),
            shown: tx,
        };
        let task = Task::spawn(peer.run());
        (session.connection().await.unwrap(), task, state, shown)
    }

    async fn run(mut self) {
        let mut ticks = interval(Duration::from_millis(5));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut buffer = [0; 2048];
        loop {
            let deadline = self.drain().await;
            tokio::select! {
                Ok((length, source)) = self.socket.recv_from(&mut buffer) => {
                    let content = &buffer[..length];
                    let receive = Receive::new(Protocol::Udp, source, self.local, content).unwrap();
                    let _ = self.rtc.handle_input(Input::Receive(Instant::now(), receive));
                }
                _ = ticks.tick() => self.send(),
                () = sleep_until(deadline.into()) => {
                    self.rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
                }
            }
        }
    }

    fn send(&mut self) {
        if !self.rtc.is_connected() {
            return;
        }
        let writer = self.rtc.writer(self.mids[0]).unwrap();
        let params = writer.payload_params().next().unwrap();
        assert_eq!(params.spec().codec.to_string(), "VP8");
        let (pt, clock) = (params.pt(), params.spec().clock_rate);
        let time = MediaTime::new(u64::from(self.number) * 450, clock);
        let bytes = frame(self.is_key, self.number);
        writer.write(pt, Instant::now(), time, bytes).unwrap();
        self.is_key = false;
        self.number += 1;
    }

    async fn drain(&mut self) -> Instant {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => return at,
                Output::Transmit(transmit) if self.is_lost(&transmit.contents) => {}
                Output::Transmit(transmit) => {
                    let sent = self
                        .socket
                        .send_to(&transmit.contents, transmit.destination);
                    sent.await.unwrap();
                }
                Output::Event(Event::KeyframeRequest(request)) => {
                    assert_eq!(request.mid, self.mids[0]);
                    self.is_key = true;
                    self.state.requests.fetch_add(1, Relaxed);
                }
                Output::Event(Event::MediaData(data)) => {
                    assert_eq!(data.mid, self.mids[1]);
                    let _ = self.shown.send(Bytes::from_owner(data.data));
                    let mut writer = self.rtc.writer(self.mids[1]).unwrap();
                    let asked = writer.request_keyframe(None, KeyframeRequestKind::Pli);
                    asked.unwrap();
                }
                Output::Event(_) => {}
            }
        }
    }

    /// Packets that are sent again have a source of their own, and never arrive.
    fn is_lost(&mut self, datagram: &[u8]) -> bool {
        let is_rtp = datagram[0] & 0xc0 == 0x80 && !(64..96).contains(&(datagram[1] & 0x7f));
        if !is_rtp {
            return false;
        }
        let source = datagram[8..12].try_into().unwrap();
        let is_first = *self.source.get_or_insert(source) == source;
        let lost = |left: usize| left.checked_sub(1);
        !is_first || self.state.lose.fetch_update(Relaxed, Relaxed, lost).is_ok()
    }
}

/// The next frame. It can be decoded after the `last` one.
async fn next(media: &mut Media, last: &mut Option<u32>) -> bool {
    let Some(Arrived::Frame(0, frame)) = media.arrived.recv().await else {
        panic!("the session is over");
    };
    let number = number(&frame);
    let follows = last.is_some_and(|last| number == last + 1);
    assert!(follows || frame.data[0] == KEY, "{number} after {last:?}");
    assert!(last.is_none_or(|last| number > last));
    *last = Some(number);
    follows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_arrive_can_be_decoded_whatever_is_lost() {
    let transport = WebRtc::bind("127.0.0.1:0").await.unwrap();
    let (mut connection, _peer, state, _) = Peer::join(&transport).await;
    let mut media = connection.take_media().unwrap();
    let ways: Vec<_> = media.sections.iter().map(|it| it.is_inward).collect();
    assert_eq!(ways, [true, false]);
    assert!(media.sections.iter().all(|it| it.codecs[0] == "VP8"));
    // Nobody wants any yet, and nothing is kept of them.
    sleep(Duration::from_millis(100)).await;
    assert!(media.arrived.is_empty());
    media.orders.send(Order::Open(0)).await.unwrap();
    let mut last = None;
    assert!(!next(&mut media, &mut last).await);
    assert!(
        state.requests.load(Relaxed) > 0,
        "the first was a key frame long ago"
    );
    for _ in 0..3 {
        let interrupted = media.counts.interrupted.now();
        state.lose.store(4, Relaxed);
        // The first after the gap is a key frame.
        while next(&mut media, &mut last).await || media.counts.interrupted.now() == interrupted {}
    }
    // There is none that nobody has asked for.
    assert!(state.requests.load(Relaxed) >= 4);
    assert!(media.counts.useless.now() > 0);
    // Who is slow has lost frames, and holds up nothing.
    while media.counts.refused.now() == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    while next(&mut media, &mut last).await {}
    // So it is for one further on.
    media.orders.send(Order::Missed(0)).await.unwrap();
    while next(&mut media, &mut last).await {}
    // One is asked for where nothing is missing, too.
    let requests = state.requests.load(Relaxed);
    media.orders.send(Order::WantKey(0)).await.unwrap();
    while state.requests.load(Relaxed) == requests {
        next(&mut media, &mut last).await;
    }
    media.orders.send(Order::Close(0)).await.unwrap();
    drop(connection);
    while media.arrived.recv().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_this_end_arrive_and_the_peer_asks_for_key_frames() {
    let transport = WebRtc::bind("127.0.0.1:0").await.unwrap();
    let (mut connection, _peer, _, mut shown) = Peer::join(&transport).await;
    let mut media = connection.take_media().unwrap();
    let frame = |number: u32| MediaFrame {
        kind: MediaKind::Video,
        codec: "vp8".to_owned(),
        timestamp: (u32::MAX - 9000).wrapping_add(number * 3000),
        data: frame(number == 0, number).into(),
    };
    // Where there is no track the peer's requests are for nobody.
    media.frames.send((1, frame(0))).await.unwrap();
    assert_eq!(shown.recv().await.unwrap(), frame(0).data);
    media.orders.send(Order::Open(1)).await.unwrap();
    for number in 1..10 {
        media.frames.send((1, frame(number))).await.unwrap();
        assert_eq!(shown.recv().await.unwrap(), frame(number).data);
    }
    assert!(matches!(
        media.arrived.recv().await,
        Some(Arrived::KeyFrameWanted(1))
    ));
    assert_eq!(media.counts.sent.now(), 10);
}
