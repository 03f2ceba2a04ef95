//! A server, a browser, and the people of one room on its tabs.

use std::ops::Deref;
use std::sync::MutexGuard;

use serde_json::Value;
use sfu_demo::mailbox::mesh::Mesh;
use sfu_demo::server::ServerConfig;

use crate::support::browser::{Browser, join};
use crate::support::{Running, until_or};

/// It is its browser, too.
pub(super) struct Room {
    browser: Browser,
    pub(super) server: Running,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Room {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl Room {
    /// Starts a server and a browser, if one is installed, in the turn of those that keep up with a clock.
    pub(super) fn open(config: ServerConfig) -> Option<Self> {
        let (turn, browser) = Browser::in_turn()?;
        Some(Self {
            browser,
            server: Running::start::<Mesh>(config),
            _turn: turn,
        })
    }

    /// Joins the room in a tab of its own. Returns the tab.
    pub(super) fn join(&self, name: &str, query: &str) -> String {
        join(&self.browser, &self.server, "one", name, query)
    }

    /// Waits until a tab has decoded more video and audio of `name`.
    pub(super) fn decodes(&self, tab: &str, name: &str) {
        let before = self.decoded(tab, name);
        let state = || {
            let script = "return (async () => JSON.stringify({
                video: [...(await window.sfu.pc.getStats()).values()].filter(r => r.type === 'inbound-rtp' && r.kind === 'video'),
                tiles: [...window.sfu.tiles.keys()], signaling: window.sfu.pc?.signalingState,
                signal: Boolean(window.sfu.signal), page: document.body.innerText,
                sections: window.sfu.pc?.getTransceivers().map(t => [t.mid, t.currentDirection]),
            }))()";
            let (now, page) = (self.decoded(tab, name), self.run(tab, script));
            format!("{before:?} {now:?}\n{page}\n{}", self.server.stats())
        };
        let what = format!("video and audio of {name} are decoded");
        until_or(&what, state, || {
            let now = self.decoded(tab, name);
            (now.0 > before.0 + 10 && now.1 > before.1 + 10_000).then_some(())
        });
    }

    /// Frames and audio samples that were decoded for the tile of `name`.
    fn decoded(&self, tab: &str, name: &str) -> (u64, u64) {
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
        let answer = self.run(tab, &script);
        let number = |value: &Value| value.as_f64().unwrap_or(0.0) as u64;
        (number(&answer[0]), number(&answer[1]))
    }

    /// Stops the server. The browser goes on.
    pub(super) fn stop_server(self) -> Browser {
        self.server.stop();
        self.browser
    }

    /// Ends the browser, then the server.
    pub(super) fn finish(self) {
        drop(self.browser);
        self.server.stop();
    }
}
