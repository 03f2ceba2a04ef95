//! Answers: who sends them, when, and what becomes of them when nobody waits any more.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as Cx, Poll},
};

use lanemesh_net::{
    DownReason, Event, Node, Remote,
    transport::{BoxFuture, BoxWriter, Connection, InProcess, Listener, Transport},
};
use lanemesh_runtime::{ActorResult, AskError, Context, ExitReason, Handler, Reply, spawn};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWrite;

use crate::common::{Recorder, SECOND, event, log, pair, patient};

#[derive(Serialize, Deserialize)]
enum Msg {
    /// Answers with a text of this length.
    Text(usize, Reply<String>),
    /// Answers from a thread that runs no tasks.
    FromThread(Reply<u64>),
    /// Keeps the reply.
    Keep(Reply<u64>),
    /// Waits until the kept reply has no asker any more.
    AskerIsGone(Reply<()>),
}

#[derive(Default)]
struct Answerer {
    kept: Option<Reply<u64>>,
}

impl Handler for Answerer {
    type Msg = Msg;

    async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Msg::Text(length, reply) => drop(reply.send("x".repeat(length))),
            Msg::FromThread(reply) => {
                std::thread::spawn(move || drop(reply.send(7)));
            }
            Msg::Keep(reply) => self.kept = Some(reply),
            Msg::AskerIsGone(reply) => {
                while self.kept.as_ref().is_some_and(|kept| !kept.is_closed()) {
                    tokio::task::yield_now().await;
                }
                drop(reply.send(()));
            }
        }
        Ok(())
    }
}

impl Remote for Answerer {
    const TYPE: &'static str = "test/answerer";
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_larger_than_what_is_about_to_be_written_all_arrive() {
    let pair = pair().await;
    let (actor, _child) = spawn(Answerer::default());
    pair.home.export("answerer", &actor).unwrap();
    let handle = pair.away.lookup::<Answerer>("answerer").await.unwrap();
    let asks = (0..64).map(|index| {
        let mut handle = handle.clone();
        tokio::spawn(async move {
            let length = index * 2000;
            let answer = handle.ask(|reply| Msg::Text(length, reply), 60 * SECOND);
            assert_eq!(answer.await.map(|text| text.len()), Ok(length));
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        ask.await.unwrap();
    }
    assert_eq!(pair.away.links()[0].asks, 0);
}

#[tokio::test]
async fn answer_may_come_from_a_thread_without_a_runtime() {
    let pair = pair().await;
    let (actor, _child) = spawn(Answerer::default());
    pair.home.export("answerer", &actor).unwrap();
    let mut handle = pair.away.lookup::<Answerer>("answerer").await.unwrap();
    assert_eq!(handle.ask(Msg::FromThread, 60 * SECOND).await, Ok(7));
}

#[tokio::test]
async fn actor_learns_that_the_asker_is_gone_with_the_link() {
    let pair = pair().await;
    let (mut actor, _child) = spawn(Answerer::default());
    pair.home.export("answerer", &actor).unwrap();
    let mut handle = pair.away.lookup::<Answerer>("answerer").await.unwrap();
    let ask = tokio::spawn(async move { handle.ask(Msg::Keep, 60 * SECOND).await });
    while actor.stats().messages() == 0 {
        tokio::task::yield_now().await;
    }
    pair.home.drop_links("away");
    assert_eq!(ask.await.unwrap(), Err(AskError::Unknown));
    assert_eq!(actor.ask(Msg::AskerIsGone, 60 * SECOND).await, Ok(()));
}

/// Panics in writes, once it is told to.
struct Panics {
    network: InProcess,
    is_broken: Arc<AtomicBool>,
}

struct Broken {
    inside: BoxWriter,
    is_broken: Arc<AtomicBool>,
}

impl AsyncWrite for Broken {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Cx<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // ORDERING: a flag of one thread.
        assert!(!self.is_broken.load(Ordering::Relaxed), "on purpose");
        Pin::new(&mut self.inside).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inside).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inside).poll_shutdown(cx)
    }
}

impl Transport for Panics {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let (reader, inside) = self.network.connect(address).await?.into_halves();
            let is_broken = self.is_broken.clone();
            Ok(Connection::new(reader, Broken { inside, is_broken }))
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        self.network.listen(address)
    }

    fn is_private(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn panic_of_a_transport_ends_the_link_and_no_caller() {
    let pair = pair().await;
    let is_broken = Arc::new(AtomicBool::new(false));
    let transport = Panics {
        network: pair.network.clone(),
        is_broken: is_broken.clone(),
    };
    let node = Node::builder("third").config(patient());
    let third = node.transport("panics", transport).build();
    let mut events = third.events();
    third.connect("panics:home").await.unwrap();
    let mut handle = third.lookup::<Recorder>("recorder").await.unwrap();
    assert!(log(&mut handle).await.is_empty());
    // ORDERING: a flag of one thread.
    is_broken.store(true, Ordering::Relaxed);
    let mut asker = handle.clone();
    let ask = asker.ask(crate::common::Command::Log, 60 * SECOND).await;
    assert_eq!(ask, Err(AskError::Unknown));
    let down = |event| match event {
        Event::LinkDown(down) => Some(down.why),
        _ => None,
    };
    let why = event(&mut events, down).await;
    assert!(
        matches!(&why, DownReason::Lost(text) if text.contains("panic")),
        "{why}"
    );
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
}
