//! The project's own runtime.

use std::sync::Arc;
use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Child, Context, IntoBuilder, Reply, Restart, SharedHandle,
    builder, spawn,
    supervision::{Backoff, Supervision},
};

use crate::rivals::actors::traits::{Actors, Handle, MAILBOX};
use crate::rivals::actors::worker::{ActorCounter, CountedActor, PANIC, Worker};
use crate::rivals::channels::Capacity;
use crate::rivals::subject::{Role, Subject};

/// lanemesh-runtime. Messages that are told have low priority, questions have high priority.
#[derive(Debug)]
pub struct LanemeshRuntime;

impl Subject for LanemeshRuntime {
    const NAME: &'static str = "lanemesh-runtime";
    const ROLE: Role = Role::Ours;
    const WITHOUT_MEMBARRIER: Option<&'static str> = Some("lanemesh-runtime-no-membarrier");
}

/// The same actors with clones of one [`SharedHandle`]; restarts, which have nothing to do with
/// handles, are left to [`LanemeshRuntime`].
#[derive(Debug)]
pub struct LanemeshRuntimeShared;

impl Subject for LanemeshRuntimeShared {
    const NAME: &'static str = "lanemesh-runtime-shared";
    const ROLE: Role = Role::Ours;
    const WITHOUT_MEMBARRIER: Option<&'static str> = Some("lanemesh-runtime-shared-no-membarrier");
}

/// Timeout of a question; longer than any measurement.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);

/// The worker as an actor of this runtime.
#[derive(Debug)]
pub struct LanemeshWorker(Worker);

/// Messages of high priority.
#[derive(Debug)]
pub enum High {
    /// A message that gets no answer.
    Tell(u64),
    /// A question and where to send its answer.
    Ask(u64, Reply<u64>),
}

impl Actor for LanemeshWorker {
    type HighPriorityMsg = High;
    type LowPriorityMsg = u64;

    async fn on_high(&mut self, message: High, _: &mut Context<Self>) -> ActorResult {
        match message {
            High::Tell(message) => self.0.on_tell(message),
            High::Ask(message, reply) => {
                // Fails only if the asker is gone; nobody needs the answer then.
                let _ = reply.send(self.0.on_ask(message));
            }
        }
        Ok(())
    }

    async fn on_low(&mut self, message: u64, _: &mut Context<Self>) -> ActorResult {
        self.0.on_tell(message);
        Ok(())
    }
}

/// A node of a tree. It starts `children` nodes, each of which starts `below` nodes.
#[derive(Debug)]
pub struct Node {
    counter: Arc<ActorCounter>,
    children: usize,
    below: usize,
    owned: Vec<(ActorHandle<Node>, Child)>,
    counted: Option<CountedActor>,
}

impl Node {
    fn new(counter: Arc<ActorCounter>, children: usize, below: usize) -> Node {
        Node {
            counter,
            children,
            below,
            owned: Vec::with_capacity(children),
            counted: None,
        }
    }
}

impl Actor for Node {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        for _ in 0..self.children {
            let child = Node::new(self.counter.clone(), self.below, 0);
            self.owned.push(ctx.spawn(child));
        }
        self.counted = Some(CountedActor::new(&self.counter));
        Ok(())
    }
}

impl Actors for LanemeshRuntime {
    type Handle = ActorHandle<LanemeshWorker>;
    type Supervised = ActorHandle<LanemeshWorker>;
    type Tree = (ActorHandle<Node>, Child);

    const KEEPS_QUEUE: bool = true;

    async fn spawn(worker: Worker, senders: usize) -> ActorHandle<LanemeshWorker> {
        let worker = LanemeshWorker(worker).into_builder();
        let slots = Capacity::split(MAILBOX, senders);
        let (handle, child) = worker.low_capacity(slots.lane).spawn();
        child.detach();
        handle
    }

    async fn spawn_supervised() -> Option<ActorHandle<LanemeshWorker>> {
        let unlimited = Supervision::default()
            .intensity(u32::MAX, Duration::from_secs(1))
            .backoff(Backoff::none());
        let (handle, child) = builder(|| LanemeshWorker(Worker::default()))
            .low_capacity(MAILBOX)
            .restart(Restart::Permanent)
            .supervision(unlimited)
            .spawn();
        child.detach();
        Some(handle)
    }

    async fn drain(handle: ActorHandle<LanemeshWorker>) {
        handle.drain();
    }

    async fn spawn_tree(
        branches: usize,
        leaves: usize,
        counter: Arc<ActorCounter>,
    ) -> (ActorHandle<Node>, Child) {
        spawn(Node::new(counter, branches, leaves))
    }

    async fn stop_tree((handle, child): (ActorHandle<Node>, Child)) {
        child.detach();
        handle.stop();
    }
}

impl Actors for LanemeshRuntimeShared {
    type Handle = SharedHandle<LanemeshWorker>;
    type Supervised = SharedHandle<LanemeshWorker>;
    type Tree = (ActorHandle<Node>, Child);

    async fn spawn(worker: Worker, _senders: usize) -> SharedHandle<LanemeshWorker> {
        LanemeshRuntime::spawn(worker, 1).await.shared()
    }

    async fn spawn_supervised() -> Option<SharedHandle<LanemeshWorker>> {
        None
    }

    async fn drain(handle: SharedHandle<LanemeshWorker>) {
        handle.drain();
    }

    async fn spawn_tree(
        branches: usize,
        leaves: usize,
        counter: Arc<ActorCounter>,
    ) -> (ActorHandle<Node>, Child) {
        LanemeshRuntime::spawn_tree(branches, leaves, counter).await
    }

    async fn stop_tree(tree: (ActorHandle<Node>, Child)) {
        LanemeshRuntime::stop_tree(tree).await;
    }
}

impl Handle for SharedHandle<LanemeshWorker> {
    async fn tell(&mut self, message: u64) -> bool {
        self.send_low(message).await.is_ok()
    }

    async fn ask(&mut self, message: u64) -> Option<u64> {
        let question = |reply| High::Ask(message, reply);
        SharedHandle::ask(self, question, ASK_TIMEOUT).await.ok()
    }
}

impl Handle for ActorHandle<LanemeshWorker> {
    async fn tell(&mut self, message: u64) -> bool {
        self.send_low(message).await.is_ok()
    }

    async fn ask(&mut self, message: u64) -> Option<u64> {
        let question = |reply| High::Ask(message, reply);
        ActorHandle::ask(self, question, ASK_TIMEOUT).await.ok()
    }

    async fn crash(&mut self) -> bool {
        self.send_high(High::Tell(PANIC)).await.is_ok()
    }
}
