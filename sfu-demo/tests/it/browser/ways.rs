//! How pages come in and stay: blocked UDP, sessions that are lost or replaced, refusals, missing codecs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sfu_demo::http::token::{Claims, Keys};
use sfu_demo::server::ServerConfig;

use super::room::Room;
use crate::support::config;
use crate::support::proxy::Proxy;

/// Opens the page, has it take another SDP from the server than it sends (an expression of `sdp`), and joins.
fn join_rewriting(room: &Room, name: &str, change: &str) -> String {
    let url = format!("{}/r/one?name={name}&source=synthetic", room.server.http);
    let tab = room.open(&url);
    let script = format!(
        "const set = RTCPeerConnection.prototype.setRemoteDescription;
         RTCPeerConnection.prototype.setRemoteDescription = function ({{ type, sdp }}) {{
             return set.call(this, {{ type, sdp: {change} }});
         }};"
    );
    room.run(&tab, &script);
    room.click(&tab, "#join .primary");
    let connected = "return window.sfu.pc?.connectionState === 'connected'";
    room.wait(&tab, "it is connected", connected);
    tab
}

#[test]
fn page_falls_back_to_tcp_by_itself_when_udp_is_blocked() {
    let Some(room) = Room::open(config(2)) else {
        return;
    };
    let media = room.server.server.as_ref().unwrap().media[0];
    let mut proxy = Proxy::new(media, 1);
    let port = proxy.port();
    let blocked = Arc::new(AtomicBool::new(false));
    let over = Arc::new(AtomicBool::new(false));
    let network = std::thread::spawn({
        let (blocked, over) = (Arc::clone(&blocked), Arc::clone(&over));
        move || {
            while !over.load(Ordering::Relaxed) {
                proxy.drive(|_, _| !blocked.load(Ordering::Relaxed));
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    });
    let ben = room.join("Ben", "&source=synthetic");
    // Ann's UDP goes through the proxy, before and after.
    let server_port = media.port();
    let change =
        format!("sdp.replace(/( udp \\d+ 127\\.0\\.0\\.1 ){server_port}( typ)/gi, '$1{port}$2')");
    let ann = join_rewriting(&room, "Ann", &change);
    let protocol = "return (async () => {
        const reports = [...(await window.sfu.pc.getStats()).values()];
        const transport = reports.find(r => r.type === 'transport');
        const pair = reports.find(r => r.id === transport?.selectedCandidatePairId);
        return reports.find(r => r.id === pair?.localCandidateId)?.protocol ?? '';
    })()";
    room.decodes(&ann, "Ben");
    assert_eq!(room.run(&ann, protocol), "udp");
    room.run(&ann, "window.before = window.sfu.pc");
    blocked.store(true, Ordering::Relaxed);
    let since = Instant::now();
    let tcp = protocol.replace("?? ''", "=== 'tcp'");
    room.wait(&ann, "it has fallen back", &tcp);
    println!("by TCP after {:?}", since.elapsed());
    room.decodes(&ann, "Ben");
    room.decodes(&ben, "Ann");
    assert_eq!(
        room.run(&ann, "return window.before === window.sfu.pc"),
        true
    );
    over.store(true, Ordering::Relaxed);
    network.join().unwrap();
    room.finish();
}

#[test]
fn page_whose_session_is_gone_joins_again_by_itself() {
    let Some(room) = Room::open(config(2)) else {
        return;
    };
    let ann = room.join("Ann", "&source=synthetic");
    let ben = room.join("Ben", "&source=synthetic");
    room.decodes(&ann, "Ben");
    let pin = "[...window.sfu.tiles.values()].find(t => !t.mine).pin.click()";
    for tab in [&ann, &ben] {
        room.run(tab, pin);
    }
    room.click(&ann, "#mic");
    room.run(
        &ann,
        "window.before = window.sfu.id; return fetch(`/api/leave/${window.sfu.resource}`, { method: 'POST' }).then(r => r.status)",
    );
    room.wait(
        &ann,
        "it is there again",
        "return window.sfu.id !== window.before && window.sfu.pc?.connectionState === 'connected'",
    );
    room.decodes(&ann, "Ben");
    let muted = "return [...window.sfu.tiles.values()].some(t => !t.mine && !t.muted.hidden)";
    room.wait(&ben, "it is still muted", muted);
    let staged = |tab, name| {
        let staged =
            format!("return document.querySelector('.staged .who')?.textContent === '{name}'");
        room.wait(tab, "who was pinned is pinned", &staged);
    };
    staged(&ben, "Ann");
    staged(&ann, "Ben");

    // The network is another, and the call goes on.
    room.run(&ann, "dispatchEvent(new Event('online'))");
    let here = "return document.getElementById('status').textContent === '2 people here'";
    room.wait(&ann, "it says who is there", here);
    // The answer to a restart is lost: the server goes by other credentials than the page, until the page asks again.
    room.run(
        &ann,
        "const ask = window.fetch;
         window.asked = 0;
         window.fetch = async (url, ...others) => {
             const answer = await ask(url, ...others);
             if (!url.startsWith('/api/restart/')) return answer;
             window.asked += 1;
             if (window.asked === 1) throw new TypeError('lost');
             return answer;
         };
         window.before = window.sfu.pc;
         dispatchEvent(new Event('online'))",
    );
    room.wait(&ann, "it has asked again", "return window.asked > 1");
    room.wait(&ann, "it says who is there", here);
    room.decodes(&ann, "Ben");
    room.decodes(&ben, "Ann");
    assert_eq!(
        room.run(&ann, "return window.before === window.sfu.pc"),
        true,
        "the call has gone on"
    );

    // Its session ends while it is still joining.
    room.click(&ann, "#leave");
    let slowly = "const pause = () => new Promise(resolve => { setTimeout(resolve, 1000); });
        if (globalThis.scheduler?.yield) scheduler.yield = pause;
        window.before = window.sfu.resource;
        document.getElementById('join').requestSubmit()";
    room.run(&ann, slowly);
    let ended = "return window.sfu.resource !== window.before
        && fetch(`/api/leave/${window.before = window.sfu.resource}`, { method: 'POST' }).then(r => r.ok)";
    room.wait(&ann, "the session is ended", ended);
    room.wait(
        &ann,
        "it has joined all the same",
        "return window.sfu.resource !== window.before && window.sfu.pc?.connectionState === 'connected'",
    );
    room.decodes(&ann, "Ben");
    room.finish();
}

#[test]
fn page_that_another_of_the_same_person_replaces_says_so_and_stays_away() {
    let secret = b"a secret of at least thirty-two bytes".to_vec();
    let token = |who: &str| {
        let claims = Claims {
            room: "one".to_owned(),
            exp: 0,
            publish: true,
            subscribe: true,
            operator: false,
            sub: Some(who.to_owned()),
        };
        let token = Keys::new(&secret).sign(claims, Duration::from_secs(3600));
        token.unwrap()
    };
    let query = format!("&source=none&token={}", token("ann"));
    let eves = token("eve");
    let Some(room) = Room::open(ServerConfig {
        secret: Some(secret),
        ..config(2)
    }) else {
        return;
    };
    // Whoever has no token, or a wrong one, is told where to get another, and can paste it, or the whole link.
    for (token, pasted) in [
        ("", eves.clone()),
        (
            "&token=none",
            format!("https://sfu.example/r/one?token={eves}"),
        ),
    ] {
        let url = format!("{}/r/one?name=Eve&source=none{token}", room.server.http);
        let tab = room.open(&url);
        room.click(&tab, "#join .primary");
        let told = "const problem = document.getElementById('problem');
            return !problem.hidden && problem.textContent.includes('token')
                && problem.textContent.includes('new link')";
        room.wait(&tab, "the page says so", told);
        let asked =
            "return document.activeElement.id === 'link' && document.getElementById('way').hidden";
        assert_eq!(room.run(&tab, asked), true);
        room.resize(&tab, 1280, 800);
        let in_sight = "return innerWidth === 1280
            && document.querySelector('#join .primary').getBoundingClientRect().bottom <= innerHeight";
        room.wait(&tab, "one can join without scrolling", in_sight);
        let paste = format!("document.getElementById('link').value = '{pasted}'");
        room.run(&tab, &paste);
        room.click(&tab, "#join .primary");
        let joined = format!(
            "return window.sfu.pc?.connectionState === 'connected' && document.getElementById('invitation').hidden
                && new URLSearchParams(location.search).get('token') === '{eves}'"
        );
        room.wait(&tab, "it has joined", &joined);
        room.run(&tab, "navigator.clipboard.writeText = async () => {}");
        room.click(&tab, "#share");
        let said = |text: &str| {
            format!("return document.getElementById('status').textContent.includes('{text}')")
        };
        let token = said("needs a token");
        room.wait(&tab, "it says that the link is not enough", &token);
        room.wait(&tab, "it says again who is there", &said("Nobody else"));
        room.click(&tab, "#leave");
    }
    let first = room.join("Ann", &query);
    let second = room.join("Ann", &query);
    let out = "const problem = document.getElementById('problem');
        return !problem.hidden && problem.textContent.includes('somewhere else') && !window.sfu.pc";
    room.wait(&first, "the first page has left", out);
    room.wait(
        &second,
        "the second is alone",
        "return window.sfu.roster.size === 1",
    );
    let there = room.run(&second, "return window.sfu.pc.connectionState");
    assert_eq!(there, "connected");
    // It can come back, if it is told to.
    room.click(&first, "#way");
    room.wait(&second, "the second page has left", out);
    room.wait(
        &first,
        "the first is back",
        "return window.sfu.pc?.connectionState === 'connected'",
    );
    room.finish();
}

#[test]
fn page_says_which_codec_it_lacks() {
    let Some(room) = Room::open(config(2)) else {
        return;
    };
    let _ben = room.join("Ben", "&source=synthetic&codec=vp8");
    // As in a browser that knows no VP8.
    let ann = join_rewriting(
        &room,
        "Ann",
        "type === 'offer' ? sdp.replaceAll('VP8/90000', 'X8/90000') : sdp",
    );
    room.wait(
        &ann,
        "the page says so",
        "const note = [...window.sfu.tiles.values()].find(t => !t.mine)?.note;
         return note && !note.hidden && note.textContent.includes('sends VP8')
             && note.textContent.includes('VP9')",
    );
    room.finish();
}

#[test]
fn tabs_see_and_hear_each_other_where_udp_does_not_get_through() {
    let Some(room) = Room::open(ServerConfig {
        udp: false,
        ..config(2)
    }) else {
        return;
    };
    let ann = room.join("Ann", "&source=synthetic");
    let ben = room.join("Ben", "&source=synthetic");
    room.decodes(&ann, "Ben");
    room.decodes(&ben, "Ann");
    let protocol = room.run(
        &ann,
        "return (async () => {
            const reports = [...(await window.sfu.pc.getStats()).values()];
            const transport = reports.find(r => r.type === 'transport');
            const pair = reports.find(r => r.id === transport.selectedCandidatePairId);
            return reports.find(r => r.id === pair.localCandidateId).protocol;
        })()",
    );
    assert_eq!(protocol, "tcp");
    room.finish();
}

#[test]
fn browser_that_publishes_by_whip_restarts_ice_by_a_fragment() {
    let Some(room) = Room::open(config(2)) else {
        return;
    };
    let tab = room.open(&format!("{}/r/one", room.server.http));
    room.run(
        &tab,
        r"return (async () => {
            const pc = window.encoder = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
            const canvas = document.createElement('canvas');
            canvas.getContext('2d');
            pc.addTransceiver(canvas.captureStream(5).getVideoTracks()[0], { direction: 'sendonly' });
            await pc.setLocalDescription();
            const response = await fetch('/whip/one', {
                method: 'POST', headers: { 'content-type': 'application/sdp' }, body: pc.localDescription.sdp,
            });
            window.resource = response.headers.get('location');
            window.answer = await response.text();
            await pc.setRemoteDescription({ type: 'answer', sdp: window.answer });
            // The user name that the pair in use goes by.
            window.path = async () => {
                const reports = [...(await pc.getStats()).values()];
                const transport = reports.find(r => r.type === 'transport');
                const pair = reports.find(r => r.id === transport?.selectedCandidatePairId);
                return reports.find(r => r.id === pair?.remoteCandidateId)?.usernameFragment;
            };
        })()",
    );
    let connected = "return window.encoder.connectionState === 'connected' && window.path()";
    let before = room.wait(&tab, "it is connected", connected);
    room.run(
        &tab,
        r"return (async () => {
            const pc = window.encoder;
            const value = (sdp, name) => sdp.match(new RegExp(`a=${name}:(\\S+)`))[1];
            pc.restartIce();
            await pc.setLocalDescription();
            const own = pc.localDescription.sdp;
            const response = await fetch(window.resource, {
                method: 'PATCH',
                headers: { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*' },
                body: `a=ice-ufrag:${value(own, 'ice-ufrag')}\r\na=ice-pwd:${value(own, 'ice-pwd')}\r\n`,
            });
            const fragment = await response.text();
            window.name = value(fragment, 'ice-ufrag');
            const sdp = window.answer
                .replaceAll(/a=ice-ufrag:\S+/g, `a=ice-ufrag:${window.name}`)
                .replaceAll(/a=ice-pwd:\S+/g, `a=ice-pwd:${value(fragment, 'ice-pwd')}`)
                .replaceAll(/a=(candidate:|end-of-candidates).*\r\n/g, '');
            await pc.setRemoteDescription({ type: 'answer', sdp });
            for (const line of fragment.split('\r\n').filter(line => line.startsWith('a=candidate:'))) {
                await pc.addIceCandidate({ candidate: line.slice(2), sdpMid: '0' });
            }
        })()",
    );
    let moved = "return window.path().then(name => name === window.name)";
    room.wait(&tab, "it goes by the new name", moved);
    assert_ne!(room.run(&tab, "return window.name"), before);
    room.finish();
}
