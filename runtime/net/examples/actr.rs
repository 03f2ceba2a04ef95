//! The life of an actor node in three phases, and the calls of one: what an actr runtime has, made of this one.
//!
//! First infrastructure that knows no types; then the workload is attached; then the node is started and others find
//! it. Two nodes in one process are linked over TCP, as two processes would be, and the program asserts what it shows:
//!
//! | there | here |
//! |---|---|
//! | `ActrSystem::new(config)` | a `System` of actors and a `Node` |
//! | `system.attach(workload)` | the actor is spawned |
//! | `node.start()` | the node listens, joins, and gives the actor a name |
//! | a lane for `RpcReliable`, one for `RpcSignal` | the low and the high priority of a handle |
//! | `InprocTransportManager::send_request` | `ask` of a handle: of a local actor nothing is encoded |
//! | `OutprocTransportManager::{send_request, send}` | `ask` and `tell` of the handle of a remote actor |
//! | `DataStreamRegistry`, `MediaFrameRegistry` | `Streams::{register_stream, register_media_track}` |
//! | `RouteCandidates` | `Names::lookup_within`, or a group by turns or key |
//! | a `Mailbox` in SQLite: `enqueue`, `dequeue`, `ack` | `lanemesh-durable`: see its example `orders` |
//! | `wait_for_ctrl_c_and_shutdown`, `shutdown` | the same, with `--wait` or without |

use std::time::Duration;

use lanemesh_net::{
    Config, Node, Remote,
    members::{MemberOptions, Membership},
    names::{Names, Registration},
    streams::{Chunk, MediaFrame, MediaKind, Mode, Streams},
};
use lanemesh_runtime::{Actor, ActorHandle, ActorResult, Child, Context, Reply, System};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

const SECRET: [u8; 16] = *b"known to us all.";
const SCOPE: &str = "actr";
const SECOND: Duration = Duration::from_secs(1);

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

// --- the three phases ---------------------------------------------------------------------------

/// What is there before anything is known of types.
struct ActrSystem {
    actors: System,
    node: Node,
}

impl ActrSystem {
    fn new(name: &str, config: Config) -> Self {
        Self {
            actors: System::new(name),
            node: Node::builder(name).secret(SECRET).config(config).build(),
        }
    }

    /// Attaches the business logic.
    fn attach<W: Remote>(self, workload: W) -> ActrNode<W> {
        let (handle, child) = self.actors.spawn(workload);
        ActrNode {
            system: self,
            handle,
            child,
        }
    }
}

/// A node with its workload, which nobody can reach yet.
struct ActrNode<W: Remote> {
    system: ActrSystem,
    handle: ActorHandle<W>,
    child: Child,
}

impl<W: Remote> ActrNode<W> {
    /// Listens, joins those that are linked to `seeds`, and gives the workload the name of the node.
    async fn start(self, seeds: &[String]) -> Outcome<Running<W>> {
        let node = self.system.node;
        let address = node.bind("tcp://127.0.0.1:0").await?;
        let members = Membership::join(&node, MemberOptions::new([&address]))?;
        let names = Names::join(&members)?;
        let registration = names.register(SCOPE, &node.info().name, &self.handle)?;
        for seed in seeds {
            node.connect(seed).await?;
        }
        Ok(Running {
            actors: self.system.actors,
            streams: Streams::new(&node),
            node,
            address,
            names,
            handle: self.handle,
            child: self.child,
            _registration: registration,
        })
    }
}

/// A node that runs.
struct Running<W: Remote> {
    actors: System,
    node: Node,
    address: String,
    names: Names,
    streams: Streams,
    handle: ActorHandle<W>,
    child: Child,
    _registration: Registration,
}

impl<W: Remote> Running<W> {
    async fn wait_for_ctrl_c_and_shutdown(self) -> Outcome<()> {
        tokio::signal::ctrl_c().await?;
        self.shutdown().await
    }

    /// The links go first, so that nothing new arrives; what has arrived is handled.
    async fn shutdown(self) -> Outcome<()> {
        let is_closed = self.node.shutdown(5 * SECOND).await;
        drop(self.handle);
        self.child.drain().await;
        let report = self.actors.shutdown(5 * SECOND).await;
        assert!(is_closed && report.is_clean());
        Ok(())
    }
}

// --- the workload -------------------------------------------------------------------------------

/// Counts notes, and echoes with the count. A signal overtakes notes and questions.
#[derive(Default)]
struct MyWorkload {
    notes: u64,
    is_loud: bool,
}

#[derive(Serialize, Deserialize)]
enum Signal {
    Loud(bool),
}

#[derive(Serialize, Deserialize)]
enum Rpc {
    Note,
    Echo(String, Reply<String>),
}

impl Actor for MyWorkload {
    type HighPriorityMsg = Signal;
    type LowPriorityMsg = Rpc;

    async fn on_high(
        &mut self,
        Signal::Loud(is_loud): Signal,
        _: &mut Context<Self>,
    ) -> ActorResult {
        self.is_loud = is_loud;
        Ok(())
    }

    async fn on_low(&mut self, rpc: Rpc, _: &mut Context<Self>) -> ActorResult {
        match rpc {
            Rpc::Note => self.notes += 1,
            Rpc::Echo(text, reply) => {
                let text = if self.is_loud {
                    text.to_uppercase()
                } else {
                    text
                };
                drop(reply.send(format!("{text} after {} notes", self.notes)));
            }
        }
        Ok(())
    }
}

impl Remote for MyWorkload {
    const TYPE: &'static str = "example/workload";
}

/// The same calls, whether the actor is in this process or not.
async fn converse(workload: &mut ActorHandle<MyWorkload>, notes: u64) -> Outcome<()> {
    let echo = |reply| Rpc::Echo("hello".into(), reply);
    workload.send_low(Rpc::Note).await?; // reliable: one way
    let answer = workload.ask_low(echo, 10 * SECOND).await?; // reliable: a request
    assert_eq!(answer, format!("hello after {} notes", notes + 1));
    workload.send_high(Signal::Loud(true)).await?; // a signal
    workload.idle().await; // there is no order between the two
    let answer = workload.ask_low(echo, 10 * SECOND).await?;
    assert_eq!(answer, format!("HELLO after {} notes", notes + 1));
    workload.send_high(Signal::Loud(false)).await?;
    workload.idle().await;
    println!("{answer}");
    Ok(())
}

/// Chunks and frames from one node to callbacks on the other.
async fn stream(to: &Streams, on: &str, from: &Streams) -> Outcome<()> {
    let (tx, mut chunks) = mpsc::channel(16);
    let file = to.register_stream("file/7", move |chunk: Chunk, from| {
        let tx = tx.clone();
        async move { Ok(tx.send((chunk, from)).await?) }
    })?;
    let (tx, mut frames) = mpsc::channel(16);
    let camera = to.register_media_track("camera", move |frame: MediaFrame, _| {
        let tx = tx.clone();
        async move { Ok(tx.send(frame).await?) }
    })?;

    let mut sender = from.open_stream(on, "file/7", Mode::Reliable).await?;
    for part in ["one ", "two ", "three"] {
        sender.send(part).await?;
    }
    sender.finish().await;
    let mut text = Vec::new();
    for sequence in 0..3 {
        let (chunk, from) = chunks.recv().await.ok_or("a chunk is missing")?;
        assert_eq!((chunk.sequence, &*from.name), (sequence, "client"));
        text.extend_from_slice(&chunk.payload);
    }
    assert_eq!(text, b"one two three");

    let mut track = from.open_media_track(on, "camera").await?;
    let frame = MediaFrame {
        kind: MediaKind::Video,
        codec: "VP8".into(),
        timestamp: 90_000,
        data: vec![0x9d, 0x01, 0x2a].into(),
    };
    track.send(frame.clone())?;
    assert_eq!(frames.recv().await, Some(frame));
    drop((file, camera));
    println!("{} bytes and a frame have arrived", text.len());
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    // Phase 1: infrastructure without types.
    let config = Config::default();
    let system = ActrSystem::new("service", config.clone());

    // Phase 2: attach the business logic.
    let node = system.attach(MyWorkload::default());

    // Phase 3: start, and get a running node.
    let running = node.start(&[]).await?;

    // In process: the message itself goes to the actor.
    converse(&mut running.handle.clone(), 0).await?;

    // Across processes: another node finds it by name, and has the same handle.
    let client = ActrSystem::new("client", config).attach(MyWorkload::default());
    let client = client.start(std::slice::from_ref(&running.address)).await?;
    let lookup = client.names.lookup_within("actr", "service", 60 * SECOND);
    let mut service: ActorHandle<MyWorkload> = lookup.await?;
    converse(&mut service, 1).await?;
    assert_eq!(running.names.membership().members().len(), 2);

    // Streams and media.
    stream(&running.streams, "service", &client.streams).await?;

    client.shutdown().await?;
    match std::env::args().any(|argument| argument == "--wait") {
        true => running.wait_for_ctrl_c_and_shutdown().await,
        false => running.shutdown().await,
    }
}
