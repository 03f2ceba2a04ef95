//! Look-ups at several nodes, some of which say nothing.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use lanemesh_net::{
    Config, LookupError, Node, Remote,
    transport::{BoxFuture, BoxWriter, Connection, InProcess, Listener, Transport},
};
use lanemesh_runtime::{ActorHandle, ActorResult, Handler, spawn};
use tokio::{io::AsyncWrite, time::Instant};

use crate::common::{Command, Entry, Pair, Recorder, SECOND, log, pair, patient};

/// Loses what is written, once it is told to: its links stay, and nothing is answered.
#[derive(Clone)]
struct Mute {
    network: InProcess,
    is_mute: Arc<AtomicBool>,
}

struct Writer {
    inside: BoxWriter,
    is_mute: Arc<AtomicBool>,
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // ORDERING: a flag of one thread.
        match self.is_mute.load(Ordering::Relaxed) {
            true => Poll::Ready(Ok(bytes.len())),
            false => Pin::new(&mut self.inside).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inside).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inside).poll_shutdown(cx)
    }
}

impl Transport for Mute {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let (reader, inside) = self.network.connect(address).await?.into_halves();
            let is_mute = self.is_mute.clone();
            Ok(Connection::new(reader, Writer { inside, is_mute }))
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        self.network.listen(address)
    }

    fn is_private(&self) -> bool {
        true
    }
}

/// Has another type than the recorder.
struct Other;

impl Handler for Other {
    type Msg = ();

    async fn handle(&mut self, (): (), _: &mut lanemesh_runtime::Context<Self>) -> ActorResult {
        Ok(())
    }
}

impl Remote for Other {
    const TYPE: &'static str = "test/other";
}

/// Further nodes that are linked to `away`.
struct Others {
    nodes: Vec<Node>,
    is_mute: Arc<AtomicBool>,
}

impl Others {
    async fn join(pair: &Pair, names: &[&str]) -> Self {
        pair.away.bind("mem:away").await.unwrap();
        let is_mute = Arc::new(AtomicBool::new(false));
        let mut nodes = Vec::new();
        for name in names {
            let transport = Mute {
                network: pair.network.clone(),
                is_mute: is_mute.clone(),
            };
            let node = Node::builder(*name).config(patient()).seed(2);
            let node = node.transport("mute", transport).build();
            node.connect("mute:away").await.unwrap();
            nodes.push(node);
        }
        while pair.away.links().len() <= names.len() {
            tokio::task::yield_now().await;
        }
        Self { nodes, is_mute }
    }

    fn mute(&self) {
        // ORDERING: a flag of one thread.
        self.is_mute.store(true, Ordering::Relaxed);
    }
}

async fn is_the_recorder_of(pair: &Pair, handle: &mut ActorHandle<Recorder>) {
    handle.send_high(Command::Mark(1)).await.unwrap();
    assert_eq!(log(handle).await, [Entry::High(1)]);
    assert_eq!(log(&mut pair.actor.clone()).await, [Entry::High(1)]);
}

#[tokio::test(start_paused = true)]
async fn silent_nodes_hold_up_no_look_up() {
    let pair = pair().await;
    // They are asked first, since their links are newer.
    let others = Others::join(&pair, &["mute/1", "mute/2", "mute/3"]).await;
    others.mute();
    let began = Instant::now();
    let mut handle = pair.away.lookup::<Recorder>("recorder").await.unwrap();
    assert!(began.elapsed() < SECOND, "of a clock that tasks alone move");
    is_the_recorder_of(&pair, &mut handle).await;
    // Of those that did not answer nothing is left.
    let lanes = pair.away.links().into_iter().map(|link| link.lanes_opened);
    assert_eq!(lanes.sum::<usize>(), 1);

    let began = Instant::now();
    let answer = pair.away.lookup::<Recorder>("nobody").await;
    assert_eq!(answer.unwrap_err(), LookupError::Timeout);
    let Config { lookup_timeout, .. } = patient();
    assert_eq!(began.elapsed().as_secs(), lookup_timeout.as_secs());
}

#[tokio::test(start_paused = true)]
async fn refusal_says_more_than_silence() {
    let pair = pair().await;
    let others = Others::join(&pair, &["mute/1", "third"]).await;
    let (other, _other) = spawn(Other);
    pair.home.export("other", &other).unwrap();
    others.mute();
    let answer = pair.away.lookup::<Recorder>("other").await;
    assert!(matches!(answer, Err(LookupError::Mismatch(_))));
}

#[tokio::test]
async fn of_several_that_have_it_one_is_taken_and_the_lanes_of_the_others_are_closed() {
    let pair = pair().await;
    let others = Others::join(&pair, &["one", "two"]).await;
    let mut children = Vec::new();
    for node in &others.nodes {
        let (actor, child) = spawn(Recorder::new());
        node.export("recorder", &actor).unwrap();
        children.push(child);
    }
    let mut handle = pair.away.lookup::<Recorder>("recorder").await.unwrap();
    handle.send_high(Command::Mark(1)).await.unwrap();
    assert_eq!(log(&mut handle).await, [Entry::High(1)]);
    let owned = || {
        let nodes = others.nodes.iter().chain([&pair.home]);
        let links = nodes.flat_map(Node::links);
        links.map(|link| link.lanes_owned).sum::<usize>()
    };
    while owned() > 1 {
        tokio::task::yield_now().await;
    }
    drop(handle);
    while owned() > 0 {
        tokio::task::yield_now().await;
    }
}
