//! The binary: signals, sources of configuration, and error messages.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};

use sfu_demo::net::udp::RecvBatch;
use sfu_demo::tools::client::Client;
use str0m::media::MediaKind;

use crate::support::client::{OPUS, agent, client, delete, post};
use crate::support::{Killed, OPERATOR, get_json, until};

const AUDIO: [MediaKind; 1] = [MediaKind::Audio];

/// The binary, without variables from the environment of the tests.
fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sfu-demo"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SFU_") {
            command.env_remove(name);
        }
    }
    command.env("SFU_OPERATOR_TOKEN", OPERATOR);
    command
}

/// A server in a process of its own.
struct Serving {
    process: Killed,
    http: String,
}

impl Serving {
    fn start(command: &mut Command) -> Self {
        let mut process = command
            .args(["--media-address", "127.0.0.1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = process.stdout.take().unwrap();
        let process = Killed(process);
        BufReader::new(output).read_line(&mut line).unwrap();
        let url = line.split(' ').nth(1).expect("it says where it is");
        let http = url.trim_end_matches('/').to_owned();
        Self { process, http }
    }

    fn join(&self, path: &str, sends: bool) -> (Client, String) {
        let (mut client, offer) = client(sends, &AUDIO);
        let url = format!("{}{path}", self.http);
        let answer = post(&url, "application/sdp", None, &offer);
        assert_eq!(answer.status, 201, "{}", answer.body);
        client.accept(&answer.body).unwrap();
        (client, format!("{}{}", self.http, answer.location.unwrap()))
    }

    fn join_status(&self) -> u16 {
        let (_, offer) = client(true, &AUDIO);
        let url = format!("{}/whip/a", self.http);
        post(&url, "application/sdp", None, &offer).status
    }

    fn health(&self) -> (u16, String) {
        let url = format!("{}/healthz", self.http);
        let mut response = agent().get(url).call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), text)
    }

    fn signal(&self, name: &str) {
        signal(&self.process.0, name);
    }

    fn ended(mut self) -> ExitStatus {
        until("the process ends", || self.process.0.try_wait().unwrap())
    }
}

fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &process.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// A publisher and a player.
struct Call {
    clients: [Client; 2],
    resources: [String; 2],
    heard: u64,
    sequence: u64,
    batch: RecvBatch,
}

impl Call {
    fn start(server: &Serving) -> Self {
        let (publisher, first) = server.join("/whip/a", true);
        let (player, second) = server.join("/whep/a", false);
        let mut call = Self {
            clients: [publisher, player],
            resources: [first, second],
            heard: 0,
            sequence: 0,
            batch: RecvBatch::new(64),
        };
        call.goes_on();
        call
    }

    fn round(&mut self) {
        let [publisher, player] = &mut self.clients;
        if publisher.connected {
            let time = self.sequence as u32 * 960;
            let sound = b"sound".as_slice().into();
            publisher.write(0, OPUS, self.sequence, time, false, sound);
            self.sequence += 1;
        }
        publisher.drive(&mut self.batch, |_| {}).unwrap();
        let heard = &mut self.heard;
        player.drive(&mut self.batch, |_| *heard += 1).unwrap();
    }

    fn goes_on(&mut self) {
        let before = self.heard;
        until("the player hears the publisher", || {
            self.round();
            (self.heard > before + 50).then_some(())
        });
    }

    fn is_told_goodbye(&mut self) {
        until("both are told goodbye", || {
            for client in &mut self.clients {
                // The server's port may be closed already.
                let _ = client.drive(&mut self.batch, |_| {});
            }
            self.clients
                .iter()
                .all(|client| client.closed)
                .then_some(())
        });
    }
}

fn serve(arguments: &[&str]) -> Serving {
    Serving::start(binary().args(["--listen", "127.0.0.1:0"]).args(arguments))
}

#[test]
fn sigterm_says_goodbye_and_ends() {
    for name in ["TERM", "INT"] {
        let server = serve(&[]);
        let mut call = Call::start(&server);
        server.signal(name);
        call.is_told_goodbye();
        assert!(server.ended().success(), "after {name}");
    }
}

#[test]
fn sigterm_lets_those_who_are_there_stay_until_they_leave() {
    let server = serve(&["--drain", "36000"]);
    let mut call = Call::start(&server);
    assert_eq!(server.health(), (200, "ok\n".to_owned()));
    server.signal("TERM");
    until("it says that it drains", || {
        call.round();
        (server.health() == (503, "draining\n".to_owned())).then_some(())
    });
    until("nobody may join", || {
        call.round();
        (server.join_status() == 503).then_some(())
    });
    call.goes_on();
    for resource in &call.resources {
        assert_eq!(delete(resource), 200);
    }
    call.is_told_goodbye();
    assert!(server.ended().success());
}

#[test]
fn second_sigterm_ends_the_wait() {
    let server = serve(&["--drain", "36000"]);
    let mut call = Call::start(&server);
    server.signal("TERM");
    until("it drains", || {
        call.round();
        (server.health().0 == 503).then_some(())
    });
    server.signal("TERM");
    call.is_told_goodbye();
    assert!(server.ended().success());
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sfu.toml");
    let text = "listen = \"127.0.0.1:0\"\nshards = 3\nmailbox = \"flume\"\nno-tcp = true\n";
    std::fs::write(&file, text).unwrap();
    let figures = |environment: &[(&str, &str)], flags: &[&str]| {
        let mut command = binary();
        command.arg("--config").arg(&file).args(flags);
        command.envs(environment.iter().copied());
        let server = Serving::start(&mut command);
        let stats = get_json(&format!("{}/api/stats", server.http));
        let (_, offer) = client(true, &AUDIO);
        let url = format!("{}/whip/a", server.http);
        let tcp = post(&url, "application/sdp", None, &offer)
            .body
            .contains(" tcptype ");
        let shards = stats["shards"].as_array().unwrap().len();
        (shards, stats["mailbox"].as_str().unwrap().to_owned(), tcp)
    };
    assert_eq!(figures(&[], &[]), (3, "flume".to_owned(), false));
    let environment = [
        ("SFU_SHARDS", "2"),
        ("SFU_MAILBOX", "kanal"),
        ("SFU_NO_TCP", "false"),
    ];
    assert_eq!(figures(&environment, &[]), (2, "kanal".to_owned(), true));
    let flags = ["--shards", "1", "--mailbox", "mesh", "--no-tcp"];
    assert_eq!(figures(&environment, &flags), (1, "mesh".to_owned(), false));
}

#[test]
fn mistakes_are_named() {
    let secret = ["token", "--room", "a", "--secret", "short"];
    for (arguments, named) in [
        (&["--listen", "here"][..], "here"),
        (&["--listen", "0.0.0.0:0"], "secret"),
        (&["--shards", "0"], "--shards"),
        (&["--mailbox", "cardboard"], "cardboard"),
        (&["--config", "no/such/file"], "no/such/file"),
        (&["--no-udp", "--no-tcp"], "UDP or TCP"),
        (&["--frobnicate"], "--frobnicate"),
        (&["relay"], "--to"),
        (&["relay", "--to", "192.0.2.1:9"], "--allow-remote"),
        (&["replay", "no/such/file"], "no/such/file"),
        (&["replay", "Cargo.toml"], "Cargo.toml"),
        (
            &["replay", "captures/vp8.pcap", "--through", "webrtc"],
            "--codec",
        ),
        (&["bench", "--transport", "pigeon"], "pigeon"),
        (&["bench", "--mailbox", "cardboard"], "cardboard"),
        (&["bench", "--seconds", "never"], "--seconds"),
        (&secret, "32"),
    ] {
        let output = binary()
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(named), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
}

#[test]
fn captures_are_replayed_through_the_server_and_compared() {
    let replay = |file: &str, codec: &str| {
        binary()
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["replay", &format!("captures/{file}.pcap"), "--json"])
            .args(["--through", "webrtc", "--codec", codec, "--speed", "0"])
            .output()
            .unwrap()
    };
    for (codec, packets) in [("vp8", 104), ("h264", 298), ("vp9", 316), ("av1", 201)] {
        let output = replay(codec, codec);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{codec}: {said}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["difference"], serde_json::Value::Null);
        assert_eq!(report["delivered"], report["packets"], "{codec}");
        let played = report["packets"].as_u64().unwrap();
        assert!(
            played > packets / 2 && played <= packets,
            "{codec}: {played}"
        );
        assert_eq!(report["server"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn relay_tells_its_figures_when_it_is_stopped() {
    let mut relay = binary()
        .args(["relay", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:9"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(relay.stdout.take().unwrap());
    let mut relay = Killed(relay);
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.contains("RTP to 127.0.0.1:"), "{line}");
    signal(&relay.0, "TERM");
    let status = until("the process ends", || relay.0.try_wait().unwrap());
    assert!(status.success());
    let figures: serde_json::Value = serde_json::from_reader(output).unwrap();
    assert_eq!(figures[0]["received"]["rtp"], 0, "{figures}");
}
