//! Whom the server believes a client to be: operators, clients behind proxies, and participants who come back.

use sfu_demo::http::token::{Claims, Keys};
use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::server::{Proxies, ServerConfig};
use str0m::media::MediaKind;

use crate::support::client::{agent, client, delete, drive_until, post};
use crate::support::{OPERATOR, Running, config, until};

const AUDIO: [MediaKind; 1] = [MediaKind::Audio];
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn token(claims: Claims) -> String {
    let hour = std::time::Duration::from_secs(3600);
    Keys::new(SECRET).sign(claims, hour).unwrap()
}

fn claims() -> Claims {
    Claims {
        room: "a".to_owned(),
        exp: 0,
        publish: true,
        subscribe: true,
        operator: false,
        sub: None,
    }
}

/// The status of a request for statistics.
fn stats(server: &Running, path: &str, token: Option<&str>) -> u16 {
    let mut request = agent().get(format!("{}{path}", server.http));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.call().unwrap().status().as_u16()
}

/// The status of an offer that a proxy on this machine passes on.
fn offer(server: &Running, forwarded_for: &str, sdp: &str) -> u16 {
    let request = agent()
        .post(format!("{}/whip/a", server.http))
        .header("content-type", "application/sdp")
        .header("x-forwarded-for", forwarded_for);
    request.send(sdp).unwrap().status().as_u16()
}

#[test]
fn statistics_need_an_operator_token_from_this_machine_too() {
    let server = Running::start::<Mesh>(config(1));
    for path in ["/api/stats", "/metrics"] {
        assert_eq!(stats(&server, path, None), 401);
        assert_eq!(stats(&server, path, Some("operator-of-the-test")), 401);
        assert_eq!(stats(&server, path, Some(OPERATOR)), 200);
    }
    server.stop();

    let server = Running::start::<Mesh>(ServerConfig {
        secret: Some(SECRET.to_vec()),
        operator_token: None,
        ..config(1)
    });
    assert_eq!(server.server.as_ref().unwrap().operator_token(), None);
    let operator = Claims {
        operator: true,
        ..claims()
    };
    assert_eq!(stats(&server, "/api/stats", Some(&token(operator))), 200);
    assert_eq!(stats(&server, "/api/stats", Some(&token(claims()))), 403);
    assert_eq!(stats(&server, "/api/stats", None), 401);
    server.stop();

    // Nobody has chosen a token: a random one is there to be shown.
    let config = |operator_token| ServerConfig {
        operator_token,
        ..config(1)
    };
    let server = Running::start::<Mesh>(config(None));
    let random = server.server.as_ref().unwrap().operator_token();
    let random = random.unwrap().to_owned();
    assert_eq!(stats(&server, "/api/stats", Some(&random)), 200);
    let short = config(Some("short".to_owned()));
    let refused = sfu_demo::server::start::<Mesh>(short);
    let refused = server.runtime.block_on(refused).unwrap_err().to_string();
    assert!(refused.contains("16 bytes"), "{refused}");
    server.stop();
}

#[test]
fn clients_behind_a_trusted_proxy_have_limits_of_their_own() {
    let (_, sdp) = client(true, &AUDIO);
    let start = |trusted: &[&str]| {
        Running::start::<Mesh>(ServerConfig {
            join_rate: (2, 0.001),
            proxies: Proxies {
                trusted: trusted.iter().map(|net| net.parse().unwrap()).collect(),
                ..Proxies::default()
            },
            ..config(1)
        })
    };
    let server = start(&["127.0.0.0/8"]);
    let statuses = |client: &str| [(); 3].map(|()| offer(&server, client, &sdp));
    assert_eq!(statuses("192.0.2.1"), [201, 201, 429]);
    assert_eq!(statuses("192.0.2.2"), [201, 201, 429]);
    // What the client claims itself stands to the left, and counts for nothing.
    assert_eq!(statuses("192.0.2.3, 192.0.2.2"), [429; 3]);
    server.stop();

    let server = start(&[]);
    let statuses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|it| offer(&server, it, &sdp));
    assert_eq!(statuses, [201, 201, 429], "nobody is trusted");
    server.stop();
}

#[test]
fn one_address_cannot_fill_a_room_with_guests_who_never_connect() {
    let server = Running::start::<Mesh>(ServerConfig {
        proxies: Proxies {
            trusted: vec!["127.0.0.1".parse().unwrap()],
            ..Proxies::default()
        },
        ..config(1)
    });
    let (_, sdp) = client(true, &AUDIO);
    let mut answered = 0;
    for _ in 0..100 {
        match offer(&server, "192.0.2.1", &sdp) {
            201 => answered += 1,
            status => assert_eq!(status, 429),
        }
    }
    // A quarter of the room, and perhaps places of its own guests who have waited long.
    assert!(answered >= 16, "{answered}");
    // The addresses of other people find room: three quarters of 64.
    for address in 2..5 {
        for _ in 0..16 {
            assert_eq!(offer(&server, &format!("192.0.2.{address}"), &sdp), 201);
        }
    }
    // The room is full of guests who do not connect, and after their grace the crowd gives way.
    until("a guest of yet another address finds a place", || {
        (offer(&server, "192.0.2.9", &sdp) == 201).then_some(())
    });
    server.stop();
}

/// Publishes with a bearer token until the server has heard of it. Returns the client and its resource.
fn publish(server: &Running, token: &str) -> (sfu_demo::tools::client::Client, String) {
    let (mut client, sdp) = client(true, &AUDIO);
    let url = format!("{}/whip/a", server.http);
    let answer = post(&url, "application/sdp", Some(token), &sdp);
    assert_eq!(answer.status, 201, "{}", answer.body);
    client.accept(&answer.body).unwrap();
    drive_until(
        "connected",
        &mut [&mut client],
        |_, _| {},
        |clients| clients[0].connected,
    );
    let resource = answer.location.unwrap();
    (client, format!("{}{resource}", server.http))
}

#[test]
fn publisher_who_returns_ends_its_earlier_session_at_once() {
    let secret = || ServerConfig {
        secret: Some(SECRET.to_vec()),
        ..config(2)
    };
    let subject = |name: &str| {
        token(Claims {
            sub: Some(name.to_owned()),
            ..claims()
        })
    };
    // Known by its token's subject, or by the token itself.
    for (config, tokens) in [
        (secret(), [subject("ann"), subject("ann"), subject("ben")]),
        (
            config(2),
            ["stream key", "stream key", "another key"].map(str::to_owned),
        ),
    ] {
        let server = Running::start::<Mesh>(config);
        let peers = || -> u64 {
            let stats = server.stats();
            let shards = stats["shards"].as_array().unwrap().iter();
            shards.map(|shard| shard["peers"].as_u64().unwrap()).sum()
        };
        let (_first, earlier) = publish(&server, &tokens[0]);
        let (_other, _) = publish(&server, &tokens[2]);
        until("two have joined", || (peers() == 2).then_some(()));
        let (_second, current) = publish(&server, &tokens[1]);
        until("the earlier session is over", || {
            (delete(&earlier) == 404).then_some(())
        });
        assert_eq!(peers(), 2);
        let (_third, _) = publish(&server, &tokens[1]);
        until("so is the second", || {
            (delete(&current) == 404).then_some(())
        });
        assert_eq!(peers(), 2);
        server.stop();
    }
}
