//! Sessions that find nobody but each other, nodes on them, and an actor.

use std::{net::TcpListener, sync::Arc, time::Duration};

use lanemesh_net::{Config, Node, Remote};
use lanemesh_net_zenoh::{
    Zenoh,
    zenoh::{self, Session},
};
use lanemesh_runtime::{Actor, ActorResult, Context, Reply};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub(crate) const SECRET: [u8; 16] = *b"only for a test!";
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Milliseconds after which a process that stands still is gone.
const LEASE: &str = "6000";

/// Times that no busy machine exceeds.
pub(crate) fn patient() -> Config {
    Config {
        suspected_after: 60 * MINUTE,
        dead_after: 60 * MINUTE,
        handshake_timeout: MINUTE,
        lookup_timeout: MINUTE,
        ..Config::default()
    }
}

/// A session that listens at `endpoint` and connects to others, and does neither by itself.
async fn open(endpoint: &str, others: &[String]) -> zenoh::Result<Session> {
    let mut config = zenoh::Config::default();
    let others = format!("{others:?}");
    for (key, value) in [
        ("mode", "\"peer\""),
        ("scouting/multicast/enabled", "false"),
        ("transport/link/tx/lease", LEASE),
        ("listen/endpoints", &format!("[{endpoint:?}]")),
        ("connect/endpoints", &others),
    ] {
        config.insert_json5(key, value)?;
    }
    zenoh::open(config).await
}

/// A session that others can connect to, and where.
pub(crate) async fn first() -> (Session, String) {
    loop {
        // Free now; somebody else may take it before Zenoh does.
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp/{}", port.local_addr().unwrap());
        drop(port);
        match open(&endpoint, &[]).await {
            Ok(session) => return (session, endpoint),
            Err(error) => println!("{endpoint}: {error}"),
        }
    }
}

/// A session that connects to others.
pub(crate) async fn connected(others: &[String]) -> Session {
    open("tcp/127.0.0.1:0", others).await.unwrap()
}

/// Two processes' worth of Zenoh.
pub(crate) async fn two() -> [Zenoh; 2] {
    let (session, endpoint) = first().await;
    let other = connected(&[endpoint]).await;
    [
        Zenoh::new(session).await.unwrap(),
        Zenoh::new(other).await.unwrap(),
    ]
}

pub(crate) fn node(name: &str, zenoh: &Zenoh) -> Node {
    let builder = Node::builder(name).secret(SECRET).config(patient());
    builder.transport("zenoh", zenoh.clone()).build()
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Command {
    Mark(u64),
    Log(Reply<Vec<Entry>>),
    /// Is not answered.
    Keep(Reply<u64>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    High(u64),
    Low(u64),
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Data {
    Number(u64),
    Bytes(Vec<u8>),
    /// Stops taking messages until the permit is there.
    Hold,
}

#[derive(Default)]
pub(crate) struct Recorder {
    log: Vec<Entry>,
    kept: Vec<Reply<u64>>,
    gate: Option<Arc<Semaphore>>,
}

impl Recorder {
    pub(crate) fn behind(gate: Arc<Semaphore>) -> Self {
        Self {
            gate: Some(gate),
            ..Self::default()
        }
    }
}

impl Actor for Recorder {
    type HighPriorityMsg = Command;
    type LowPriorityMsg = Data;

    async fn on_high(&mut self, command: Command, _: &mut Context<Self>) -> ActorResult {
        match command {
            Command::Mark(number) => self.log.push(Entry::High(number)),
            Command::Log(reply) => drop(reply.send(self.log.clone())),
            Command::Keep(reply) => self.kept.push(reply),
        }
        Ok(())
    }

    async fn on_low(&mut self, data: Data, _: &mut Context<Self>) -> ActorResult {
        match data {
            Data::Number(number) => self.log.push(Entry::Low(number)),
            Data::Bytes(bytes) => self.log.push(Entry::Low(bytes.len() as u64)),
            Data::Hold => {
                if let Some(gate) = &self.gate {
                    gate.acquire().await?.forget();
                }
            }
        }
        Ok(())
    }
}

impl Remote for Recorder {
    const TYPE: &'static str = "test/recorder";
}
