//! The server over WebRTC, with clients of its own stack: delivery, failures, and the same result for any number of
//! shards.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::mailbox::rivals::Flume;
use sfu_demo::mailbox::{Mailbox, MailboxKind, OnMailbox};
use sfu_demo::media::codec::{Codec, Name};
use sfu_demo::net::rtp;
use sfu_demo::net::udp::RecvBatch;
use sfu_demo::server::ServerConfig;
use sfu_demo::tools::capture;
use sfu_demo::tools::client::Client;
use str0m::media::MediaKind;

use crate::support::client::{OPUS, delete, drive_until, join};
use crate::support::{Running, config, real_time, until, until_or};

#[test]
fn whip_publishes_whep_plays_and_delete_ends_it() {
    let server = Running::start::<Mesh>(config(2));
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
            // Enough for both players to have received some.
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

/// What each of three players receives of a capture, in the order of sequence numbers.
fn played<M: Mailbox>(shards: usize, name: &str) -> Vec<Vec<Vec<u8>>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("captures")
        .join(name);
    let packets: Vec<_> = capture::read(&path).unwrap();
    let server = Running::start::<M>(ServerConfig {
        estimate: false,
        ..config(shards)
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

    // Video starts once each player is connected and has requested a keyframe. Audio is sent before it, and only video
    // is compared.
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
    let first = sfu_demo::media::codec::starts_keyframe(codec.name, &payloads[0].3);
    assert!(first, "{name} starts with a keyframe");
    let mut got: Vec<BTreeMap<u64, Vec<u8>>> = vec![BTreeMap::new(); players.len()];
    // The publisher's first packet publishes the track. The players then wait for a keyframe, so the first frame is
    // repeated until each has it.
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
                        // Copies of the first frame may still arrive.
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
    // A packet that waits 250 ms between shards is dropped, and is sent once only.
    let _turn = real_time();
    for name in ["h264.pcap", "vp9.pcap", "av1.pcap", "vp8.pcap"] {
        assert!(played::<Flume>(1, name) == played::<Mesh>(3, name));
    }
}

#[test]
fn every_mailbox_carries_a_room_across_shards() {
    let _turn = real_time();
    struct Job;
    impl OnMailbox for Job {
        type Output = ();
        fn run<M: Mailbox>(self) {
            played::<M>(2, "h264.pcap");
        }
    }
    for kind in MailboxKind::ALL {
        kind.with(Job);
    }
}

#[test]
fn player_that_dies_at_full_rate_does_not_disturb_the_others() {
    let server = Running::start::<Mesh>(config(2));
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
    // It disappears without closing its session.
    players.remove(2);
    let before = heard;
    until("the others go on hearing", || {
        round(&mut players, &mut heard);
        (heard[0] > before[0] + 1000 && heard[1] > before[1] + 1000).then_some(())
    });
    server.stop();
}

#[test]
fn drain_says_goodbye_and_ends() {
    let server = Running::start::<Mesh>(config(2));
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
