//! Actors of lanemesh over TCP.

use std::time::Duration;

use bytes::Bytes;
use lanemesh_net::{Node, Remote};
use lanemesh_runtime::{Actor, ActorHandle, ActorResult, Context, Reply, builder};
use serde::{Deserialize, Serialize};

use super::serving::until_end;
use crate::{
    failure::Failure,
    shapes::{Client, LARGE, SMALL},
};

const TIMEOUT: Duration = Duration::from_secs(120);
const SECRET: [u8; 16] = *b"for a benchmark!";

#[derive(Serialize, Deserialize)]
struct Question {
    payload: Bytes,
    reply: Reply<Bytes>,
}

#[derive(Serialize, Deserialize)]
enum Told {
    Payload(Bytes),
    Count(Reply<u64>),
}

#[derive(Default)]
struct Far {
    count: u64,
}

impl Actor for Far {
    type HighPriorityMsg = Question;
    type LowPriorityMsg = Told;

    async fn on_high(&mut self, question: Question, _: &mut Context<Self>) -> ActorResult {
        drop(question.reply.send(question.payload)); // the asker may be gone
        Ok(())
    }

    async fn on_low(&mut self, told: Told, _: &mut Context<Self>) -> ActorResult {
        match told {
            Told::Payload(payload) => self.count += u64::from(payload.len() == LARGE),
            Told::Count(reply) => drop(reply.send(self.count)),
        }
        Ok(())
    }
}

impl Remote for Far {
    const TYPE: &'static str = "benches/far";
}

pub(super) async fn serve() -> Result<(), Failure> {
    let node = Node::builder("home").secret(SECRET).build();
    let (actor, _child) = builder(Far::default).spawn();
    node.export("far", &actor)?;
    let address = node.bind("tcp://127.0.0.1:0").await?;
    until_end(&address).await
}

pub(super) struct Linked {
    handle: ActorHandle<Far>,
    _node: Node,
}

impl Linked {
    pub(super) async fn connect(address: &str) -> Result<Self, Failure> {
        Self::link(Node::builder("away").secret(SECRET).build(), address).await
    }

    async fn link(node: Node, address: &str) -> Result<Self, Failure> {
        node.connect(address).await?;
        let handle = node.lookup("far").await?;
        Ok(Self {
            handle,
            _node: node,
        })
    }
}

impl Client for Linked {
    async fn ask(&mut self) -> Result<(), Failure> {
        let payload = Bytes::from_static(&[1; SMALL]);
        let question = |reply| Question { payload, reply };
        let answer = self.handle.ask(question, TIMEOUT).await?;
        (answer.len() == SMALL)
            .then_some(())
            .ok_or("a wrong answer".into())
    }

    async fn tell(&mut self) -> Result<(), Failure> {
        let told = Told::Payload(Bytes::from_static(&[1; LARGE]));
        let sent = self.handle.send_low(told).await;
        sent.map(drop).map_err(|error| error.to_string().into())
    }

    async fn arrived(&mut self) -> Result<u64, Failure> {
        Ok(self.handle.ask_low(Told::Count, TIMEOUT).await?)
    }
}
