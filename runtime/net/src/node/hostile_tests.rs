//! Peers that know the secret and break the rules: they harm nobody but themselves.

use std::{sync::Arc, time::Duration};

use lanemesh_runtime::{ActorResult, Context, Handler, Reply, spawn};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Node,
    handshake::{Identity, Purpose, greet},
};
use crate::{
    Config, Remote,
    event::{DownReason, Event, PeerInfo},
    transport::{Connection, InProcess, Transport},
    wire::{Class, Codec, Codecs, Frame, Order, trace::TraceContext},
};

struct Counter(u64);

#[derive(Serialize, Deserialize)]
enum Msg {
    Add(u64),
    Get(Reply<u64>),
}

impl Handler for Counter {
    type Msg = Msg;

    async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Msg::Add(number) => self.0 += number,
            Msg::Get(reply) => drop(reply.send(self.0)),
        }
        Ok(())
    }
}

impl Remote for Counter {
    const TYPE: &'static str = "test/counter";
}

fn node(name: &str, network: &InProcess) -> Node {
    let config = Config {
        max_lanes: 8,
        max_frame: 4096,
        ..Config::default()
    };
    let node = Node::builder(name).config(config).secret(*b"secret");
    node.transport("mem", network.clone()).build()
}

/// Both connections of a link, after the handshake.
async fn intrude(network: &InProcess, incarnation: u64) -> [Connection; 2] {
    let identity = Identity {
        me: PeerInfo {
            name: "mallory".into(),
            incarnation,
        },
        secret: Some(b"secret".to_vec()),
        token_key: None,
        token: None,
    };
    let mut connections = Vec::new();
    for class in [Class::High, Class::Low] {
        let mut connection = network.connect("home").await.unwrap();
        let purpose = Purpose { class, link: 1 };
        greet(&mut connection, &identity, purpose).await.unwrap();
        connections.push(connection);
    }
    connections.try_into().unwrap()
}

fn frame<'a>(random: &mut fastrand::Rng, bytes: &'a [u8]) -> Frame<'a> {
    let lane = random.u32(0..4);
    let number = [0, 1, 3, 1000, u64::MAX][random.usize(0..5)];
    let payload = &bytes[..random.usize(0..bytes.len())];
    let class = [Class::High, Class::Low][random.usize(0..2)];
    match random.u8(0..19) {
        0..3 => Frame::Open {
            lane,
            versions: (0, 9),
            codecs: Codecs::OWN,
            kind: "test/counter",
            name: "counter",
        },
        3 => Frame::Opened {
            lane,
            version: 1,
            codec: Codec::Postcard,
            has_traces: random.bool(),
            messages: [1, 1],
            bytes: [number, number],
        },
        4 => Frame::Refused {
            lane,
            why: 9,
            text: "no",
        },
        5..9 => Frame::Message {
            lane,
            expires: number,
            is_ask: random.bool(),
            trace: TraceContext::new(number.into(), number, true),
            // Something to add, a question, or anything.
            payload: [&[0, 1], &[1, 5], payload][random.usize(0..3)],
        },
        9 => Frame::Credit {
            lane,
            class,
            messages: number,
            bytes: number,
        },
        10 => Frame::Confirm { lane },
        11 => Frame::Close { lane },
        12 => Frame::Ended {
            lane,
            why: 3,
            text: "over",
        },
        13 => Frame::Order {
            lane,
            order: Order::Kill,
        },
        14 => Frame::Answer {
            slot: number,
            payload,
        },
        15 => Frame::NoAnswer { slot: number },
        16 => Frame::Ping { number },
        17 => Frame::Room {
            lane,
            class,
            messages: number,
            bytes: number,
        },
        _ => Frame::Received { bytes: 0 },
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_peers_harm_nobody_but_themselves() {
    let network = InProcess::default();
    let home = node("home", &network);
    home.bind("mem:home").await.unwrap();
    let (counter, _child) = spawn(Counter(0));
    home.export("counter", &counter).unwrap();
    let good = node("good", &network);
    good.connect("mem:home").await.unwrap();
    let mut handle = good.lookup::<Counter>("counter").await.unwrap();
    let mut events = home.events();
    let (mut violations, mut survived) = (0, 0);
    for seed in 0..150 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut garbage = [0; 64];
        random.fill(&mut garbage);
        let mut connections = intrude(&network, seed).await;
        let mut is_open = true;
        for _ in 0..random.usize(1..40) {
            let mut bytes = Vec::new();
            match random.u8(0..60) {
                0 => bytes.extend_from_slice(&garbage[..random.usize(1..64)]),
                _ => frame(&mut random, &garbage).write(&mut bytes),
            }
            let connection = &mut connections[random.usize(0..2)];
            is_open &= connection.writer.write_all(&bytes).await.is_ok();
            tokio::task::yield_now().await;
        }
        handle.tell(Msg::Add(0)).await.unwrap();
        survived += u64::from(is_open);
        drop(connections);
        let down = loop {
            match events.recv().await.unwrap() {
                Event::LinkDown(down) if *down.peer.name == *"mallory" => break down,
                _ => {}
            }
        };
        violations += u64::from(matches!(down.why, DownReason::Violation(_)));
        assert_eq!((down.unconfirmed, down.asks), (0, 0));
    }
    assert!(violations > 20 && survived > 20, "{violations} {survived}");
    assert!(handle.is_alive() && counter.is_alive());
    let answer = handle.ask(Msg::Get, Duration::from_secs(1)).await;
    assert!(answer.is_ok(), "{answer:?}");
    let links = home.links();
    assert_eq!((links.len(), links[0].lanes_owned), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn peer_that_sends_more_than_its_credit_is_cut_off() {
    let network = InProcess::default();
    let home = node("home", &network);
    home.bind("mem:home").await.unwrap();
    let (counter, _child) = spawn(Counter(0));
    home.export("counter", &counter).unwrap();
    let mut events = home.events();
    let [mut high, mut low] = intrude(&network, 1).await;
    let mut bytes = Vec::new();
    Frame::Open {
        lane: 1,
        versions: (1, 1),
        codecs: Codecs::OWN,
        kind: "test/counter",
        name: "counter",
    }
    .write(&mut bytes);
    high.writer.write_all(&bytes).await.unwrap();
    assert!(high.reader.read_u8().await.is_ok()); // the first byte of anything
    // The actor has no turn while the reader of the link has frames in its buffer.
    bytes.clear();
    for _ in 0..4000 {
        Frame::Message {
            lane: 1,
            expires: 0,
            is_ask: false,
            trace: None,
            payload: &[0, 1],
        }
        .write(&mut bytes);
    }
    // It may be cut off on the way.
    let _ = low.writer.write_all(&bytes).await;
    let down = loop {
        if let Event::LinkDown(down) = events.recv().await.unwrap() {
            break down;
        }
    };
    let without_credit = "it sends without credit";
    assert_eq!(down.why, DownReason::Violation(without_credit.into()));
}

#[tokio::test(start_paused = true)]
async fn handshake_that_stands_still_ends() {
    let network = InProcess::default();
    let home = node("home", &network);
    home.bind("mem:home").await.unwrap();
    let mut silent = network.connect("home").await.unwrap();
    let mut garbled = network.connect("home").await.unwrap();
    garbled.writer.write_all(&[7; 600]).await.unwrap();
    assert!(garbled.reader.read_u8().await.is_err());
    assert!(silent.reader.read_u8().await.is_err());
    // Half a link is none.
    let identity = Identity {
        me: PeerInfo {
            name: "half".into(),
            incarnation: 1,
        },
        secret: Some(b"secret".to_vec()),
        token_key: None,
        token: None,
    };
    let mut high = network.connect("home").await.unwrap();
    let purpose = Purpose {
        class: Class::High,
        link: 1,
    };
    greet(&mut high, &identity, purpose).await.unwrap();
    assert!(high.reader.read_u8().await.is_err());
    assert!(home.links().is_empty());
    let mut low = network.connect("home").await.unwrap();
    let purpose = Purpose {
        class: Class::Low,
        link: 1,
    };
    assert!(greet(&mut low, &identity, purpose).await.is_err());
}

#[test]
fn runtime_that_is_dropped_with_a_link_up_leaves_nothing_of_its_nodes() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let (asked, left) = runtime.block_on(async {
        let network = InProcess::default();
        let [a, b] = ["a", "b"].map(|name| node(name, &network));
        let (counter, child) = spawn(Counter(0));
        a.export("counter", &counter).unwrap();
        a.bind("mem:a").await.unwrap();
        b.connect("mem:a").await.unwrap();
        let mut far = b.lookup::<Counter>("counter").await.unwrap();
        far.tell(Msg::Add(1)).await.unwrap();
        assert_eq!(far.ask(Msg::Get, Duration::from_secs(5)).await, Ok(1));
        let shared = [&a, &b].map(|node| Arc::downgrade(&node.shared));
        ((a, b, far, counter, child), shared)
    });
    drop(runtime);
    drop(asked);
    for (node, shared) in ["a", "b"].into_iter().zip(left) {
        assert_eq!(shared.strong_count(), 0, "of node {node}");
    }
}
