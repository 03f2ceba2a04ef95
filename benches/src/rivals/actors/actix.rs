//! actix. An actor lives on one thread: the one that everything else runs on, or one of its own, an
//! arbiter. An actor that panics is not restarted.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;

use actix::dev::{MessageResponse, OneshotSender};
use actix::prelude::SendError;
use actix::{Actor, Addr, Arbiter, ArbiterHandle, Context, Handler, Message, System};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::rig::fault::Fault;
use crate::rivals::actors::traits::{Actors, Handle, MAILBOX};
use crate::rivals::actors::worker::{ActorCounter, CountedActor, Worker};
use crate::rivals::subject::Subject;

/// actix with everything on one thread.
#[derive(Debug)]
pub struct Actix;

/// actix with the actors on a thread of their own.
#[derive(Debug)]
pub struct ActixArbiter;

impl Subject for Actix {
    const NAME: &'static str = "actix";
}

impl Subject for ActixArbiter {
    const NAME: &'static str = "actix-arbiter";
}

/// The worker as an actix actor.
#[derive(Debug)]
pub struct ActixWorker(Worker);

struct Tell(u64);

impl Message for Tell {
    type Result = ();
}

struct Ask(u64);

impl Message for Ask {
    type Result = Answer;
}

struct Answer(u64);

impl<A: Actor, M: Message<Result = Answer>> MessageResponse<A, M> for Answer {
    fn handle(self, _: &mut A::Context, reply: Option<OneshotSender<Answer>>) {
        if let Some(reply) = reply {
            // Fails only if the asker is gone; nobody needs the answer then.
            let _ = reply.send(self);
        }
    }
}

impl Actor for ActixWorker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Tell> for ActixWorker {
    type Result = ();

    fn handle(&mut self, Tell(message): Tell, _: &mut Context<Self>) {
        self.0.on_tell(message);
    }
}

impl Handler<Ask> for ActixWorker {
    type Result = Answer;

    fn handle(&mut self, Ask(message): Ask, _: &mut Context<Self>) -> Answer {
        Answer(self.0.on_ask(message))
    }
}

/// A node of a tree. An actor ends when its last address is dropped, and then so do its children.
#[derive(Debug)]
pub struct Node {
    children: Vec<Addr<Node>>,
    _counted: CountedActor,
}

impl Actor for Node {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.children.clear();
    }
}

/// Starts a tree on this thread.
fn spawn_tree(branches: usize, leaves: usize, counter: &Arc<ActorCounter>) -> Addr<Node> {
    let node = |children| {
        Node {
            children,
            _counted: CountedActor::new(counter),
        }
        .start()
    };
    let branch = |_| node((0..leaves).map(|_| node(Vec::new())).collect());
    node((0..branches).map(branch).collect())
}

impl Actors for Actix {
    type Handle = Addr<ActixWorker>;
    type Supervised = Addr<ActixWorker>;
    type Tree = Addr<Node>;

    const RESTARTS: bool = false;

    fn can_use(workers: usize) -> bool {
        workers == 1
    }

    fn block_on<R>(_: usize, work: impl Future<Output = Result<R, Fault>>) -> Result<R, Fault> {
        System::new().block_on(work)
    }

    fn task<R: Send + 'static>(work: impl Future<Output = R> + Send + 'static) -> JoinHandle<R> {
        tokio::task::spawn_local(work)
    }

    async fn spawn(worker: Worker, _: usize) -> Addr<ActixWorker> {
        ActixWorker(worker).start()
    }

    async fn spawn_supervised() -> Option<Addr<ActixWorker>> {
        None
    }

    async fn spawn_tree(branches: usize, leaves: usize, counter: Arc<ActorCounter>) -> Addr<Node> {
        spawn_tree(branches, leaves, &counter)
    }

    async fn stop_tree(tree: Addr<Node>) {
        drop(tree);
    }
}

thread_local! {
    /// Arbiter of the actors that this thread starts.
    static ARBITER: RefCell<Option<ArbiterHandle>> = const { RefCell::new(None) };
}

fn arbiter() -> ArbiterHandle {
    let handle = ARBITER.with_borrow(Clone::clone);
    handle.unwrap_or_else(|| panic!("actors are started inside `block_on`"))
}

impl Actors for ActixArbiter {
    type Handle = Addr<ActixWorker>;
    type Supervised = Addr<ActixWorker>;
    type Tree = Addr<Node>;

    const RESTARTS: bool = false;

    fn can_use(workers: usize) -> bool {
        workers > 1
    }

    fn block_on<R>(_: usize, work: impl Future<Output = Result<R, Fault>>) -> Result<R, Fault> {
        System::new().block_on(async {
            let arbiter = Arbiter::new();
            ARBITER.set(Some(arbiter.handle()));
            let result = work.await;
            ARBITER.set(None);
            arbiter.stop();
            arbiter
                .join()
                .map_err(|_| Fault::Panicked("an arbiter".to_owned()))?;
            result
        })
    }

    fn task<R: Send + 'static>(work: impl Future<Output = R> + Send + 'static) -> JoinHandle<R> {
        tokio::task::spawn_local(work)
    }

    async fn spawn(worker: Worker, _: usize) -> Addr<ActixWorker> {
        ActixWorker::start_in_arbiter(&arbiter(), |_| ActixWorker(worker))
    }

    async fn spawn_supervised() -> Option<Addr<ActixWorker>> {
        None
    }

    async fn spawn_tree(branches: usize, leaves: usize, counter: Arc<ActorCounter>) -> Addr<Node> {
        let (spawned, tree) = oneshot::channel();
        arbiter().spawn_fn(move || {
            // Cannot fail: the receiver waits below.
            let _ = spawned.send(spawn_tree(branches, leaves, &counter));
        });
        tree.await.unwrap_or_else(|_| panic!("the arbiter is gone"))
    }

    async fn stop_tree(tree: Addr<Node>) {
        drop(tree);
    }
}

impl Handle for Addr<ActixWorker> {
    async fn tell(&mut self, message: u64) -> bool {
        let mut message = Tell(message);
        loop {
            match self.try_send(message) {
                Ok(()) => return true,
                Err(SendError::Full(back)) => message = back,
                Err(SendError::Closed(_)) => return false,
            }
            tokio::task::yield_now().await;
        }
    }

    async fn ask(&mut self, message: u64) -> Option<u64> {
        self.send(Ask(message))
            .await
            .ok()
            .map(|Answer(answer)| answer)
    }
}
