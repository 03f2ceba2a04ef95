//! kameo.

use std::sync::Arc;
use std::time::Duration;

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::mailbox;
use kameo::message::{Context, Message};
use kameo::supervision::RestartPolicy;

use crate::rivals::actors::traits::{Actors, Handle, MAILBOX};
use crate::rivals::actors::worker::{ActorCounter, CountedActor, Worker};
use crate::rivals::subject::Subject;

/// The adapter of `kameo`.
#[derive(Debug)]
pub struct Kameo;

impl Subject for Kameo {
    const NAME: &'static str = "kameo";
}

/// The worker as a kameo actor.
#[derive(Debug, Clone)]
pub struct KameoWorker(Worker);

struct Tell(u64);

struct Ask(u64);

impl Actor for KameoWorker {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(worker: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(worker)
    }
}

impl Message<Tell> for KameoWorker {
    type Reply = ();

    async fn handle(&mut self, Tell(message): Tell, _: &mut Context<Self, ()>) {
        self.0.on_tell(message);
    }
}

impl Message<Ask> for KameoWorker {
    type Reply = u64;

    async fn handle(&mut self, Ask(message): Ask, _: &mut Context<Self, u64>) -> u64 {
        self.0.on_ask(message)
    }
}

/// A node of a tree. It starts `children` nodes, each of which starts `below` nodes.
#[derive(Debug, Clone)]
pub struct Node {
    counter: Arc<ActorCounter>,
    children: usize,
    below: usize,
    counted: Option<Arc<CountedActor>>,
}

impl Actor for Node {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(mut node: Self, this: ActorRef<Self>) -> Result<Self, Infallible> {
        for _ in 0..node.children {
            let child = Node {
                children: node.below,
                below: 0,
                ..node.clone()
            };
            Box::pin(
                Node::supervise(&this, child)
                    .restart_policy(RestartPolicy::Never)
                    .spawn(),
            )
            .await;
        }
        node.counted = Some(Arc::new(CountedActor::new(&node.counter)));
        Ok(node)
    }
}

/// The supervisor of a worker that panics.
struct Supervisor;

impl Actor for Supervisor {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(supervisor: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(supervisor)
    }
}

impl Actors for Kameo {
    type Handle = ActorRef<KameoWorker>;
    type Supervised = Supervised;
    type Tree = ActorRef<Node>;

    // It keeps the queue over one restart. The next incarnation takes all of it into a buffer, and
    // drops the rest of that if it panics at one of these messages.
    const KEEPS_QUEUE: bool = false;

    async fn spawn(worker: Worker, _: usize) -> ActorRef<KameoWorker> {
        KameoWorker::spawn_with_mailbox(KameoWorker(worker), mailbox::bounded(MAILBOX))
    }

    async fn spawn_supervised() -> Option<Supervised> {
        let supervisor = Supervisor::spawn(Supervisor);
        let worker = KameoWorker::supervise(&supervisor, KameoWorker(Worker::default()))
            .restart_policy(RestartPolicy::Permanent)
            .restart_limit(u32::MAX, Duration::from_secs(1))
            .spawn_with_mailbox(mailbox::bounded(MAILBOX))
            .await;
        Some(Supervised {
            worker,
            _supervisor: supervisor,
        })
    }

    async fn spawn_tree(
        branches: usize,
        leaves: usize,
        counter: Arc<ActorCounter>,
    ) -> ActorRef<Node> {
        Node::spawn(Node {
            counter,
            children: branches,
            below: leaves,
            counted: None,
        })
    }

    async fn stop_tree(tree: ActorRef<Node>) {
        // Fails only if the actor has stopped already.
        let _ = tree.stop_gracefully().await;
    }
}

impl Handle for ActorRef<KameoWorker> {
    async fn tell(&mut self, message: u64) -> bool {
        ActorRef::tell(self, Tell(message)).await.is_ok()
    }

    async fn ask(&mut self, message: u64) -> Option<u64> {
        ActorRef::ask(self, Ask(message)).await.ok()
    }
}

/// The address of a supervised worker, with its supervisor.
#[derive(Debug, Clone)]
pub struct Supervised {
    worker: ActorRef<KameoWorker>,
    _supervisor: ActorRef<Supervisor>,
}

impl Handle for Supervised {
    async fn tell(&mut self, message: u64) -> bool {
        Handle::tell(&mut self.worker, message).await
    }

    async fn ask(&mut self, message: u64) -> Option<u64> {
        Handle::ask(&mut self.worker, message).await
    }
}
