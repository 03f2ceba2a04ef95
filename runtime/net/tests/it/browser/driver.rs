//! Headless Chromium, driven over WebDriver: the part of the protocol that the tests use.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::block_in_place;

/// How long a page may take for anything. Tests continue as soon as it is done.
const PATIENCE: Duration = Duration::from_secs(90);

/// A browser with a profile of its own.
pub(crate) struct Browser {
    /// More than one at a time would be too much for a small machine.
    _turn: MutexGuard<'static, ()>,
    driver: Child,
    port: u16,
    session: String,
    profile: PathBuf,
}

/// Whether a program is installed. If not, prints that the test is skipped, or panics if it must not be.
fn is_installed(program: &str) -> bool {
    let version = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let is_required =
        std::env::var_os("SFU_DEMO_REQUIRE_CLIENTS").is_some_and(|value| value != "0");
    let help =
        format!("{program} is not installed: run sfu-demo/scripts/install-test-tools chromium");
    assert!(version.is_ok() || !is_required, "{help}");
    if version.is_err() {
        eprintln!("SKIPPED: {help}");
    }
    version.is_ok()
}

impl Browser {
    /// Starts a browser, if it is installed. For tests with several worker threads.
    pub(crate) fn start() -> Option<Self> {
        if !is_installed("chromedriver") || !is_installed("chromium") {
            return None;
        }
        block_in_place(|| Some(Self::launch()))
    }

    fn launch() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let at = line.find("started successfully on port ")?;
            line[at..]
                .trim_end_matches('.')
                .rsplit(' ')
                .next()?
                .parse()
                .ok()
        });
        // The pipe must be drained.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = format!("lanemesh-net-browser-{}", std::process::id());
        let mut browser = Self {
            _turn: turn,
            driver,
            port: port.expect("chromedriver says its port"),
            session: String::new(),
            profile: std::env::temp_dir().join(profile),
        };
        let mut args: Vec<String> = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--ignore-certificate-errors",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
        ]
        .map(str::to_owned)
        .into();
        args.push(format!("--user-data-dir={}", browser.profile.display()));
        let timeout = PATIENCE.as_millis() as u64;
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": args},
            "timeouts": {"script": timeout, "pageLoad": timeout},
        }}});
        let answer = browser.call("POST", "/session", &capabilities);
        let id = answer["sessionId"].as_str().expect("a session");
        browser.session = format!("/session/{id}");
        browser
    }

    /// Opens a tab and returns its handle.
    pub(crate) fn open(&self, url: &str) -> String {
        let tab = self.post("window/new", &json!({"type": "tab"}));
        let tab = tab["handle"].as_str().unwrap().to_owned();
        self.post("window", &json!({ "handle": tab }));
        self.post("url", &json!({ "url": url }));
        tab
    }

    /// Loads the page of a tab again.
    pub(crate) fn reload(&self, tab: &str) {
        self.post("window", &json!({ "handle": tab }));
        self.post("refresh", &json!({}));
    }

    /// Runs the body of an async function in a tab. Returns what it returns.
    ///
    /// # Panics
    ///
    /// If it throws.
    pub(crate) fn run(&self, tab: &str, body: &str) -> Value {
        self.post("window", &json!({ "handle": tab }));
        let script = format!("return (async () => {{ {body} }})()");
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Runs it again and again until it returns something that is true.
    pub(crate) fn until(&self, tab: &str, body: &str) -> Value {
        let began = Instant::now();
        loop {
            let found = self.run(tab, body);
            if found.as_bool().unwrap_or(!found.is_null()) {
                return found;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {body}"
            );
            block_in_place(|| std::thread::sleep(Duration::from_millis(20)));
        }
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        let path = format!("{}/{command}", self.session);
        block_in_place(|| self.call("POST", &path, body))
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, mut answer) = self.request(method, path, body).unwrap();
        assert!(status == 200, "{method} {path} {body}: {status} {answer}");
        answer["value"].take()
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(2 * PATIENCE))?;
        let body = body.to_string();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )?;
        // The driver keeps the connection open.
        let mut answer = BufReader::new(stream);
        let (mut status, mut length, mut line) = (0, 0, String::new());
        while answer.read_line(&mut line)? > 2 {
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            } else if let Some(rest) = lower.strip_prefix("http/1.1 ") {
                status = rest
                    .get(..3)
                    .and_then(|code| code.parse().ok())
                    .unwrap_or(0);
            }
            line.clear();
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends the browser, too.
        let _ = self.request("DELETE", &self.session, &json!({}));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
