//! What must hold for any bytes that anybody may send before a session: for the fuzz target.

use std::{
    io::{Cursor, ErrorKind},
    net::{IpAddr, Ipv4Addr},
};

use futures_util::FutureExt;
use tokio::{runtime::Runtime, task::yield_now};

use super::{
    WebRtc,
    http::{post, read_head},
    listener::serve,
    offer::{MAX_SDP, check},
    order::Order,
    session,
};

const PATH: &str = "/lanes";
/// What is answered, and nothing else.
const STATUS: [&str; 9] = [
    "200 OK",
    "201 Created",
    "204 No Content",
    "400 Bad Request",
    "404 Not Found",
    "405 Method Not Allowed",
    "411 Length Required",
    "413 Content Too Large",
    "415 Unsupported Media Type",
];

/// A transport that answers offers, and where its sessions run.
struct Bench {
    runtime: Runtime,
    transport: WebRtc,
}

thread_local! {
    static BENCH: Bench = Bench::new();
}

impl Bench {
    fn new() -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        let bound = runtime.block_on(WebRtc::bind("127.0.0.1:0"));
        let transport = bound.expect("a socket on the loopback interface");
        Self { runtime, transport }
    }

    /// Serves a connection on which these bytes arrive, and no more. Returns what is answered.
    fn serve(&self, bytes: &[u8]) -> Vec<u8> {
        let _inside = self.runtime.enter();
        let mut answered = Vec::new();
        let mut stream = tokio::io::join(Cursor::new(bytes), &mut answered);
        let served = async {
            let head = read_head(&mut stream).await?;
            let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
            serve(&self.transport, &mut stream, head, PATH, host).await
        };
        // A session that was made waits for its peer, until this is dropped.
        drop(served.now_or_never());
        self.runtime.block_on(async {
            while self.transport.sessions() > 0 {
                yield_now().await;
            }
        });
        answered
    }

    fn check_request(&self, bytes: &[u8]) -> Vec<u8> {
        let answered = self.serve(bytes);
        let Ok(text) = std::str::from_utf8(&answered) else {
            panic!("the answer is text");
        };
        if text.is_empty() {
            return answered; // it was no request, or broke off
        }
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = status.expect("a line with a status");
        assert!(STATUS.contains(&status), "{status}");
        let is_header = |line: &str| {
            line.split_once(": ")
                .is_some_and(|(name, _)| !name.is_empty())
        };
        assert!(lines.all(is_header), "{head}");
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(head.contains(&length), "{head}");
        assert_eq!(status == "201 Created", body.starts_with("v=0"), "{text}");
        answered
    }

    /// An offer that passes is answered section by section.
    fn check_offer(&self, bytes: &[u8]) {
        let mut request = format!(
            "POST {PATH} HTTP/1.1\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        let offer = String::from_utf8_lossy(bytes).into_owned();
        if offer.len() != bytes.len() {
            return; // the length is that of bytes
        }
        request.push_str(&offer);
        let answered = self.check_request(request.as_bytes());
        let answered = String::from_utf8_lossy(&answered);
        assert!(!answered.is_empty(), "who posts an offer gets an answer");
        if answered.starts_with("HTTP/1.1 201") {
            assert_eq!(check(&offer), Ok(()));
            let (_, answer) = answered.split_once("\r\n\r\n").unwrap_or_default();
            let sections = |sdp: &str| sdp.lines().filter(|line| line.starts_with("m=")).count();
            assert_eq!(sections(answer), sections(&offer), "{answer}");
            assert!(answer.len() <= MAX_SDP);
        }
    }

    /// These bytes as the answer to an offer of ours.
    fn check_answer(&self, bytes: &[u8]) {
        let _inside = self.runtime.enter();
        let hub = self.transport.hub().expect("it is bound").clone();
        let offered = session::offer(&self.transport.keys, hub);
        let (offer, offered) = offered.expect("there is a place");
        assert_eq!(check(&offer), Ok(()), "our own offers are answered");
        let stream = tokio::io::join(Cursor::new(bytes), tokio::io::sink());
        let posted = post(stream, "host", PATH, &offer).now_or_never();
        match posted.expect("it waits for nothing") {
            Ok(answer) => drop(offered.accept(&answer)),
            Err(error) => {
                let kinds = [
                    ErrorKind::InvalidData,
                    ErrorKind::UnexpectedEof,
                    ErrorKind::ConnectionRefused,
                ];
                assert!(kinds.contains(&error.kind()), "{error}");
                drop(offered);
            }
        }
        self.runtime.block_on(async {
            while self.transport.sessions() > 0 {
                yield_now().await;
            }
        });
    }
}

/// Messages on high, each after a byte with its number and one with its length: they come out in order, and none that did
/// not come in.
fn check_order(mut bytes: &[u8]) {
    let mut order = Order::default();
    let (mut taken, mut given) = (0, 0);
    while let [number, length, rest @ ..] = bytes {
        let (content, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = rest;
        let mut message = u32::from(*number).to_le_bytes().to_vec();
        message.extend_from_slice(content);
        taken += content.len();
        let mut next = given;
        let put = order.put(message, |message| {
            next += 1;
            taken -= message.len();
        });
        assert!(next - given <= 256, "more than there are numbers");
        given = next;
        if put.is_err() {
            return;
        }
    }
}

/// Takes `bytes` for what comes before a session or on its high channel: a request, an offer, the answer to one of ours,
/// or numbered messages.
///
/// # Panics
///
/// If something is answered that is no answer, or a session stays of which nobody knows.
pub(crate) fn check_signalling(bytes: &[u8]) {
    let Some((&kind, bytes)) = bytes.split_first() else {
        return;
    };
    BENCH.with(|bench| match kind % 4 {
        0 => drop(bench.check_request(bytes)),
        1 => bench.check_offer(bytes),
        2 => bench.check_answer(bytes),
        _ => check_order(bytes),
    });
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use str0m::{
        RtcConfig,
        media::{Direction, MediaKind},
    };

    use super::*;

    /// As a page makes it that has a camera, and shows something.
    fn offer_with_sections() -> String {
        let mut rtc = RtcConfig::new().build(Instant::now());
        let mut changes = rtc.sdp_api();
        changes.add_channel("high".to_owned());
        for kind in [MediaKind::Audio, MediaKind::Video] {
            for way in [Direction::SendOnly, Direction::RecvOnly] {
                changes.add_media(kind, way, None, None, None);
            }
        }
        changes.apply().unwrap().0.to_sdp_string()
    }

    #[test]
    fn any_signalling_is_answered_or_refused() {
        let mut random = fastrand::Rng::with_seed(1);
        let bench = Bench::new();
        let hub = bench.transport.hub().unwrap().clone();
        let inside = bench.runtime.enter();
        let (offer, _) = session::offer(&bench.transport.keys, hub).unwrap();
        drop(inside);
        let request = format!(
            "POST {PATH} HTTP/1.1\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
            offer.len()
        );
        let answer = bench.check_request(request.as_bytes());
        assert!(answer.starts_with(b"HTTP/1.1 201"));
        let with_sections = offer_with_sections();
        assert_eq!(check(&with_sections), Ok(()));
        let seed = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
        for seed in [
            seed(0, request.as_bytes()),
            seed(1, offer.as_bytes()),
            seed(1, with_sections.as_bytes()),
            seed(2, &answer),
            seed(3, &[0, 1, 9, 2, 0, 1, 2, 9, 9]),
        ] {
            check_signalling(&seed);
            for _ in 0..100 {
                let mut bytes = seed.clone();
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(1..bytes.len());
                    bytes[at] = random.u8(..);
                }
                bytes.truncate(random.usize(0..=4 * bytes.len()).min(bytes.len()));
                check_signalling(&bytes);
            }
        }
    }
}
