//! An actor on another node.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lanemesh_net::{Node, Remote};
use lanemesh_runtime::{Actor, ActorHandle, ActorResult, Child, Context, Reply, builder};
use serde::{Deserialize, Serialize};

use super::setup::{LARGE, SMALL, executor, failed};
use crate::plan::Timing;
use crate::rig::executor::joined;
use crate::rig::fault::{Fault, ensure};

const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Question {
    payload: Bytes,
    reply: Reply<Bytes>,
}

#[derive(Serialize, Deserialize)]
enum Told {
    Payload(u64, Bytes),
    /// How many payloads came before it, if they were in order.
    Count(Reply<Option<u64>>),
}

struct Far {
    next: u64,
    is_in_order: bool,
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
            Told::Payload(number, payload) => {
                self.is_in_order &= number == self.next && payload.len() == LARGE;
                self.next += 1;
            }
            Told::Count(reply) => drop(reply.send(self.is_in_order.then_some(self.next))),
        }
        Ok(())
    }
}

impl Remote for Far {
    const TYPE: &'static str = "benches/far";
}

struct Linked {
    handle: ActorHandle<Far>,
    _nodes: [Node; 2],
    _child: Child,
}

async fn linked() -> Result<Linked, Fault> {
    let secret = *b"for a benchmark!";
    let home = Node::builder("home").secret(secret).build();
    let (actor, child) = builder(|| Far {
        next: 0,
        is_in_order: true,
    })
    .spawn();
    home.export("far", &actor).map_err(failed)?;
    let address = home.bind("tcp://127.0.0.1:0").await.map_err(failed)?;
    let away = Node::builder("away").secret(secret).build();
    away.connect(&address).await.map_err(failed)?;
    let handle = away.lookup("far").await.map_err(failed)?;
    Ok(Linked {
        handle,
        _nodes: [home, away],
        _child: child,
    })
}

pub(super) fn ask(count: u64) -> Result<Timing, Fault> {
    executor()?.block_on(async move {
        let mut linked = linked().await?;
        let asker = tokio::spawn(async move {
            let payload = Bytes::from_static(&[1; SMALL]);
            let start = Instant::now();
            for _ in 0..count {
                let payload = payload.clone();
                let question = |reply| Question { payload, reply };
                let answer = linked.handle.ask(question, TIMEOUT).await.map_err(failed)?;
                ensure(answer.len() == SMALL, "a wrong answer")?;
            }
            Ok::<_, Fault>(start.elapsed())
        });
        let elapsed = joined(asker).await??;
        Ok(Timing { count, elapsed })
    })
}

async fn tell_all(handle: &mut ActorHandle<Far>, count: u64) -> Result<(), Fault> {
    let payload = Bytes::from_static(&[1; LARGE]);
    for number in 0..count {
        let told = Told::Payload(number, payload.clone());
        handle.send_low(told).await.map_err(failed)?;
    }
    Ok(())
}

pub(super) fn tell(count: u64) -> Result<Timing, Fault> {
    executor()?.block_on(async move {
        let mut linked = linked().await?;
        let sender = tokio::spawn(async move {
            let start = Instant::now();
            tell_all(&mut linked.handle, count).await?;
            let received = linked.handle.ask_low(Told::Count, TIMEOUT).await;
            ensure(
                received == Ok(Some(count)),
                "messages were lost or reordered",
            )?;
            Ok::<_, Fault>(start.elapsed())
        });
        let elapsed = joined(sender).await??;
        Ok(Timing { count, elapsed })
    })
}

pub(super) fn ask_behind(ahead: u64) -> Result<Duration, Fault> {
    executor()?.block_on(async move {
        let mut linked = linked().await?;
        let asker = tokio::spawn(async move {
            tell_all(&mut linked.handle, ahead).await?;
            let payload = Bytes::from_static(&[1; SMALL]);
            let question = |reply| Question { payload, reply };
            let start = Instant::now();
            let asked = linked.handle.ask(question, TIMEOUT).await;
            let elapsed = start.elapsed();
            asked.map_err(failed)?;
            let received = linked.handle.ask_low(Told::Count, TIMEOUT).await;
            ensure(
                received == Ok(Some(ahead)),
                "messages were lost or reordered",
            )?;
            Ok::<_, Fault>(elapsed)
        });
        joined(asker).await?
    })
}
