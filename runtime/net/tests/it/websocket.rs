//! Lanes over WebSockets: that they carry, and peers that break the rules of WebSocket or of HTTP.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use lanemesh_net::{
    Access, ConnectError, DownReason, Event, Node, Refusals, Token, transport::WebSocket,
};
use lanemesh_runtime::spawn;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        protocol::frame::{
            Frame,
            coding::{CloseCode, Data as Coded, OpCode},
        },
    },
};

use crate::{
    authority::Authority,
    common::{Recorder, SECOND, event, log, patient},
    transports::tell_and_ask,
};

const KEY: [u8; 16] = *b"a key of tokens.";

type Socket = WebSocketStream<TcpStream>;

async fn home() -> (Node, String) {
    let home = Node::builder("home").token_key(KEY).config(patient());
    let home = home.build();
    let address = home.bind("ws://127.0.0.1:0/lanes").await.unwrap();
    (home, address)
}

fn host(address: &str) -> &str {
    let host = address.strip_prefix("ws://").unwrap();
    host.split_once('/').unwrap().0
}

async fn raw(address: &str) -> Socket {
    let stream = TcpStream::connect(host(address)).await.unwrap();
    client_async(address, stream).await.unwrap().0
}

fn token(grant: &str) -> Vec<u8> {
    let token = Token::new("page", Duration::from_secs(3600)).grant(grant, Access::ALL);
    let text = token.sign(&KEY);
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The first bytes of a connection of a link, with a token.
fn greeting(class: u8, token: &[u8]) -> Vec<u8> {
    let mut bytes = b"LMSH\x02\x00".to_vec();
    bytes.push(0x80 | class);
    bytes.extend_from_slice(&7_u64.to_le_bytes()); // the link
    bytes.extend_from_slice(&1_u64.to_le_bytes()); // the incarnation
    bytes.extend_from_slice(&[5; 32]);
    bytes.extend_from_slice(b"\x04page");
    bytes.extend_from_slice(&(token.len() as u16).to_le_bytes());
    bytes.extend_from_slice(token);
    bytes
}

/// Reads the rest of the handshake, and returns the verdict.
async fn verdict(socket: &mut Socket) -> u8 {
    let mut bytes = Vec::new();
    while bytes.len() < 4 + 2 + 8 + 32 + 1 + 4 + 1 {
        match socket.next().await.unwrap().unwrap() {
            Message::Binary(more) => bytes.extend_from_slice(&more),
            other => panic!("{other:?}"),
        }
    }
    bytes[4 + 2 + 8 + 32 + 1 + 4]
}

/// What the other end says when it closes.
async fn closed(socket: &mut Socket) -> Option<CloseCode> {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            return frame.map(|frame| frame.code);
        }
    }
    None
}

async fn unreadable(home: &Node, count: u64) {
    while home.refusals().unreadable < count {
        tokio::time::sleep(SECOND / 100).await;
    }
    assert_eq!(home.refusals().unreadable, count);
}

#[tokio::test]
async fn plain() {
    let node = |name: &str| Node::builder(name).secret(*b"0123456789abcdef");
    tell_and_ask(node, "ws://127.0.0.1:0").await;
    tell_and_ask(node, "ws://127.0.0.1:0/some/path").await;
}

#[tokio::test]
async fn secure_and_who_trusts_another_authority_or_names_another_host() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let web = WebSocket::secure();
    let own = ours.sign(&["127.0.0.1"]);
    let (chain, key) = (own.chain.as_bytes(), own.key.as_bytes());
    let secret = *b"0123456789abcdef";
    let node = |name: &str| Node::builder(name).secret(secret).config(patient());
    let home = node("home").transport("wss", web.clone()).build();
    let too_early = home.bind("wss://127.0.0.1:0").await;
    assert!(matches!(too_early, Err(ConnectError::Io(_))));
    web.set_certificate(chain, key).unwrap();
    web.set_authorities(ours.pem().as_bytes()).unwrap();
    let node_with = |name: &str| node(name).transport("wss", web.clone());
    tell_and_ask(node_with, "wss://127.0.0.1:0/lanes").await;

    let address = home.bind("wss://127.0.0.1:0").await.unwrap();
    let other = WebSocket::secure();
    let away = node("away").transport("wss", other.clone()).build();
    let untrusting = away.connect(&address).await;
    assert!(matches!(untrusting, Err(ConnectError::Io(_))));
    other.set_authorities(theirs.pem().as_bytes()).unwrap();
    let error = away.connect(&address).await.unwrap_err();
    assert!(matches!(error, ConnectError::Certificate(_)), "{error:?}");
    other.set_authorities(ours.pem().as_bytes()).unwrap();
    let by_name = address.replace("127.0.0.1", "localhost");
    let error = away.connect(&by_name).await.unwrap_err();
    assert!(matches!(error, ConnectError::Certificate(_)), "{error:?}");
    away.connect(&address).await.unwrap();
    assert!(WebSocket::new().set_certificate(chain, key).is_err());
}

#[tokio::test]
async fn request_for_another_path_and_what_is_no_request_are_refused() {
    let (home, address) = home().await;
    let away = Node::builder("away").secret(*b"0123456789abcdef").build();
    let elsewhere = format!("ws://{}/elsewhere", host(&address));
    let error = away.connect(&elsewhere).await.unwrap_err();
    assert!(error.to_string().contains("404"), "{error:?}");
    unreadable(&home, 1).await;
    let endless = [b"GET /lanes HTTP/1.1\r\n".to_vec(), vec![b'a'; 1 << 20]].concat();
    let requests: [&[u8]; 4] = [
        b"GET /lanes HTTP/1.1\r\nHost: a\r\n\r\n",
        b"LMSH\x02\x00\x00and so on\r\n\r\n",
        &[0xff; 4096],
        &endless,
    ];
    for (index, request) in requests.into_iter().enumerate() {
        let mut stream = TcpStream::connect(host(&address)).await.unwrap();
        // It may be closed before all is written.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        unreadable(&home, 2 + index as u64).await;
    }
    assert!(home.links().is_empty());
}

#[tokio::test]
async fn text_giant_unmasked_and_wrong_frames_are_answered_by_a_reason_and_counted() {
    let (home, address) = home().await;
    let mut socket = raw(&address).await;
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(closed(&mut socket).await, Some(CloseCode::Unsupported));
    unreadable(&home, 1).await;
    // Only headers: a length is looked at before anything of it is there.
    for (index, (header, code)) in [
        (
            &[0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4][..],
            CloseCode::Size,
        ),
        (
            &[
                0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4,
            ],
            CloseCode::Size,
        ),
        (&[0x82, 0x02, b'L', b'M'], CloseCode::Protocol), // without a mask
        (&[0xf2, 0x80, 1, 2, 3, 4], CloseCode::Protocol), // reserved bits
        (&[0x83, 0x80, 1, 2, 3, 4], CloseCode::Protocol), // a reserved kind
        (&[0x80, 0x80, 1, 2, 3, 4], CloseCode::Protocol), // a continuation of nothing
    ]
    .into_iter()
    .enumerate()
    {
        let mut socket = raw(&address).await;
        socket.get_mut().write_all(header).await.unwrap();
        assert_eq!(closed(&mut socket).await, Some(code), "{header:?}");
        unreadable(&home, 2 + index as u64).await;
    }
    // In fragments that are short, and too much together.
    let mut socket = raw(&address).await;
    for index in 0..5 {
        let coded = if index == 0 {
            Coded::Binary
        } else {
            Coded::Continue
        };
        let part = Frame::message(vec![0; 20_000], OpCode::Data(coded), false);
        // It may be closed before all is written.
        let _ = socket.send(Message::Frame(part)).await;
    }
    assert_ne!(closed(&mut socket).await, Some(CloseCode::Normal));
    unreadable(&home, 8).await;
    assert!(home.links().is_empty());
}

#[tokio::test]
async fn connection_that_ends_within_a_frame_or_in_the_handshake_is_counted() {
    let (home, address) = home().await;
    let mut socket = raw(&address).await;
    socket
        .get_mut()
        .write_all(&[0x82, 0x85, 1, 2])
        .await
        .unwrap();
    drop(socket);
    unreadable(&home, 1).await;
    let mut socket = raw(&address).await;
    socket
        .send(Message::binary(b"LMSH".to_vec()))
        .await
        .unwrap();
    socket.close(None).await.unwrap();
    unreadable(&home, 2).await;
    // One byte of a greeting in each frame, with pings between, is a greeting all the same.
    let mut socket = raw(&address).await;
    for byte in greeting(0, &token("room")) {
        socket.send(Message::binary(vec![byte])).await.unwrap();
        socket.send(Message::Ping(vec![byte].into())).await.unwrap();
    }
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Pong(_) => {}
            Message::Binary(bytes) => break assert_eq!(bytes[..4], *b"LMSH"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(home.refusals().unauthenticated, 0);
}

#[tokio::test]
async fn token_that_is_too_long_or_changes_between_the_connections_is_refused() {
    let (home, address) = home().await;
    let mut socket = raw(&address).await;
    let mut long = greeting(0, &[]);
    long.truncate(long.len() - 2);
    long.extend_from_slice(&[0xff; 600]);
    socket.send(Message::binary(long)).await.unwrap();
    assert_eq!(closed(&mut socket).await, None);
    unreadable(&home, 1).await;

    let mut high = raw(&address).await;
    let greet = Message::binary(greeting(0, &token("room")));
    high.send(greet).await.unwrap();
    assert_eq!(verdict(&mut high).await, 0);
    let mut low = raw(&address).await;
    let greet = Message::binary(greeting(1, &token("lobby")));
    low.send(greet).await.unwrap();
    assert_eq!(verdict(&mut low).await, 3);
    while home.refusals().unwelcome < 2 {
        tokio::time::sleep(SECOND / 100).await;
    }
    assert!(home.links().is_empty());
}

#[tokio::test]
async fn link_ends_with_a_violation_when_a_peer_sends_text() {
    let (home, address) = home().await;
    let mut events = home.events();
    let (actor, _child) = spawn(Recorder::new());
    home.export("room", &actor).unwrap();
    let (mut sockets, token) = (Vec::new(), token("room"));
    for class in [0, 1] {
        let mut socket = raw(&address).await;
        let greet = Message::binary(greeting(class, &token));
        socket.send(greet).await.unwrap();
        assert_eq!(verdict(&mut socket).await, 0);
        sockets.push(socket);
    }
    sockets[1].send(Message::text("hello")).await.unwrap();
    let down = event(&mut events, |event| match event {
        Event::LinkDown(down) => Some(down),
        _ => None,
    });
    let why = down.await.why;
    assert!(
        matches!(&why, DownReason::Violation(text) if text.contains("binary")),
        "{why}"
    );
    assert_eq!(home.refusals(), Refusals::default());
    assert!(log(&mut actor.clone()).await.is_empty());
}
