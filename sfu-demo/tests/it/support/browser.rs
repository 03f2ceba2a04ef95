//! Headless Chromium, driven over WebDriver: the part of the protocol that the tests use.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::MutexGuard;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Killed, OPERATOR, Running, installed, real_time, until};

/// A browser with a profile of its own.
pub struct Browser {
    session: String,
    agent: ureq::Agent,
    _driver: Killed,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Waits for the turn of a test that keeps up with a clock, and starts a browser, if it is installed.
    pub fn in_turn() -> Option<(MutexGuard<'static, ()>, Self)> {
        let turn = real_time();
        Some((turn, Self::start()?))
    }

    /// Starts a browser, if it is installed.
    pub fn start() -> Option<Self> {
        if !installed("chromedriver") || !installed("chromium") {
            return None;
        }
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(driver.stdout.take().unwrap());
        let driver = Killed(driver);
        let mut lines = output.lines();
        let port: u16 = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let at = line.find("started successfully on port ")?;
                line[at..]
                    .trim_end_matches('.')
                    .rsplit(' ')
                    .next()?
                    .parse()
                    .ok()
            })
            .expect("chromedriver says its port");
        // The pipe must be drained.
        std::thread::spawn(move || lines.for_each(drop));

        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(90)))
            .build()
            .into();
        let profile = tempfile::tempdir().unwrap();
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-renderer-backgrounding",
            "--disable-backgrounding-occluded-windows",
            "--disable-background-timer-throttling",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            "--auto-select-desktop-capture-source=Entire screen",
            "--window-size=1280,800",
        ];
        let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        args.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": args},
            "timeouts": {"script": 60_000, "pageLoad": 60_000},
        }}});
        let base = format!("http://127.0.0.1:{port}");
        let answer = call(&agent, "POST", &format!("{base}/session"), &capabilities);
        let id = answer["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("no session: {answer}"));
        let session = format!("{base}/session/{id}");
        Some(Self {
            session,
            agent,
            _driver: driver,
            _profile: profile,
        })
    }

    /// Opens a tab at `url` and returns its handle.
    pub fn open(&self, url: &str) -> String {
        let tab = self.post("window/new", &json!({"type": "tab"}));
        let tab = tab["handle"].as_str().unwrap().to_owned();
        self.to(&tab);
        self.post("url", &json!({ "url": url }));
        tab
    }

    /// Switches to a tab.
    pub fn to(&self, tab: &str) {
        self.post("window", &json!({ "handle": tab }));
    }

    /// Closes a tab like a user.
    pub fn close(&self, tab: &str) {
        self.to(tab);
        call(
            &self.agent,
            "DELETE",
            &format!("{}/window", self.session),
            &Value::Null,
        );
    }

    /// Runs a function body in a tab, and awaits its promise.
    pub fn run(&self, tab: &str, body: &str) -> Value {
        // Callers poll: leave the browser some time.
        std::thread::park_timeout(Duration::from_millis(50));
        self.to(tab);
        self.post("execute/sync", &json!({"script": body, "args": []}))
    }

    /// Clicks the element that a selector finds.
    pub fn click(&self, tab: &str, selector: &str) {
        let clicked = self.try_click(tab, selector);
        clicked.unwrap_or_else(|why| panic!("{selector} cannot be clicked: {why}"));
    }

    /// Clicks the element that a selector finds, if it is there and can be seen.
    pub fn try_click(&self, tab: &str, selector: &str) -> Result<(), Value> {
        self.to(tab);
        let element = format!("{}/element", self.session);
        let find = json!({"using": "css selector", "value": selector});
        let found = try_call(&self.agent, "POST", &element, &find)?;
        let id = found.as_object().and_then(|o| o.values().next());
        let Some(id) = id.and_then(Value::as_str) else {
            return Err(found);
        };
        let click = format!("{element}/{id}/click");
        try_call(&self.agent, "POST", &click, &json!({})).map(drop)
    }

    /// Sets the size of a tab's page, which may be smaller than any window.
    pub fn resize(&self, tab: &str, width: u32, height: u32) {
        self.to(tab);
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": size});
        self.post("goog/cdp/execute", &command);
    }

    /// Sets the colour scheme that a tab's user prefers.
    pub fn prefer(&self, tab: &str, scheme: &str) {
        self.to(tab);
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        let command =
            json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": [feature]}});
        self.post("goog/cdp/execute", &command);
    }

    /// A screenshot of a tab, as PNG.
    pub fn screenshot(&self, tab: &str) -> Vec<u8> {
        self.to(tab);
        let url = format!("{}/screenshot", self.session);
        let png = call(&self.agent, "GET", &url, &Value::Null);
        from_base64(png.as_str().unwrap())
    }

    /// Waits until a function body returns something truthy, and returns it.
    pub fn wait(&self, tab: &str, what: &str, body: &str) -> Value {
        let mut last = Value::Null;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, || {
                last = self.run(tab, body);
                let empty = last.is_null() || last == json!(false) || last == json!(0);
                (!empty).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| {
            let page = self.run(tab, "return document.body.innerText");
            panic!("timed out waiting until {what}; last: {last}; the page says: {page}")
        })
    }

    /// Ends the browser. What is asked of it afterwards, or waits for an answer, fails.
    pub fn end(&self) {
        let _ = self.agent.delete(&self.session).call();
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        call(
            &self.agent,
            "POST",
            &format!("{}/{command}", self.session),
            body,
        )
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.end();
    }
}

fn call(agent: &ureq::Agent, method: &str, url: &str, body: &Value) -> Value {
    let answer = try_call(agent, method, url, body);
    answer.unwrap_or_else(|answer| panic!("{method} {url}: {answer}"))
}

/// Returns what the driver says if it cannot.
fn try_call(agent: &ureq::Agent, method: &str, url: &str, body: &Value) -> Result<Value, Value> {
    let response = match method {
        "GET" => agent.get(url).call(),
        "DELETE" => agent.delete(url).call(),
        _ => agent.post(url).send_json(body),
    };
    let mut response = response.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let ok = response.status().is_success();
    let mut answer: Value = response
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_json()
        .unwrap();
    if ok {
        Ok(answer["value"].take())
    } else {
        Err(answer)
    }
}

/// Decodes standard base64.
fn from_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("no digit of base64: {byte}"),
    };
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | u32::from(digit(byte));
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}

/// Opens the page in a tab, and joins with its form.
pub fn join(browser: &Browser, server: &Running, room: &str, name: &str, query: &str) -> String {
    let tab = browser.open(&format!(
        "{}/r/{room}?name={name}{query}&operator={}",
        server.http, OPERATOR
    ));
    browser.wait(
        &tab,
        "the form is there",
        "return !!document.querySelector('#join .primary')",
    );
    browser.click(&tab, "#join .primary");
    browser.wait(
        &tab,
        &format!("{name} is connected"),
        "return window.sfu.pc?.connectionState === 'connected'",
    );
    tab
}
