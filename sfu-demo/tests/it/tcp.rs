//! WebRTC over TCP: peers without UDP, and limits on connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::net::udp::RecvBatch;
use sfu_demo::server::{ServerConfig, TcpLimits};
use sfu_demo::tools::client::Client;
use str0m::media::MediaKind;

use crate::support::client::{OPUS, client, join, join_tcp, post, unsigned_request, value_of};
use crate::support::{Running, config, until, until_or};

const AUDIO: [MediaKind; 1] = [MediaKind::Audio];

/// The sum of a TCP counter over all shards.
fn counted(server: &Running, name: &str) -> u64 {
    let stats = server.stats();
    let shards = stats["shards"].as_array().unwrap();
    shards
        .iter()
        .map(|s| s["tcp"][name].as_u64().unwrap())
        .sum()
}

/// Drives a publisher and players until each player has received `more` packets.
fn hear(
    server: &Running,
    publisher: &mut Client,
    players: &mut [Client],
    sequence: &mut u64,
    more: usize,
) {
    let mut batch = RecvBatch::new(64);
    let mut heard = vec![Vec::new(); players.len()];
    let state = || server.stats().to_string();
    until_or("every player hears", state, || {
        publisher.drive(&mut batch, |_| {}).unwrap();
        if publisher.connected {
            let sound = format!("sound {sequence}");
            let time = *sequence as u32 * 960;
            publisher.write(0, OPUS, *sequence, time, false, sound.as_bytes().into());
            *sequence += 1;
        }
        for (player, heard) in players.iter_mut().zip(&mut heard) {
            let take = |packet: &str0m::rtp::RtpPacket| heard.push(packet.payload.to_vec());
            player.drive(&mut batch, take).unwrap();
        }
        heard.iter().all(|heard| heard.len() >= more).then_some(())
    });
    for heard in heard {
        let numbers = heard.iter().map(|sound| {
            let sound = std::str::from_utf8(sound).unwrap();
            sound
                .strip_prefix("sound ")
                .unwrap()
                .parse::<u64>()
                .unwrap()
        });
        let numbers: Vec<_> = numbers.collect();
        let first = numbers[0];
        let expected: Vec<_> = (first..first + numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "all of it, in order");
    }
}

#[test]
fn peers_by_tcp_and_by_udp_hear_each_other() {
    let server = Running::start::<Mesh>(config(2));
    let mut publisher = join_tcp(&server, "/whip/stage", true, &AUDIO);
    let mut players = vec![
        join_tcp(&server, "/whep/stage", false, &AUDIO),
        join_tcp(&server, "/whep/stage", false, &AUDIO),
        join(&server, "/whep/stage", false, &AUDIO).0,
    ];
    let mut sequence = 0;
    hear(&server, &mut publisher, &mut players, &mut sequence, 500);
    assert_eq!(counted(&server, "accepted"), 3);
    assert!(counted(&server, "frames_in") > 500);
    assert!(counted(&server, "frames_out") > 1000);

    let (mut by_udp, _) = join(&server, "/whip/other", true, &AUDIO);
    let mut player = vec![join_tcp(&server, "/whep/other", false, &AUDIO)];
    hear(&server, &mut by_udp, &mut player, &mut 0, 100);

    // Leaving closes the connection.
    publisher.close();
    let mut batch = RecvBatch::new(64);
    until("the connection is closed", || {
        publisher.drive(&mut batch, |_| {}).unwrap();
        (counted(&server, "open") == 3).then_some(())
    });
    server.stop();
}

#[test]
fn server_without_udp_offers_tcp_alone_and_the_other_way_round() {
    let candidates = |config: ServerConfig| {
        let server = Running::start::<Mesh>(config);
        let (_, offer) = client(true, &AUDIO);
        let url = format!("{}/whip/a", server.http);
        let answer = post(&url, "application/sdp", None, &offer).body;
        server.stop();
        let lines = answer
            .lines()
            .filter(|line| line.starts_with("a=candidate:"));
        lines
            .map(|line| line.split(' ').nth(2).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let only_tcp = ServerConfig {
        udp: false,
        ..config(2)
    };
    assert_eq!(candidates(only_tcp), ["tcp"]);
    let only_udp = ServerConfig {
        tcp: false,
        ..config(2)
    };
    assert_eq!(candidates(only_udp), ["udp"]);
    assert_eq!(candidates(config(1)), ["udp", "tcp"]);
}

#[test]
fn peers_meet_on_a_server_without_udp() {
    let server = Running::start::<Mesh>(ServerConfig {
        udp: false,
        ..config(3)
    });
    let mut publisher = join_tcp(&server, "/whip/stage", true, &AUDIO);
    let mut players: Vec<_> = (0..5)
        .map(|_| join_tcp(&server, "/whep/stage", false, &AUDIO))
        .collect();
    hear(&server, &mut publisher, &mut players, &mut 0, 200);
    let stats = server.stats();
    for shard in stats["shards"].as_array().unwrap() {
        assert_eq!(shard["peers"], 2, "shards take turns: {stats}");
    }
    server.stop();
}

fn connect(server: &Running) -> TcpStream {
    let to: SocketAddr = server.server.as_ref().unwrap().media_tcp[0];
    let stream = TcpStream::connect(to).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
}

/// Waits until the server closes the connection without having sent anything.
fn hung_up(mut stream: TcpStream) {
    let mut back = [0; 64];
    match stream.read(&mut back) {
        Ok(read) => assert_eq!(read, 0, "something was said"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut frame = (bytes.len() as u16).to_be_bytes().to_vec();
    frame.extend(bytes);
    frame
}

#[test]
fn strangers_are_hung_up_on_and_told_nothing() {
    let server = Running::start::<Mesh>(ServerConfig {
        tcp_limits: TcpLimits {
            first_frame: Duration::from_millis(200),
            ..TcpLimits::default()
        },
        ..config(1)
    });
    // A guest who has not connected, and one in a shard.
    let (_, offer) = client(true, &AUDIO);
    let url = format!("{}/whip/a", server.http);
    let waiting = post(&url, "application/sdp", None, &offer).body;
    let (mut here, offer) = client(true, &AUDIO);
    let inside = post(&url, "application/sdp", None, &offer).body;
    here.accept(&inside).unwrap();
    let mut batch = RecvBatch::new(64);
    until("it is connected", || {
        here.drive(&mut batch, |_| {}).unwrap();
        here.connected.then_some(())
    });
    let name = |answer: &str| value_of(answer, "a=ice-ufrag:");
    let tries = [
        framed(b""),
        framed(b"GET / HTTP/1.1\r\n\r\n"),
        framed(&unsigned_request("")),
        framed(&unsigned_request("nobody")),
        framed(&unsigned_request(&name(&waiting))),
        framed(&unsigned_request(&name(&inside))),
        framed(&[22, 0xfe, 0xfd, 0, 0]),
        // A frame longer than the largest datagram.
        vec![0xff; 3000],
        // Half a frame, and nothing after it.
        vec![0, 100, 0, 1],
    ];
    for bytes in &tries {
        let mut stream = connect(&server);
        stream.write_all(bytes).unwrap();
        hung_up(stream);
    }
    // Nothing at all.
    hung_up(connect(&server));
    let stats = server.stats();
    assert_eq!(stats["tcp"]["connections"], tries.len() as u64 + 1);
    assert_eq!(stats["tcp"]["nameless"], tries.len() as u64 + 1 - 3);
    assert_eq!(counted(&server, "strangers"), 1);
    assert_eq!(counted(&server, "accepted"), 0);
    assert_eq!(counted(&server, "open"), 0);
    assert_eq!(stats["shards"][0]["peers"], 1);
    server.stop();
}

#[test]
fn connections_are_bounded_by_address() {
    let server = Running::start::<Mesh>(ServerConfig {
        tcp_limits: TcpLimits {
            address: 3,
            first_frame: Duration::from_secs(600),
            ..TcpLimits::default()
        },
        ..config(1)
    });
    let mut held: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    for _ in 0..5 {
        hung_up(connect(&server));
    }
    assert_eq!(server.stats()["tcp"]["too_many"], 5);
    // A connection that closes makes room.
    held.clear();
    let mut publisher = join_tcp_when_there_is_room(&server);
    let mut player = vec![join(&server, "/whep/a", false, &AUDIO).0];
    hear(&server, &mut publisher, &mut player, &mut 0, 10);
    server.stop();
}

/// The server may not have noticed yet that connections were closed.
fn join_tcp_when_there_is_room(server: &Running) -> Client {
    let mut batch = RecvBatch::new(64);
    until("there is room", || {
        let mut client = join_tcp(server, "/whip/a", true, &AUDIO);
        until("it is in or out", || {
            let driven = client.drive(&mut batch, |_| {});
            (driven.is_err() || client.connected || client.closed).then_some(())
        });
        client.connected.then_some(client)
    })
}

/// A server, a publisher and two players by TCP that have received from it, and its next sequence number.
fn three_by_tcp() -> (Running, Client, Vec<Client>, u64) {
    let server = Running::start::<Mesh>(config(1));
    let mut publisher = join_tcp(&server, "/whip/a", true, &AUDIO);
    let mut players = vec![
        join_tcp(&server, "/whep/a", false, &AUDIO),
        join_tcp(&server, "/whep/a", false, &AUDIO),
    ];
    let mut sequence = 0;
    hear(&server, &mut publisher, &mut players, &mut sequence, 20);
    (server, publisher, players, sequence)
}

#[test]
fn frames_of_a_peer_that_are_none_end_its_connection_alone() {
    let (server, mut publisher, mut players, mut sequence) = three_by_tcp();
    let bad = players.remove(0);
    bad.stream().write_all(&[0xff; 4]).unwrap();
    until("its connection has ended", || {
        (counted(&server, "malformed") == 1).then_some(())
    });
    assert_eq!(counted(&server, "open"), 2);
    hear(&server, &mut publisher, &mut players, &mut sequence, 100);
    server.stop();
}

#[test]
fn reader_that_stops_reading_loses_frames_and_delays_nobody() {
    let (server, mut publisher, mut players, mut sequence) = three_by_tcp();
    let stopped = players.remove(0);
    let mut batch = RecvBatch::new(64);
    let (mut heard, payload) = (0u64, vec![7; 1000]);
    let mut written = 0u64;
    let state = || server.stats().to_string();
    until_or("frames for who does not read are dropped", state, || {
        // In step with the player that reads, so that it loses nothing.
        if written < heard + 32 {
            publisher.write(0, OPUS, sequence, 0, false, payload.as_slice().into());
            sequence += 1;
            written += 1;
        }
        publisher.drive(&mut batch, |_| {}).unwrap();
        let count =
            |packet: &str0m::rtp::RtpPacket| heard += u64::from(packet.payload[..] == payload);
        players[0].drive(&mut batch, count).unwrap();
        (written.is_multiple_of(64) && counted(&server, "dropped") > 100).then_some(())
    });
    until("the other gets all", || {
        publisher.drive(&mut batch, |_| {}).unwrap();
        let count =
            |packet: &str0m::rtp::RtpPacket| heard += u64::from(packet.payload[..] == payload);
        players[0].drive(&mut batch, count).unwrap();
        (heard == written).then_some(())
    });
    drop(stopped);
    server.stop();
}
