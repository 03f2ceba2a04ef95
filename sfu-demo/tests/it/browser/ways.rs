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
        let paste = format!("document.getElementById('link').value = '{pasted}'");
        room.run(&tab, &paste);
        room.click(&tab, "#join .primary");
        let joined = format!(
            "return window.sfu.pc?.connectionState === 'connected' && document.getElementById('invitation').hidden
                && new URLSearchParams(location.search).get('token') === '{eves}'"
        );
        room.wait(&tab, "it has joined", &joined);
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
