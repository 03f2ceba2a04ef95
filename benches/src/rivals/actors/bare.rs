//! No runtime: tokio tasks, each with a bounded channel. A lower bound for the cost of an actor.

use std::sync::Arc;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Mutex, oneshot};

use crate::rivals::actors::traits::{Actors, Handle, MAILBOX};
use crate::rivals::actors::worker::{ActorCounter, CountedActor, Worker};
use crate::rivals::subject::{Role, Subject};

/// Bare tokio tasks.
#[derive(Debug)]
pub struct Bare;

impl Subject for Bare {
    const NAME: &'static str = "bare-tokio";
    const ROLE: Role = Role::Floor;
}

/// What a task receives.
#[derive(Debug)]
enum Message {
    Tell(u64),
    Ask(u64, oneshot::Sender<u64>),
}

/// The sending end of a task's channel.
#[derive(Debug, Clone)]
pub struct BareHandle(Sender<Message>);

impl Actors for Bare {
    type Handle = BareHandle;
    type Supervised = BareHandle;
    type Tree = Sender<Never>;

    const KEEPS_QUEUE: bool = true;

    async fn spawn(mut worker: Worker, _: usize) -> BareHandle {
        let (tx, mut rx) = mpsc::channel(MAILBOX);
        tokio::spawn(async move {
            while let Some(message) = rx.recv().await {
                handle(&mut worker, message);
            }
        });
        BareHandle(tx)
    }

    async fn spawn_supervised() -> Option<BareHandle> {
        let (tx, rx) = mpsc::channel(MAILBOX);
        let rx = Arc::new(Mutex::new(rx));
        tokio::spawn(async move {
            loop {
                let ended = tokio::spawn(incarnation(rx.clone())).await;
                // Not when the executor ends: then it is cancelled.
                if !ended.is_err_and(|error| error.is_panic()) {
                    break;
                }
            }
        });
        Some(BareHandle(tx))
    }

    async fn spawn_tree(
        branches: usize,
        leaves: usize,
        counter: Arc<ActorCounter>,
    ) -> Sender<Never> {
        let children = (0..branches)
            .map(|_| {
                let leaves = (0..leaves).map(|_| node(&counter, Vec::new())).collect();
                node(&counter, leaves)
            })
            .collect();
        node(&counter, children)
    }

    async fn stop_tree(tree: Sender<Never>) {
        drop(tree);
    }
}

/// Message type of a tree's nodes, which receive none.
#[derive(Debug)]
pub enum Never {}

/// A task that ends when its parent drops the channel to it, and then drops the channels to its
/// children.
fn node(counter: &Arc<ActorCounter>, children: Vec<Sender<Never>>) -> Sender<Never> {
    let (tx, mut rx) = mpsc::channel::<Never>(1);
    let counted = CountedActor::new(counter);
    tokio::spawn(async move {
        rx.recv().await;
        drop((children, counted));
    });
    tx
}

async fn incarnation(rx: Arc<Mutex<Receiver<Message>>>) {
    let mut worker = Worker::default();
    let mut rx = rx.lock().await;
    while let Some(message) = rx.recv().await {
        handle(&mut worker, message);
    }
}

#[inline]
fn handle(worker: &mut Worker, message: Message) {
    match message {
        Message::Tell(message) => worker.on_tell(message),
        Message::Ask(message, reply) => {
            // Fails only if the asker is gone; nobody needs the answer then.
            let _ = reply.send(worker.on_ask(message));
        }
    }
}

impl Handle for BareHandle {
    async fn tell(&mut self, message: u64) -> bool {
        self.0.send(Message::Tell(message)).await.is_ok()
    }

    async fn ask(&mut self, message: u64) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Message::Ask(message, reply)).await.ok()?;
        answer.await.ok()
    }
}
