//! A session without a network: the choice of layers, and rate limits.

use std::collections::HashMap;
use std::sync::Arc;

use str0m::Event;
use str0m::bwe::{Bitrate, BweKind};
use str0m::rtp::Ssrc;

use super::subscriptions::layers::LAYER_ALIVE;
use super::*;
use crate::ids::{PersonId, TrackId};
use crate::media::codec::{Codec, Name};
use crate::media::{Measure, Source, TrackInfo};
use crate::session::build::{Identity, Setup};
use crate::session::signal::FromPage;
use crate::tools::client::Client;

mod codecs;
mod life;
mod narrow;
mod nonce;
mod page;
mod path;
mod sync;

pub(in crate::session) const TRACKS: [TrackId; 2] = [TrackId(1), TrackId(2)];

/// The bitrates of layers 0, 1 and 2, in bits per second.
const RATES: [u64; 3] = [150_000, 500_000, 1_500_000];

/// A session of a server at `udp` that answers `offer`, and the answer.
fn answer_to(offer: &str, role: Role, udp: SocketAddr, now: Instant) -> (Session, String) {
    let setup = Setup {
        udp: vec![udp],
        tcp: Vec::new(),
        estimate: true,
    };
    let identity = Identity {
        id: ParticipantId(9),
        person: PersonId(9),
        room: "room".into(),
        name: "name".into(),
        role,
    };
    Session::answer_to(&setup, identity, offer, Vec::new(), now).unwrap()
}

/// A video of another participant.
fn video(id: TrackId) -> TrackInfo {
    TrackInfo {
        id,
        participant: ParticipantId(1),
        person: PersonId(1),
        name: "camera".into(),
        video: true,
        source: Source::Camera,
    }
}

/// A session that receives two videos.
fn session(now: Instant) -> Session {
    session_as(Role::Page, now)
}

fn session_as(role: Role, now: Instant) -> Session {
    let here = "127.0.0.1".parse().unwrap();
    let (_, offer) = Client::new(here, false, &[MediaKind::Video; 2]).unwrap();
    let udp = SocketAddr::new(here, 4000);
    // The offer is to receive only.
    let (mut session, _) = answer_to(&offer, Role::Page, udp, now);
    session.role = role;
    for (track, mid) in TRACKS.into_iter().zip(["0", "1"]) {
        session.subscriptions.add_open(video(track), mid.into());
    }
    session
}

pub(in crate::session) fn packet(track: TrackId, layer: u8, at: Instant) -> MediaPacket {
    MediaPacket {
        track,
        layer: Layer(layer),
        measure: Measure {
            rate: RATES[usize::from(layer)] as u32,
            pixels: 0,
        },
        ssrc: 1,
        codec: Codec {
            name: Name::Vp8,
            profile: 0,
        },
        sequence: 1,
        time: 1,
        marker: true,
        keyframe: false,
        audio_level: None,
        voice: None,
        orientation: None,
        possible: Default::default(),
        captured: None,
        arrived: at,
        payload: Arc::from([0u8; 4]),
    }
}

fn estimate(session: &mut Session, now: Instant, bits: u64) {
    let estimate = BweKind::Twcc {
        estimate: Bitrate::from(bits),
        can_probe: true,
    };
    session.event(now, Event::EgressBitrateEstimate(estimate));
}

fn wanted(session: &Session) -> [u8; 2] {
    TRACKS.map(|track| {
        session
            .subscriptions
            .wanted(track)
            .map_or(2, |layer| layer.0)
    })
}

/// Records a packet of the publisher.
fn note(session: &mut Session, packet: &MediaPacket) {
    if session.subscriptions.record(packet) {
        session.choose_layers(packet.arrived);
    }
}

#[test]
fn layer_follows_the_estimate_and_the_pages_request() {
    let now = Instant::now();
    let mut session = session(now);
    for track in TRACKS {
        for layer in 0..3 {
            note(&mut session, &packet(track, layer, now));
        }
    }
    assert_eq!(wanted(&session), [2, 2], "there is no estimate yet");
    for (bits, layers) in [
        (5_000_000, [2, 2]),
        // What the first leaves is enough for the other to stay.
        (2_000_000, [1, 2]),
        (600_000, [0, 0]),
        (0, [0, 0]),
        (2_000_000, [1, 1]),
        (5_000_000, [2, 2]),
    ] {
        session.events.clear();
        estimate(&mut session, now, bits);
        assert_eq!(wanted(&session), layers, "{bits} bits a second for both");
    }
    // The page's request is an upper limit, and all videos share the estimate.
    let ask = |layer| FromPage::Layer {
        track: TRACKS[0].to_string(),
        layer,
    };
    session.message(now, ask(Some(0)));
    assert_eq!(wanted(&session), [0, 2]);
    estimate(&mut session, now, 1_200_000);
    assert_eq!(wanted(&session), [0, 1]);
    session.message(now, ask(Some(2)));
    assert_eq!(
        wanted(&session),
        [1, 1],
        "a request does not raise the estimate"
    );
    session.message(now, ask(None));
    session.remove_track(TRACKS[1]);
    estimate(&mut session, now, 1_800_000);
    let alone = session.subscriptions.wanted(TRACKS[0]);
    assert_eq!(alone, Some(Layer(2)), "the only video gets all");
}

#[test]
fn page_that_asks_without_end_is_heard_only_so_often() {
    let now = Instant::now();
    let mut session = session(now);
    let mute = br#"{"type":"mute","source":"microphone","muted":true}"#;
    let heard = |session: &mut Session, now, times| {
        session.events.clear();
        for _ in 0..times {
            session.page_message(now, mute);
        }
        let refused = refused(session);
        assert_eq!(session.events.len(), times, "each is heard or counted");
        times - refused
    };
    assert_eq!(heard(&mut session, now, 1000), 40);
    assert_eq!(heard(&mut session, now, 1000), 0);
    let later = now + Duration::from_secs(1);
    assert_eq!(heard(&mut session, later, 1000), 10);
    session.page_message(later, br#"{"type":"leave"}"#);
    let left = |event: &SessionEvent| matches!(event, SessionEvent::Closed("left"));
    assert!(session.events.iter().any(left), "it may always leave");
}

fn refused(session: &Session) -> usize {
    let refused = |event: &&SessionEvent| matches!(event, SessionEvent::MessageRefused);
    session.events.iter().filter(refused).count()
}

#[test]
fn chat_is_bounded_and_who_writes_too_much_is_told() {
    let mut now = Instant::now();
    let mut session = session(now);
    session.attach_page();
    let mut chat = |now, text: &str| {
        session.events.clear();
        session.page.flush(|_| true);
        let message = serde_json::json!({"type": "chat", "text": text}).to_string();
        session.page_text(now, &message);
        let mut told = Vec::new();
        session.page.flush(|text| {
            told.push(text.to_string());
            true
        });
        let passed_on = matches!(&session.events[..], [SessionEvent::Chat(said)] if said == text);
        assert_ne!(passed_on, refused(&session) == 1, "it is heard or counted");
        let why = told
            .iter()
            .any(|told| told.contains("unsaid") && told.contains(text));
        assert_ne!(passed_on, why, "{told:?}");
        passed_on
    };
    assert!(chat(now, "hello"));
    assert!(!chat(now, &"x".repeat(2001)));
    assert!(chat(now, &"x".repeat(2000)));
    assert!(!chat(now, "  "));
    now += Duration::from_secs(20);
    let said = (0..100).filter(|_| chat(now, "hello")).count();
    assert_eq!(said, 20);
    now += Duration::from_secs(4);
    assert!(chat(now, "again"));
}

#[test]
fn what_is_no_message_is_counted() {
    let now = Instant::now();
    let mut session = session(now);
    session.events.clear();
    session.page_text(now, "{");
    session.page_text(now, r#"{"type":"unknown"}"#);
    session.page_text(
        now,
        &format!(r#"{{"type":"leave"}}{}"#, " ".repeat(MAX_MESSAGE)),
    );
    assert_eq!((refused(&session), session.events.len()), (3, 3));
}

#[test]
fn each_message_needs_the_right_to_it() {
    let now = Instant::now();
    let heard = |role, message: &[u8]| {
        let mut session = session_as(role, now);
        session.events.clear();
        session.page_message(now, message);
        session.events.len() - refused(&session)
    };
    let mute = br#"{"type":"mute","source":"microphone","muted":true}"#.as_slice();
    let chat = br#"{"type":"chat","text":"hello"}"#.as_slice();
    let leave = br#"{"type":"leave"}"#.as_slice();
    for (role, may_publish) in [(Role::Page, 1), (Role::Publish, 1), (Role::Subscribe, 0)] {
        let counts = [mute, chat, leave].map(|message| heard(role, message));
        assert_eq!(counts, [may_publish, may_publish, 1], "{role:?}");
    }
    // A limit on a layer is for those who receive.
    for (role, layer) in [(Role::Page, 0), (Role::Subscribe, 0), (Role::Publish, 2)] {
        let mut session = session_as(role, now);
        note(&mut session, &packet(TRACKS[0], 0, now));
        note(&mut session, &packet(TRACKS[0], 2, now));
        let track = TRACKS[0];
        let ask = format!(r#"{{"type":"layer","track":"{track}","layer":0}}"#);
        session.page_message(now, ask.as_bytes());
        assert_eq!(wanted(&session)[0], layer, "{role:?}");
    }
}

#[test]
fn keyframes_are_asked_of_a_sender_only_so_often() {
    let now = Instant::now();
    let mut session = session(now);
    let (mid, ssrc) = (Mid::from("in"), Ssrc::from(7));
    let mut direct = session.rtc.direct_api();
    direct.declare_media(mid, MediaKind::Video);
    direct.expect_stream_rx(ssrc, None, mid, None);
    session.publish(mid, MediaKind::Video);
    let track = session.publications.add_stream(ssrc, Layer(2));
    let mut asked = |after, layer| {
        let at = now + Duration::from_millis(after);
        session.request_keyframe(at, track, Layer(layer))
    };
    assert!(asked(0, 2));
    assert!((0..500).all(|after| !asked(after, 2)));
    assert!(asked(0, 1), "another layer has its own interval");
    assert!(asked(500, 2));
    assert!(!session.request_keyframe(now, TrackId(99), Layer(2)));
}

#[test]
fn keyframe_request_that_comes_too_early_is_sent_later() {
    let now = Instant::now();
    let mut session = session(now);
    let (mid, ssrc) = (Mid::from("in"), Ssrc::from(7));
    let mut direct = session.rtc.direct_api();
    direct.declare_media(mid, MediaKind::Video);
    direct.expect_stream_rx(ssrc, None, mid, None);
    session.publish(mid, MediaKind::Video);
    let track = session.publications.add_stream(ssrc, Layer(2));
    let at = |after| now + Duration::from_millis(after);
    let requests = |session: &mut Session, after| {
        session.events.clear();
        session.tick(at(after));
        let request = |event: &&SessionEvent| matches!(event, SessionEvent::KeyframeRequested);
        session.events.iter().filter(request).count()
    };
    assert!(session.request_keyframe(at(0), track, Layer(2)));
    assert_eq!(requests(&mut session, 499), 0);
    assert!(!session.request_keyframe(at(10), track, Layer(2)));
    assert!(!session.request_keyframe(at(490), track, Layer(2)));
    session.poll(at(490), |_| {}, &mut Vec::new());
    assert!(session.timeout() <= at(500), "the session wakes up for it");
    assert_eq!(requests(&mut session, 499), 0);
    assert_eq!(requests(&mut session, 500), 1);
    assert_eq!(requests(&mut session, 2000), 0, "once");
    // The interval begins anew.
    assert!(session.request_keyframe(at(2000), track, Layer(2)));
    assert!(!session.request_keyframe(at(2400), track, Layer(2)));
    assert_eq!(requests(&mut session, 2499), 0);
    assert_eq!(requests(&mut session, 2500), 1);
}

#[test]
fn layer_that_is_no_longer_sent_is_not_waited_for() {
    let now = Instant::now();
    let mut session = session(now);
    for layer in 0..3 {
        note(&mut session, &packet(TRACKS[0], layer, now));
    }
    assert_eq!(wanted(&session)[0], 2);
    let later = now + LAYER_ALIVE + Duration::from_millis(1);
    note(&mut session, &packet(TRACKS[0], 0, later));
    assert_eq!(wanted(&session)[0], 0, "the sender has stopped the others");
    session.events.clear();
    note(&mut session, &packet(TRACKS[0], 1, later));
    assert_eq!(wanted(&session)[0], 1);
    let asked = |event: &SessionEvent| matches!(event, SessionEvent::NeedKeyframe(track, layer) if (*track, layer.0) == (TRACKS[0], 1));
    assert!(
        session.events.iter().any(asked),
        "a switch needs a keyframe"
    );
}
