//! Two tabs of a real browser in a room.

mod support;

use serde_json::Value;
use sfu_demo::mailbox::mesh::Mesh;
use support::browser::Browser;
use support::{Running, options};

/// Opens the page in a tab and joins by its form.
fn join(browser: &Browser, server: &Running, room: &str, name: &str, query: &str) -> String {
    let tab = browser.open(&format!("{}/r/{room}?name={name}{query}", server.http));
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

/// How many frames and audio samples of another's tile have been decoded.
fn decoded(browser: &Browser, tab: &str, name: &str) -> (u64, u64) {
    let script = format!(
        "return (async () => {{
            const tile = [...window.sfu.tiles.values()].find(t => t.root.querySelector('.who').textContent === '{name}');
            if (!tile) return [0, 0];
            const ids = tile.stream.getTracks().map(t => t.id);
            let frames = 0, samples = 0;
            for (const report of (await window.sfu.pc.getStats()).values()) {{
                if (report.type !== 'inbound-rtp' || !ids.includes(report.trackIdentifier)) continue;
                frames += report.framesDecoded ?? 0;
                samples += Math.max(0, (report.totalSamplesReceived ?? 0) - (report.concealedSamples ?? 0));
            }}
            return [frames, samples];
        }})()"
    );
    let answer = browser.run(tab, &script);
    let number = |value: &Value| value.as_f64().unwrap_or(0.0) as u64;
    (number(&answer[0]), number(&answer[1]))
}

/// Waits until a tab has decoded more of another's video and audio.
fn decodes(browser: &Browser, server: &Running, tab: &str, name: &str) {
    let before = decoded(browser, tab, name);
    let state = || {
        let script = "return (async () => JSON.stringify({
            video: [...(await window.sfu.pc.getStats()).values()].filter(r => r.type === 'inbound-rtp' && r.kind === 'video'),
            tiles: [...window.sfu.tiles.keys()], signaling: window.sfu.pc?.signalingState,
            channel: window.sfu.channel?.readyState, page: document.body.innerText,
            sections: window.sfu.pc?.getTransceivers().map(t => [t.mid, t.currentDirection]),
        }))()";
        let now = decoded(browser, tab, name);
        format!(
            "{before:?} {now:?}\n{}\n{}",
            browser.run(tab, script),
            server.stats()
        )
    };
    support::until_or(
        &format!("video and audio of {name} are decoded"),
        state,
        || {
            let now = decoded(browser, tab, name);
            (now.0 > before.0 + 10 && now.1 > before.1 + 10_000).then_some(())
        },
    );
}

#[test]
fn two_tabs_see_and_hear_each_other_and_one_leaves_and_rejoins() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Running::start::<Mesh>(options(2));
    let ann = join(&browser, &server, "one", "Ann", "");
    let ben = join(&browser, &server, "one", "Ben", "&source=synthetic");
    decodes(&browser, &server, &ann, "Ben");
    decodes(&browser, &server, &ben, "Ann");

    browser.click(&ben, "#leave");
    browser.wait(&ann, "Ben is gone", "return window.sfu.tiles.size === 1");
    browser.click(&ben, "#join .primary");
    decodes(&browser, &server, &ben, "Ann");
    decodes(&browser, &server, &ann, "Ben");

    browser.close(&ben);
    browser.wait(
        &ann,
        "Ben is gone again",
        "return window.sfu.tiles.size === 1",
    );
    drop(browser);
    server.stop();
}
