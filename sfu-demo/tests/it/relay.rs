//! Plain RTP through the relay: captures, ffmpeg as sender and receiver, and one shard against three.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::mailbox::rivals::Flume;
use sfu_demo::mailbox::{Mailbox, MailboxKind, OnMailbox};
use sfu_demo::stats::DropReason;
use sfu_demo::tools::relay::{self, Relay, RelayConfig};
use sfu_demo::tools::replay;

use crate::support::{Killed, installed, real_time, until};

fn start<M: Mailbox>(to: Vec<std::net::SocketAddr>, shards: usize) -> Relay {
    let config = RelayConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        to,
        shards,
        allow_remote: false,
        burst: 8,
    };
    relay::start::<M>(config).unwrap()
}

fn receivers(count: usize) -> Vec<UdpSocket> {
    (0..count)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            socket
        })
        .collect()
}

fn rtp(sequence: u16, len: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 9, 0, 0, 0, 5]);
    packet.extend((0..len).map(|n| (n as u16 ^ sequence) as u8));
    packet
}

#[test]
fn every_capture_arrives_byte_for_byte_on_every_mailbox() {
    struct Job(&'static str);
    impl OnMailbox for Job {
        type Output = replay::Report;
        fn run<M: Mailbox>(self) -> replay::Report {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("captures")
                .join(self.0);
            let config = replay::ReplayConfig {
                receivers: 3,
                speed: 0.0,
                shards: 2,
            };
            replay::play::<M>(&path, config, |_, _| {}).unwrap()
        }
    }
    for kind in MailboxKind::ALL {
        for name in ["vp8.pcap", "h264.pcap", "vp9.pcap", "av1.pcap"] {
            let report = kind.with(Job(name));
            assert_eq!(report.difference, None, "{kind} {name}");
            assert_eq!(report.delivered, report.packets);
            let sent: u64 = report.shards.iter().map(|shard| shard.sent).sum();
            assert_eq!(sent, 3 * report.packets as u64);
        }
    }
}

#[test]
fn one_shard_and_three_deliver_the_same() {
    let got = |shards: usize| -> Vec<Vec<Vec<u8>>> {
        let receivers = receivers(5);
        let to = receivers.iter().map(|r| r.local_addr().unwrap()).collect();
        let relay = start::<Flume>(to, shards);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut got = vec![Vec::new(); receivers.len()];
        let mut bytes = [0; 2048];
        for round in 0..50u16 {
            for n in 0..10 {
                sender
                    .send_to(
                        &rtp(round * 10 + n, usize::from(round * 7 % 1200)),
                        relay.listen,
                    )
                    .unwrap();
            }
            for (receiver, got) in receivers.iter().zip(&mut got) {
                for _ in 0..10 {
                    let len = receiver.recv(&mut bytes).unwrap();
                    got.push(bytes[..len].to_vec());
                }
            }
        }
        relay.stop().unwrap();
        got
    };
    let one = got(1);
    assert_eq!(one, got(3));
    assert_eq!(one[0].len(), 500);
}

#[test]
fn malformed_packets_are_dropped_and_counted() {
    let receivers = receivers(1);
    let relay = start::<Mesh>(vec![receivers[0].local_addr().unwrap()], 1);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut padded = rtp(1, 4);
    padded[0] |= 0x20;
    *padded.last_mut().unwrap() = 200;
    for bad in [
        &padded[..],
        b"x",
        b"hello there, this is not RTP",
        &[0x80, 200, 0xff, 0xff],
    ] {
        sender.send_to(bad, relay.listen).unwrap();
    }
    sender.send_to(&vec![0x80; 4000], relay.listen).unwrap();
    sender.send_to(&rtp(2, 10), relay.listen).unwrap();
    let mut bytes = [0; 2048];
    let len = receivers[0].recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..len], rtp(2, 10));
    let stats = relay.stop().unwrap();
    assert_eq!(stats[0].received.rtp, 1);
    assert_eq!(stats[0].received.malformed, 4);
    assert_eq!(stats[0].drops.of(DropReason::Malformed), 4);
}

#[test]
fn subscriber_that_dies_at_full_rate_does_not_disturb_the_others() {
    let mut receivers = receivers(3);
    let to = receivers.iter().map(|r| r.local_addr().unwrap()).collect();
    let relay = start::<Mesh>(to, 2);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut bytes = [0; 2048];
    for sequence in 0..2000u16 {
        if sequence == 500 {
            receivers.remove(1);
        }
        sender.send_to(&rtp(sequence, 1000), relay.listen).unwrap();
        for receiver in &receivers {
            let len = receiver.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..len], rtp(sequence, 1000));
        }
    }
    relay.stop().unwrap();
}

#[test]
fn plain_rtp_stays_on_this_machine_unless_told_otherwise() {
    for (listen, to) in [("0.0.0.0:0", "127.0.0.1:9"), ("127.0.0.1:0", "192.0.2.1:9")] {
        let config = RelayConfig {
            listen: listen.parse().unwrap(),
            to: vec![to.parse().unwrap()],
            shards: 1,
            allow_remote: false,
            burst: 8,
        };
        let error = relay::start::<Mesh>(config).unwrap_err();
        assert!(error.to_string().contains("--allow-remote"), "{error}");
    }
}

#[test]
fn ffmpeg_stream_goes_through_unchanged() {
    if !installed("ffmpeg") {
        return;
    }
    let _turn = real_time();
    // ffmpeg sends to a tap, which passes each datagram to the relay: subscribers must get exactly what ffmpeg sent.
    let tap = receivers(1).remove(0);
    let receivers = receivers(2);
    let to = receivers.iter().map(|r| r.local_addr().unwrap()).collect();
    let relay = start::<Mesh>(to, 2);
    let target = format!(
        "rtp://127.0.0.1:{}?pkt_size=1200",
        tap.local_addr().unwrap().port()
    );
    let ffmpeg = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-re", "-f", "lavfi"])
        .args([
            "-i",
            "testsrc2=size=640x360:rate=25",
            "-t",
            "4",
            "-c:v",
            "libvpx",
        ])
        .args([
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-b:v",
            "800k",
            "-f",
            "rtp",
            &target,
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut ffmpeg = Killed(ffmpeg);
    let forward = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut sent, mut bytes, mut got) = (0, [0; 2048], [0; 2048]);
    while sent < 100 {
        let len = tap.recv(&mut bytes).unwrap();
        forward.send_to(&bytes[..len], relay.listen).unwrap();
        for receiver in &receivers {
            let received = receiver.recv(&mut got).unwrap();
            assert_eq!(got[..received], bytes[..len]);
        }
        sent += 1;
    }
    until("ffmpeg ends", || ffmpeg.0.try_wait().unwrap());
    let stats = relay.stop().unwrap();
    assert_eq!(stats[0].received.malformed, 0);
    assert!(stats[0].received.rtp >= 90, "{stats:?}");
}

#[test]
fn ffmpeg_decodes_what_the_relay_forwards() {
    if !installed("ffmpeg") {
        return;
    }
    let _turn = real_time();
    let dir = tempfile::tempdir().unwrap();
    // A port for the player, which was free a moment ago.
    let port = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        & !1;
    let sdp = dir.path().join("stream.sdp");
    std::fs::write(
        &sdp,
        format!(
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n\
             m=video {port} RTP/AVP 96\na=rtpmap:96 VP8/90000\n"
        ),
    )
    .unwrap();
    let relay = start::<Mesh>(vec![format!("127.0.0.1:{port}").parse().unwrap()], 1);
    let target = format!("rtp://127.0.0.1:{}?pkt_size=1200", relay.listen.port());
    let _sender = Killed(
        Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-re", "-f", "lavfi"])
            .args([
                "-i",
                "testsrc2=size=320x180:rate=25",
                "-c:v",
                "libvpx",
                "-g",
                "25",
            ])
            .args(["-deadline", "realtime", "-cpu-used", "8", "-b:v", "500k"])
            .args(["-payload_type", "96", "-f", "rtp", &target])
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let player = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-loglevel",
            "error",
            "-protocol_whitelist",
            "file,udp,rtp",
        ])
        .args([
            "-i",
            sdp.to_str().unwrap(),
            "-frames:v",
            "25",
            "-f",
            "framemd5",
            "-",
        ])
        .output()
        .unwrap();
    let frames = String::from_utf8_lossy(&player.stdout);
    let decoded = frames.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(decoded, 25, "{}", String::from_utf8_lossy(&player.stderr));
    relay.stop().unwrap();
}
