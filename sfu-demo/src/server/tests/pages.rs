//! Pages of a real browser: beside native peers in a crowd, and when a shard fails or the server stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::browser::Browser;
use super::*;
use crate::mailbox::mesh::Mesh;
use crate::messages::{Control, Fault};

/// Whether a page is in the call and connected.
const CONNECTED: &str =
    "!document.getElementById('call').hidden && window.sfu.pc?.connectionState === 'connected'";
/// A page sends few pictures, so that two cores can carry a crowd.
const FEW_PICTURES: &str = "const capture = HTMLCanvasElement.prototype.captureStream;
    HTMLCanvasElement.prototype.captureStream = function () { return capture.call(this, 5); };";

/// Opens the page of the room, with a moving picture to send.
fn open(browser: &Browser, http: SocketAddr, name: &str) -> String {
    let tab = browser.open(&format!(
        "http://{http}/r/room?name={name}&source=synthetic"
    ));
    browser.wait(
        &tab,
        "the form is there",
        "return !!document.querySelector('#join .primary') && !!window.sfu",
    );
    browser.run(&tab, FEW_PICTURES);
    tab
}

/// Joins the room with a moving picture, once the page is there.
fn join(browser: &Browser, http: SocketAddr, name: &str) -> String {
    let tab = open(browser, http, name);
    browser.run(&tab, "document.getElementById('join').requestSubmit()");
    browser.wait(&tab, "it is connected", &format!("return {CONNECTED}"));
    tab
}

/// What the pages of a crowd are asked for, and where they are. It only goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Stage {
    /// They leave, join, share and choose layers.
    Busy,
    /// They shall stop that.
    CalmDown,
    /// They have.
    Calm,
    /// Each sees everybody.
    SeeAll,
    /// They shall end.
    Over,
}

/// Two pages of a crowd, driven by a thread of their own, since the browser may take its time. The browser ends with it.
pub(super) struct Pages {
    names: Vec<String>,
    stage: Arc<AtomicU8>,
    browser: Arc<Browser>,
    /// `None` once it has ended.
    thread: Option<JoinHandle<()>>,
}

impl Pages {
    /// Opens the pages, if there is a browser. Each shall see `others` in the end.
    pub(super) fn open(http: SocketAddr, others: &[String]) -> Option<Self> {
        let browser = Arc::new(Browser::start()?);
        let names: Vec<_> = ["Ann", "Ben"].map(str::to_owned).into();
        let tabs: Vec<_> = names
            .iter()
            .map(|name| join(&browser, http, name))
            .collect();
        let stage = Arc::new(AtomicU8::new(Stage::Busy as u8));
        let thread = {
            let (stage, everybody) = (Arc::clone(&stage), [others, &names].concat());
            let browser = Arc::clone(&browser);
            std::thread::spawn(move || run(&browser, &tabs, &everybody, &stage))
        };
        Some(Self {
            names,
            stage,
            browser,
            thread: Some(thread),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    pub(super) fn calm_down(&self) {
        advance(&self.stage, Stage::CalmDown);
    }

    pub(super) fn are_calm(&self) -> bool {
        self.has_come_to(Stage::Calm)
    }

    pub(super) fn see_all(&self) -> bool {
        self.has_come_to(Stage::SeeAll)
    }

    fn has_come_to(&self, stage: Stage) -> bool {
        // ORDERING: a flag alone.
        let there = self.stage.load(Ordering::Relaxed) >= stage as u8;
        let thread = self.thread.as_ref();
        let ended = thread.is_none_or(JoinHandle::is_finished);
        assert!(there || !ended, "the pages have failed");
        there
    }

    pub(super) fn close(mut self) {
        advance(&self.stage, Stage::Over);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Pages {
    /// A test that fails leaves no browser: the thread may wait for one of its pages, and fails then too.
    fn drop(&mut self) {
        advance(&self.stage, Stage::Over);
        self.browser.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn advance(stage: &AtomicU8, to: Stage) {
    // ORDERING: a flag alone.
    stage.fetch_max(to as u8, Ordering::Relaxed);
}

/// What the pages do.
fn run(browser: &Browser, tabs: &[String], everybody: &[String], stage: &AtomicU8) {
    // ORDERING: a flag alone.
    let is = |at: Stage| stage.load(Ordering::Relaxed) == at as u8;
    let in_call = |tab: &str| {
        let connected = format!("return {CONNECTED}");
        browser.wait(tab, "the page is in the call, by itself", &connected);
    };
    let mut turn = 0usize;
    while is(Stage::Busy) {
        let tab = &tabs[turn % tabs.len()];
        match turn / tabs.len() % 3 {
            // Asks for a small picture of somebody, then for a large one.
            0 => {
                let choose = "for (const value of ['0', '2']) for (const tile of [...window.sfu.tiles.values()].slice(0, 3)) {
                    const select = tile.root.querySelector('select');
                    select.value = value; select.dispatchEvent(new Event('change'));
                }";
                browser.run(tab, choose);
            }
            // Leaves, and comes again.
            1 => {
                in_call(tab);
                browser.run(tab, "document.getElementById('leave').click()");
                let form = "return !document.getElementById('join').hidden";
                browser.wait(tab, "the form is there", form);
                browser.run(tab, "document.getElementById('join').requestSubmit()");
            }
            // Shares the screen, or shares it no more. In mid-fault there may be no button.
            _ => _ = browser.try_click(tab, "#screen"),
        }
        turn += 1;
        std::thread::park_timeout(Duration::from_millis(400));
    }
    for tab in tabs {
        in_call(tab);
        if browser.run(tab, "return Boolean(window.sfu.screen)") == true {
            browser.click(tab, "#screen");
        }
        browser.wait(
            tab,
            "the screen is shared no more",
            "return !window.sfu.screen",
        );
    }
    advance(stage, Stage::Calm);
    for tab in tabs {
        // Whose pictures were decoded since the first call, for the same connection.
        let unseen = format!(
            "return (async () => {{
                const {{ pc, name: own, tiles }} = window.sfu;
                const reports = [...(await pc.getStats()).values()].filter(r => r.type === 'inbound-rtp');
                const frames = {{}};
                for (const tile of tiles.values()) {{
                    const [video] = tile.stream.getVideoTracks();
                    const report = reports.find(r => r.trackIdentifier === video?.id);
                    if (!tile.mine && report) frames[tile.name] = report.framesDecoded ?? 0;
                }}
                if (window.counted?.pc !== pc) window.counted = {{ pc, frames }};
                const before = window.counted.frames;
                return {everybody}.filter(name => name !== own && !(frames[name] > (before[name] ?? 0)));
            }})()",
            everybody = json!(everybody),
        );
        let see_all = unseen.replace("return {everybody}", "return");
        support::until_or(
            "a page sees all",
            || browser.run(tab, &see_all).to_string(),
            || (browser.run(tab, &unseen) == json!([])).then_some(()),
        );
    }
    advance(stage, Stage::SeeAll);
    while !is(Stage::Over) {
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Waits until the page has joined anew, by itself.
fn comes_back(browser: &Browser, tab: &str) {
    let back = format!("return window.sfu.resource !== window.before && {CONNECTED}");
    browser.wait(tab, "the page is back", &back);
}

/// People on the page of a large room, and the longest that a task of the page's script may take in ms.
const FIFTY: u16 = 50;
const LONG: f64 = 50.0;

#[test]
#[ignore = "it needs a release build and idle cores: cargo test --release -p sfu-demo --lib -- --ignored --nocapture fifty"]
fn page_of_fifty_people_has_no_long_task_of_its_own() {
    const WATCH: &str = "window.tasks = [];
        const watch = (list) => { for (const frame of list.getEntries()) for (const script of frame.scripts) {
            if (script.sourceURL.startsWith(location.origin)) tasks.push([script.duration, script.invoker, script.sourceFunctionName]);
        } };
        new PerformanceObserver(watch).observe({ type: 'long-animation-frame', buffered: true });";
    let Some((_turn, browser)) = Browser::in_turn() else {
        return;
    };
    let mut world = World::<Mesh>::new(2, 1);
    world.interval = Duration::from_millis(200);
    for number in 1..FIFTY {
        world.enter(number, Role::Publish);
    }
    let http = world.server.http;
    let page = std::thread::spawn(move || {
        let tab = open(&browser, http, "Ann");
        browser.run(&tab, WATCH);
        browser.run(&tab, "document.getElementById('join').requestSubmit()");
        let shown = "return [...window.sfu.tiles.values()].filter(it => it.video.videoWidth > 0).length >= 30";
        browser.wait(&tab, "it shows thirty", shown);
        for control in ["#pager-on", "#chat-toggle", "#chat-toggle", "#pager-back"] {
            browser.click(&tab, control);
        }
        browser.run(&tab, "document.querySelector('.pin').click()");
        browser.wait(&tab, "it shows thirty", shown);
        (browser, tab)
    });
    world.until("the page shows all", |_| page.is_finished());
    let (browser, tab) = page.join().unwrap();
    // Most leave.
    for peer in &mut world.peers[5..] {
        peer.client.close();
    }
    let few = std::thread::spawn(move || {
        browser.wait(&tab, "they are gone", "return window.sfu.roster.size === 6");
        browser.run(&tab, "return tasks.sort((a, b) => b[0] - a[0]).slice(0, 5)")
    });
    world.until("the page shows few", |_| few.is_finished());
    let tasks = few.join().unwrap();
    println!("longest tasks: {tasks}");
    assert!(tasks[0][0].as_f64().is_none_or(|longest| longest <= LONG));
    world.stop();
}

#[test]
fn page_comes_back_by_itself_when_its_shard_panics() {
    let Some((_turn, browser)) = Browser::in_turn() else {
        return;
    };
    let mut world = World::<Mesh>::new(1, 1);
    let tab = join(&browser, world.server.http, "Ann");
    for incarnation in 2..=3 {
        browser.run(&tab, "window.before = window.sfu.resource");
        let from = Instant::now();
        let sent = world.app.shards.try_send(0, Control::Fault(Fault::Panic));
        assert!(sent.is_ok());
        comes_back(&browser, &tab);
        println!("the page is back after {:?}", from.elapsed());
        assert_eq!(world.stats().shards[0].incarnation, incarnation);
    }
    // Others see it.
    world.join(1, Role::Subscribe);
    world.until("its picture is seen", |world| {
        !world.peers[0].foreign.is_empty()
    });
    world.until("nobody is left over", |world| {
        let rooms = world.stats().rooms;
        rooms.len() == 1 && rooms[0].participants == 2
    });
    drop(browser);
    world.stop();
}

#[test]
fn page_says_that_the_server_restarts_and_joins_again() {
    let Some((_turn, browser)) = Browser::in_turn() else {
        return;
    };
    let world = World::<Mesh>::new(1, 1);
    let http = world.server.http;
    let tab = join(&browser, http, "Ann");
    let watch = "window.before = window.sfu.resource; window.said = [];
        const status = document.getElementById('status');
        new MutationObserver(() => window.said.push(status.textContent)).observe(status, { childList: true });";
    browser.run(&tab, watch);
    world.stop();
    let said = "return window.said.some(text => text.startsWith('The server is restarting. Joining again'))";
    browser.wait(&tab, "the page says so", said);
    let world = World::<Mesh>::at(http, 1, 1);
    comes_back(&browser, &tab);
    let lost = "return window.said.filter(text => text.includes('lost'))";
    assert_eq!(
        browser.run(&tab, lost),
        json!([]),
        "nothing is said to be lost"
    );
    // The server is stopped for good.
    browser.run(&tab, "window.sfu.attempts = [0, 0]");
    world.stop();
    let words = "return document.getElementById('problem').hidden ? null : document.getElementById('problem-text').textContent";
    let words = browser.wait(&tab, "the page gives up", words);
    let words = words.as_str().unwrap();
    assert!(words.starts_with("The server was stopped."), "{words}");
    let way = "return document.activeElement.id === 'way' && document.activeElement.textContent";
    assert_eq!(browser.run(&tab, way), "Join again");
}
