//! A page in a room in simulated time: which tracks its sections carry, while people come and go.

use str0m::Candidate;
use str0m::RtcConfig;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::ChannelId;

use super::*;
use crate::session::subscriptions::MAX_SECTIONS;

const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000);
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);
const STEP: Duration = Duration::from_millis(20);

/// A session, and a peer of the same stack that answers its offers as the page does.
struct Page {
    now: Instant,
    session: Session,
    peer: Rtc,
    channel: Option<ChannelId>,
    /// Datagrams from the peer.
    up: Vec<Vec<u8>>,
    /// Messages to the page.
    texts: Vec<Vec<u8>>,
    /// Whether the page answers offers, and whether its answers arrive.
    answers: bool,
    is_heard: bool,
    offers: usize,
    longest: usize,
    refusals: usize,
    /// What the page was told last: the track of each section.
    carried: HashMap<String, TrackId>,
    events: Vec<SessionEvent>,
}

impl Page {
    fn open() -> Self {
        let now = Instant::now();
        let mut peer = RtcConfig::new()
            .set_crypto_provider(Arc::clone(crypto()))
            .set_rtp_mode(true)
            .set_sctp_max_buffered_amount(1 << 20)
            .build(now);
        peer.add_local_candidate(Candidate::host(PEER, "udp").unwrap());
        let mut change = peer.sdp_api();
        change.add_channel("control".to_owned());
        let (offer, pending) = change.apply().unwrap();
        let (session, answer) = answer_to(&offer.to_sdp_string(), Role::Page, SERVER, now);
        let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
        peer.sdp_api().accept_answer(pending, answer).unwrap();
        let mut page = Self {
            now,
            session,
            peer,
            channel: None,
            up: Vec::new(),
            texts: Vec::new(),
            answers: true,
            is_heard: true,
            offers: 0,
            longest: 0,
            refusals: 0,
            carried: HashMap::new(),
            events: Vec::new(),
        };
        while page.session.page.channel.is_none() {
            page.step();
        }
        page
    }

    fn step(&mut self) {
        self.now += STEP;
        self.peer.handle_input(Input::Timeout(self.now)).unwrap();
        self.poll_peer();
        for bytes in std::mem::take(&mut self.up) {
            if classify(&bytes) == Some(PacketKind::Stun) {
                self.session.consent(self.now);
            }
            let origin = Origin::udp(PEER);
            self.session.receive(self.now, origin, SERVER, &bytes);
            self.poll_session();
        }
        for text in std::mem::take(&mut self.texts) {
            self.told(&text);
        }
        self.session.tick(self.now);
        self.poll_session();
    }

    fn poll_peer(&mut self) {
        loop {
            match self.peer.poll_output().unwrap() {
                Output::Timeout(_) => break,
                Output::Transmit(transmit) => self.up.push(transmit.contents.to_vec()),
                Output::Event(Event::ChannelOpen(id, _)) => self.channel = Some(id),
                Output::Event(Event::ChannelData(data)) => self.texts.push(data.data),
                Output::Event(_) => {}
            }
        }
    }

    fn poll_session(&mut self) {
        let (mut sent, mut events) = (Vec::new(), Vec::new());
        let send = |transmit: Transmit| sent.push(transmit.contents.to_vec());
        self.session.poll(self.now, send, &mut events);
        for bytes in sent {
            let receive = Receive::new(Protocol::Udp, SERVER, PEER, &bytes).unwrap();
            self.peer
                .handle_input(Input::Receive(self.now, receive))
                .unwrap();
            self.poll_peer();
        }
        let closed = events
            .iter()
            .find(|it| matches!(it, SessionEvent::Closed(_)));
        assert!(closed.is_none(), "{closed:?}");
        self.events.append(&mut events);
    }

    fn told(&mut self, text: &[u8]) {
        let message: serde_json::Value = serde_json::from_slice(text).unwrap();
        match message["type"].as_str().unwrap() {
            "offer" => {
                self.offers += 1;
                self.longest = self.longest.max(text.len());
                if self.answers {
                    let offer = message["sdp"].as_str().unwrap();
                    let offer = SdpOffer::from_sdp_string(offer).unwrap();
                    let answer = self.peer.sdp_api().accept_offer(offer).unwrap();
                    let sdp = answer.to_sdp_string();
                    if !self.is_heard {
                        return;
                    }
                    self.say(&serde_json::json!({"type": "answer", "sdp": sdp}));
                }
            }
            "tracks" => {
                let tracks = message["tracks"].as_array().unwrap().iter();
                let of = |carried: &serde_json::Value| {
                    let text = |name: &str| carried[name].as_str().unwrap().to_owned();
                    (text("mid"), text("track").parse().unwrap())
                };
                self.carried = tracks.map(of).collect();
            }
            "refused" => self.refusals += 1,
            _ => {}
        }
    }

    fn say(&mut self, message: &serde_json::Value) {
        let mut channel = self.peer.channel(self.channel.unwrap()).unwrap();
        let text = message.to_string();
        assert!(channel.write(false, text.as_bytes()).unwrap());
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    fn joins(&mut self, participant: u64) {
        for video in [false, true] {
            self.session.add_track(track(participant, video), 0);
        }
    }

    fn leaves(&mut self, participant: u64) {
        for video in [false, true] {
            self.session.remove_track(track(participant, video).id);
        }
    }

    /// The participants whose video the page was told of, in order.
    fn seen(&self) -> Vec<u64> {
        let ids = self.carried.values().filter(|id| id.0 % 2 == 1);
        let mut ids: Vec<_> = ids.map(|id| id.0 >> 16).collect();
        ids.sort_unstable();
        ids
    }
}

fn track(participant: u64, video: bool) -> TrackInfo {
    TrackInfo {
        id: TrackId::new(ParticipantId(participant), u16::from(video)),
        participant: ParticipantId(participant),
        person: PersonId(participant % 1000),
        name: "name".into(),
        video,
        source: if video {
            Source::Camera
        } else {
            Source::Microphone
        },
    }
}

#[test]
fn growing_room_gets_sections_up_to_the_limit_and_those_who_follow_reuse_them() {
    let mut page = Page::open();
    for participant in 100..150 {
        page.joins(participant);
        page.run(Duration::from_millis(100));
    }
    page.run(Duration::from_secs(1));
    let all = MAX_SECTIONS.audio + MAX_SECTIONS.video;
    assert_eq!(page.carried.len(), all);
    let first: Vec<_> = (100..100 + MAX_SECTIONS.video as u64).collect();
    assert_eq!(page.seen(), first, "in the order in which they came");
    assert!(page.longest < 256 << 10, "{} bytes", page.longest);

    // Somebody who is shown leaves: another takes the section at once. No offer is needed any more.
    let offers = page.offers;
    page.leaves(100);
    page.run(Duration::from_millis(200));
    assert_eq!(page.carried.len(), all);
    assert_eq!(page.seen().last(), Some(&(100 + MAX_SECTIONS.video as u64)));
    for participant in 101..150 {
        page.leaves(participant);
    }
    page.run(Duration::from_secs(1));
    assert!(page.carried.is_empty());
    for participant in 300..302 {
        page.joins(participant);
    }
    page.run(Duration::from_millis(200));
    assert_eq!(page.seen(), [300, 301]);
    assert_eq!(page.offers, offers);
}

#[test]
fn who_is_heard_or_pinned_is_shown() {
    let mut page = Page::open();
    for participant in 100..200 {
        page.joins(participant);
    }
    page.run(Duration::from_secs(2));
    page.session.set_heard([199, 198].map(ParticipantId).into());
    page.run(Duration::from_millis(200));
    assert!(page.seen().ends_with(&[198, 199]));
    assert_eq!(page.carried.len(), MAX_SECTIONS.audio + MAX_SECTIONS.video);
    // Those who are shown already keep their sections, whatever the order among them.
    page.events.clear();
    page.session
        .set_heard([198, 199, 100].map(ParticipantId).into());
    assert!(page.session.events.is_empty(), "{:?}", page.session.events);

    let pinned = track(150, true).id.to_string();
    page.say(&serde_json::json!({"type": "pin", "tracks": [pinned]}));
    page.run(Duration::from_millis(200));
    assert!(page.seen().contains(&150));
    page.say(&serde_json::json!({"type": "pin", "tracks": []}));
    page.run(Duration::from_millis(200));
    page.session.set_heard([198, 199].map(ParticipantId).into());
    page.run(Duration::from_millis(200));
    assert!(page.seen().contains(&198));
}

#[test]
fn pin_is_of_a_person_whose_picture_comes_later_and_comes_again() {
    let mut page = Page::open();
    for participant in 100..200 {
        page.joins(participant);
    }
    page.run(Duration::from_secs(2));
    let pin = |page: &mut Page, source: &str| {
        let person = String::from(PersonId(500));
        let people = serde_json::json!([{"person": person, "source": source}]);
        page.say(&serde_json::json!({"type": "pin", "people": people}));
        page.run(Duration::from_millis(200));
    };
    // Nobody knows the person yet; then it is last in a room without a place.
    pin(&mut page, "camera");
    page.joins(500);
    page.run(Duration::from_millis(200));
    assert!(page.seen().contains(&500));
    assert_eq!(page.seen().len(), MAX_SECTIONS.video);
    // It joins again, and its earlier session ends after that or before.
    page.joins(1500);
    page.leaves(500);
    page.run(Duration::from_millis(200));
    assert!(page.seen().contains(&1500));
    page.leaves(1500);
    page.joins(2500);
    page.run(Duration::from_millis(200));
    assert!(page.seen().contains(&2500));
    // Another picture of the person is not meant.
    pin(&mut page, "screen");
    page.session.set_heard([198, 199].map(ParticipantId).into());
    page.run(Duration::from_millis(200));
    assert!(!page.seen().contains(&2500));
    let unknown = serde_json::json!([{"person": "p1", "source": "camera"}]);
    page.say(&serde_json::json!({"type": "pin", "people": unknown}));
    page.run(Duration::from_millis(200));
    assert_eq!(page.seen().len(), MAX_SECTIONS.video, "it is no message");
}

#[test]
fn track_that_is_shared_again_within_a_round_trip_is_carried() {
    for gap in [0, 20, 100, 500] {
        let mut page = Page::open();
        page.joins(100);
        page.run(Duration::from_millis(500));
        assert_eq!(page.seen(), [100]);
        page.session.remove_track(track(100, true).id);
        page.run(Duration::from_millis(gap));
        page.session.add_track(track(100, true), 0);
        page.run(Duration::from_millis(500));
        assert_eq!(page.seen(), [100], "{gap} ms");
    }
}

#[test]
fn offer_without_an_answer_is_made_again() {
    let mut page = Page::open();
    page.answers = false;
    page.joins(100);
    page.run(Duration::from_secs(5));
    assert_eq!((page.offers, page.seen()), (1, vec![]));
    page.say(&serde_json::json!({"type": "answer", "sdp": "nonsense"}));
    page.run(Duration::from_secs(2));
    assert_eq!(page.offers, 1, "it may still answer");
    page.answers = true;
    page.run(Duration::from_secs(5));
    assert_eq!((page.offers, page.seen()), (2, vec![100]));
}

#[test]
fn offer_whose_answer_is_lost_can_be_answered_again() {
    let mut page = Page::open();
    page.joins(100);
    page.run(Duration::from_secs(1));
    page.is_heard = false;
    page.joins(101);
    page.run(Duration::from_secs(5));
    // The page has applied it. Meanwhile somebody else joins.
    page.joins(102);
    page.is_heard = true;
    page.run(Duration::from_secs(7));
    assert_eq!((page.offers, page.seen()), (4, vec![100, 101, 102]));
    // The same if the page connects again.
    page.is_heard = false;
    page.joins(103);
    page.run(Duration::from_secs(1));
    page.is_heard = true;
    page.session.attach_page();
    page.session.detach_page();
    page.run(Duration::from_secs(1));
    assert_eq!((page.offers, page.seen()), (6, vec![100, 101, 102, 103]));
}

#[test]
fn offer_of_the_page_that_cannot_be_used_is_refused_in_words() {
    let mut page = Page::open();
    page.say(&serde_json::json!({"type": "offer", "sdp": "v=0\r\n"}));
    page.run(Duration::from_millis(200));
    assert_eq!(page.refusals, 1);
}

#[test]
fn texts_wait_for_the_channel_in_order_and_are_bounded() {
    let mut page = Page::open();
    let text: Arc<str> = format!("{{\"type\":\"chat\",\"text\":\"{}\"}}", "x".repeat(1000)).into();
    let accepted = (0..5000).filter(|_| page.session.send_text(&text)).count();
    assert!((900..1100).contains(&accepted), "{accepted}");
    page.joins(100);
    page.run(Duration::from_secs(20));
    assert_eq!(page.seen(), [100], "the offer came after the texts");
    assert!(page.session.send_text(&text));
}
