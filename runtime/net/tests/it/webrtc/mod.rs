//! Lanes over the data channels of WebRTC, between nodes.

mod hostile;
mod media;
pub(crate) mod relay;

use lanemesh_net::{
    Access, ConnectError, DownReason, Event, Node, NodeBuilder, Token,
    transport::{Connection, Transport, WebRtc, WebSocket},
};
use lanemesh_runtime::{ExitReason, spawn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::relay::{Mode, Relay};
use crate::{
    common::{Command, Data, Recorder, SECOND, event, log, lows, patient},
    transports::tell_and_ask,
};

const SECRET: [u8; 16] = *b"0123456789abcdef";
const KEY: [u8; 16] = *b"a key of tokens.";
/// Bytes between a connection and its session.
const PIPE: usize = 32 << 10;

async fn bound() -> WebRtc {
    WebRtc::bind("127.0.0.1:0").await.unwrap()
}

fn node(name: &str, transport: &WebRtc) -> NodeBuilder {
    let node = Node::builder(name).config(patient());
    node.transport("rtc", transport.clone())
}

/// The path between two nodes, both, and the address of the first.
async fn nodes_by_relay() -> (Relay, [Node; 2], String) {
    let transport = bound().await;
    let relay = Relay::to(transport.local_addr().unwrap()).await;
    let transport = transport.announce(relay.address);
    let [home, away] = ["home", "away"].map(|name| node(name, &transport).secret(SECRET).build());
    let address = home.bind("rtc://127.0.0.1:0").await.unwrap();
    (relay, [home, away], address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_tell_and_ask() {
    let transport = bound().await;
    let secret = |name: &str| node(name, &transport).secret(SECRET);
    tell_and_ask(secret, "rtc://127.0.0.1:0").await;
    tell_and_ask(secret, "rtc://127.0.0.1:0/some/path").await;
    // All hosts: the one that was asked is told.
    let transport = WebRtc::bind("0.0.0.0:0").await.unwrap();
    let secret = |name: &str| node(name, &transport).secret(SECRET);
    tell_and_ask(secret, "rtc://127.0.0.1:0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listener_of_websockets_answers_offers_too() {
    let transport = bound().await;
    let web = WebSocket::new().data_channels(&transport);
    let home = node("home", &transport).transport("ws", web);
    let home = home.secret(SECRET).build();
    let address = home.bind("ws://127.0.0.1:0/lanes").await.unwrap();
    for (name, address) in [
        ("by channels", address.replace("ws:", "rtc:")),
        ("by sockets", address),
    ] {
        let away = node(name, &WebRtc::new()).secret(SECRET).build();
        assert_eq!(&away.connect(&address).await.unwrap(), home.info());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn path_with_losses_loses_nothing_and_keeps_the_order() {
    let transport = bound().await;
    let relay = Relay::to(transport.local_addr().unwrap()).await;
    let transport = transport.announce(relay.address);
    relay.set(Mode::LoseOneIn(20));
    let secret = |name: &str| node(name, &transport).secret(SECRET);
    tell_and_ask(secret, "rtc://127.0.0.1:0").await;
}

/// Both ends of a session, each with the connection for high and that for low, and the path between them.
async fn session() -> ([Connection; 2], [Connection; 2], Relay) {
    let transport = bound().await;
    let relay = Relay::to(transport.local_addr().unwrap()).await;
    let transport = transport.announce(relay.address);
    let mut listener = transport.listen("127.0.0.1:0").await.unwrap();
    let address = listener.address();
    let accepted = async { listener.accept().await.unwrap().await };
    let (near, far) = tokio::join!(transport.connect(&address), accepted);
    let both = |connection: std::io::Result<Connection>| {
        let mut high = connection.unwrap();
        let low = high.take_sibling().unwrap();
        [high, low]
    };
    (both(near), both(far), relay)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn high_overtakes_what_stands_in_the_buffers_of_low() {
    for is_reversed in [false, true] {
        let (mut near, mut far, relay) = session().await;
        if is_reversed {
            std::mem::swap(&mut near, &mut far);
        }
        let [[near_high, near_low], [far_high, far_low]] = [near, far];
        // The path stands still. What is written is taken by the session, up to what a pipe holds.
        relay.set(Mode::Hold);
        let (_low_reader, mut low_writer) = near_low.into_halves();
        let written = 256 << 10;
        low_writer.write_all(&vec![1; written]).await.unwrap();
        let (_high_reader, mut high_writer) = near_high.into_halves();
        high_writer.write_all(&vec![2; PIPE + 1]).await.unwrap();
        relay.set(Mode::Pass);
        let (mut high_reader, _high_writer) = far_high.into_halves();
        let (mut low_reader, _low_writer) = far_low.into_halves();
        let mut buffer = vec![0; 64 << 10];
        let mut before = 0;
        loop {
            tokio::select! {
                biased;
                urgent = high_reader.read_u8() => break assert_eq!(urgent.unwrap(), 2),
                count = low_reader.read(&mut buffer) => before += count.unwrap(),
            }
        }
        // What was on its way, and the message that had been begun: the rest was overtaken.
        assert!(before <= 32 << 10, "{before} of {written}");
        while before < written {
            before += low_reader.read(&mut buffer).await.unwrap();
        }
        assert_eq!(before, written);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_overtakes_a_flood_between_actors() {
    let (relay, [home, away], address) = nodes_by_relay().await;
    let (actor, _child) = spawn(Recorder::new());
    home.export("recorder", &actor).unwrap();
    away.connect(&address).await.unwrap();
    let mut handle = away.lookup::<Recorder>("recorder").await.unwrap();
    relay.set(Mode::Hold);
    for _ in 0..1000 {
        handle.send_low(Data::Bytes(vec![0; 1200])).await.unwrap();
    }
    let mut asking = handle.clone();
    let asked = tokio::spawn(async move { asking.ask(Command::Log, 60 * SECOND).await });
    while away.links()[0].asks == 0 {
        tokio::time::sleep(SECOND / 100).await;
    }
    tokio::time::sleep(SECOND / 4).await; // it is being written
    relay.set(Mode::Pass);
    let before = lows(&asked.await.unwrap().unwrap()).len();
    // Not even all that the session, its pipe and the outbox of low hold.
    assert!(before * 1200 <= 350 << 10, "{before} of 1000");
    // A question of the same class comes after all of them.
    assert_eq!(handle.ask_low(Data::Ask, 60 * SECOND).await, Ok(1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_decides_who_comes_in_by_channels() {
    let transport = bound().await;
    let home = node("home", &transport).token_key(KEY).build();
    let address = home.bind("rtc://127.0.0.1:0").await.unwrap();
    let (actor, _child) = spawn(Recorder::new());
    home.export("recorder", &actor).unwrap();
    let token = Token::new("away", 3600 * SECOND).grant("recorder", Access::ALL);
    let away = |token: String| node("away", &WebRtc::new()).token(&token).build();
    let forged = away(token.sign(b"another key"));
    let refused = forged.connect(&address).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused(_)), "{refused}");
    while home.refusals().unauthenticated == 0 {
        tokio::time::sleep(SECOND / 100).await;
    }
    let away = away(token.sign(&KEY));
    away.connect(&address).await.unwrap();
    let mut handle = away.lookup::<Recorder>("recorder").await.unwrap();
    handle.send_high(Command::Mark(1)).await.unwrap();
    handle.idle().await;
    assert_eq!(log(&mut handle).await.len(), 1);
    let refusals = home.refusals();
    assert_eq!((refusals.unauthenticated, refusals.unreadable), (1, 0));
    // Who knows neither a token nor the secret is told nothing.
    let stranger = node("stranger", &WebRtc::new()).secret(SECRET).build();
    assert!(stranger.connect(&address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn path_that_is_cut_is_noticed_at_both_ends_and_the_link_made_again() {
    let transport = bound().await;
    let relay = Relay::to(transport.local_addr().unwrap()).await;
    let transport = transport.announce(relay.address);
    let mut config = patient();
    config.dead_after = 3 * SECOND;
    let [home, away] = ["home", "away"].map(|name| {
        let node = node(name, &transport).secret(SECRET);
        node.config(config.clone()).build()
    });
    let address = home.bind("rtc://127.0.0.1:0").await.unwrap();
    let (actor, _child) = spawn(Recorder::new());
    home.export("recorder", &actor).unwrap();
    away.connect(&address).await.unwrap();
    let handle = away.lookup::<Recorder>("recorder").await.unwrap();
    let mut events = [home.events(), away.events()];
    relay.set(Mode::Lose);
    let down = |event| match event {
        Event::LinkDown(down) => Some(down.why),
        _ => None,
    };
    for events in &mut events {
        let why = event(events, down).await;
        assert!(
            matches!(why, DownReason::Silent | DownReason::Lost(_)),
            "{why}"
        );
    }
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    relay.set(Mode::Pass);
    let up = |event| matches!(event, Event::LinkUp { .. }).then_some(());
    event(&mut events[1], up).await;
    let mut handle = away.lookup::<Recorder>("recorder").await.unwrap();
    handle.send_high(Command::Mark(1)).await.unwrap();
    handle.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_shuts_down_says_so() {
    let transport = bound().await;
    let [home, away] = ["home", "away"].map(|name| node(name, &transport).secret(SECRET).build());
    let address = home.bind("rtc://127.0.0.1:0").await.unwrap();
    away.connect(&address).await.unwrap();
    let mut events = away.events();
    assert!(home.shutdown(60 * SECOND).await);
    let down = |event| match event {
        Event::LinkDown(down) => Some(down.why),
        _ => None,
    };
    assert_eq!(event(&mut events, down).await, DownReason::ClosedByPeer);
}

#[tokio::test]
async fn listening_needs_a_socket() {
    let node = node("a", &WebRtc::new()).secret(SECRET).build();
    let bound = node.bind("rtc://127.0.0.1:0").await.unwrap_err();
    assert!(matches!(bound, ConnectError::Io(_)), "{bound}");
    let nobody = node.connect("rtc://127.0.0.1:1").await.unwrap_err();
    assert!(matches!(nobody, ConnectError::Io(_)), "{nobody}");
}
