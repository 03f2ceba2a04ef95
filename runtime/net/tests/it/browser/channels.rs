//! Pages that come by data channels.

use lanemesh_net::{
    Access, DownReason, Event, Token,
    streams::{self, Chunk, MediaFrame, MediaKind, Streams},
    transport::WebRtc,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::{HOUR, KEY, MINUTE, Setting, Urgent, break_and_reload, tell_and_ask};
use crate::{
    common::{SECOND, event, patient},
    webrtc::relay::{Mode, Relay},
};

async fn bound() -> WebRtc {
    WebRtc::bind("127.0.0.1:0").await.unwrap()
}

/// A tab whose page is linked to the node, and may send to one of its exports.
fn page_with_right(setting: &Setting, export: &str) -> String {
    let Setting {
        browser, address, ..
    } = setting;
    let tab = browser.open(&setting.url);
    browser.until(&tab, "return window.join !== undefined");
    let token = Token::new("page/1", HOUR).grant(export, Access::ALL);
    let token = token.sign(&KEY);
    let connect = format!(
        "window.page = await lanemesh.connect('{address}', {{ name: 'page/1', token: '{token}', timeout: 60000 }});"
    );
    browser.run(&tab, &connect);
    tab
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_by_channels_tells_and_asks_and_is_told_and_asked() {
    if let Some(setting) = Setting::by_channels(&bound().await, patient()).await {
        tell_and_ask(&setting).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_by_channels_survives_breaks_and_reloads() {
    if let Some(setting) = Setting::by_channels(&bound().await, patient()).await {
        break_and_reload(&setting).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_by_channels_hears_why_it_is_refused() {
    let Some(setting) = Setting::by_channels(&bound().await.max_sessions(1), patient()).await
    else {
        return;
    };
    let Setting {
        browser, address, ..
    } = &setting;
    let tab = browser.open(&setting.url);
    browser.until(&tab, "return window.join !== undefined");
    let forged = Token::new("page/1", HOUR).sign(b"another key");
    let good = Token::new("page/1", HOUR).sign(&KEY);
    let elsewhere = address.replace("/lanes", "/elsewhere");
    for (address, token, kind) in [
        (
            address,
            &forged,
            "refused: refused by the other end: the token is not valid",
        ),
        (
            &elsewhere,
            &good,
            "refused: the offer was refused with status 404",
        ),
        (&"http://127.0.0.1:1/".to_owned(), &good, "lost: "),
    ] {
        let script = format!(
            "return failure(lanemesh.connect('{address}', {{ name: 'page/1', token: '{token}', timeout: 60000 }}))"
        );
        let heard = browser.run(&tab, &script);
        assert!(heard.as_str().unwrap().starts_with(kind), "{heard}");
    }
    assert_eq!(setting.home.refusals().unauthenticated, 1);
    // The place of the one that was refused is free again. There is but one.
    let connect = |name: &str| {
        let token = Token::new(name, HOUR).sign(&KEY);
        format!(
            "lanemesh.connect('{address}', {{ name: '{name}', token: '{token}', timeout: 60000 }})"
        )
    };
    let first = connect("page/1");
    let joined = format!(
        "return {first}.then((page) => {{ window.page = page; return true; }}, () => false)"
    );
    browser.until(&tab, &joined);
    let second = browser.run(&tab, &format!("return failure({})", connect("page/2")));
    assert!(
        second
            .as_str()
            .unwrap()
            .starts_with("refused: the offer was refused with status 503"),
        "{second}"
    );
    // A message that is larger than a channel takes is sent in parts, which the node puts together. One that is
    // larger all the same ends the link.
    let mut events = setting.home.events();
    browser.run(
        &tab,
        "const [high, low] = page.link.streams;
         try { low.socket.send(new Uint8Array(100000)); } catch { low.socket.send('a text'); }",
    );
    let down = |event| match event {
        Event::LinkDown(down) => Some(down.why),
        _ => None,
    };
    let why = event(&mut events, down).await;
    assert!(matches!(why, DownReason::Violation(_)), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_whose_path_is_cut_is_found_by_heartbeats() {
    let sessions = bound().await;
    let relay = Relay::to(sessions.local_addr().unwrap()).await;
    let mut config = patient();
    config.dead_after = 5 * SECOND;
    let sessions = sessions.announce(relay.address);
    let Some(setting) = Setting::by_channels(&sessions, config).await else {
        return;
    };
    let Setting { browser, home, .. } = &setting;
    let tab = setting.join("page/1");
    browser.run(&tab, "page.options.deadAfter = 5000;");
    let mut events = home.events();
    relay.set(Mode::Lose);
    let down = |event| match event {
        Event::LinkDown(down) => Some(down.why),
        _ => None,
    };
    assert_eq!(event(&mut events, down).await, DownReason::Silent);
    browser.until(
        &tab,
        "return events.some(([kind, why]) => kind === 'down' && why.includes('silent'))",
    );
    relay.set(Mode::Pass);
    browser.until(&tab, "return page.link !== null");
    let mut guest = setting.guest("page/1").await;
    assert_eq!(guest.ask(Urgent::Count, MINUTE).await, Ok((0, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_of_a_page_overtakes_its_flood() {
    let sessions = bound().await;
    let relay = Relay::to(sessions.local_addr().unwrap()).await;
    let sessions = sessions.announce(relay.address);
    let Some(setting) = Setting::by_channels(&sessions, patient()).await else {
        return;
    };
    let browser = &setting.browser;
    let tab = setting.join("page/1");
    browser.run(
        &tab,
        "window.actor = await page.lookup('recorder', 'test/recorder');
         await actor.tell({ Number: 0 });
         await actor.idle();",
    );
    relay.set(Mode::Hold);
    // Each has about 4 KB as JSON. The page gives as much to the channel as the window of low lets it.
    browser.run(
        &tab,
        "const bytes = Array.from({ length: 2000 }, () => 7);
         for (let number = 0; number < 500; number += 1) actor.tell({ Bytes: bytes });
         window.answer = actor.ask((reply) => ({ Log: reply }), { timeout: 3600000 });",
    );
    relay.set(Mode::Pass);
    let before = browser.run(&tab, "return (await answer).length");
    let before = before.as_u64().unwrap();
    // A question of the same class comes after all of them.
    let all = browser.run(
        &tab,
        "return actor.ask((reply) => ({ Ask: reply }), { low: true, timeout: 60000 })",
    );
    assert_eq!(all, json!(501));
    // Of 2 MB, 256 KiB are let into the channel, and of those few go before.
    assert!(before * 4000 <= 128 << 10, "{before} of 500");
    assert_eq!(setting.home.refusals(), Default::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_go_to_a_page_and_come_from_it() {
    let Some(setting) = Setting::by_channels(&bound().await, patient()).await else {
        return;
    };
    let Setting { browser, home, .. } = &setting;
    let streams = Streams::new(home);
    let (tx, mut frames) = mpsc::unbounded_channel();
    let _registered = streams.register_media_track("microphone", move |frame, from| {
        let sent = tx.send((frame, from));
        async move { Ok(sent?) }
    });
    let tab = page_with_right(&setting, "lanemesh/media/microphone");
    browser.run(
        &tab,
        "window.frames = [];
             page.registerMediaTrack('screen', (frame, from) => { frames.push([frame, from]); });
             window.track = await page.openMediaTrack('microphone', { timeout: 60000 });",
    );
    // Each may be lost, so they are sent until one has arrived.
    let (frame, from) = loop {
        browser.run(
            &tab,
            "track.send({ kind: 'Audio', codec: 'opus', timestamp: 4294967295, data: new Uint8Array(40000).fill(9) })",
        );
        if let Ok(arrived) = tokio::time::timeout(SECOND, frames.recv()).await {
            break arrived.unwrap();
        }
    };
    let expected = MediaFrame {
        kind: MediaKind::Audio,
        codec: "opus".into(),
        timestamp: u32::MAX,
        data: vec![9; 40000].into(),
    };
    assert_eq!((frame, &*from.name), (expected.clone(), "page/1"));
    let mut track = streams.open_media_track("page/1", "screen").await.unwrap();
    while browser.run(&tab, "return frames.length") == json!(0) {
        track.send(expected.clone()).unwrap();
    }
    let seen = browser.run(
        &tab,
        "const [[{ kind, codec, timestamp, data }, from]] = frames;
         return [kind, codec, timestamp, data.length, data.every((byte) => byte === 9), from.name]",
    );
    assert_eq!(
        seen,
        json!(["Audio", "opus", u32::MAX, 40000, true, "home"])
    );
    let counts = browser.run(&tab, "return page.loose");
    let arrived = counts["arrived"].as_u64().unwrap();
    assert!(arrived > 0 && counts["refused"] == json!(0), "{counts}");
    // Of both ends the same, as far as each can know.
    let ours = home.links()[0].loose.unwrap();
    assert!(arrived + counts["lost"].as_u64().unwrap() <= ours.sent);
    let arrived_here = json!(ours.arrived + ours.lost + ours.refused);
    assert!(
        counts["sent"].as_u64() >= arrived_here.as_u64(),
        "{counts} {ours:?}"
    );
    let too_large = browser.run(
        &tab,
        "try { track.send({ kind: 'Video', codec: 'VP8', timestamp: 0, data: new Uint8Array(300000) }); }
         catch (error) { return error.kind; }",
    );
    assert_eq!(too_large, json!("too-large"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_go_to_a_page_and_come_from_it_whether_they_may_be_lost_or_not() {
    let Some(setting) = Setting::by_channels(&bound().await, patient()).await else {
        return;
    };
    let Setting { browser, home, .. } = &setting;
    let ours = Streams::new(home);
    let (tx, mut chunks) = mpsc::unbounded_channel();
    let _registered = ours.register_stream("up", move |chunk: Chunk, _| {
        let sent = tx.send(chunk);
        async move { Ok(sent?) }
    });
    let tab = page_with_right(&setting, "lanemesh/streams/up");
    browser.run(
        &tab,
        "window.chunks = [];
             page.registerStream('down', (chunk) => { chunks.push(chunk); });
             const reliable = await page.openStream('up', { timeout: 60000 });
             for (let at = 0; at < 100; at += 1) await reliable.send(new Uint8Array([at, 1]));",
    );
    for number in 0..100_u8 {
        let Chunk { sequence, payload } = chunks.recv().await.unwrap();
        assert_eq!((sequence, &*payload), (number.into(), &[number, 1][..]));
    }
    assert_eq!(
        home.links()[0].loose.unwrap().arrived,
        0,
        "they are not mixed"
    );
    browser.run(
        &tab,
        "window.loose = await page.openStream('up', { mode: 'latency-first', timeout: 60000 });",
    );
    let arrived = loop {
        browser.run(&tab, "await loose.send(new Uint8Array(20000).fill(7))");
        if let Ok(chunk) = tokio::time::timeout(SECOND, chunks.recv()).await {
            break chunk.unwrap();
        }
    };
    assert_eq!(*arrived.payload, [7; 20000]);
    assert!(home.links()[0].loose.unwrap().arrived > 0);
    for (mode, is_loose) in [
        (streams::Mode::Reliable, false),
        (streams::Mode::LatencyFirst, true),
    ] {
        let sender = ours.open_stream("page/1", "down", mode).await;
        let mut sender = sender.unwrap();
        let before = browser.run(&tab, "return page.loose.arrived");
        browser.run(&tab, "chunks.length = 0");
        while browser.run(&tab, "return chunks.length") == json!(0) {
            sender.send(vec![5; 20000]).await.unwrap();
        }
        let seen = browser.run(
            &tab,
            "return [chunks[0].payload.length, chunks[0].payload.every((byte) => byte === 5)]",
        );
        assert_eq!(seen, json!([20000, true]));
        let after = browser.run(&tab, "return page.loose.arrived");
        assert_eq!(before != after, is_loose, "{mode:?}");
    }
}
