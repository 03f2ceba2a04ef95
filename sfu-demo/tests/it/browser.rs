//! Tabs of a real browser in rooms.

use crate::support::browser::{Browser, join};
use crate::support::config;
use room::Room;

mod room;
mod ways;

/// The width of the video in the tile of another participant.
const WIDTH: &str = "return ([...window.sfu.tiles.values()].find(t => !t.root.classList.contains('mine'))?.video.videoWidth ?? 0)";

#[test]
fn layers_switch_on_request_and_a_third_tab_elsewhere_gets_nothing() {
    let Some(room) = Room::open(config(2)) else {
        return;
    };
    let _ann = room.join("Ann", "&source=synthetic");
    let ben = room.join("Ben", "&source=none");
    let eve = join(&room, &room.server, "two", "Eve", "&source=none");
    room.wait(&ben, "Ben sees Ann", &format!("{WIDTH} > 0"));
    let choose = |layer: &str| {
        let script = format!(
            "const select = [...window.sfu.tiles.values()].find(t => !t.root.classList.contains('mine')).root.querySelector('select');
             select.value = '{layer}'; select.dispatchEvent(new Event('change'));"
        );
        room.run(&ben, &script);
    };
    // A picture of 640 pixels has two layers: a browser would leave out the largest of three.
    choose("0");
    room.wait(&ben, "the picture is small", &format!("{WIDTH} === 320"));
    choose("2");
    room.wait(&ben, "the picture is large", &format!("{WIDTH} === 640"));
    choose("0");
    room.wait(
        &ben,
        "the picture is small again",
        &format!("{WIDTH} === 320"),
    );

    let seen = room.run(
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
    room.finish();
}

#[test]
fn page_tells_of_mute_chat_and_screen_and_is_usable_by_keyboard() {
    let Some(room) = Room::open(config(2)) else {
        return;
    };
    let ann = room.join("Ann", "&source=synthetic");
    let ben = room.join("Ben", "&source=synthetic");
    room.decodes(&ann, "Ben");
    room.click(&ben, "#mic");
    let muted = "return [...window.sfu.tiles.values()].some(t => !t.root.classList.contains('mine') && !t.muted.hidden)";
    room.wait(&ann, "Ben is muted", muted);
    room.click(&ben, "#mic");
    room.wait(
        &ann,
        "Ben is not muted",
        &muted.replace("return ", "return !"),
    );

    room.click(&ben, "#chat-toggle");
    room.run(&ben, "document.getElementById('text').value = 'hello <b>Ann</b>'; document.getElementById('chat').requestSubmit()");
    room.wait(
        &ann,
        "the message is there, as text",
        "return document.getElementById('messages').textContent === 'Ben: hello <b>Ann</b>'",
    );
    // A name and words from right to left stay in their places.
    let eve = room.join("\u{645}\u{631}\u{62d}\u{628}\u{627}", "&source=none");
    room.click(&eve, "#chat-toggle");
    room.run(&eve, "document.getElementById('text').value = '\u{627}\u{644}\u{633}\u{644}\u{627}\u{645}'; document.getElementById('chat').requestSubmit()");
    room.wait(
        &ben,
        "the name is before the words",
        "const line = document.querySelector('#messages li:nth-child(2)');
         const right = node => {
             const range = document.createRange();
             range.selectNodeContents(node);
             return range.getBoundingClientRect().right;
         };
         return line && right(line.querySelector('b')) < right(line)",
    );
    // Who writes too much is told what was not passed on.
    room.run(&eve, "for (let i = 0; i < 30; i += 1) { document.getElementById('text').value = `no ${i}.`; document.getElementById('chat').requestSubmit(); }");
    let unsaid =
        "return document.querySelector('#messages .unsaid')?.textContent.includes('Not sent')
        && document.getElementById('messages').textContent.includes('no 29.')";
    room.wait(&eve, "it says so", unsaid);
    room.click(&eve, "#leave");

    room.wait(
        &ann,
        "somebody speaks",
        "return !!document.querySelector('.tile.speaking')",
    );

    room.click(&ben, "#screen");
    room.wait(&ann, "Ann sees Ben's screen", "return [...window.sfu.tiles].some(([key, t]) => key.endsWith('-screen') && t.video.videoWidth > 0)");
    room.click(&ben, "#screen");
    let gone = "return window.sfu.tiles.size === 2";
    room.wait(&ann, "the screen is gone", gone);
    room.decodes(&ann, "Ben");

    // One click after the other, before the server has answered: what counts is the last.
    let clicks = |times| {
        format!(
            "return (async () => {{
                for (let i = 0; i < {times}; i += 1) {{
                    const shares = Boolean(window.sfu.screen);
                    document.getElementById('screen').click();
                    while (Boolean(window.sfu.screen) === shares) await new Promise(done => {{ setTimeout(done); }});
                }}
            }})()"
        )
    };
    for times in [3, 4, 1] {
        room.run(&ben, &clicks(times));
        let shares = room.run(&ben, "return Boolean(window.sfu.screen)");
        let seen = if shares == true {
            "return [...window.sfu.tiles].some(([key, t]) => key.endsWith('-screen') && t.video.videoWidth > 0)"
        } else {
            gone
        };
        room.wait(&ann, "Ann sees what Ben shares", seen);
    }

    room.click(&ann, "#panel-toggle");
    room.wait(&ann, "the figures are there", "return document.querySelectorAll('#shards tbody tr').length === 2 && document.getElementById('panel-summary').textContent.includes('mesh')");

    // Another room is not told what was said in this one.
    room.click(&ben, "#leave");
    room.run(
        &ben,
        "document.getElementById('room').value = 'two'; document.getElementById('join').requestSubmit()",
    );
    room.wait(
        &ben,
        "the chat is empty",
        "return window.sfu.pc?.connectionState === 'connected' && !document.getElementById('messages').childElementCount",
    );

    // Every control has an accessible name, and can be reached by keyboard.
    let nameless = room.run(
        &ann,
        "return [...document.querySelectorAll('button, input, select, video, canvas[role=img]')]
            .filter(e => e.offsetParent !== null && e.tagName !== 'VIDEO')
            .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length) || e.tabIndex < 0 && e.tagName !== 'CANVAS')
            .map(e => e.outerHTML.slice(0, 80))",
    );
    assert_eq!(nameless, serde_json::json!([]));
    if let Some(dir) = std::env::var_os("SFU_DEMO_SCREENSHOTS") {
        save(&room, &ann, &dir, "desktop", 1280, 900);
        save(&room, &ann, &dir, "phone", 420, 860);
        room.click(&ann, "#leave");
        save(&room, &ann, &dir, "join", 420, 860);
    }
    room.finish();
}

#[test]
fn page_says_what_failed_and_lets_one_try_again() {
    let Some(room) = Room::open(config(2)) else {
        return;
    };
    let tab = room.open(&format!("{}/r/one?name=Ann", room.server.http));
    let problem = |text: &str| {
        format!(
            "return !document.getElementById('problem').hidden
                && document.getElementById('problem').textContent.includes('{text}')
                && !document.getElementById('join').hidden"
        )
    };
    room.run(
        &tab,
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); }",
    );
    room.click(&tab, "input[value=audio]");
    room.click(&tab, "#join .primary");
    room.wait(&tab, "the page says so", &problem("not allowed"));
    let focused =
        "return document.activeElement.id === 'way' && document.activeElement.textContent";
    room.wait(&tab, "there is a way on", focused);
    room.resize(&tab, 390, 844);
    room.wait(
        &tab,
        "the preview has room for its button",
        "const [inner, outer] = ['check', 'preview'].map(id => document.getElementById(id).getBoundingClientRect());
         return innerWidth === 390 && inner.height && inner.bottom <= outer.bottom && inner.right <= outer.right",
    );
    room.wait(
        &tab,
        "one can join without scrolling",
        "return document.querySelector('#join .primary').getBoundingClientRect().bottom <= innerHeight",
    );
    room.resize(&tab, 1280, 800);
    room.click(&tab, "input[value=synthetic]");
    room.click(&tab, "#join .primary");
    room.wait(
        &tab,
        "it is connected",
        "return window.sfu.pc?.connectionState === 'connected'
            && document.getElementById('problem').hidden
            && document.getElementById('status').textContent.includes('Nobody else')",
    );
    room.run(&tab, "window.sfu.attempts = [0, 0]");
    let browser = room.stop_server();
    let stopped = problem("The server was stopped.");
    browser.wait(&tab, "the page says so", &stopped);
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
    let Some(room) = Room::open(config(2)) else {
        return;
    };
    let ann = room.join("Ann", "&source=none");
    let ben = room.join("Ben", "&source=synthetic");
    room.decodes(&ann, "Ben");
    let area = |selector: &str| {
        format!(
            "(e => e ? e.clientWidth * e.clientHeight : 0)(document.querySelector('{selector}'))"
        )
    };
    let (mine, stage) = (area(".tile.mine"), area(".tile.staged"));
    room.wait(
        &ann,
        "who has no camera takes little room",
        &format!("return {mine} > 0 && {mine} < 15000"),
    );
    assert_eq!(room.run(&ann, &format!("return {stage}")), 0);
    room.click(&ben, "#screen");
    room.wait(
        &ann,
        "the screen is on the stage",
        &format!("return document.querySelector('.tile.staged.screen') && {stage} > 200000"),
    );
    let pin = "[...window.sfu.tiles.values()].find(t => !t.mine && t.source === 'camera').pin";
    room.run(&ann, &format!("{pin}.click()"));
    room.wait(
        &ann,
        "the pinned picture is on the stage",
        &format!("return {stage} > 200000 && !document.querySelector('.tile.staged.screen') && {pin}.getAttribute('aria-pressed') === 'true'"),
    );
    room.run(&ann, &format!("{pin}.click()"));
    // A name and the sign of a muted microphone have a place beside the pin, also where no mouse hovers.
    room.resize(&ben, 390, 844);
    room.run(&ben, "document.activeElement.blur()");
    room.wait(
        &ben,
        "the pin of somebody without a picture covers nothing",
        "const chip = document.querySelector('.chip:not(.mine)');
         if (!chip) return false;
         chip.querySelector('.muted').hidden = false;
         const [plate, pin] = ['.plate', '.pin'].map(part => chip.querySelector(part).getBoundingClientRect());
         chip.querySelector('.muted').hidden = true;
         return pin.width > 0 && (plate.right <= pin.left || matchMedia('(hover: hover)').matches)",
    );
    for scheme in ["dark", "light"] {
        room.prefer(&ben, scheme);
        let differs = format!(
            "const light = element => {{
                 const parts = getComputedStyle(element).backgroundColor.match(/\\d+/g).map(part => part / 255);
                 const [r, g, b] = parts.map(part => (part <= 0.04 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
                 return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
             }};
             const [chip, behind] = [light(document.querySelector('.chip')), light(document.body)];
             return matchMedia('(prefers-color-scheme: {scheme})').matches
                 && Math.max(chip, behind) / Math.min(chip, behind) > 1.3"
        );
        room.wait(&ben, "a chip differs from what is behind it", &differs);
    }
    room.wait(
        &ann,
        "the screen is back",
        "return document.querySelector('.tile.staged.screen')",
    );

    room.click(&ann, "#chat-toggle");
    room.run(&ann, "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }))");
    let closed = "return document.getElementById('side').hidden && document.activeElement.id === 'chat-toggle'";
    room.wait(&ann, "the chat is closed", closed);
    // Nothing is cut off.
    let all_in_sight = || {
        for (width, height) in [(1280, 800), (390, 844)] {
            room.resize(&ann, width, height);
            let fits = format!("return innerWidth === {width} && {IN_SIGHT}");
            room.wait(&ann, "everything is in sight", &fits);
        }
    };
    all_in_sight();
    room.click(&ben, "#screen");
    let gone = "return !document.querySelector('.tile.screen')";
    room.wait(&ann, "the screen is gone", gone);
    all_in_sight();
    room.run(&ann, &format!("{pin}.click()"));
    let alone = "return [...document.querySelectorAll('.tile:not(.staged)')].every(e => e.classList.contains('chip'))
        && document.querySelector('.tile.staged')";
    room.wait(&ann, "the pinned picture is the only one", alone);
    all_in_sight();
    // The form, with the choice of devices.
    room.click(&ann, "#leave");
    room.click(&ann, "input[value=camera]");
    let devices = "return !document.getElementById('devices').hidden";
    room.wait(&ann, "the devices are there", devices);
    all_in_sight();
    room.finish();
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
    let Some(room) = Room::open(config(2)) else {
        return;
    };
    let ann = room.join("Ann", "");
    let ben = room.join("Ben", "&source=synthetic");
    room.decodes(&ann, "Ben");
    room.decodes(&ben, "Ann");

    room.click(&ben, "#leave");
    room.wait(&ann, "Ben is gone", "return window.sfu.tiles.size === 1");
    room.click(&ben, "#join .primary");
    room.decodes(&ben, "Ann");
    room.decodes(&ann, "Ben");

    room.close(&ben);
    room.wait(
        &ann,
        "Ben is gone again",
        "return window.sfu.tiles.size === 1",
    );
    room.finish();
}
