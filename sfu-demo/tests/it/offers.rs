//! Offers of real stacks are answered; offers from an attacker or a fuzzer are refused with a reason.

use std::time::Instant;

use futures_util::StreamExt as _;
use serde_json::Value;
use sfu_demo::ids::{ParticipantId, PersonId};
use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::media::codec::{Codec, Name};
use sfu_demo::session::build::{Identity, Refusal, Setup, check_offer};
use sfu_demo::session::{Role, Session};
use str0m::media::MediaKind;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{client, drive_until, join, post};
use crate::support::{PATIENCE, Running, config};

/// An offer of a real browser or stack, from the corpus of the fuzz target, whose first byte is the role.
fn real(name: &str) -> String {
    let path = format!(
        "{}/../fuzz/corpus/whip_sdp/seed-{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    String::from_utf8(std::fs::read(path).unwrap().split_off(1)).unwrap()
}

fn answer(offer: &str) -> Result<String, Refusal> {
    let setup = Setup {
        udp: vec!["127.0.0.1:4000".parse().unwrap()],
        tcp: Vec::new(),
        estimate: true,
    };
    let identity = Identity {
        id: ParticipantId(1),
        person: PersonId(1),
        room: "room".into(),
        name: "name".into(),
        role: Role::Page,
    };
    Session::answer_to(&setup, identity, offer, Vec::new(), Instant::now())
        .map(|(_, answer)| answer)
}

fn sections(sdp: &str) -> Vec<&str> {
    sdp.lines()
        .filter_map(|line| line.strip_prefix("m="))
        .filter_map(|line| line.split(' ').next())
        .collect()
}

#[test]
fn offers_of_real_stacks_are_answered_section_by_section() {
    for name in [
        "chromium-page",
        "chromium-simulcast",
        "chromium-receive",
        "aiortc-publish",
        "aiortc-receive",
    ] {
        let offer = real(name);
        assert_eq!(check_offer(&offer), Ok(()), "{name}");
        let answer = answer(&offer).unwrap();
        assert_eq!(sections(&answer), sections(&offer), "{name}");
    }
}

#[test]
fn sdp_of_plain_rtp_is_no_offer() {
    assert_eq!(answer(&real("ffmpeg")), Err(Refusal::Fingerprint));
}

/// Found by the fuzz target `whip_sdp`: the answer had a section fewer than the offer.
#[test]
fn section_that_is_named_twice_is_refused() {
    let offer = real("aiortc-receive");
    let last = offer.rfind("m=application").unwrap();
    let twice = format!("{offer}{}", &offer[last..]);
    assert_eq!(answer(&twice), Err(Refusal::Malformed));
}

/// Found by the fuzz target `whip_sdp`: such a section was left out of the answer.
#[test]
fn section_of_an_unknown_kind_is_refused() {
    let offer = real("aiortc-publish");
    for kind in ["text", "message", "viSdeo"] {
        let unknown = offer.replace("m=video", &format!("m={kind}"));
        assert_ne!(unknown, offer);
        assert_eq!(answer(&unknown), Err(Refusal::SectionKind), "{kind}");
    }
}

/// The offer without the codecs of a name, as of a stack that does not have it.
fn without(offer: &str, name: &str) -> String {
    let maps = offer
        .lines()
        .filter_map(|line| line.strip_prefix("a=rtpmap:"));
    let types: Vec<_> = maps
        .filter_map(|map| map.split_once(' ').filter(|(_, it)| it.starts_with(name)))
        .map(|(pt, _)| pt.to_owned())
        .collect();
    assert!(!types.is_empty(), "{offer}");
    let keep = |line: &&str| {
        let about = |pt: &String| {
            line.starts_with(&format!("a=rtpmap:{pt} "))
                || line.starts_with(&format!("a=fmtp:{pt} "))
                || line.starts_with(&format!("a=rtcp-fb:{pt} "))
                || line.ends_with(&format!(" apt={pt}"))
        };
        !types.iter().any(about)
    };
    // Retransmissions of what is gone are gone, too.
    let apt = |line: &str| {
        let (pt, of) = line.strip_prefix("a=fmtp:")?.split_once(" apt=")?;
        types.iter().any(|it| it == of).then(|| pt.to_owned())
    };
    let again: Vec<_> = offer.lines().filter_map(apt).collect();
    let keep = |line: &&str| {
        let about = |pt: &String| line.starts_with(&format!("a=rtpmap:{pt} "));
        keep(line) && !again.iter().any(about)
    };
    let section = |line: &str| {
        let is_gone = |word: &&str| types.iter().chain(&again).any(|pt| pt == word);
        let words = line.split(' ').enumerate();
        let kept = words.filter(|(at, word)| *at < 3 || !is_gone(word));
        kept.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    };
    let kept = offer
        .lines()
        .filter(keep)
        .map(|line| match line.starts_with("m=") {
            true => section(line),
            false => line.to_owned(),
        });
    kept.collect::<Vec<_>>().join("\r\n") + "\r\n"
}

#[test]
fn offer_without_a_codec_that_is_forwarded_gets_a_clear_answer() {
    let server = Running::start::<Mesh>(config(1));
    let (_, offer) = client(true, &[MediaKind::Audio, MediaKind::Video]);
    let answer = |path: &str, sdp: &str| {
        let url = format!("{}/{path}/stage", server.http);
        let answer = post(&url, "application/sdp", None, sdp);
        (answer.status, answer.body)
    };
    let names = ["VP8", "VP9", "H264", "AV1"];
    let hevc = names.iter().fold(offer.clone(), |sdp, name| {
        sdp.replace(&format!(" {name}/90000"), " H265/90000")
    });
    let sound = offer.replace(" opus/48000/2", " PCMU/8000");
    for path in ["whip", "whep"] {
        let (status, body) = answer(path, &hevc);
        assert!(
            status == 422 && body.contains("VP8, VP9, H.264 and AV1"),
            "{status} {body}"
        );
        let (status, body) = answer(path, &sound);
        assert!(status == 422 && body.contains("Opus"), "{status} {body}");
    }
    let (status, body) = answer("whip", &offer);
    assert_eq!(status, 201, "{body}");
    server.stop();
}

#[test]
fn player_without_the_codec_is_told_and_the_packets_are_counted_by_reason() {
    let server = Running::start::<Mesh>(config(2));
    let kinds = [MediaKind::Audio, MediaKind::Video];
    let (mut publisher, _) = join(&server, "/whip/stage", true, &kinds);
    let (mut player, offer) = client(false, &kinds);
    let url = format!("{}/whep/stage", server.http);
    let answer = post(&url, "application/sdp", None, &without(&offer, "VP8"));
    assert_eq!(answer.status, 201, "{}", answer.body);
    player.accept(&answer.body).unwrap();
    let monitor = answer.monitor.expect("there is something to listen to");
    let monitor = format!("{}{monitor}", server.http.replace("http:", "ws:"));
    let connected = tokio_tungstenite::connect_async(monitor);
    let (mut monitor, _) = server.runtime.block_on(connected).unwrap();
    let vp8 = Codec {
        name: Name::Vp8,
        profile: 0,
    };
    let mut sequence = 0;
    drive_until(
        "the player lacks the codec",
        &mut [&mut publisher, &mut player],
        |_, _| {},
        |clients| {
            if clients[0].connected && clients[1].connected {
                let time = sequence as u32 * 3000;
                clients[0].write(1, vp8, sequence, time, true, [0x10, 0, 0].as_slice().into());
                sequence += 1;
            }
            let stats = server.stats();
            let shards = stats["shards"].as_array().unwrap().iter();
            let missing = shards.map(|it| it["counters"]["drops"]["codec_missing"].as_u64());
            missing.map(Option::unwrap).sum::<u64>() > 0
        },
    );
    // What its sections carry, and why it sees nothing.
    let mut told = Vec::new();
    let said = |told: &[Value], kind: &str| told.iter().rfind(|it| it["type"] == kind).cloned();
    while said(&told, "codec").is_none() {
        let message = monitor.next();
        let message = server
            .runtime
            .block_on(async { timeout(PATIENCE, message).await });
        if let Message::Text(text) = message.unwrap().unwrap().unwrap() {
            told.push(serde_json::from_str(&text).unwrap());
        }
    }
    let codec = said(&told, "codec").unwrap();
    assert_eq!(codec["missing"], "VP8", "{codec}");
    let tracks = said(&told, "tracks").unwrap();
    let mut carried = tracks["tracks"].as_array().unwrap().iter();
    assert!(carried.any(|it| it["track"] == codec["track"]), "{tracks}");
    server.stop();
}
