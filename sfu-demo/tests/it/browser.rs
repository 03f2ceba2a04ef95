//! Tabs of a real browser in rooms.

use serde_json::Value;
use sfu_demo::mailbox::mesh::Mesh;

use crate::support::browser::{Browser, join};
use crate::support::{Running, config, real_time, until_or};

mod ways;

/// Frames and audio samples that were decoded for the tile of `name`.
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

/// Waits until a tab has decoded more video and audio of `name`.
fn decodes(browser: &Browser, server: &Running, tab: &str, name: &str) {
    let before = decoded(browser, tab, name);
    let state = || {
        let script = "return (async () => JSON.stringify({
            video: [...(await window.sfu.pc.getStats()).values()].filter(r => r.type === 'inbound-rtp' && r.kind === 'video'),
            tiles: [...window.sfu.tiles.keys()], signaling: window.sfu.pc?.signalingState,
            signal: Boolean(window.sfu.signal), page: document.body.innerText,
            sections: window.sfu.pc?.getTransceivers().map(t => [t.mid, t.currentDirection]),
        }))()";
        let now = decoded(browser, tab, name);
        format!(
            "{before:?} {now:?}\n{}\n{}",
            browser.run(tab, script),
            server.stats()
        )
    };
    until_or(
        &format!("video and audio of {name} are decoded"),
        state,
        || {
            let now = decoded(browser, tab, name);
            (now.0 > before.0 + 10 && now.1 > before.1 + 10_000).then_some(())
        },
    );
}

/// The width of the video in the tile of another participant.
const WIDTH: &str = "return ([...window.sfu.tiles.values()].find(t => !t.root.classList.contains('mine'))?.video.videoWidth ?? 0)";

#[test]
fn layers_switch_on_request_and_a_third_tab_elsewhere_gets_nothing() {
    let _turn = real_time();
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Running::start::<Mesh>(config(2));
    let _ann = join(&browser, &server, "one", "Ann", "&source=synthetic");
    let ben = join(&browser, &server, "one", "Ben", "&source=none");
    let eve = join(&browser, &server, "two", "Eve", "&source=none");
    browser.wait(&ben, "Ben sees Ann", &format!("{WIDTH} > 0"));
    let choose = |layer: &str| {
        let script = format!(
            "const select = [...window.sfu.tiles.values()].find(t => !t.root.classList.contains('mine')).root.querySelector('select');
             select.value = '{layer}'; select.dispatchEvent(new Event('change'));"
        );
        browser.run(&ben, &script);
    };
    // A picture of 640 pixels has two layers: a browser would leave out the largest of three.
    choose("0");
    browser.wait(&ben, "the picture is small", &format!("{WIDTH} === 320"));
    choose("2");
    browser.wait(&ben, "the picture is large", &format!("{WIDTH} === 640"));
    choose("0");
    browser.wait(
        &ben,
        "the picture is small again",
        &format!("{WIDTH} === 320"),
    );

    let seen = browser.run(
        &eve,
        "return (async () => {
            let received = 0;
            for (const report of (await window.sfu.pc.getStats()).values())
                if (report.type === 'inbound-rtp') received += report.packetsReceived;
            return [received, window.sfu.tiles.size];
        })()",
    );
    assert_eq!(
        seen,
        serde_json::json!([0, 1]),
        "another room receives nothing"
    );
    drop(browser);
    server.stop();
}

#[test]
fn page_tells_of_mute_chat_and_screen_and_is_usable_by_keyboard() {
    let _turn = real_time();
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Running::start::<Mesh>(config(2));
    let ann = join(&browser, &server, "one", "Ann", "&source=synthetic");
    let ben = join(&browser, &server, "one", "Ben", "&source=synthetic");
    decodes(&browser, &server, &ann, "Ben");
    browser.click(&ben, "#mic");
    let muted = "return [...window.sfu.tiles.values()].some(t => !t.root.classList.contains('mine') && !t.muted.hidden)";
    browser.wait(&ann, "Ben is muted", muted);
    browser.click(&ben, "#mic");
    browser.wait(
        &ann,
        "Ben is not muted",
        &muted.replace("return ", "return !"),
    );

    browser.click(&ben, "#chat-toggle");
    browser.run(&ben, "document.getElementById('text').value = 'hello <b>Ann</b>'; document.getElementById('chat').requestSubmit()");
    browser.wait(
        &ann,
        "the message is there, as text",
        "return document.getElementById('messages').textContent === 'Ben: hello <b>Ann</b>'",
    );

    browser.wait(
        &ann,
        "somebody speaks",
        "return !!document.querySelector('.tile.speaking')",
    );

    browser.click(&ben, "#screen");
    browser.wait(&ann, "Ann sees Ben's screen", "return [...window.sfu.tiles].some(([key, t]) => key.endsWith('-screen') && t.video.videoWidth > 0)");
    browser.click(&ben, "#screen");
    browser.wait(
        &ann,
        "the screen is gone",
        "return window.sfu.tiles.size === 2",
    );
    decodes(&browser, &server, &ann, "Ben");

    browser.click(&ann, "#panel-toggle");
    browser.wait(&ann, "the figures are there", "return document.querySelectorAll('#shards tbody tr').length === 2 && document.getElementById('panel-summary').textContent.includes('mesh')");

    // Another room is not told what was said in this one.
    browser.click(&ben, "#leave");
    browser.run(
        &ben,
        "document.getElementById('room').value = 'two'; document.getElementById('join').requestSubmit()",
    );
    browser.wait(
        &ben,
        "the chat is empty",
        "return window.sfu.pc?.connectionState === 'connected' && !document.getElementById('messages').childElementCount",
    );

    // Every control has an accessible name, and can be reached by keyboard.
    let nameless = browser.run(
        &ann,
        "return [...document.querySelectorAll('button, input, select, video, canvas[role=img]')]
            .filter(e => e.offsetParent !== null && e.tagName !== 'VIDEO')
            .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length) || e.tabIndex < 0 && e.tagName !== 'CANVAS')
            .map(e => e.outerHTML.slice(0, 80))",
    );
    assert_eq!(nameless, serde_json::json!([]));
    if let Some(dir) = std::env::var_os("SFU_DEMO_SCREENSHOTS") {
        save(&browser, &ann, &dir, "desktop", 1280, 900);
        save(&browser, &ann, &dir, "phone", 420, 860);
        browser.click(&ann, "#leave");
        save(&browser, &ann, &dir, "join", 420, 860);
    }
    drop(browser);
    server.stop();
}

#[test]
fn page_says_what_failed_and_lets_one_try_again() {
    let _turn = real_time();
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Running::start::<Mesh>(config(2));
    let tab = browser.open(&format!("{}/r/one?name=Ann", server.http));
    let problem = |text: &str| {
        format!(
            "return !document.getElementById('problem').hidden
                && document.getElementById('problem').textContent.includes('{text}')
                && !document.getElementById('join').hidden"
        )
    };
    browser.run(
        &tab,
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); }",
    );
    browser.click(&tab, "input[value=audio]");
    browser.click(&tab, "#join .primary");
    browser.wait(&tab, "the page says so", &problem("not allowed"));
    let focused =
        "return document.activeElement.id === 'way' && document.activeElement.textContent";
    browser.wait(&tab, "there is a way on", focused);
    browser.resize(&tab, 390, 844);
    browser.wait(
        &tab,
        "the preview has room for its button",
        "const [inner, outer] = ['check', 'preview'].map(id => document.getElementById(id).getBoundingClientRect());
         return innerWidth === 390 && inner.height && inner.bottom <= outer.bottom && inner.right <= outer.right",
    );
    browser.wait(
        &tab,
        "one can join without scrolling",
        "return document.querySelector('#join .primary').getBoundingClientRect().bottom <= innerHeight",
    );
    browser.resize(&tab, 1280, 800);
    browser.click(&tab, "input[value=synthetic]");
    browser.click(&tab, "#join .primary");
    browser.wait(
        &tab,
        "it is connected",
        "return window.sfu.pc?.connectionState === 'connected'
            && document.getElementById('problem').hidden
            && document.getElementById('status').textContent.includes('Nobody else')",
    );
    browser.run(&tab, "window.sfu.attempts = [0, 0]");
    server.stop();
    browser.wait(
        &tab,
        "the page says so",
        &problem("The server was stopped."),
    );
    assert_eq!(browser.run(&tab, focused), "Join again");
}

/// Whether nothing that is shown reaches over the edge of the page, or of the grid, which would scroll.
const IN_SIGHT: &str = "(() => {
    const fits = e => {
        const r = e.getBoundingClientRect();
        return r.left >= -1 && r.right <= innerWidth + 1 && r.bottom <= innerHeight + 1;
    };
    const grid = document.getElementById('grid');
    return document.documentElement.scrollWidth <= innerWidth && grid.scrollHeight <= grid.clientHeight
        && [...document.querySelectorAll('button, input, select, .tile')].filter(e => e.offsetParent).every(fits);
})()";

#[test]
fn shared_screen_and_pinned_picture_get_the_stage_and_others_make_room() {
    let _turn = real_time();
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Running::start::<Mesh>(config(2));
    let ann = join(&browser, &server, "one", "Ann", "&source=none");
    let ben = join(&browser, &server, "one", "Ben", "&source=synthetic");
    decodes(&browser, &server, &ann, "Ben");
    let area = |selector: &str| {
        format!(
            "(e => e ? e.clientWidth * e.clientHeight : 0)(document.querySelector('{selector}'))"
        )
    };
    let (mine, stage) = (area(".tile.mine"), area(".tile.staged"));
    browser.wait(
        &ann,
        "who has no camera takes little room",
        &format!("return {mine} > 0 && {mine} < 15000"),
    );
    assert_eq!(browser.run(&ann, &format!("return {stage}")), 0);
    browser.click(&ben, "#screen");
    browser.wait(
        &ann,
        "the screen is on the stage",
        &format!("return document.querySelector('.tile.staged.screen') && {stage} > 200000"),
    );
    let pin = "[...window.sfu.tiles.values()].find(t => !t.mine && t.source === 'camera').pin";
    browser.run(&ann, &format!("{pin}.click()"));
    browser.wait(
        &ann,
        "the pinned picture is on the stage",
        &format!("return {stage} > 200000 && !document.querySelector('.tile.staged.screen') && {pin}.getAttribute('aria-pressed') === 'true'"),
    );
    browser.run(&ann, &format!("{pin}.click()"));
    browser.wait(
        &ann,
        "the screen is back",
        "return document.querySelector('.tile.staged.screen')",
    );

    browser.click(&ann, "#chat-toggle");
    browser.run(&ann, "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }))");
    let closed = "return document.getElementById('side').hidden && document.activeElement.id === 'chat-toggle'";
    browser.wait(&ann, "the chat is closed", closed);
    // Nothing is cut off.
    let all_in_sight = || {
        for (width, height) in [(1280, 800), (390, 844)] {
            browser.resize(&ann, width, height);
            let fits = format!("return innerWidth === {width} && {IN_SIGHT}");
            browser.wait(&ann, "everything is in sight", &fits);
        }
    };
    all_in_sight();
    browser.click(&ben, "#screen");
    let gone = "return !document.querySelector('.tile.screen')";
    browser.wait(&ann, "the screen is gone", gone);
    all_in_sight();
    browser.run(&ann, &format!("{pin}.click()"));
    let alone = "return [...document.querySelectorAll('.tile:not(.staged)')].every(e => e.classList.contains('chip'))
        && document.querySelector('.tile.staged')";
    browser.wait(&ann, "the pinned picture is the only one", alone);
    all_in_sight();
    // The form, with the choice of devices.
    browser.click(&ann, "#leave");
    browser.click(&ann, "input[value=camera]");
    let devices = "return !document.getElementById('devices').hidden";
    browser.wait(&ann, "the devices are there", devices);
    all_in_sight();
    drop(browser);
    server.stop();
}

/// Saves a screenshot of the page.
fn save(browser: &Browser, tab: &str, dir: &std::ffi::OsStr, name: &str, width: u32, height: u32) {
    browser.resize(tab, width, height);
    browser.wait(
        tab,
        "the page has its size",
        "return document.readyState === 'complete'",
    );
    let path = std::path::Path::new(dir).join(format!("{name}.png"));
    std::fs::write(path, browser.screenshot(tab)).unwrap();
}

#[test]
fn two_tabs_see_and_hear_each_other_and_one_leaves_and_rejoins() {
    let _turn = real_time();
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Running::start::<Mesh>(config(2));
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
