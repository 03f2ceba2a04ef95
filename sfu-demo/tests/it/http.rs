//! The server over HTTP: statistics, health and the page's files.

use sfu_demo::mailbox::mesh::Mesh;

use crate::support::client::agent;
use crate::support::{Running, config};

#[test]
fn figures_and_health_are_there() {
    let server = Running::start::<Mesh>(config(2));
    let get = |path: &str| {
        let mut response = agent()
            .get(format!("{}{path}", server.http))
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
        "/app.js",
        "/panel.js",
        "/style.css",
        "/icon.svg",
    ] {
        assert_eq!(get(path).0, 200, "{path}");
    }
    assert_eq!(get("/nothing").0, 404);
    server.stop();
}
