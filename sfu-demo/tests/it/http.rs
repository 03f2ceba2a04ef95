//! The server over HTTP: statistics, health and the page's files.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use sfu_demo::http::token::{Claims, Keys};
use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::server::{HttpLimits, ServerConfig};
use str0m::media::MediaKind;

type Response = ureq::http::Response<ureq::Body>;

use crate::support::client::{agent, client, delete};
use crate::support::{OPERATOR, PATIENCE, Running, config};

const NEVER: Duration = Duration::from_secs(3600);

/// The beginnings of requests: in the middle of the header, and of the body.
const BEGINNINGS: [&str; 2] = [
    "GET / HTTP/1.1\r\nHost: ",
    "POST /whip/a HTTP/1.1\r\nHost: a\r\nContent-Type: application/sdp\r\nContent-Length: 1000\r\n\r\nv=0",
];

/// Opens a connection and sends the beginning of a request.
fn begin(server: &Running, request: &str) -> TcpStream {
    let address = server.http.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Reads what the server sends until it closes the connection.
fn until_closed(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server keeps the connection: {error}"),
    }
    String::from_utf8(text).unwrap()
}

fn health(server: &Running) -> u16 {
    let url = format!("{}/healthz", server.http);
    agent().get(url).call().unwrap().status().as_u16()
}

#[test]
fn half_a_request_waits_only_until_its_deadline() {
    let server = Running::start::<Mesh>(ServerConfig {
        http_limits: HttpLimits {
            header: Duration::from_secs(1),
            body: Duration::from_millis(50),
            ..HttpLimits::default()
        },
        ..config(1)
    });
    let answers = BEGINNINGS.map(|request| until_closed(begin(&server, request)));
    assert!(answers[1].starts_with("HTTP/1.1 408 "), "{}", answers[1]);
    // An idle connection is closed, too.
    let idle = until_closed(begin(&server, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(idle.starts_with("HTTP/1.1 200 "), "{idle}");
    server.stop();
}

#[test]
fn half_requests_of_one_address_lock_nobody_out() {
    const LIMIT: usize = 8;
    for (all, address) in [(LIMIT, 1000), (1000, LIMIT)] {
        let server = Running::start::<Mesh>(ServerConfig {
            http_limits: HttpLimits {
                all,
                address,
                header: NEVER,
                body: NEVER,
                age: NEVER,
            },
            ..config(1)
        });
        let requests = BEGINNINGS.into_iter().cycle().take(4 * LIMIT);
        let waiting: Vec<_> = requests.map(|request| begin(&server, request)).collect();
        assert_eq!(health(&server), 200);
        // The first to come were closed for those that came later.
        let mut waiting = waiting.into_iter();
        for closed in waiting.by_ref().take(3 * LIMIT) {
            until_closed(closed);
        }
        let http = &server.stats()["http"];
        assert!(
            http["displaced"].as_u64() >= Some(3 * LIMIT as u64),
            "{http}"
        );
        assert_eq!(http["refused"], 0);
        server.stop();
    }
}

#[test]
fn players_of_other_origins_are_told_what_they_may_do() {
    let secret = b"a secret of at least thirty-two bytes".to_vec();
    let claims = Claims {
        room: "a".to_owned(),
        exp: 0,
        publish: true,
        subscribe: true,
        operator: false,
        sub: None,
    };
    let token = Keys::new(&secret).sign(claims, NEVER).unwrap();
    let server = Running::start::<Mesh>(ServerConfig {
        secret: Some(secret),
        ..config(1)
    });
    let (_, offer) = client(true, &[MediaKind::Audio]);
    let url = format!("{}/whip/a", server.http);
    let header = |response: &Response, name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let send = |authorization: Option<&str>| {
        let mut request = agent()
            .post(&url)
            .header("content-type", "Application/SDP; x=y");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        request.send(&offer).unwrap()
    };
    for (authorization, challenge) in [
        (None, "Bearer"),
        (Some("Bearer x"), "Bearer error=\"invalid_token\""),
    ] {
        let denied = send(authorization);
        assert_eq!(denied.status(), 401);
        let told = header(&denied, "www-authenticate");
        assert_eq!(told.as_deref(), Some(challenge));
        assert_eq!(
            header(&denied, "access-control-allow-origin").as_deref(),
            Some("*")
        );
    }
    // Schemes and media types have no case.
    let created = send(Some(&format!("bEARER {token}")));
    assert_eq!(created.status(), 201);
    let exposed = header(&created, "access-control-expose-headers").unwrap();
    assert!(
        ["Location", "Link", "ETag"]
            .iter()
            .all(|name| exposed.contains(name))
    );
    let location = header(&created, "location").unwrap();

    for path in ["/whip/a", &location] {
        let preflight = agent()
            .options(format!("{}{path}", server.http))
            .call()
            .unwrap();
        assert_eq!(preflight.status(), 204, "{path}");
        let methods = header(&preflight, "access-control-allow-methods").unwrap();
        assert!(methods.contains("DELETE") && methods.contains("POST"));
        let headers = header(&preflight, "access-control-allow-headers").unwrap();
        assert!(headers.contains("Authorization") && headers.contains("Content-Type"));
    }

    let elsewhere = location.replace("/a/", "/b/");
    assert_eq!(delete(&format!("{}{elsewhere}", server.http)), 404);
    assert_eq!(delete(&format!("{}{location}", server.http)), 200);
    server.stop();
}

#[test]
fn without_tokens_other_origins_are_not_admitted() {
    let server = Running::start::<Mesh>(config(1));
    let preflight = agent()
        .options(format!("{}/whip/a", server.http))
        .call()
        .unwrap();
    let allowed = preflight.headers().get("access-control-allow-origin");
    assert!(allowed.is_none(), "{allowed:?}");
    server.stop();
}

#[test]
fn connection_that_reads_nothing_ends_at_its_age() {
    let server = Running::start::<Mesh>(ServerConfig {
        http_limits: HttpLimits {
            age: Duration::from_millis(50),
            header: NEVER,
            ..HttpLimits::default()
        },
        ..config(1)
    });
    until_closed(begin(&server, ""));
    server.stop();
}

#[test]
fn figures_and_health_are_there() {
    let server = Running::start::<Mesh>(config(2));
    let get = |path: &str| {
        let mut response = agent()
            .get(format!("{}{path}", server.http))
            .header("authorization", format!("Bearer {OPERATOR}"))
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
        "/access.js",
        "/app.js",
        "/chat.js",
        "/devices.js",
        "/link.js",
        "/panel.js",
        "/signal.js",
        "/tiles.js",
        "/words.js",
        "/style.css",
        "/icon.svg",
    ] {
        assert_eq!(get(path).0, 200, "{path}");
    }
    assert_eq!(get("/nothing").0, 404);
    server.stop();
}

#[test]
fn every_refusal_says_why_in_json() {
    let server = Running::start::<Mesh>(config(1));
    let join = format!("{}/api/rooms/a/join", server.http);
    let restart = format!("{}/api/restart/nobody", server.http);
    let whip = format!("{}/whip/a", server.http);
    let (json, sdp) = ("application/json", "application/sdp");
    let requests: [(&str, &str, &[u8], u16, &str); 6] = [
        (&join, json, b"{", 400, "EOF"),
        (&join, json, b"{}", 422, "missing field"),
        (&join, sdp, b"{}", 415, "application/json"),
        (&restart, json, b"[]", 422, "invalid"),
        (&whip, sdp, b"\xff", 400, "UTF-8"),
        (&whip, json, b"{}", 415, "application/sdp"),
    ];
    for (url, kind, body, status, why) in requests {
        let request = agent().post(url).header("content-type", kind);
        let mut answer = request.send(body).unwrap();
        assert_eq!(answer.status(), status, "{url}");
        let said: serde_json::Value = answer.body_mut().read_json().unwrap();
        assert!(said["error"].as_str().unwrap().contains(why), "{said}");
    }
    server.stop();
}
