//! Hostile input: names, offers, tokens, floods and datagrams.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::Duration;

use sfu_demo::http::token::{Claims, Keys};
use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::net::udp::RecvBatch;
use sfu_demo::server::ServerConfig;
use sfu_demo::session::MAX_PUBLISHED;
use sfu_demo::tools::client::Client;
use str0m::media::MediaKind;

use crate::support::client::{
    OPUS, agent, client, drive_until, join, post, unsigned_request, value_of,
};
use crate::support::{Running, config, until};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn wrong_fingerprint_is_not_connected() {
    let server = Running::start::<Mesh>(config(1));
    let (mut client, offer) = client(true, &[MediaKind::Audio]);
    let at = offer.find("a=fingerprint:sha-256 ").unwrap() + 22;
    let digit = if &offer[at..=at] == "A" { "B" } else { "A" };
    let mut forged = offer.clone();
    forged.replace_range(at..=at, digit);
    let answer = post(
        &format!("{}/whip/a", server.http),
        "application/sdp",
        None,
        &forged,
    );
    assert_eq!(answer.status, 201);
    client.accept(&answer.body).unwrap();
    let mut batch = RecvBatch::new(64);
    until("the server has ended it", || {
        let _ = client.drive(&mut batch, |_| {});
        let stats = server.stats();
        let seen = stats["shards"][0]["counters"]["datagrams_in"]
            .as_u64()
            .unwrap();
        (seen > 3 && stats["shards"][0]["peers"] == 0).then_some(())
    });
    assert_eq!(server.stats()["shards"][0]["counters"]["media_in"], 0);
    server.stop();
}

#[test]
fn server_that_is_not_who_the_answer_says_is_not_connected() {
    let server = Running::start::<Mesh>(config(1));
    let (mut client, offer) = client(true, &[MediaKind::Audio]);
    let answer = post(
        &format!("{}/whip/a", server.http),
        "application/sdp",
        None,
        &offer,
    );
    let at = answer.body.find("a=fingerprint:sha-256 ").unwrap() + 22;
    let mut forged = answer.body.clone();
    forged.replace_range(at..=at, if &forged[at..=at] == "A" { "B" } else { "A" });
    client.accept(&forged).unwrap();
    let mut batch = RecvBatch::new(64);
    until("the client has given up", || {
        client.drive(&mut batch, |_| {}).err().map(|_| ())
    });
    assert!(!client.connected);
    server.stop();
}

#[test]
fn offers_beyond_what_is_allowed_are_refused() {
    // Enough room for guests who never connect.
    let limits = sfu_demo::server::Limits {
        room: 1000,
        ..Default::default()
    };
    let server = Running::start::<Mesh>(ServerConfig {
        limits,
        ..config(1)
    });
    let url = format!("{}/whip/a", server.http);
    let (_, offer) = client(true, &[MediaKind::Audio]);
    let sdp = "application/sdp";
    let status = |body: &str| post(&url, sdp, None, body).status;
    assert_eq!(post(&url, "text/plain", None, &offer).status, 415);
    assert_eq!(status(""), 400);
    assert_eq!(status("v=0\r\n"), 400);
    assert_eq!(status(&format!("{offer}{}", "a=x\r\n".repeat(14_000))), 413);
    // Far more than the server reads: it answers and closes the connection, and the client may see either first.
    let huge = agent()
        .post(&url)
        .header("content-type", sdp)
        .send("x".repeat(1 << 20));
    assert!(huge.map_or(413, |answer| answer.status().as_u16()) == 413);
    assert_eq!(
        status(&format!("{offer}{}", "m=audio 9 X 0\r\n".repeat(200))),
        400
    );
    assert_eq!(
        status(&format!("{offer}{}", "a=candidate:x\r\n".repeat(100))),
        400
    );
    let no_print = offer.replace("a=fingerprint:", "a=finger:");
    assert_eq!(status(&no_print), 400);
    let print = offer
        .lines()
        .find(|line| line.starts_with("a=fingerprint:"))
        .unwrap();
    for bad in [
        "a=fingerprint:",
        "a=fingerprint:sha-256",
        "a=fingerprint:sha-256 ",
        "a=fingerprint:sha-1 00:11",
        "a=fingerprint:sha-256 00:11",
    ] {
        assert_eq!(status(&offer.replace(print, bad)), 400, "{bad}");
    }
    // Required lines are missing or empty.
    for (from, to) in [
        ("a=mid:", "a=nid:"),
        ("a=ice-ufrag:", "a=x:"),
        ("a=rtpmap:", "a=x:"),
        ("m=audio", "m="),
        ("a=setup:", "a=x:"),
    ] {
        let answer = post(&url, sdp, None, &offer.replace(from, to));
        assert!(
            [201, 400, 422].contains(&answer.status),
            "{from}: {}",
            answer.status
        );
    }
    // Truncated anywhere, or with a byte changed: answered or refused.
    for at in (0..offer.len()).step_by(37) {
        let cut = &offer[..at];
        assert!([201, 400, 422].contains(&status(cut)));
        let mut changed = offer.clone().into_bytes();
        changed[at] = b'\x7f';
        assert!([201, 400, 422].contains(&status(&String::from_utf8(changed).unwrap())));
    }
    assert_eq!(
        post(&format!("{}/whip/a%20b", server.http), sdp, None, &offer).status,
        400
    );
    assert_eq!(
        post(
            &format!("{}/whip/{}", server.http, "a".repeat(65)),
            sdp,
            None,
            &offer
        )
        .status,
        400
    );
    assert_eq!(
        post(&url, sdp, None, &offer).status,
        201,
        "and it still works"
    );
    server.stop();
}

#[test]
fn peer_may_send_and_receive_only_so_many_tracks() {
    let server = Running::start::<Mesh>(config(2));
    let kinds = [MediaKind::Audio; 7];
    let (mut greedy, _) = join(&server, "/whip/a", true, &kinds);
    let (mut player, _) = join(&server, "/whep/a", false, &kinds);
    let mut batch = RecvBatch::new(64);
    let mut sequence = 0;
    let mut heard = BTreeSet::<u8>::new();
    let media_in = |server: &Running| -> u64 {
        let stats = server.stats();
        let shards = stats["shards"].as_array().unwrap().iter();
        shards
            .map(|shard| shard["counters"]["media_in"].as_u64().unwrap())
            .sum()
    };
    until("all that may be sent is heard", || {
        for track in 0..kinds.len() {
            let sound = [track as u8; 9].as_slice().into();
            greedy.write(track, OPUS, sequence, sequence as u32 * 960, false, sound);
        }
        sequence += 1;
        greedy.drive(&mut batch, |_| {}).unwrap();
        player
            .drive(&mut batch, |packet| {
                heard.extend(packet.payload.first().copied())
            })
            .unwrap();
        (heard.len() >= MAX_PUBLISHED && media_in(&server) > 1000).then_some(())
    });
    assert_eq!(heard.len(), MAX_PUBLISHED, "{heard:?}");
    assert_eq!(server.stats()["rooms"][0]["tracks"], MAX_PUBLISHED);
    server.stop();
}

/// The payload of a publisher's second track.
const OTHER: &[u8] = b"other";

/// Sends numbered payloads on the first track of `publisher`, and [`OTHER`] on the second, until `done`, which gets the
/// numbers that the player has received and the count of the others. `each` is called before each number is sent.
fn talk(
    what: &str,
    publisher: &mut Client,
    player: &mut Client,
    mut each: impl FnMut(&mut Client, &BTreeSet<u64>, u64),
    mut done: impl FnMut(&BTreeSet<u64>, usize) -> bool,
) {
    let mut batch = RecvBatch::new(64);
    let (mut heard, mut other) = (BTreeSet::new(), 0);
    let mut sequence = 0u64;
    until(what, || {
        each(publisher, &heard, sequence);
        if publisher.connected {
            let (number, time) = (sequence.to_be_bytes(), sequence as u32 * 960);
            publisher.write(0, OPUS, sequence, time, false, number.as_slice().into());
            publisher.write(1, OPUS, sequence, time, false, OTHER.into());
            sequence += 1;
        }
        publisher.drive(&mut batch, |_| {}).unwrap();
        let take = |packet: &str0m::rtp::RtpPacket| match <[u8; 8]>::try_from(&packet.payload[..]) {
            Ok(number) => _ = heard.insert(u64::from_be_bytes(number)),
            Err(_) if packet.payload[..] == *OTHER => other += 1,
            Err(_) => panic!("nobody has sent {:?}", packet.payload),
        };
        player.drive(&mut batch, take).unwrap();
        done(&heard, other).then_some(())
    });
}

#[test]
fn peer_that_begins_anew_from_other_sources_goes_on_being_heard() {
    const SOURCES: usize = 40;
    let server = Running::start::<Mesh>(config(2));
    let (mut publisher, _) = join(&server, "/whip/a", true, &[MediaKind::Audio; 2]);
    let (mut player, _) = join(&server, "/whep/a", false, &[MediaKind::Audio; 2]);
    // More sources than it may have tracks with layers, each once packets of the last were received.
    let firsts = RefCell::new(vec![0]);
    let last_is_heard = |heard: &BTreeSet<u64>| {
        let first = *firsts.borrow().last().unwrap();
        heard.range(first..).count() >= 5
    };
    talk(
        "it has been heard from forty sources",
        &mut publisher,
        &mut player,
        |publisher, heard, next| {
            if last_is_heard(heard) {
                publisher.change_source(0).unwrap();
                firsts.borrow_mut().push(next);
            }
        },
        |heard, _| firsts.borrow().len() == SOURCES && last_is_heard(heard),
    );
    let stats = server.stats();
    for shard in stats["shards"].as_array().unwrap() {
        assert_eq!(shard["counters"]["drops"]["too_many_sources"], 0);
    }
    server.stop();
}

#[test]
fn sources_beyond_what_a_peer_may_have_are_dropped_and_it_goes_on() {
    let server = Running::start::<Mesh>(config(2));
    let (mut publisher, _) = join(&server, "/whip/a", true, &[MediaKind::Audio; 2]);
    let (mut player, _) = join(&server, "/whep/a", false, &[MediaKind::Audio; 2]);
    let dropped = || {
        let stats = server.stats();
        let shards = stats["shards"].as_array().unwrap().iter();
        let counted = |shard: &serde_json::Value| {
            assert_eq!(shard["counters"]["panics"], 0);
            let drops = &shard["counters"]["drops"];
            drops["too_many_sources"].as_u64().unwrap()
        };
        shards.map(counted).sum::<u64>()
    };
    let (mut at, mut heard_then, mut other_then) = (0, 0, 0);
    talk(
        "what is too much is dropped, and the other track is heard",
        &mut publisher,
        &mut player,
        |publisher, _, _| {
            // A new source for every packet, once connected.
            if publisher.connected {
                publisher.change_source(0);
            }
        },
        |heard, other| {
            at += 1;
            if at % 50 == 0 && heard_then == 0 && dropped() > 100 {
                (heard_then, other_then) = (heard.len(), other);
            }
            heard_then > 0 && other > other_then + 200
        },
    );
    assert!(heard_then < 64, "{heard_then} sources were let in");
    server.stop();
}

#[test]
fn plain_rtp_in_a_peers_name_is_not_forwarded() {
    const PLAIN: &[u8] = b"in plain words, whoever sent it";
    let server = Running::start::<Mesh>(config(2));
    let (mut publisher, offer) = client(true, &[MediaKind::Audio; 2]);
    let url = format!("{}/whip/a", server.http);
    let answer = post(&url, "application/sdp", None, &offer);
    let number = value_of(&answer.body, "a=rtpmap:");
    let number: u8 = number.split(' ').next().unwrap().parse().unwrap();
    publisher.accept(&answer.body).unwrap();
    let (mut player, _) = join(&server, "/whep/a", false, &[MediaKind::Audio; 2]);
    let media = server.server.as_ref().unwrap().media[0];
    let ssrc = publisher.change_source(0).unwrap();
    let mut forged = 0u16;
    talk(
        "it is heard while another speaks in its name",
        &mut publisher,
        &mut player,
        |publisher, heard, _| {
            if heard.len() > 10 {
                // From the publisher's address and source, and newer than anything that it has sent.
                let mut packet = vec![0x80, number];
                packet.extend((30_000 + forged).to_be_bytes());
                packet.extend([0; 4]);
                packet.extend(ssrc.to_be_bytes());
                packet.extend(PLAIN);
                publisher.socket().send_to(&packet, media).unwrap();
                forged += 1;
            }
        },
        |heard, _| heard.len() > 300,
    );
    assert!(forged > 100, "{forged} were sent");
    server.stop();
}

#[test]
fn tokens_guard_rooms() {
    let server = Running::start::<Mesh>(ServerConfig {
        secret: Some(SECRET.into()),
        ..config(1)
    });
    let keys = Keys::new(SECRET.as_bytes());
    let (_, offer) = client(true, &[MediaKind::Audio]);
    let claims = |publish, subscribe| Claims {
        room: "a".into(),
        exp: 0,
        publish,
        subscribe,
        operator: false,
        sub: None,
    };
    let minute = Duration::from_secs(60);
    let publish = keys.sign(claims(true, false), minute).unwrap();
    let both = keys.sign(claims(true, true), minute).unwrap();
    let forged = Keys::new(b"another secret, another secret!!")
        .sign(claims(true, true), minute)
        .unwrap();
    let ended = keys.sign(claims(true, true), Duration::ZERO).unwrap();
    let status = |path: &str, token: Option<&str>| {
        post(
            &format!("{}{path}", server.http),
            "application/sdp",
            token,
            &offer,
        )
        .status
    };
    assert_eq!(status("/whip/a", None), 401);
    assert_eq!(status("/whip/a", Some("nonsense")), 401);
    assert_eq!(status("/whip/a", Some(&forged)), 401);
    until("the token has ended", || {
        (status("/whip/b", Some(&ended)) == 401).then_some(())
    });
    assert_eq!(status("/whip/b", Some(&both)), 403);
    assert_eq!(status("/whep/a", Some(&publish)), 403);
    assert_eq!(status("/whip/a", Some(&publish)), 201);
    let page = serde_json::json!({"name": "x", "sdp": offer, "token": publish}).to_string();
    let join = format!("{}/api/rooms/a/join", server.http);
    assert_eq!(post(&join, "application/json", None, &page).status, 403);
    let page = serde_json::json!({"name": "x", "sdp": offer, "token": both}).to_string();
    assert_eq!(post(&join, "application/json", None, &page).status, 200);
    server.stop();
}

#[test]
fn public_address_without_a_secret_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let start = |secret: Option<&str>| {
        let config = ServerConfig {
            http: "0.0.0.0:0".parse().unwrap(),
            secret: secret.map(|secret| secret.as_bytes().to_vec()),
            ..config(1)
        };
        runtime.block_on(sfu_demo::server::start::<Mesh>(config))
    };
    assert!(start(None).unwrap_err().to_string().contains("secret"));
    assert!(start(Some("short")).unwrap_err().to_string().contains("32"));
    let server = start(Some(SECRET)).unwrap();
    assert!(runtime.block_on(server.stop(Duration::from_secs(20))));
}

#[test]
fn flood_of_joins_is_refused_and_rooms_are_bounded() {
    let server = Running::start::<Mesh>(ServerConfig {
        join_rate: (5, 0.01),
        ..config(1)
    });
    let (_, offer) = client(true, &[MediaKind::Audio]);
    let answers: Vec<_> = (0..20)
        .map(|_| {
            post(
                &format!("{}/whip/a", server.http),
                "application/sdp",
                None,
                &offer,
            )
        })
        .collect();
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 201).count(),
        5
    );
    assert!(
        answers[5..]
            .iter()
            .all(|answer| answer.status == 429 && answer.retry_after)
    );
    server.stop();

    let limits = sfu_demo::server::Limits {
        room: 2,
        server: 3,
        ..Default::default()
    };
    let server = Running::start::<Mesh>(ServerConfig {
        limits,
        ..config(1)
    });
    let status = |room: &str| {
        post(
            &format!("{}/whip/{room}", server.http),
            "application/sdp",
            None,
            &offer,
        )
        .status
    };
    assert_eq!([status("a"), status("a"), status("a")], [201, 201, 503]);
    assert_eq!([status("b"), status("b")], [201, 503]);
    server.stop();
}

#[test]
fn strangers_get_nothing_back() {
    let server = Running::start::<Mesh>(config(1));
    // A guest who has not connected, so that there is a valid user name to try.
    let (_, offer) = client(true, &[MediaKind::Audio]);
    let answer = post(
        &format!("{}/whip/a", server.http),
        "application/sdp",
        None,
        &offer,
    )
    .body;
    let ufrag = value_of(&answer, "a=ice-ufrag:");
    let candidate = value_of(&answer, "a=candidate:");
    let port: u16 = candidate.split(' ').nth(5).unwrap().parse().unwrap();

    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.connect(("127.0.0.1", port)).unwrap();
    stranger.set_nonblocking(true).unwrap();
    // A DTLS ClientHello, SRTP, SRTCP, junk; STUN without a user name, with an unknown one, and with a valid one but a wrong
    // signature.
    let mut hello = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 1];
    hello.resize(53, 0);
    let mut media = vec![0x80, 96, 0, 1];
    media.resize(200, 7);
    let tries = [
        hello,
        media,
        vec![0x80, 200, 0, 0],
        vec![255; 100],
        unsigned_request(""),
        unsigned_request("nobody"),
        unsigned_request(&ufrag),
    ];
    for bytes in &tries {
        stranger.send(bytes).unwrap();
    }
    // After admission has refused the claims, a guest with a valid signature is still admitted.
    until("all of it has been dropped", || {
        let stats = server.stats();
        let drops = stats["shards"][0]["counters"]["drops"].as_object().unwrap();
        let dropped: u64 = drops.values().map(|count| count.as_u64().unwrap()).sum();
        let refused = stats["claims_refused"].as_u64().unwrap();
        assert!(
            refused <= 2,
            "a name of nobody, and one without its signature"
        );
        (dropped + refused == tries.len() as u64).then_some(())
    });
    let stats = server.stats();
    assert_eq!(stats["shards"][0]["peers"], 0, "nobody was let in");
    assert_eq!(
        stats["shards"][0]["counters"]["datagrams_out"], 0,
        "nothing was said"
    );
    let mut back = [0; 100];
    assert_eq!(
        stranger.recv(&mut back).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    server.stop();
}

#[test]
fn datagrams_of_any_kind_do_no_harm() {
    let server = Running::start::<Mesh>(config(1));
    let audio = [MediaKind::Audio];
    let (mut publisher, _) = join(&server, "/whip/a", true, &audio);
    drive_until(
        "it is connected",
        &mut [&mut publisher],
        |_, _| {},
        |clients| clients[0].connected,
    );
    // From the publisher's address, which belongs to a peer: past the lookup.
    let media = server.server.as_ref().unwrap().media[0];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = [0u8; 1600];
    let mut sent = 0;
    for round in 0..3000usize {
        for byte in &mut bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state as u8;
        }
        bytes[0] = [0, 1, 20, 22, 23, 63, 64, 127, 128, 144, 160, 176, 191, 255][round % 14];
        let len = [
            1, 2, 3, 4, 8, 12, 13, 20, 28, 60, 200, 1200, 1500, 1501, 1600,
        ][round % 15];
        sent += usize::from(publisher.socket().send_to(&bytes[..len], media).is_ok());
        if round % 32 == 0 {
            // In step with the server, so that none is lost.
            until("they have come in", || {
                let stats = server.stats();
                (stats["shards"][0]["counters"]["datagrams_in"]
                    .as_u64()
                    .unwrap()
                    >= sent as u64)
                    .then_some(())
            });
        }
    }
    let stats = server.stats();
    let counters = &stats["shards"][0]["counters"];
    assert_eq!(counters["panics"], 0);
    assert!(counters["drops"]["oversized"].as_u64().unwrap() > 0);
    let (mut player, _) = join(&server, "/whep/a", false, &audio);
    let (mut sequence, mut heard) = (0, false);
    let mut batch = RecvBatch::new(64);
    until("it still works", || {
        publisher.write(0, OPUS, sequence, 0, false, b"on".as_slice().into());
        sequence += 1;
        publisher.drive(&mut batch, |_| {}).unwrap();
        player.drive(&mut batch, |_| heard = true).unwrap();
        heard.then_some(())
    });
    server.stop();
}
