//! What the tests share: a server in this process, foreign clients, and waiting for conditions.
#![allow(dead_code, unreachable_pub)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sfu_demo::mailbox::Mailbox;
use sfu_demo::server::{self, Server, ServerConfig};

pub mod browser;
pub mod client;
pub mod proxy;

/// How long a condition may take on a slow machine. Tests continue as soon as it holds.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for a turn among the tests that have to keep up with a clock: browsers that encode, ffmpeg in real time, paced
/// packets. Two of them at a time would be too much for two cores.
pub fn real_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The token that opens the statistics of the tests' servers.
pub const OPERATOR: &str = "operator-of-the-tests";

/// A server in this process, with its executor.
pub struct Running {
    pub http: String,
    pub server: Option<Server>,
    pub runtime: tokio::runtime::Runtime,
}

impl Running {
    pub fn start<M: Mailbox>(config: ServerConfig) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_env("SFU_LOG"))
            .with_test_writer()
            .try_init();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(server::start::<M>(config)).unwrap();
        Self {
            http: format!("http://{}", server.http),
            server: Some(server),
            runtime,
        }
    }

    pub fn stop(mut self) {
        let server = self.server.take().unwrap();
        assert!(
            self.runtime.block_on(server.stop(Duration::from_secs(20))),
            "did not stop in time"
        );
    }

    pub fn stats(&self) -> serde_json::Value {
        get_json(&format!("{}/api/stats", self.http))
    }
}

/// A server configuration for tests: any port, loopback only, and no limit that a test would hit by accident.
pub fn config(shards: usize) -> ServerConfig {
    ServerConfig {
        http: "127.0.0.1:0".parse().unwrap(),
        media: vec!["127.0.0.1".parse().unwrap()],
        shards,
        join_rate: (10_000, 10_000.0),
        operator_token: Some(OPERATOR.to_owned()),
        ..ServerConfig::default()
    }
}

pub fn get_json(url: &str) -> serde_json::Value {
    ureq::get(url)
        .header("authorization", format!("Bearer {OPERATOR}"))
        .call()
        .unwrap()
        .body_mut()
        .read_json()
        .unwrap()
}

/// Calls `ask` until it returns something.
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    until_or(what, String::new, ask)
}

/// Calls `ask` until it returns something. On a timeout, panics with what `state` returns.
pub fn until_or<T>(
    what: &str,
    state: impl Fn() -> String,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "timed out waiting until {what}\n{}",
            state()
        );
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Whether a missing foreign client fails its tests instead of skipping them.
pub fn required() -> bool {
    std::env::var_os("SFU_DEMO_REQUIRE_CLIENTS").is_some_and(|value| value != "0")
}

/// Whether a program is installed. If not, prints that the test is skipped, or panics if it must not be.
pub fn installed(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
        || Command::new(program)
            .arg("-version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok();
    if !found {
        assert!(
            !required(),
            "{program} is required: run sfu-demo/scripts/install-test-tools"
        );
        eprintln!("SKIPPED: {program} is not installed; run sfu-demo/scripts/install-test-tools");
    }
    found
}

/// The Python of the virtual environment with aiortc.
pub fn python() -> Option<PathBuf> {
    let venv = std::env::var_os("SFU_DEMO_VENV").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/sfu-demo-venv"),
        PathBuf::from,
    );
    let python = venv.join("bin/python");
    if python.exists() {
        return Some(python);
    }
    assert!(
        !required(),
        "aiortc is required: run sfu-demo/scripts/install-test-tools"
    );
    eprintln!("SKIPPED: aiortc is not installed; run sfu-demo/scripts/install-test-tools");
    None
}

/// A child process that is killed when this is dropped.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
