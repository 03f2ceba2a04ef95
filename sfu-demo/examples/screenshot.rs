//! Takes the screenshot of the page that the READMEs show: a room with two participants, as one of them sees it,
//! in headless Chromium. `scripts/screenshot` runs it.

use std::path::PathBuf;

use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::server::ServerConfig;
use support::browser::{Browser, join};
use support::{Running, config};

#[path = "../tests/it/support/mod.rs"]
mod support;

fn main() {
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let path = path.expect("usage: screenshot FILE.png");
    let browser = Browser::start().expect("chromium and chromedriver are installed");
    // On a busy machine the estimate would be low, and the video small. The browser may still reduce what it sends.
    let server = Running::start::<Mesh>(ServerConfig {
        estimate: false,
        ..config(2)
    });
    let ann = join(&browser, &server, "stage", "Ann", "");
    let ben = join(&browser, &server, "stage", "Ben", "&source=synthetic");
    browser.resize(&ann, 1200, 900);
    browser.click(&ann, "#chat-toggle");
    let say = "document.getElementById('text').value = 'Two tabs, two shards.';
        document.getElementById('chat').requestSubmit()";
    browser.run(&ben, say);
    browser.click(&ann, "#panel-toggle");
    browser.wait(
        &ann,
        "the pictures, a speaker, the message and the statistics are there",
        "const others = [...window.sfu.tiles.values()].filter(t => !t.root.classList.contains('mine'));
         // Different values of the first chart: by then the charts show some history.
         window.samples ??= new Set();
         window.samples.add(document.querySelector('#charts b')?.textContent);
         return others.length === 1 && others.every(t => t.video.videoWidth >= 320)
            && !!document.querySelector('.tile.speaking')
            && document.getElementById('messages').textContent.includes('shards')
            && window.samples.size > 5",
    );
    std::fs::write(&path, browser.screenshot(&ann)).expect("the file can be written");
    println!("wrote {}", path.display());
    drop(browser);
    server.stop();
}
