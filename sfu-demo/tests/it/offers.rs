//! Offers of real stacks are answered; offers from an attacker or a fuzzer are refused with a reason.

use std::time::Instant;

use sfu_demo::ids::ParticipantId;
use sfu_demo::session::build::{Identity, Refusal, Setup, check_offer};
use sfu_demo::session::{Role, Session};

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
