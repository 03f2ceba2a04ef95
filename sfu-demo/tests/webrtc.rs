//! The server over WebRTC and HTTP, with clients of its own stack: what must be refused, what must
//! survive, and what must be the same however many shards there are.

mod support;

use std::collections::{BTreeMap, HashSet};
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use sfu_demo::capture;
use sfu_demo::client::Client;
use sfu_demo::http::token::{Claims, Keys};
use sfu_demo::mailbox::kind::OnMailbox;
use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::mailbox::peers::Flume;
use sfu_demo::mailbox::{Kind, Mailbox};
use sfu_demo::rtp;
use sfu_demo::serve::Options;
use sfu_demo::session::codec::{Codec, Name};
use sfu_demo::udp::RecvBatch;
use str0m::media::MediaKind;
use support::{Running, options, until, until_or};

const OPUS: Codec = Codec {
    name: Name::Opus,
    profile: 0,
};
const SECRET: &str = "0123456789abcdef0123456789abcdef";

struct Answer {
    status: u16,
    location: Option<String>,
    retry_after: bool,
    body: String,
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

fn post(url: &str, kind: &str, token: Option<&str>, body: &str) -> Answer {
    let mut request = agent().post(url).header("content-type", kind);
    if let Some(token) = token {
        request = request.header("authorization", &format!("Bearer {token}"));
    }
    let mut response = request.send(body).unwrap();
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    Answer {
        status: response.status().as_u16(),
        location: header("location"),
        retry_after: header("retry-after").is_some(),
        body: response.body_mut().read_to_string().unwrap(),
    }
}

fn delete(url: &str) -> u16 {
    agent().delete(url).call().unwrap().status().as_u16()
}

/// A client with its offer, not yet sent.
fn client(sends: bool, kinds: &[MediaKind]) -> (Client, String) {
    Client::new("127.0.0.1".parse().unwrap(), sends, kinds).unwrap()
}

fn join(server: &Running, path: &str, sends: bool, kinds: &[MediaKind]) -> (Client, String) {
    let (mut client, offer) = client(sends, kinds);
    let answer = post(
        &format!("{}{path}", server.http),
        "application/sdp",
        None,
        &offer,
    );
    assert_eq!(answer.status, 201, "{}", answer.body);
    client.accept(&answer.body).unwrap();
    (
        client,
        format!("{}{}", server.http, answer.location.unwrap()),
    )
}

/// Drives clients until a condition holds.
fn drive_until(
    what: &str,
    clients: &mut [&mut Client],
    mut received: impl FnMut(usize, &[u8]),
    mut done: impl FnMut(&mut [&mut Client]) -> bool,
) {
    let mut batch = RecvBatch::new(64);
    until(what, || {
        for (index, client) in clients.iter_mut().enumerate() {
            client
                .drive(&mut batch, |packet| received(index, &packet.payload))
                .unwrap();
        }
        done(clients).then_some(())
    });
}

#[test]
fn whip_publishes_whep_plays_and_delete_ends_it() {
    let server = Running::start::<Mesh>(options(2));
    let audio = [MediaKind::Audio];
    let (mut publisher, resource) = join(&server, "/whip/stage", true, &audio);
    let (mut player, _) = join(&server, "/whep/stage", false, &audio);
    let (mut outsider, _) = join(&server, "/whep/elsewhere", false, &audio);
    let (mut sequence, mut heard, mut leaked) = (0, 0, 0);
    drive_until(
        "the player hears the publisher",
        &mut [&mut publisher, &mut player, &mut outsider],
        |who, payload| match who {
            1 => {
                assert!(payload.starts_with(b"sound "));
                heard += 1;
            }
            _ => leaked += 1,
        },
        |clients| {
            if clients[0].connected {
                let sound = format!("sound {sequence}");
                clients[0].write(
                    0,
                    OPUS,
                    sequence,
                    sequence as u32 * 960,
                    false,
                    sound.as_bytes().into(),
                );
                sequence += 1;
            }
            // Counted by the next drive; enough have been sent when both have seen them.
            sequence > 40 && clients[1].connected && clients[2].connected
        },
    );
    drive_until(
        "what is on its way arrives",
        &mut [&mut publisher, &mut player, &mut outsider],
        |who, _| match who {
            1 => heard += 1,
            _ => leaked += 1,
        },
        |clients| {
            clients[0].write(
                0,
                OPUS,
                sequence,
                sequence as u32 * 960,
                false,
                b"sound".as_slice().into(),
            );
            sequence += 1;
            server.stats()["shards"]
                .as_array()
                .unwrap()
                .iter()
                .map(|s| s["counters"]["media_out"].as_u64().unwrap())
                .sum::<u64>()
                > 20
        },
    );
    assert!(heard > 0);
    assert_eq!(leaked, 0, "a room is kept apart");
    assert_eq!(delete(&resource), 200);
    assert_eq!(
        delete(&format!("{}/whip/stage/{}", server.http, "0".repeat(32))),
        404
    );
    drive_until(
        "the publisher is told that it is over",
        &mut [&mut publisher, &mut player, &mut outsider],
        |_, _| {},
        |clients| clients[0].closed,
    );
    server.stop();
}

/// What each of three players gets of a capture, in order of its RTP numbers.
fn played<M: Mailbox>(shards: usize, name: &str) -> Vec<Vec<Vec<u8>>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("captures")
        .join(name);
    let packets: Vec<_> = capture::read(&path).unwrap();
    let server = Running::start::<M>(Options {
        estimate: false,
        ..options(shards)
    });
    let codec = match name {
        "vp8.pcap" => Codec {
            name: Name::Vp8,
            profile: 0,
        },
        "h264.pcap" => Codec {
            name: Name::H264,
            profile: 0x142,
        },
        "vp9.pcap" => Codec {
            name: Name::Vp9,
            profile: 0,
        },
        _ => Codec {
            name: Name::Av1,
            profile: 0,
        },
    };
    let audio_and_video = [MediaKind::Audio, MediaKind::Video];
    let (mut publisher, _) = join(&server, "/whip/film", true, &audio_and_video);
    let mut players: Vec<_> = (0..3)
        .map(|_| join(&server, "/whep/film", false, &audio_and_video).0)
        .collect();
    let mut batch = RecvBatch::new(64);

    // Video starts when each player has been connected and has asked for its first keyframe. Sound
    // goes before it, so that the track of pictures is all that is compared.
    let (mut heard, mut sequence) = (HashSet::new(), 0);
    until("every player hears something", || {
        publisher.drive(&mut batch, |_| {}).unwrap();
        if publisher.connected {
            publisher.write(0, OPUS, sequence, 0, false, b"tick".as_slice().into());
            sequence += 1;
        }
        for (index, player) in players.iter_mut().enumerate() {
            player
                .drive(&mut batch, |_| {
                    heard.insert(index);
                })
                .unwrap();
        }
        (heard.len() == players.len()).then_some(())
    });
    let payloads: Vec<(u16, u32, bool, Arc<[u8]>)> = packets
        .iter()
        .filter_map(|packet| match rtp::read(&packet.bytes) {
            Ok(rtp::Packet::Rtp(rtp)) => Some((
                rtp.sequence,
                rtp.time,
                rtp.marker,
                Arc::<[u8]>::from(rtp.payload),
            )),
            _ => None,
        })
        .filter(|packet| !packet.3.is_empty())
        .take(60)
        .collect();
    let first = sfu_demo::session::codec::starts_keyframe(codec.name, &payloads[0].3);
    assert!(first, "{name} starts with a keyframe");
    let mut got: Vec<BTreeMap<u64, Vec<u8>>> = vec![BTreeMap::new(); players.len()];
    // The publisher's first packet makes the track known; the players then wait for a keyframe, so
    // the first frame is sent until each has it.
    let mut at = 0u64;
    let mut send = |publisher: &mut Client, index: usize| {
        let (_, time, marker, payload) = &payloads[index];
        publisher.write(1, codec, at, *time, *marker, Arc::clone(payload));
        at += 1;
    };
    let state = || server.stats().to_string();
    until_or("every player sees the first keyframe", state, || {
        send(&mut publisher, 0);
        publisher.drive(&mut batch, |_| {}).unwrap();
        for (player, got) in players.iter_mut().zip(&mut got) {
            player
                .drive(&mut batch, |packet| {
                    if packet.payload[..] == payloads[0].3[..] {
                        got.insert(0, packet.payload.to_vec());
                    }
                })
                .unwrap();
        }
        got.iter().all(|got| !got.is_empty()).then_some(())
    });
    let mut base = vec![None; players.len()];
    for index in 1..payloads.len() {
        send(&mut publisher, index);
        until_or("a packet reaches every player", state, || {
            publisher.drive(&mut batch, |_| {}).unwrap();
            for ((player, got), base) in players.iter_mut().zip(&mut got).zip(&mut base) {
                player
                    .drive(&mut batch, |packet| {
                        let sequence = *packet.seq_no;
                        // Copies of the first frame may still be on their way.
                        if packet.payload[..] == payloads[0].3[..]
                            || packet.payload.starts_with(b"tick")
                        {
                            return;
                        }
                        let base = *base.get_or_insert(sequence - 1);
                        got.insert(sequence.wrapping_sub(base), packet.payload.to_vec());
                    })
                    .unwrap();
            }
            got.iter().all(|got| got.len() > index).then_some(())
        });
    }
    let expected: Vec<Vec<u8>> = payloads.iter().map(|packet| packet.3.to_vec()).collect();
    let got: Vec<Vec<Vec<u8>>> = got
        .into_iter()
        .map(|got| got.into_values().collect())
        .collect();
    for got in &got {
        assert!(
            *got == expected,
            "{name}: what arrives is not what was sent"
        );
    }
    server.stop();
    got
}

#[test]
fn one_shard_and_three_deliver_each_capture_to_each_player_unchanged() {
    for name in ["h264.pcap", "vp9.pcap", "av1.pcap", "vp8.pcap"] {
        assert!(played::<Flume>(1, name) == played::<Mesh>(3, name));
    }
}

#[test]
fn every_mailbox_carries_a_room_across_shards() {
    struct Job;
    impl OnMailbox for Job {
        type Output = ();
        fn run<M: Mailbox>(self) {
            played::<M>(2, "h264.pcap");
        }
    }
    for kind in Kind::ALL {
        kind.with(Job);
    }
}

#[test]
fn player_that_dies_at_full_rate_does_not_disturb_the_others() {
    let server = Running::start::<Mesh>(options(2));
    let audio = [MediaKind::Audio];
    let (mut publisher, _) = join(&server, "/whip/stage", true, &audio);
    let mut players: Vec<_> = (0..3)
        .map(|_| join(&server, "/whep/stage", false, &audio).0)
        .collect();
    let mut batch = RecvBatch::new(64);
    let mut heard = [0u32; 3];
    let mut sequence = 0;
    let mut round = |players: &mut Vec<Client>, heard: &mut [u32; 3]| {
        publisher.drive(&mut batch, |_| {}).unwrap();
        if publisher.connected {
            publisher.write(
                0,
                OPUS,
                sequence,
                sequence as u32 * 960,
                false,
                vec![1; 800].into(),
            );
            sequence += 1;
        }
        for (player, heard) in players.iter_mut().zip(heard) {
            player.drive(&mut batch, |_| *heard += 1).unwrap();
        }
    };
    until("everybody hears", || {
        round(&mut players, &mut heard);
        heard.iter().all(|heard| *heard > 10).then_some(())
    });
    // Gone without a word, its port closed.
    players.remove(2);
    let before = heard;
    until("the others go on hearing", || {
        round(&mut players, &mut heard);
        (heard[0] > before[0] + 1000 && heard[1] > before[1] + 1000).then_some(())
    });
    server.stop();
}

#[test]
fn wrong_fingerprint_is_not_connected() {
    let server = Running::start::<Mesh>(options(1));
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
    let server = Running::start::<Mesh>(options(1));
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
    let server = Running::start::<Mesh>(options(1));
    let url = format!("{}/whip/a", server.http);
    let (_, offer) = client(true, &[MediaKind::Audio]);
    let sdp = "application/sdp";
    let status = |body: &str| post(&url, sdp, None, body).status;
    assert_eq!(post(&url, "text/plain", None, &offer).status, 415);
    assert_eq!(status(""), 400);
    assert_eq!(status("v=0\r\n"), 400);
    assert_eq!(status(&format!("{offer}{}", "a=x\r\n".repeat(14_000))), 413);
    // Far more than it reads: it answers and hangs up, whichever the client sees first.
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
    // Lines without what they need (null paths of others).
    for (from, to) in [
        ("a=mid:", "a=nid:"),
        ("a=ice-ufrag:", "a=x:"),
        ("a=rtpmap:", "a=x:"),
        ("m=audio", "m="),
        ("a=setup:", "a=x:"),
    ] {
        let answer = post(&url, sdp, None, &offer.replace(from, to));
        assert!(
            [201, 400].contains(&answer.status),
            "{from}: {}",
            answer.status
        );
    }
    // Every offer cut off anywhere, and with a byte changed: an answer or a refusal.
    for at in (0..offer.len()).step_by(37) {
        let cut = &offer[..at];
        assert!([201, 400].contains(&status(cut)));
        let mut changed = offer.clone().into_bytes();
        changed[at] = b'\x7f';
        assert!([201, 400].contains(&status(&String::from_utf8(changed).unwrap())));
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
fn tokens_guard_rooms() {
    let server = Running::start::<Mesh>(Options {
        secret: Some(SECRET.into()),
        ..options(1)
    });
    let keys = Keys::new(SECRET.as_bytes());
    let (_, offer) = client(true, &[MediaKind::Audio]);
    let claims = |publish, subscribe| Claims {
        room: "a".into(),
        exp: 0,
        publish,
        subscribe,
        operator: false,
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
        let options = Options {
            http: "0.0.0.0:0".parse().unwrap(),
            secret: secret.map(|secret| secret.as_bytes().to_vec()),
            ..options(1)
        };
        runtime.block_on(sfu_demo::serve::start::<Mesh>(options))
    };
    assert!(start(None).unwrap_err().to_string().contains("secret"));
    assert!(start(Some("short")).unwrap_err().to_string().contains("32"));
    let server = start(Some(SECRET)).unwrap();
    assert!(runtime.block_on(server.stop(Duration::from_secs(20))));
}

#[test]
fn flood_of_joins_is_refused_and_rooms_are_bounded() {
    let server = Running::start::<Mesh>(Options {
        join_rate: (5, 0.01),
        ..options(1)
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

    let limits = sfu_demo::lobby::Limits { room: 2, server: 3 };
    let server = Running::start::<Mesh>(Options {
        limits,
        ..options(1)
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
    let server = Running::start::<Mesh>(options(1));
    // A guest who has been answered but does not come, so that there is a name to try.
    let (_, offer) = client(true, &[MediaKind::Audio]);
    let answer = post(
        &format!("{}/whip/a", server.http),
        "application/sdp",
        None,
        &offer,
    )
    .body;
    let value = |name: &str| {
        let line = answer.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].trim().to_owned()
    };
    let ufrag = value("a=ice-ufrag:");
    let candidate = value("a=candidate:");
    let port: u16 = candidate.split(' ').nth(5).unwrap().parse().unwrap();

    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.connect(("127.0.0.1", port)).unwrap();
    stranger.set_nonblocking(true).unwrap();
    // A DTLS ClientHello, SRTP, RTCP, junk; STUN without a name, with a wrong one, and with the right
    // one and a wrong signature.
    let mut hello = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 1];
    hello.resize(53, 0);
    let mut media = vec![0x80, 96, 0, 1];
    media.resize(200, 7);
    let stun = |name: &str| {
        let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.extend([9; 12]);
        if !name.is_empty() {
            let name = format!("{name}:them");
            message.extend([0, 6]);
            message.extend((name.len() as u16).to_be_bytes());
            message.extend(name.as_bytes());
            message.resize(message.len().next_multiple_of(4), 0);
            message.extend([0, 8, 0, 20]);
            message.extend([5; 20]);
        }
        let len = (message.len() - 20) as u16;
        message[2..4].copy_from_slice(&len.to_be_bytes());
        message
    };
    let tries = [
        hello,
        media,
        vec![0x80, 200, 0, 0],
        vec![255; 100],
        stun(""),
        stun("nobody"),
        stun(&ufrag),
    ];
    for bytes in &tries {
        stranger.send(bytes).unwrap();
    }
    // Once the lobby has refused the claims, a guest with a right signature is still let in.
    until("all of it has been dropped", || {
        let stats = server.stats();
        let counters = &stats["shards"][0]["counters"];
        (counters["datagrams_in"].as_u64().unwrap() >= tries.len() as u64).then_some(())
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
    let server = Running::start::<Mesh>(options(1));
    let audio = [MediaKind::Audio];
    let (mut publisher, _) = join(&server, "/whip/a", true, &audio);
    drive_until(
        "it is connected",
        &mut [&mut publisher],
        |_, _| {},
        |clients| clients[0].connected,
    );
    // From the publisher's own address, which the server knows: past the first gate.
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
            // In step, so that none is lost on the way.
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

#[test]
fn drain_says_goodbye_and_ends() {
    let server = Running::start::<Mesh>(options(2));
    let (mut publisher, _) = join(&server, "/whip/a", true, &[MediaKind::Audio]);
    drive_until(
        "it is connected",
        &mut [&mut publisher],
        |_, _| {},
        |clients| clients[0].connected,
    );
    server.stop();
    drive_until(
        "it is told",
        &mut [&mut publisher],
        |_, _| {},
        |clients| clients[0].closed,
    );
}

#[test]
fn figures_and_health_are_there() {
    let server = Running::start::<Mesh>(options(2));
    let get = |path: &str| {
        let mut response = agent()
            .get(format!("{}{path}", server.http))
            .call()
            .unwrap();
        (
            response.status().as_u16(),
            response.body_mut().read_to_string().unwrap(),
        )
    };
    assert_eq!(get("/healthz"), (200, "ok\n".to_owned()));
    let (status, text) = get("/metrics");
    assert_eq!(status, 200);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("sfu_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(text.contains("sfu_dropped_total{shard=\"1\",reason=\"lane_full\"} 0"));
    for path in [
        "/",
        "/r/room",
        "/app.js",
        "/panel.js",
        "/style.css",
        "/icon.svg",
    ] {
        assert_eq!(get(path).0, 200, "{path}");
    }
    assert_eq!(get("/nothing").0, 404);
    server.stop();
}
