//! A peer whose address changes, and one that restarts ICE, go on receiving.

use str0m::IceCreds;

use super::nonce::Pair;
use super::*;
use crate::session::build::Refusal;

/// Plays for a time. Returns how many packets have arrived.
fn play(pair: &mut Pair, sequence: &mut u64, time: Duration) -> usize {
    let (end, before) = (pair.now + time, pair.got);
    while pair.now < end {
        pair.deliver(2, (7, *sequence, sequence.is_multiple_of(30)));
        *sequence += 1;
        pair.step();
        assert_eq!(pair.closed, None);
    }
    pair.got - before
}

#[test]
fn next_valid_check_moves_a_peer_behind_a_nat() {
    let (mut pair, mut sequence) = (Pair::new(1_000_000), 0);
    assert!(play(&mut pair, &mut sequence, Duration::from_secs(3)) > 300);
    for port in [5001, 5002, 5001] {
        pair.port = port;
        let start = pair.now;
        while play(&mut pair, &mut sequence, Duration::from_millis(100)) == 0 {
            // The stack of the peer checks every three seconds or so.
            let silent = pair.now - start;
            assert!(silent < Duration::from_secs(4), "silent for {silent:?}");
        }
        assert!(play(&mut pair, &mut sequence, Duration::from_secs(3)) > 500);
    }
}

#[test]
fn media_goes_on_through_a_restart_and_after_it() {
    let (mut pair, mut sequence) = (Pair::new(1_000_000), 0);
    let name = pair.session.ufrag().to_owned();
    for restart in 1..=3 {
        let credentials = IceCreds::new();
        let fragment = format!(
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n",
            credentials.ufrag, credentials.pass
        );
        let tag = pair.session.tag().to_owned();
        let patch = |tag: &str| Patch::Fragment {
            tag: Some(tag.to_owned()),
            sdp: fragment.clone(),
        };
        assert_eq!(
            pair.session.patch(pair.now, &patch("x")),
            Patched::OtherSession
        );
        let Patched::Restarted { sdp, tag: new } = pair.session.patch(pair.now, &patch(&tag))
        else {
            panic!("it restarts");
        };
        assert_ne!(new, tag);
        assert_eq!(
            pair.session.patch(pair.now, &patch(&tag)),
            Patched::OtherSession
        );
        assert_eq!(pair.session.patch(pair.now, &patch(&new)), Patched::Noted);
        assert_eq!(pair.session.ufrag(), name, "its datagrams find it");
        assert_eq!(new, format!("{name}+{restart}"));
        let value = |name: &str| {
            let value = sdp.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap().to_owned()
        };
        assert!(
            sdp.contains("a=candidate:") && sdp.contains("\r\nm=video"),
            "{sdp}"
        );
        assert!(!sdp.contains(" ufrag "), "none of before: {sdp}");
        // Until the peer has the answer it goes on as before.
        assert!(play(&mut pair, &mut sequence, Duration::from_secs(1)) > 90);
        let mut direct = pair.peer.direct_api();
        direct.set_local_ice_credentials(credentials);
        direct.set_remote_ice_credentials(IceCreds {
            ufrag: value("a=ice-ufrag:"),
            pass: value("a=ice-pwd:"),
        });
        // Longer than a peer without valid checks is kept.
        assert!(play(&mut pair, &mut sequence, 2 * CONSENT) > 4000);
    }
}

#[test]
fn fragment_without_credentials_changes_nothing() {
    let mut pair = Pair::new(1000);
    let tag = pair.session.tag().to_owned();
    for sdp in [
        "",
        "a=ice-ufrag:abcd\r\n",
        "a=ice-ufrag:a\r\na=ice-pwd:0123456789012345678901\r\n",
    ] {
        let patch = Patch::Fragment {
            tag: None,
            sdp: sdp.to_owned(),
        };
        let patched = pair.session.patch(pair.now, &patch);
        assert_eq!(patched, Patched::Refused(Refusal::Malformed), "{sdp:?}");
    }
    assert_eq!(
        pair.session
            .patch(pair.now, &Patch::Offer("v=0\r\n".to_owned())),
        Patched::Refused(Refusal::Fingerprint)
    );
    assert_eq!(pair.session.tag(), tag);
}

#[test]
fn peer_that_restarts_without_end_is_heard_only_so_often() {
    let mut pair = Pair::new(1000);
    let restart = |pair: &mut Pair| {
        let IceCreds { ufrag, pass } = IceCreds::new();
        let patch = Patch::Fragment {
            tag: None,
            sdp: format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pass}\r\n"),
        };
        let is_done = |patched| matches!(patched, Patched::Restarted { .. });
        is_done(pair.session.patch(pair.now, &patch))
    };
    let done = (0..1000).filter(|_| restart(&mut pair)).count();
    assert!((1..100).contains(&done), "{done} at once");
    pair.now += Duration::from_secs(1);
    assert!(restart(&mut pair), "later it may again");
}
