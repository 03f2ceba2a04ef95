//! Packet loss, changing addresses, and late joiners.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::media::codec::{Codec, Name};
use sfu_demo::net::udp::RecvBatch;
use sfu_demo::server::ServerConfig;
use sfu_demo::tools::client::Client;
use str0m::media::MediaKind;

use crate::support::client::{client, join, post};
use crate::support::proxy::{Proxy, Way, is_rtp};
use crate::support::{Running, config, real_time, until_or};

const VIDEO: [MediaKind; 1] = [MediaKind::Video];
const H264: Codec = Codec {
    name: Name::H264,
    profile: 0x142,
};

/// Joins through a proxy.
fn join_by_proxy(server: &Running, path: &str, sends: bool, addresses: usize) -> (Client, Proxy) {
    let (mut client, offer) = client(sends, &VIDEO);
    let url = format!("{}{path}", server.http);
    let answer = post(&url, "application/sdp", None, &offer);
    assert_eq!(answer.status, 201, "{}", answer.body);
    let proxy = Proxy::new(server.server.as_ref().unwrap().media[0], addresses);
    client.accept(&proxy.rewrite(&answer.body)).unwrap();
    (client, proxy)
}

/// A server, a camera, and a player of its film, each behind a proxy of its own.
fn film_by_proxies() -> (Running, Camera, Proxy, Client, Proxy) {
    let server = Running::start::<Mesh>(ServerConfig {
        tcp: false,
        ..config(2)
    });
    let (client, before) = join_by_proxy(&server, "/whip/film", true, 1);
    let (player, behind) = join_by_proxy(&server, "/whep/film", false, 1);
    let camera = Camera {
        client,
        sequence: 0,
    };
    (server, camera, before, player, behind)
}

/// The start of a keyframe.
const KEYFRAME: [u8; 3] = [0x67, 0, 0];

/// A numbered picture that is no keyframe.
fn picture(number: u32) -> Arc<[u8]> {
    let mut payload = vec![0x41];
    payload.extend(number.to_be_bytes());
    payload.resize(500, 0);
    payload.into()
}

fn number(payload: &[u8]) -> Option<u32> {
    (payload[0] == 0x41).then(|| u32::from_be_bytes(payload[1..5].try_into().unwrap()))
}

fn first_missing(got: &BTreeSet<u32>) -> u32 {
    (0..).find(|number| !got.contains(number)).unwrap()
}

/// A publisher of numbered pictures.
struct Camera {
    client: Client,
    sequence: u64,
}

impl Camera {
    fn send(&mut self, payload: Arc<[u8]>) {
        let time = self.sequence as u32 * 3000;
        self.client
            .write(0, H264, self.sequence, time, true, payload);
        self.sequence += 1;
    }
}

#[test]
fn what_is_lost_on_either_way_is_sent_again() {
    const PICTURES: u32 = 600;
    // A receiver gives up packets that are a hundred behind the newest, and a sender limits retransmissions to 15 %:
    // so pictures are paced, and one packet in 13 is lost in each direction.
    const PACE: Duration = Duration::from_millis(4);
    const NTH: u32 = 13;
    let _turn = real_time();
    let (server, mut camera, mut before, mut player, mut behind) = film_by_proxies();
    // Retransmissions are lost as often.
    let (mut first, mut second) = ((0u32, 0u32), (0u32, 0u32));
    let (mut lossy, mut due) = (false, Instant::now());
    let lose = |count: &mut (u32, u32), lossy: bool, bytes: &[u8]| {
        if !lossy || !is_rtp(bytes) {
            return true;
        }
        count.0 += 1;
        let lost = count.0.is_multiple_of(NTH);
        count.1 += u32::from(lost);
        !lost
    };
    let mut batch = RecvBatch::new(64);
    let (mut started, mut got, mut sent) = (false, BTreeSet::new(), 0);
    let state = || server.stats().to_string();
    until_or("every picture has arrived", state, || {
        if camera.client.connected && !started {
            camera.send(KEYFRAME.into());
        } else if started && due <= Instant::now() {
            // More pictures follow the last, so that its loss is noticed, too.
            camera.send(picture(sent));
            sent += 1;
            due = Instant::now() + PACE;
        }
        camera.client.drive(&mut batch, |_| {}).unwrap();
        before.drive(|way, bytes| way == Way::ToClient || lose(&mut first, lossy, bytes));
        behind.drive(|way, bytes| way == Way::ToServer || lose(&mut second, lossy, bytes));
        player
            .drive(&mut batch, |packet| {
                started = true;
                got.extend(number(&packet.payload));
            })
            .unwrap();
        lossy = started;
        (first_missing(&got) >= PICTURES).then_some(())
    });
    assert!(first.1 > 30 && second.1 > 30, "{first:?} {second:?}");
    server.stop();
}

#[test]
fn peer_whose_datagrams_come_to_every_shard_lives_in_one() {
    const PICTURES: u32 = 300;
    let server = Running::start::<Mesh>(ServerConfig {
        tcp: false,
        // The camera sends as fast as it can, and has no second keyframe.
        estimate: false,
        ..config(3)
    });
    let (client, mut proxy) = join_by_proxy(&server, "/whip/film", true, 16);
    let (mut player, _) = join(&server, "/whep/film", false, &VIDEO);
    let mut camera = Camera {
        client,
        sequence: 0,
    };
    let mut batch = RecvBatch::new(64);
    let (mut started, mut got, mut sent) = (false, BTreeSet::new(), 0);
    let redirected = || {
        let stats = server.stats();
        let shards = stats["shards"].as_array().unwrap().iter();
        let peers: Vec<_> = shards
            .clone()
            .map(|s| s["peers"].as_u64().unwrap())
            .collect();
        let redirected = shards.map(|s| s["counters"]["redirected"].as_u64().unwrap());
        (peers, redirected.sum::<u64>())
    };
    let state = || server.stats().to_string();
    until_or("every picture has arrived", state, || {
        if camera.client.connected && !started {
            camera.send(KEYFRAME.into());
        } else if started && (sent < PICTURES || got.len() < PICTURES as usize) {
            camera.send(picture(sent));
            sent += 1;
        }
        camera.client.drive(&mut batch, |_| {}).unwrap();
        proxy.drive(|_, _| true);
        player
            .drive(&mut batch, |packet| {
                started = true;
                got.extend(number(&packet.payload).filter(|number| *number < PICTURES));
            })
            .unwrap();
        (got.len() == PICTURES as usize).then_some(())
    });
    let (peers, redirected) = redirected();
    assert_eq!(peers.iter().sum::<u64>(), 2, "{peers:?}");
    assert!(redirected > 50, "{redirected} were passed on");
    server.stop();
}

#[test]
fn session_goes_on_when_the_nat_of_a_publisher_or_a_player_gives_another_address() {
    let _turn = real_time();
    let (server, mut camera, mut before, mut player, mut behind) = film_by_proxies();
    let mut batch = RecvBatch::new(64);
    let (mut started, mut sent, mut due) = (false, 0, Instant::now());
    // What has waited too long behind the old address is skipped, up to the next keyframe.
    let mut answered = 0;
    let state = || server.stats().to_string();
    for turn in 0..5 {
        match turn {
            1 | 3 => before.rebind(),
            2 | 4 => behind.rebind(),
            _ => {}
        }
        let (from, mut seen) = (sent, 0);
        until_or("the player sees the film", state, || {
            if due <= Instant::now() {
                due = Instant::now() + Duration::from_millis(20);
                let asked = camera.client.keyframe_requests;
                if camera.client.connected && (!started || asked > answered) {
                    answered = asked;
                    camera.send(KEYFRAME.into());
                } else if started {
                    camera.send(picture(sent));
                    sent += 1;
                }
            }
            camera.client.drive(&mut batch, |_| {}).unwrap();
            before.drive(|_, _| true);
            behind.drive(|_, _| true);
            player
                .drive(&mut batch, |packet| {
                    started = true;
                    // What was on its way does not count.
                    let number = number(&packet.payload);
                    seen += u32::from(number.is_some_and(|number| number >= from));
                })
                .unwrap();
            (seen >= 20).then_some(())
        });
    }
    let peers = |stats: &serde_json::Value| -> u64 {
        let shards = stats["shards"].as_array().unwrap().iter();
        shards.map(|shard| shard["peers"].as_u64().unwrap()).sum()
    };
    assert_eq!(peers(&server.stats()), 2, "nobody has joined again");
    server.stop();
}

#[test]
fn late_joiners_start_with_a_keyframe_that_was_asked_for() {
    let server = Running::start::<Mesh>(config(2));
    let (client, _) = join(&server, "/whip/film", true, &VIDEO);
    let mut camera = Camera {
        client,
        sequence: 0,
    };
    let mut batch = RecvBatch::new(64);
    let mut players: Vec<Client> = Vec::new();
    let mut first: Vec<Option<Vec<u8>>> = Vec::new();
    let (mut answered, mut keyframes, mut sent) = (0, 0, 0u32);
    let state = || server.stats().to_string();
    for late in [1, 6] {
        for _ in 0..late {
            players.push(join(&server, "/whep/film", false, &VIDEO).0);
            first.push(None);
        }
        until_or("every player sees the film", state, || {
            if camera.client.connected {
                // The very first picture publishes the track, and is a keyframe.
                if sent == 0 || camera.client.keyframe_requests > answered {
                    answered = camera.client.keyframe_requests;
                    keyframes += 1;
                    camera.send(KEYFRAME.into());
                } else {
                    camera.send(picture(sent));
                }
                sent += 1;
            }
            camera.client.drive(&mut batch, |_| {}).unwrap();
            for (player, first) in players.iter_mut().zip(&mut first) {
                player
                    .drive(&mut batch, |packet| {
                        first.get_or_insert_with(|| packet.payload.to_vec());
                    })
                    .unwrap();
            }
            first.iter().all(Option::is_some).then_some(())
        });
    }
    for first in &first {
        assert_eq!(first.as_deref(), Some(&KEYFRAME[..]));
    }
    assert!(answered > 0, "nobody asked for one");
    assert!(
        keyframes < sent / 2,
        "{keyframes} of {sent} pictures are keyframes"
    );
    server.stop();
}
