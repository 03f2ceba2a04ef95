//! ractor. Its mailboxes are unbounded.

use std::sync::{Arc, Mutex, PoisonError};

use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

use crate::rivals::actors::traits::{Actors, Handle};
use crate::rivals::actors::worker::{ActorCounter, CountedActor, Worker};
use crate::rivals::subject::Subject;

/// The adapter of `ractor`.
#[derive(Debug)]
pub struct Ractor;

impl Subject for Ractor {
    const NAME: &'static str = "ractor";
}

/// What a worker receives.
#[derive(Debug)]
pub enum Message {
    /// A message that gets no answer.
    Tell(u64),
    /// A question and where to send its answer.
    Ask(u64, RpcReplyPort<u64>),
}

struct RactorWorker;

impl Actor for RactorWorker {
    type Msg = Message;
    type State = Worker;
    type Arguments = Worker;

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        worker: Worker,
    ) -> Result<Worker, ActorProcessingErr> {
        Ok(worker)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        worker: &mut Worker,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Tell(message) => worker.on_tell(message),
            Message::Ask(message, reply) => {
                // Fails only if the asker is gone; nobody needs the answer then.
                let _ = reply.send(worker.on_ask(message));
            }
        }
        Ok(())
    }
}

/// A node of a tree. It starts `children` nodes, each of which starts `below` nodes.
struct Node {
    children: usize,
    below: usize,
}

impl Actor for Node {
    type Msg = ();
    type State = CountedActor;
    type Arguments = Arc<ActorCounter>;

    async fn pre_start(
        &self,
        this: ActorRef<()>,
        counter: Arc<ActorCounter>,
    ) -> Result<CountedActor, ActorProcessingErr> {
        for _ in 0..self.children {
            let child = Node {
                children: self.below,
                below: 0,
            };
            Box::pin(Node::spawn_linked(
                None,
                child,
                counter.clone(),
                this.get_cell(),
            ))
            .await?;
        }
        Ok(CountedActor::new(&counter))
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        _: SupervisionEvent,
        _: &mut CountedActor,
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// Holds the current incarnation of a supervised worker.
type CurrentWorker = Arc<Mutex<Option<ActorRef<Message>>>>;

/// Starts a new worker when the current one fails.
struct Supervisor(CurrentWorker);

impl Supervisor {
    async fn start(&self, this: &ActorRef<()>) -> Result<(), ActorProcessingErr> {
        let worker = Worker::default();
        let (worker, _) =
            RactorWorker::spawn_linked(None, RactorWorker, worker, this.get_cell()).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(worker);
        Ok(())
    }
}

impl Actor for Supervisor {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, this: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        self.start(&this).await
    }

    async fn handle_supervisor_evt(
        &self,
        this: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(..) => self.start(&this).await,
            _ => Ok(()),
        }
    }
}

async fn spawn_worker(worker: Worker) -> ActorRef<Message> {
    match RactorWorker::spawn(None, RactorWorker, worker).await {
        Ok((actor, _)) => actor,
        Err(error) => panic!("the worker did not start: {error}"),
    }
}

impl Actors for Ractor {
    type Handle = ActorRef<Message>;
    type Supervised = Supervised;
    type Tree = ActorRef<()>;

    async fn spawn(worker: Worker, _: usize) -> ActorRef<Message> {
        spawn_worker(worker).await
    }

    async fn spawn_supervised() -> Option<Supervised> {
        let slot = CurrentWorker::default();
        match Supervisor::spawn(None, Supervisor(slot.clone()), ()).await {
            Ok(_) => Some(Supervised(slot)),
            Err(error) => panic!("the supervisor did not start: {error}"),
        }
    }

    async fn drain(handle: ActorRef<Message>) {
        // Fails only if the actor has stopped already.
        let _ = handle.drain();
    }

    async fn spawn_tree(
        branches: usize,
        leaves: usize,
        counter: Arc<ActorCounter>,
    ) -> ActorRef<()> {
        let root = Node {
            children: branches,
            below: leaves,
        };
        match Node::spawn(None, root, counter).await {
            Ok((root, _)) => root,
            Err(error) => panic!("the tree did not start: {error}"),
        }
    }

    async fn stop_tree(tree: ActorRef<()>) {
        tree.stop(None);
    }
}

impl Handle for ActorRef<Message> {
    async fn tell(&mut self, message: u64) -> bool {
        self.cast(Message::Tell(message)).is_ok()
    }

    async fn ask(&mut self, message: u64) -> Option<u64> {
        match self.call(|reply| Message::Ask(message, reply), None).await {
            Ok(CallResult::Success(answer)) => Some(answer),
            _ => None,
        }
    }
}

/// The address of a supervised worker. Every message looks up the current incarnation.
#[derive(Debug, Clone)]
pub struct Supervised(CurrentWorker);

impl Supervised {
    fn worker(&self) -> Option<ActorRef<Message>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Handle for Supervised {
    async fn tell(&mut self, message: u64) -> bool {
        match self.worker() {
            Some(mut worker) => worker.tell(message).await,
            None => false,
        }
    }

    async fn ask(&mut self, message: u64) -> Option<u64> {
        self.worker()?.ask(message).await
    }
}
