//! ICE restarts by `PATCH` (RFC 9725).

use sfu_demo::mailbox::mesh::Mesh;
use str0m::media::MediaKind;

use crate::support::client::{OPUS, agent, client, drive_until, join, post};
use crate::support::{Running, config};

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

struct Answer {
    status: u16,
    tag: Option<String>,
    body: String,
}

fn patch(url: &str, kind: &str, condition: Option<&str>, body: &str) -> Answer {
    let mut request = agent().patch(url).header("content-type", kind);
    if let Some(condition) = condition {
        request = request.header("if-match", condition);
    }
    let mut response = request.send(body).unwrap();
    let tag = response.headers().get("etag");
    Answer {
        status: response.status().as_u16(),
        tag: tag.map(|tag| tag.to_str().unwrap().to_owned()),
        body: response.body_mut().read_to_string().unwrap(),
    }
}

fn fragment_of(offer: &str) -> String {
    let about = |line: &&str| line.starts_with("a=ice-ufrag:") || line.starts_with("a=ice-pwd:");
    let lines: Vec<_> = offer.lines().filter(about).take(2).collect();
    lines.join("\r\n") + "\r\n"
}

#[test]
fn each_patch_gets_the_status_that_the_rfc_says() {
    let server = Running::start::<Mesh>(config(1));
    for path in ["/whip/a", "/whep/a"] {
        let (_, offer) = client(path == "/whip/a", &[MediaKind::Audio]);
        let url = format!("{}{path}", server.http);
        let response = agent()
            .post(&url)
            .header("content-type", "application/sdp")
            .send(&offer)
            .unwrap();
        assert_eq!(response.status(), 201);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let (tag, resource) = (
            header("etag"),
            format!("{}{}", server.http, header("location")),
        );
        let same = fragment_of(&offer);
        let new = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
        let status = |kind, condition, body| patch(&resource, kind, condition, body).status;
        assert_eq!(status("application/sdp", Some("*"), new), 415);
        assert_eq!(status(FRAGMENT, None, new), 428);
        assert_eq!(status(FRAGMENT, Some("\"other\""), new), 412);
        assert_eq!(status(FRAGMENT, Some(&tag), &same), 204);
        assert_eq!(status(FRAGMENT, Some("*"), "a=mid:0\r\n"), 400);
        let restarted = patch(&resource, FRAGMENT, Some("*"), new);
        assert_eq!(restarted.status, 200);
        assert!(
            restarted.body.contains("a=ice-ufrag:"),
            "{}",
            restarted.body
        );
        assert!(restarted.tag.is_some_and(|new| new != tag));
        assert_eq!(
            status(FRAGMENT, Some(&tag), &same),
            412,
            "the tag is another now"
        );
        let elsewhere = resource.replace("/a/", "/b/");
        assert_eq!(patch(&elsewhere, FRAGMENT, Some("*"), new).status, 404);
        let allowed = agent().options(&resource).call().unwrap();
        assert_eq!(allowed.headers()["accept-patch"], FRAGMENT);
        let get = agent().get(&resource).call().unwrap();
        assert_eq!(get.status(), 405);
    }
    server.stop();
}

#[test]
fn publisher_and_player_restart_ice_and_are_heard_on() {
    let server = Running::start::<Mesh>(config(2));
    let audio = [MediaKind::Audio];
    let (mut publisher, stage) = join(&server, "/whip/stage", true, &audio);
    let (mut player, seat) = join(&server, "/whep/stage", false, &audio);
    let (mut sequence, mut heard) = (0, 0);
    let mut play = |clients: &mut [&mut sfu_demo::tools::client::Client; 2], more| {
        let enough = heard + more;
        drive_until(
            "the player hears the publisher",
            clients,
            |who, _| heard += u64::from(who == 1),
            |clients| {
                let sound = b"sound".as_slice().into();
                clients[0].write(0, OPUS, sequence, sequence as u32 * 960, false, sound);
                sequence += 1;
                sequence > enough
            },
        );
        heard
    };
    while play(&mut [&mut publisher, &mut player], 50) == 0 {}
    for _ in 0..2 {
        for (client, resource) in [(&mut publisher, &stage), (&mut player, &seat)] {
            let fragment = client.restart();
            let answer = patch(resource, FRAGMENT, Some("*"), &fragment);
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert!(client.restarted(&answer.body));
        }
        let before = play(&mut [&mut publisher, &mut player], 1);
        while play(&mut [&mut publisher, &mut player], 50) < before + 500 {}
    }
    // Another session is not touched by what is said of this one.
    let url = format!("{}/whip/stage", server.http);
    assert_eq!(post(&url, FRAGMENT, None, "").status, 415);
    server.stop();
}
