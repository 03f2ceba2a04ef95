//! Pages in a real browser, as peers of a node in this process.

mod channels;
mod credit;
mod driver;
mod tracks;

use std::{process::Stdio, time::Duration};

use lanemesh_net::{
    Access, Config, DownReason, Event, LookupError, Node, Remote, Token,
    browser::CLIENT,
    transport::{WebRtc, WebSocket},
};
use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, AskError, Child, Context, ExitReason, Reply, spawn,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use self::driver::Browser;
use crate::{
    authority::Authority,
    common::{Entry, Recorder, SECOND, event, log, lows, patient},
};

const KEY: [u8; 16] = *b"a key of tokens.";
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// The type of the object that pages export.
struct Guest;

#[derive(Debug, Serialize, Deserialize)]
enum Urgent {
    /// How many messages it has had, and the sum of those with numbers.
    Count(Reply<(u64, u64)>),
    Twice(Reply<u64>, String, Reply<String>),
    Throw,
    Forget(Reply<u64>),
}

#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Number(u64),
    Text { text: String },
    Hold,
}

impl Actor for Guest {
    type HighPriorityMsg = Urgent;
    type LowPriorityMsg = Line;

    async fn on_high(&mut self, _: Urgent, _: &mut Context<Self>) -> ActorResult {
        Ok(())
    }

    async fn on_low(&mut self, _: Line, _: &mut Context<Self>) -> ActorResult {
        Ok(())
    }
}

impl Remote for Guest {
    const TYPE: &'static str = "test/guest";
}

/// Serves the script and an empty page that loads it. Returns the address of the page.
async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await?);
                }
                let (kind, body) = match request.starts_with(b"GET /lanemesh.js ") {
                    true => ("text/javascript", CLIENT),
                    false => ("text/html", PAGE),
                };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(body.as_bytes()).await?;
                stream.shutdown().await
            });
        }
    });
    format!("http://{address}/")
}

/// A page without anything to see. Its object counts, and can be told to hold on.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>test</title><script type="module">
import * as lanemesh from './lanemesh.js';
const guest = {
    count: 0, sum: 0, order: [], gate: null,
    async low(message) {
        if (message === 'Hold') return new Promise((resolve) => { guest.open = resolve; });
        guest.count += 1;
        if (message.Number !== undefined) { guest.sum += message.Number; guest.order.push(message.Number); }
        if (message.Text) guest.text = message.Text.text;
    },
    async high(message) {
        if (message === 'Throw') throw new Error('on purpose');
        if (message.Count) message.Count.send([guest.count, guest.sum]);
        if (message.Twice) {
            const [one, text, other] = message.Twice;
            other.send(`${text} ${text}`);
            one.send(text.length);
        }
        if (message.Forget) message.Forget.drop();
    },
};
window.guest = guest;
window.join = async (url, name, token) => {
    const page = await lanemesh.connect(url, { name, token, deadAfter: 3600000, timeout: 60000, backoff: 10 });
    page.export(name, 'test/guest', guest);
    window.events = [];
    for (const kind of ['up', 'down', 'refused']) {
        page.addEventListener(kind, ({ detail }) => window.events.push([kind, String(detail ?? '')]));
    }
    window.page = page;
    return [page.peer.name, String(page.peer.incarnation)];
};
/** The kind of the error that a promise is rejected with, and its text. */
window.failure = (promise) => promise.then(() => 'nothing', (error) => `${error.kind}: ${error.message}`);
window.lanemesh = lanemesh;
</script>"#;

struct Setting {
    browser: Browser,
    home: Node,
    /// Of the node.
    address: String,
    /// Of the page.
    url: String,
    actor: ActorHandle<Recorder>,
    _child: Child,
}

impl Setting {
    async fn new() -> Option<Self> {
        Self::with(WebSocket::new(), "ws:", patient()).await
    }

    /// A node to which pages come by data channels.
    async fn by_channels(sessions: &WebRtc, config: Config) -> Option<Self> {
        let web = WebSocket::new().data_channels(sessions);
        Self::with(web, "http:", config).await
    }

    async fn with(web: WebSocket, scheme: &str, config: Config) -> Option<Self> {
        let browser = Browser::start()?;
        let home = Node::builder("home").token_key(KEY).config(config);
        let home = home.transport("ws", web).incarnation(u64::MAX).build();
        let address = home.bind("ws://127.0.0.1:0/lanes").await.unwrap();
        let address = address.replace("ws:", scheme);
        let (actor, child) = spawn(Recorder::new());
        home.export("recorder", &actor).unwrap();
        Some(Self {
            browser,
            home,
            address,
            url: serve().await,
            actor,
            _child: child,
        })
    }

    /// A tab with a page that is linked to the node.
    fn join(&self, name: &str) -> String {
        let tab = self.browser.open(&self.url);
        self.join_again(&tab, name);
        tab
    }

    fn join_again(&self, tab: &str, name: &str) {
        let token = Token::new(name, HOUR)
            .grant("recorder", Access::ALL)
            .sign(&KEY);
        self.browser.until(tab, "return window.join !== undefined");
        let script = format!("return join('{}', '{name}', '{token}')", self.address);
        let peer = self.browser.run(tab, &script);
        assert_eq!(peer, json!(["home", u64::MAX.to_string()]));
    }

    async fn guest(&self, name: &str) -> ActorHandle<Guest> {
        self.home.lookup(name).on(name).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_tells_and_asks_and_is_told_and_asked() {
    if let Some(setting) = Setting::new().await {
        tell_and_ask(&setting).await;
    }
}

/// What pages do, by whatever way they have come.
async fn tell_and_ask(setting: &Setting) {
    let Setting { browser, actor, .. } = setting;
    let tab = setting.join("page/1");

    // The page to the actor: in order, with back-pressure, both classes.
    let told = browser.run(
        &tab,
        "window.actor = await page.lookup('recorder', 'test/recorder');
         for (let number = 0; number < 5000; number += 1) await actor.tell({ Number: number });
         await actor.idle();
         await actor.tell({ Mark: 7 }, { high: true });
         await actor.idle(); // there is no order between the classes
         const asked = await actor.ask((reply) => ({ Ask: reply }), { low: true, timeout: 60000 });
         return [asked, (await actor.ask((reply) => ({ Log: reply }), { timeout: 60000 })).length]",
    );
    assert_eq!(told, json!([5001, 5001]));
    let entries = log(&mut actor.clone()).await;
    assert_eq!(lows(&entries), (0..5000).collect::<Vec<_>>());
    assert!(entries.contains(&Entry::High(7)));
    // Messages of many pieces, and what is too large, or has no room, or comes too late.
    let failures = browser.run(
        &tab,
        "const bytes = Array.from({ length: 200000 }, () => 7);
         await actor.tell({ Bytes: bytes });
         await actor.idle();
         const answer = actor.ask((reply) => ({ Keep: reply }), { timeout: 50 });
         const full = Array.from({ length: 20000 }, (_, number) => failure(actor.tell({ Number: number })));
         const unfinished = await failure(answer);
         const outcomes = await Promise.all(full);
         return [await failure(actor.tell('x'.repeat(1 << 20))), unfinished,
             outcomes.some((outcome) => outcome.startsWith('full')), outcomes[0]]",
    );
    assert_eq!(
        failures,
        json!([
            "too-large: the message is larger than a frame",
            "timeout: no answer within 50 ms",
            true,
            "nothing"
        ])
    );
    assert!(log(&mut actor.clone()).await.contains(&Entry::Low(200_000)));

    // The node to the page.
    let mut guest = setting.guest("page/1").await;
    for number in 0..5000 {
        guest.send_low(Line::Number(number)).await.unwrap();
    }
    guest.idle().await;
    let counted = guest.ask(Urgent::Count, MINUTE).await;
    assert_eq!(counted, Ok((5000, 4999 * 2500)));
    let is_ordered = "return guest.order.every((number, index) => number === index)";
    assert_eq!(browser.run(&tab, is_ordered), json!(true));
    let text = "ä".repeat(100_000);
    guest.send_low(Line::Text { text }).await.unwrap();
    guest.idle().await;
    assert_eq!(
        browser.run(&tab, "return guest.text.length"),
        json!(100_000)
    );
    let (reply, other) = Reply::pair();
    let twice = |one| Urgent::Twice(one, "hey".into(), reply);
    assert_eq!(guest.ask(twice, MINUTE).await, Ok(3));
    assert_eq!(other.receive(MINUTE).await.as_deref(), Ok("hey hey"));
    assert_eq!(
        guest.ask(Urgent::Forget, MINUTE).await,
        Err(AskError::Crashed)
    );

    // A page that is slow slows its senders, and a question overtakes what waits.
    let mut sender = setting.guest("page/1").await;
    sender.send_low(Line::Hold).await.unwrap();
    browser.until(&tab, "return guest.open !== undefined");
    let mut sent = 0;
    while sender.try_send_low(Line::Number(0)).is_ok() {
        sent += 1;
        if sent % 64 == 0 {
            tokio::task::yield_now().await;
        }
        assert!(sent < 100_000, "nothing holds the sender up");
    }
    browser.run(&tab, "guest.open()");
    sender.idle().await;
    let counted = guest.ask(Urgent::Count, MINUTE).await.unwrap();
    assert_eq!(counted.0, 5001 + sent);

    // A method that throws ends the lane of its message, and that one alone.
    sender.send_high(Urgent::Throw).await.unwrap();
    let reason = sender.monitor().await;
    assert!(
        matches!(&reason, ExitReason::Failed(error) if error.to_string().contains("on purpose")),
        "{reason}"
    );
    assert!(guest.ask(Urgent::Count, MINUTE).await.is_ok());
    // The page's heartbeats do not wait for its timers.
    browser.run(
        &tab,
        "const [socket] = [page.link.streams[1].socket];
         const send = socket.send.bind(socket);
         window.beats = 0;
         socket.send = (bytes) => { if (bytes[4] === 13) window.beats += 1; send(bytes); };",
    );
    browser.until(&tab, "return window.beats > 2");
    browser.run(&tab, "page.withdraw('page/1')");
    assert!(matches!(guest.monitor().await, ExitReason::Stopped));
    let gone = setting.home.lookup::<Guest>("page/1").on("page/1").await;
    assert_eq!(gone.unwrap_err(), LookupError::Unknown);
    browser.run(&tab, "actor.close(); page.close()");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_hears_why_it_is_refused() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    let Setting {
        browser,
        home,
        address,
        ..
    } = &setting;
    let (other, _child) = spawn(Recorder::new());
    home.export("other", &other).unwrap();
    let tab = setting.join("page/1");
    let lookups = browser.run(
        &tab,
        "return Promise.all([
            failure(page.lookup('other', 'test/recorder')),
            failure(page.lookup('nobody', 'test/recorder')),
            failure(page.lookup('recorder', 'test/other')),
            failure(page.lookup('recorder', 'test/recorder', { versions: [2, 3] })),
        ])",
    );
    let lookups = lookups.as_array().unwrap().clone();
    let expected = [
        "denied: the token does not grant other",
        "denied: the token does not grant nobody",
        "mismatch: recorder is of type test/recorder, not test/other",
        "mismatch: recorder has the versions 1..=1 of test/recorder, and page/1 has 2..=3",
    ];
    assert_eq!(lookups, expected);
    // What is no message of the actor ends the lane, with a reason.
    let reason = browser.run(
        &tab,
        "const actor = await page.lookup('recorder', 'test/recorder');
         await actor.tell({ Nonsense: 1 });
         const { kind, text } = await actor.closed;
         return `${kind}: ${text} ${await failure(actor.tell('more'))}`",
    );
    let reason = reason.as_str().unwrap();
    assert!(
        reason.contains("failed: ") && reason.contains("Nonsense"),
        "{reason}"
    );
    assert!(reason.contains("closed: "), "{reason}");
    // The node is told, too.
    let mismatch = home.lookup::<Recorder>("page/1").on("page/1").await;
    assert!(matches!(mismatch, Err(LookupError::Mismatch(_))));

    let good = Token::new("page/1", HOUR).sign(&KEY);
    let forged = Token::new("page/1", HOUR).sign(b"another key");
    let expired = Token::new("page/1", Duration::ZERO).sign(&KEY);
    tokio::time::sleep(SECOND).await; // it is rounded up to seconds
    for (name, token, text) in [
        (
            "page/2",
            &good,
            "refused by the other end: the token is for another name",
        ),
        (
            "page/1",
            &forged,
            "refused by the other end: the token is not valid",
        ),
        (
            "page/1",
            &expired,
            "refused by the other end: the token has expired",
        ),
    ] {
        let script = format!(
            "return failure(lanemesh.connect('{address}', {{ name: '{name}', token: '{token}' }}))"
        );
        let heard = browser.run(&tab, &script);
        assert_eq!(heard, json!(format!("refused: {text}")));
    }
    let elsewhere = address.replace("/lanes", "/elsewhere");
    let script = format!(
        "return failure(lanemesh.connect('{elsewhere}', {{ name: 'page/1', token: '{good}' }}))"
    );
    let heard = browser.run(&tab, &script);
    assert!(heard.as_str().unwrap().starts_with("lost"), "{heard}");

    // Over TLS, too.
    let web = WebSocket::secure();
    let own = Authority::new("ours").sign(&["127.0.0.1"]);
    web.set_certificate(own.chain.as_bytes(), own.key.as_bytes())
        .unwrap();
    let secure = Node::builder("secure").transport("wss", web).token_key(KEY);
    let secure = secure.config(patient()).build();
    let there = secure.bind("wss://127.0.0.1:0").await.unwrap();
    let script = format!(
        "return (await lanemesh.connect('{there}', {{ name: 'page/1', token: '{good}' }})).peer.name"
    );
    assert_eq!(browser.run(&tab, &script), json!("secure"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn link_of_a_page_that_breaks_is_noticed_at_both_ends_and_made_again() {
    if let Some(setting) = Setting::new().await {
        break_and_reload(&setting).await;
    }
}

/// What becomes of pages whose links break, by whatever way they have come.
async fn break_and_reload(setting: &Setting) {
    let Setting {
        browser,
        home,
        actor,
        ..
    } = setting;
    let tab = setting.join("page/1");
    let guest = setting.guest("page/1").await;
    let mut events = home.events();
    browser.run(
        &tab,
        "window.actor = await page.lookup('recorder', 'test/recorder');
         window.asked = failure(actor.ask((reply) => ({ Keep: reply }), { timeout: 3600000 }));
         await actor.idle();",
    );
    home.drop_links("page/1");
    let ended = browser.run(
        &tab,
        "return [(await actor.closed).kind, (await asked).split(':')[0], (await failure(actor.tell('x'))).split(':')[0]]",
    );
    assert_eq!(ended, json!(["unreachable", "unknown", "closed"]));
    assert!(matches!(guest.monitor().await, ExitReason::Unreachable));
    let up = |event| matches!(event, Event::LinkUp { .. }).then_some(());
    event(&mut events, up).await;
    browser.until(&tab, "return page.link !== null");
    let kinds = browser.run(&tab, "return events.map(([kind]) => kind)");
    assert_eq!(kinds, json!(["down", "up"]));
    let mut guest = setting.guest("page/1").await;
    assert_eq!(guest.ask(Urgent::Count, MINUTE).await, Ok((0, 0)));
    browser.run(
        &tab,
        "const again = await page.lookup('recorder', 'test/recorder');
         await again.tell({ Number: 1 });
         await again.idle();",
    );
    assert_eq!(lows(&log(&mut actor.clone()).await), [1]);

    // Loaded again it is another incarnation, and so is the same name in another tab.
    browser.reload(&tab);
    assert!(matches!(guest.monitor().await, ExitReason::Unreachable));
    setting.join_again(&tab, "page/1");
    let guest = setting.guest("page/1").await;
    let second = setting.join("page/1");
    assert!(matches!(guest.monitor().await, ExitReason::Unreachable));
    let down = |event| match event {
        Event::LinkDown(down) => (down.why == DownReason::Replaced).then_some(()),
        _ => None,
    };
    event(&mut events, down).await;
    browser.until(&tab, "return events.some(([kind]) => kind === 'refused')");
    assert!(home.shutdown(MINUTE).await);
    browser.until(&second, "return events.some(([kind]) => kind === 'down')");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_joins_the_chat_of_the_example() {
    let Some(browser) = Browser::start() else {
        return;
    };
    // Built with the tests, beside them.
    let own = std::env::current_exe().unwrap();
    let chat = own.ancestors().nth(2).unwrap().join("examples/chat");
    let mut chat = tokio::process::Command::new(chat)
        .arg("--page")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(chat.stdout.take().unwrap()).lines();
    let url = loop {
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("it prints an address");
        if let Some(url) = line.strip_prefix("open ") {
            break url.to_owned();
        }
    };
    let (one, two) = (browser.open(&url), browser.open(&url));
    let here =
        "return document.getElementById('state').textContent.includes('is here with anna, ben')";
    browser.until(&one, here);
    browser.until(&two, here);
    browser.run(
        &one,
        "document.getElementById('text').value = 'hello <b>all</b>';
         document.getElementById('say').requestSubmit();",
    );
    for tab in [&one, &two] {
        let heard = "return document.getElementById('lines').lastChild?.textContent ?? null";
        let line = browser.until(tab, heard);
        let line = line.as_str().unwrap();
        assert!(
            line.starts_with("page") && line.ends_with(": hello <b>all</b>"),
            "{line}"
        );
    }
    drop(chat.stdin.take());
    assert!(chat.wait().await.unwrap().success());
    browser.until(
        &two,
        "return document.getElementById('state').textContent.startsWith('gone')",
    );
}
