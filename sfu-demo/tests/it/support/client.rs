//! Clients of the server's own stack, and plain HTTP.

use sfu_demo::media::codec::{Codec, Name};
use sfu_demo::net::udp::RecvBatch;
use sfu_demo::tools::client::Client;
use str0m::media::MediaKind;

use super::{Running, until};

pub const OPUS: Codec = Codec {
    name: Name::Opus,
    profile: 0,
};

pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    /// Where a player hears what becomes of its tracks.
    pub monitor: Option<String>,
    pub retry_after: bool,
    pub body: String,
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

pub fn post(url: &str, kind: &str, token: Option<&str>, body: &str) -> Answer {
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
    let monitor = |link: String| {
        let address = link.strip_prefix('<')?.strip_suffix(">; rel=\"monitor\"")?;
        Some(address.to_owned())
    };
    Answer {
        status: response.status().as_u16(),
        location: header("location"),
        monitor: header("link").and_then(monitor),
        retry_after: header("retry-after").is_some(),
        body: response.body_mut().read_to_string().unwrap(),
    }
}

pub fn delete(url: &str) -> u16 {
    agent().delete(url).call().unwrap().status().as_u16()
}

/// A client with its offer, not yet sent.
pub fn client(sends: bool, kinds: &[MediaKind]) -> (Client, String) {
    Client::new("127.0.0.1".parse().unwrap(), sends, kinds).unwrap()
}

/// Joins over UDP by WHIP (or WHEP). Returns the client and its resource.
pub fn join(server: &Running, path: &str, sends: bool, kinds: &[MediaKind]) -> (Client, String) {
    join_with(server, path, client(sends, kinds))
}

/// Joins over TCP, as [`join`] does over UDP.
pub fn join_tcp(server: &Running, path: &str, sends: bool, kinds: &[MediaKind]) -> Client {
    join_with(server, path, Client::over_tcp(sends, kinds).unwrap()).0
}

fn join_with(
    server: &Running,
    path: &str,
    (mut client, offer): (Client, String),
) -> (Client, String) {
    let url = format!("{}{path}", server.http);
    let answer = post(&url, "application/sdp", None, &offer);
    assert_eq!(answer.status, 201, "{}", answer.body);
    client.accept(&answer.body).unwrap();
    let resource = answer.location.unwrap();
    (client, format!("{}{resource}", server.http))
}

/// A binding request for `ufrag` with an invalid signature.
pub fn unsigned_request(ufrag: &str) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend([9; 12]);
    if !ufrag.is_empty() {
        let name = format!("{ufrag}:them");
        message.extend([0, 6]);
        message.extend((name.len() as u16).to_be_bytes());
        message.extend(name.as_bytes());
        message.resize(message.len().next_multiple_of(4), 0);
        message.extend([0, 0x24, 0, 4, 1, 2, 3, 4]); // a priority, without which it is malformed
        message.extend([0, 8, 0, 20]);
        message.extend([5; 20]);
    }
    let len = (message.len() - 20) as u16;
    message[2..4].copy_from_slice(&len.to_be_bytes());
    message
}

/// The rest of the first line of an SDP that starts with `name`.
pub fn value_of(sdp: &str, name: &str) -> String {
    let line = sdp.lines().find(|line| line.starts_with(name)).unwrap();
    line[name.len()..].trim().to_owned()
}

/// Drives clients until a condition holds.
pub fn drive_until(
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
