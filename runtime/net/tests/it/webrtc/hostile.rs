//! Peers that break the rules of HTTP, of WebRTC, or of what goes over its channels.

use std::{net::SocketAddr, time::Instant};

use lanemesh_net::{Config, Node, transport::WebRtc};
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::{SdpAnswer, SdpOffer},
    channel::{ChannelConfig, ChannelId},
    net::{Protocol, Receive},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{sleep_until, timeout},
};

use super::{SECRET, bound, node};
use crate::common::{SECOND, patient};

fn host(address: &str) -> &str {
    let rest = address.split_once("://").unwrap().1;
    rest.split_once('/').unwrap().0
}

/// Sends a request, and reads the whole answer.
async fn request(address: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(host(address)).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn post(offer: &str) -> String {
    let length = offer.len();
    format!(
        "POST /lanes HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{offer}"
    )
}

async fn home(transport: &WebRtc, config: Config) -> (Node, String) {
    let home = node("home", transport)
        .secret(SECRET)
        .config(config)
        .build();
    let address = home.bind("rtc://127.0.0.1:0/lanes").await.unwrap();
    (home, address)
}

/// A peer that is not ours.
struct Raw {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    channels: Vec<ChannelId>,
    resource: String,
}

fn channel(label: &str, negotiated: Option<u16>) -> ChannelConfig {
    ChannelConfig {
        label: label.to_owned(),
        negotiated,
        ..ChannelConfig::default()
    }
}

impl Raw {
    async fn new(address: &str) -> Self {
        Self::with(address, &[]).await
    }

    /// Posts an offer, with more channels than it should have, and takes the answer.
    async fn with(address: &str, more: &[&str]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let local = socket.local_addr().unwrap();
        let mut rtc = RtcConfig::new().clear_codecs().build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
        let mut changes = rtc.sdp_api();
        let own = [("high", Some(0)), ("low", Some(1))].into_iter();
        let channels = own
            .chain(more.iter().map(|label| (*label, None)))
            .map(|(label, id)| changes.add_channel_with_config(channel(label, id)))
            .collect();
        let (offer, pending) = changes.apply().unwrap();
        let answer = request(address, &post(&offer.to_sdp_string())).await;
        let (head, sdp) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 201 "), "{answer}");
        let resource = head
            .lines()
            .find_map(|line| line.strip_prefix("Location: "));
        assert!(sdp.contains("a=max-message-size:16384\r\n"), "{sdp}");
        // It does not care.
        let sdp = sdp.replace("a=max-message-size:16384\r\n", "");
        let answer = SdpAnswer::from_sdp_string(&sdp).unwrap();
        rtc.sdp_api().accept_answer(pending, answer).unwrap();
        Self {
            rtc,
            socket,
            local,
            channels,
            resource: resource.unwrap().to_owned(),
        }
    }

    /// Goes on until an event is wanted, or all is over.
    async fn until(&mut self, mut is_wanted: impl FnMut(&Event) -> bool) -> bool {
        let mut buffer = [0; 2048];
        loop {
            let deadline = match self.rtc.poll_output().unwrap() {
                Output::Transmit(transmit) => {
                    let (bytes, to) = (&transmit.contents, transmit.destination);
                    self.socket.send_to(bytes, to).await.unwrap();
                    continue;
                }
                Output::Event(event) if is_wanted(&event) => return true,
                Output::Event(_) => continue,
                Output::Timeout(_) if !self.rtc.is_alive() => return false,
                Output::Timeout(deadline) => deadline,
            };
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let (length, source) = received.unwrap();
                    let bytes = &buffer[..length];
                    let receive = Receive::new(Protocol::Udp, source, self.local, bytes).unwrap();
                    let input = Input::Receive(Instant::now(), receive);
                    self.rtc.handle_input(input).unwrap();
                }
                () = sleep_until(deadline.into()) => {
                    self.rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
                }
            }
        }
    }

    async fn open(&mut self, count: usize) {
        let mut open = 0;
        let is_last = |event: &Event| {
            open += usize::from(matches!(event, Event::ChannelOpen(..)));
            open == count
        };
        assert!(self.until(is_last).await);
    }

    /// Whether the session is ended by the other end.
    async fn is_ended(&mut self) -> bool {
        let is_end = |event: &Event| matches!(event, Event::Closed | Event::ChannelClose(_));
        let ended = self.until(is_end);
        timeout(60 * SECOND, ended).await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_rules_of_the_channels_ends_the_session() {
    let transport = bound().await;
    let (home, address) = home(&transport, patient()).await;
    let large = vec![0; 20 << 10];
    let many = vec![1; 16 << 10];
    type Wrong<'a> = (usize, bool, &'a [u8], usize);
    let wrongs: [Wrong<'_>; 6] = [
        (0, true, b"abc", 1),          // no number
        (0, true, b"\0\0\0\0abc", 2),  // the same number twice
        (0, true, &many, 300),         // a number far ahead, again
        (0, false, b"\0\0\0\0abc", 1), // text
        (1, false, b"abc", 1),
        (1, true, &large, 1),
    ];
    for (count, (class, is_binary, message, times)) in wrongs.into_iter().enumerate() {
        let mut raw = Raw::new(&address).await;
        raw.open(2).await;
        for _ in 0..times {
            let mut channel = raw.rtc.channel(raw.channels[class]).unwrap();
            // It may have no room for all of them.
            let _ = channel.write(is_binary, message);
        }
        assert!(raw.is_ended().await, "{count}");
        while home.refusals().unreadable <= count as u64 {
            tokio::time::sleep(SECOND / 100).await;
        }
    }
    // Another channel.
    let mut raw = Raw::with(&address, &["more"]).await;
    assert!(raw.is_ended().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_are_posted_and_their_sessions_deleted() {
    let transport = bound().await;
    let (home, address) = home(&transport, patient()).await;
    let mut raw = Raw::new(&address).await;
    raw.open(2).await;
    let resource = raw.resource.clone();
    assert!(
        resource.starts_with("/lanes/") && resource.len() == 7 + 48,
        "{resource}"
    );
    let delete = |path: &str| format!("DELETE {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    for wrong in [
        "/lanes",
        "/lanes/",
        "/other/x",
        &resource[..50],
        &format!("/{resource}"),
    ] {
        let answer = request(&address, &delete(wrong)).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    let answer = request(&address, &delete(&resource)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(raw.is_ended().await);
    // What is as it should be is no refusal; those five were, and the session that ended.
    while home.refusals().unreadable < 6 {
        tokio::time::sleep(SECOND / 100).await;
    }
    let answer = request(&address, &delete(&resource)).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_wrong_are_told_so() {
    let transport = bound().await.max_sessions(0);
    let (_home, address) = home(&transport, patient()).await;
    let mut rtc = Rtc::new(Instant::now());
    let mut changes = rtc.sdp_api();
    changes.add_channel("x".to_owned());
    let (offer, _): (SdpOffer, _) = changes.apply().unwrap();
    let offer = offer.to_sdp_string();
    let sdp = "Content-Type: application/sdp\r\n";
    let long = format!("{sdp}Content-Length: 100000\r\n");
    let with = |method: &str, path: &str, headers: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
    };
    for (text, status) in [
        (with("OPTIONS", "/lanes", ""), "204"),
        (with("GET", "/lanes", ""), "405"),
        (with("PUT", "/lanes", ""), "405"),
        (with("POST", "/other", sdp), "404"),
        (with("POST", "/lanes", "Content-Length: 3\r\n"), "415"),
        (with("POST", "/lanes", "Content-Type: text/html\r\n"), "415"),
        (with("POST", "/lanes", sdp), "411"),
        (with("POST", "/lanes", &long) + &"x".repeat(100_000), "413"),
        (post("nonsense"), "400"),
        (post(""), "400"),
        (post(&offer.replace("m=application", "m=audio")), "400"),
        (post(&offer.replace("a=fingerprint:", "a=other:")), "400"),
        (post(&offer), "503"),
    ] {
        let answer = request(&address, &text).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{text}: {answer}"
        );
        assert!(
            answer.contains("\r\nAccess-Control-Allow-Origin: *\r\n"),
            "{answer}"
        );
    }
    // A line that never ends, and an offer that is nearly one.
    let mut stream = TcpStream::connect(host(&address)).await.unwrap();
    let _ = stream.write_all(&vec![b'x'; 100_000]).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    let mut random = fastrand::Rng::with_seed(1);
    let transport = bound().await;
    let (home, address) = self::home(&transport, patient()).await;
    for _ in 0..200 {
        let mut bytes = offer.clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..bytes.len());
            bytes[at] = random.u8(b' '..=b'~');
        }
        let changed = String::from_utf8(bytes).unwrap();
        let answer = request(&address, &post(&changed)).await;
        let is_answered = ["201", "400"]
            .iter()
            .any(|status| answer[9..].starts_with(status));
        assert!(is_answered, "{changed}: {answer}");
        if answer.starts_with("HTTP/1.1 201 ") {
            let resource = answer
                .lines()
                .find_map(|line| line.strip_prefix("Location: "));
            let delete = with("DELETE", resource.unwrap(), "");
            assert!(
                request(&address, &delete)
                    .await
                    .starts_with("HTTP/1.1 200 ")
            );
        }
    }
    drop(home);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_that_does_not_come_gives_its_place_back() {
    let transport = bound().await.max_sessions(1);
    let mut config = patient();
    config.handshake_timeout = SECOND;
    let (home, address) = home(&transport, config).await;
    let silent = Raw::new(&address).await;
    let refused = node("away", &WebRtc::new()).secret(SECRET).build();
    let refused = refused.connect(&address).await;
    while home.refusals().late == 0 {
        tokio::time::sleep(SECOND / 100).await;
    }
    drop(silent);
    // Unless it came so late that the place was free again.
    assert!(refused.is_err() || home.links().len() == 1);
    // Whoever opens its channels and says nothing gets no further.
    let mut quiet = Raw::new(&address).await;
    quiet.open(2).await;
    while home.refusals().late < 2 {
        tokio::time::sleep(SECOND / 100).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_of_strangers_harm_nobody() {
    let transport = bound().await;
    let (home, address) = home(&transport, patient()).await;
    let away = node("away", &WebRtc::new()).secret(SECRET).build();
    away.connect(&address).await.unwrap();
    let raw = Raw::new(&address).await;
    let fragment = raw.resource["/lanes/".len()..][..16].to_owned();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = transport.local_addr().unwrap();
    let mut random = fastrand::Rng::with_seed(2);
    for round in 0..2000 {
        let mut bytes = vec![0; random.usize(0..1500)];
        random.fill(&mut bytes);
        if round % 2 == 0 {
            // For a session, and wrong.
            let mut stun = vec![0, 1, 0, 28, 0x21, 0x12, 0xa4, 0x42];
            stun.extend_from_slice(&[7; 12]);
            stun.extend_from_slice(&[0, 6, 0, 21]);
            stun.extend_from_slice(fragment.as_bytes());
            stun.extend_from_slice(b":abcd\0\0\0");
            stun.extend_from_slice(&bytes[..bytes.len().min(64)]);
            bytes = stun;
        }
        stranger.send_to(&bytes, to).await.unwrap();
    }
    let mut raw = raw;
    raw.open(2).await;
    assert_eq!((home.links().len(), away.links().len()), (1, 1));
}
