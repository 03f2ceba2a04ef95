//! Any authenticated packet of a peer is a sign of life.

use str0m::Candidate;
use str0m::RtcConfig;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, Pt};

use super::nonce::Pair;
use super::*;

const STEP: Duration = Duration::from_millis(20);
/// Longer than str0m, and then the session, goes without STUN.
const LONG: Duration = Duration::from_secs(120);

#[test]
fn player_that_sends_reports_but_no_stun_stays() {
    let mut pair = Pair::new(1000);
    pair.stun = false;
    let (start, mut sequence) = (pair.now, 0);
    while pair.now < start + LONG {
        pair.deliver(2, (7, sequence, sequence == 0));
        sequence += 1;
        pair.step();
        assert_eq!(pair.closed, None, "after {:?}", pair.now - start);
    }
}

#[test]
fn player_that_sends_nothing_is_gone() {
    let mut pair = Pair::new(1000);
    (pair.stun, pair.deaf) = (false, true);
    let start = pair.now;
    while pair.closed.is_none() && pair.now < start + LONG {
        pair.step();
    }
    assert_eq!(pair.closed, Some("gone silent"));
    assert!(pair.now - start <= CONSENT + Duration::from_secs(1));
}

#[test]
fn publisher_that_sends_media_but_no_stun_stays() {
    const SERVER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000);
    const PEER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);
    let start = Instant::now();
    let mut peer = RtcConfig::new()
        .set_crypto_provider(Arc::clone(crypto()))
        .set_rtp_mode(true)
        .build(start);
    peer.add_local_candidate(Candidate::host(PEER, "udp").unwrap());
    let mut change = peer.sdp_api();
    let mid = change.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
    let (offer, pending) = change.apply().unwrap();
    let (mut session, answer) = answer_to(&offer.to_sdp_string(), Role::Publish, SERVER, start);
    let pt = session
        .types
        .payload_type(
            &mid,
            Codec {
                name: Name::Opus,
                profile: 0,
            },
        )
        .unwrap();
    let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
    peer.sdp_api().accept_answer(pending, answer).unwrap();

    let (mut now, mut sequence, mut closed) = (start, 0u64, None);
    let (mut heard, mut talks) = (0, true);
    while closed.is_none() && now < start + 2 * LONG {
        now += STEP;
        talks &= now < start + LONG;
        let connected = session.liveness.is_connected();
        if connected && talks {
            let mut direct = peer.direct_api();
            let stream = direct.stream_tx_by_mid(mid, None).unwrap();
            let payload: Arc<[u8]> = Arc::from([7; 20]);
            let time = sequence as u32 * 960;
            stream.write_rtp(RtpWrite::new(
                Pt::from(pt),
                sequence.into(),
                time,
                now,
                payload,
            ));
            sequence += 1;
        }
        peer.handle_input(Input::Timeout(now)).unwrap();
        let mut to_session = Vec::new();
        while let Some(output) = Some(peer.poll_output().unwrap()) {
            match output {
                Output::Timeout(_) => break,
                Output::Transmit(transmit) => to_session.push(transmit.contents.to_vec()),
                Output::Event(_) => {}
            }
        }
        let (mut to_peer, mut events) = (Vec::new(), Vec::new());
        for bytes in to_session {
            let stun = classify(&bytes) == Some(PacketKind::Stun);
            if stun && !connected {
                session.consent(now);
            } else if stun || (connected && !talks) {
                continue;
            }
            session.receive(now, Origin::udp(PEER), SERVER, &bytes);
            session.poll(
                now,
                |transmit| to_peer.push(transmit.contents.to_vec()),
                &mut events,
            );
        }
        session.tick(now);
        session.poll(
            now,
            |transmit| to_peer.push(transmit.contents.to_vec()),
            &mut events,
        );
        for bytes in to_peer {
            let receive = Receive::new(Protocol::Udp, SERVER, PEER, &bytes).unwrap();
            // Without STUN the peer may have given up; then it is of no interest what it hears.
            let _ = peer.handle_input(Input::Receive(now, receive));
        }
        for event in events {
            match event {
                SessionEvent::Media(_) => heard += 1,
                SessionEvent::Closed(why) => closed = Some(why),
                _ => {}
            }
        }
        assert!(
            closed.is_none() || !talks,
            "{closed:?} after {:?}",
            now - start
        );
    }
    assert_eq!(closed, Some("gone silent"));
    assert!(now <= start + LONG + CONSENT + Duration::from_secs(1));
    assert!(heard > 5000, "{heard}");
}
