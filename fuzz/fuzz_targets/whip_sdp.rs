//! SDP offers as received over HTTP: each is refused, or gets an answer that obeys the rules for answers.
//! The first byte selects the role of the peer.
#![no_main]

use std::{sync::LazyLock, time::Instant};

use libfuzzer_sys::{Corpus, fuzz_target};
use sfu_demo::ids::{ParticipantId, PersonId};
use sfu_demo::session::build::{Identity, MAX_SDP, Refusal, Setup, check_offer};
use sfu_demo::session::{Role, Session};
use str0m::change::{SdpAnswer, SdpOffer};

static SETUP: LazyLock<Setup> = LazyLock::new(|| Setup {
    udp: vec![
        "192.0.2.1:4000".parse().unwrap(),
        "[2001:db8::1]:4000".parse().unwrap(),
    ],
    tcp: vec!["192.0.2.1:4000".parse().unwrap()],
    estimate: true,
});

fn lines<'a>(sdp: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    sdp.lines()
        .filter_map(move |line| line.strip_prefix(prefix))
}

fn check_answer(offer: &str, role: Role) {
    let identity = Identity {
        id: ParticipantId(1),
        person: PersonId(1),
        room: "room".into(),
        name: "name".into(),
        role,
    };
    let now = Instant::now();
    let checked = check_offer(offer);
    let (mut session, answer) = match Session::answer_to(&SETUP, identity, offer, Vec::new(), now) {
        Ok(both) => both,
        Err(refusal) => {
            assert!(
                checked.is_ok_and(|()| refusal == Refusal::Malformed) || checked == Err(refusal)
            );
            return;
        }
    };
    assert_eq!(checked, Ok(()));
    assert!(offer.len() <= MAX_SDP && lines(offer, "a=fingerprint:").next().is_some());

    // One media section for each offered one, in the same order and of the same kind (RFC 9429).
    let kinds = |sdp| {
        lines(sdp, "m=")
            .filter_map(|line| line.split(' ').next())
            .map(str::to_owned)
    };
    let (offered, accepted): (Vec<_>, Vec<_>) = (kinds(offer).collect(), kinds(&answer).collect());
    assert_eq!(offered, accepted, "{offer}\n\n{answer}");
    // The answer can be parsed, and names only this server's addresses, its fingerprint and its ufrag.
    SdpAnswer::from_sdp_string(&answer).expect("an answer is valid SDP");
    assert!(lines(&answer, "a=ice-lite").next().is_some());
    assert!(lines(&answer, "a=fingerprint:").all(|value| value.starts_with("sha-256 ")));
    assert!(lines(&answer, "a=setup:").all(|role| matches!(role.trim_end(), "active" | "passive")));
    let here = ["192.0.2.1", "2001:db8::1"];
    assert!(
        lines(&answer, "a=candidate:").all(|line| line.split(' ').any(|word| here.contains(&word)))
    );
    assert!(lines(&answer, "a=ice-ufrag:").any(|ufrag| ufrag.trim_end() == session.ufrag()));

    // The session sends nothing before the peer has proved that it is there.
    let mut events = Vec::new();
    session.poll(now, |transmit| panic!("{transmit:?}"), &mut events);
    session.tick(now + std::time::Duration::from_millis(100));
    session.poll(now, |transmit| panic!("{transmit:?}"), &mut events);
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((first, sdp)) = data.split_first() else {
        return Corpus::Reject;
    };
    let Ok(sdp) = std::str::from_utf8(sdp) else {
        return Corpus::Reject;
    };
    let role = [Role::Page, Role::Publish, Role::Subscribe][usize::from(first % 3)];
    // Both parsers see the whole text, even if an earlier check rejects it.
    let _ = SdpOffer::from_sdp_string(sdp);
    check_answer(sdp, role);
    // With a well-formed fingerprint, more texts pass the first checks.
    if check_offer(sdp) == Err(Refusal::Fingerprint) {
        let fingerprint = vec!["AB"; 32].join(":");
        check_answer(
            &format!("{sdp}\r\na=fingerprint:sha-256 {fingerprint}\r\n"),
            role,
        );
    }
    Corpus::Keep
});
