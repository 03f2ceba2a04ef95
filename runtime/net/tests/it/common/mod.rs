//! An actor for the tests, and nodes that are linked in one process.

use std::{sync::Arc, time::Duration};

use lanemesh_net::{Config, Event, Node, Remote, transport::InProcess};
use lanemesh_runtime::{
    Actor, ActorError, ActorHandle, ActorResult, Child, Context, Handler, Reply, Restart,
    actor::{Observe, Priority},
    builder,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, broadcast};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What the tests tell and ask.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    Mark(u64),
    /// All that was received before, in order.
    Log(Reply<Vec<Entry>>),
    /// Keeps the reply.
    Keep(Reply<u64>),
    /// Answers the kept reply.
    Answer(u64),
    Fail,
    Panic,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    High(u64),
    Low(u64),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Data {
    Number(u64),
    Bytes(#[serde(with = "bytes")] Vec<u8>),
    Ask(Reply<u64>),
    /// Stops taking messages until the permit is there.
    Hold,
}

/// Bytes as bytes, and not as a sequence of numbers.
mod bytes {
    use serde::{
        Deserializer, Serializer,
        de::{SeqAccess, Visitor},
    };

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            // JSON has no bytes.
            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = from.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        from.deserialize_bytes(Bytes)
    }
}

/// Keeps a log. It survives a restart if the factory shares it.
pub(crate) struct Recorder {
    log: Vec<Entry>,
    kept: Vec<Reply<u64>>,
    gate: Option<Arc<Semaphore>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            log: Vec::new(),
            kept: Vec::new(),
            gate: None,
        }
    }
}

impl Actor for Recorder {
    type HighPriorityMsg = Command;
    type LowPriorityMsg = Data;

    async fn on_high(&mut self, msg: Command, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Command::Mark(number) => self.log.push(Entry::High(number)),
            Command::Log(reply) => drop(reply.send(self.log.clone())),
            Command::Keep(reply) => self.kept.push(reply),
            Command::Answer(number) => {
                for reply in self.kept.drain(..) {
                    drop(reply.send(number));
                }
            }
            Command::Fail => return Err(ActorError::msg("asked to fail")),
            Command::Panic => panic!("asked to panic"),
        }
        Ok(())
    }

    async fn on_low(&mut self, msg: Data, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Data::Number(number) => self.log.push(Entry::Low(number)),
            Data::Bytes(bytes) => self.log.push(Entry::Low(bytes.len() as u64)),
            Data::Ask(reply) => drop(reply.send(self.log.len() as u64)),
            Data::Hold => {
                if let Some(gate) = &self.gate {
                    gate.acquire().await?.forget();
                }
            }
        }
        Ok(())
    }
}

impl Observe for Recorder {
    type State = usize;

    fn observe(&self) -> usize {
        self.log.len()
    }
}

impl Remote for Recorder {
    const TYPE: &'static str = "test/recorder";
}

/// An actor, and two nodes with a link between them: `home` has the actor.
pub(crate) struct Pair {
    pub(crate) network: InProcess,
    pub(crate) home: Node,
    pub(crate) away: Node,
    pub(crate) actor: ActorHandle<Recorder>,
    pub(crate) child: Child,
    /// A permit lets the actor go on after [`Data::Hold`].
    pub(crate) gate: Arc<Semaphore>,
}

/// Times that no busy machine exceeds: what is slow here is not dead.
pub(crate) fn patient() -> Config {
    Config {
        suspected_after: 3600 * SECOND,
        dead_after: 3600 * SECOND,
        handshake_timeout: 60 * SECOND,
        lookup_timeout: 60 * SECOND,
        ..Config::default()
    }
}

pub(crate) async fn pair() -> Pair {
    pair_with(patient()).await
}

pub(crate) async fn pair_with(config: Config) -> Pair {
    let network = InProcess::default();
    let node = |name: &str| {
        let node = Node::builder(name).config(config.clone()).incarnation(1);
        node.transport("mem", network.clone()).seed(1).build()
    };
    let (home, away) = (node("home"), node("away"));
    home.bind("mem:home").await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let permits = gate.clone();
    let recorder = builder(move || Recorder {
        gate: Some(permits.clone()),
        ..Recorder::new()
    });
    let recorder = recorder.restart(Restart::Transient).low_capacity(8);
    let (actor, child) = recorder.spawn();
    home.export("recorder", &actor).unwrap();
    away.connect("mem:home").await.unwrap();
    Pair {
        network,
        home,
        away,
        actor,
        child,
        gate,
    }
}

impl Pair {
    pub(crate) async fn lookup(&self) -> ActorHandle<Recorder> {
        self.away.lookup("recorder").await.unwrap()
    }
}

pub(crate) async fn log(handle: &mut ActorHandle<Recorder>) -> Vec<Entry> {
    handle.ask(Command::Log, 5 * SECOND).await.unwrap()
}

/// The numbers of the low messages in a log.
pub(crate) fn lows(log: &[Entry]) -> Vec<u64> {
    log.iter()
        .filter_map(|entry| match entry {
            Entry::Low(number) => Some(*number),
            Entry::High(_) => None,
        })
        .collect()
}

/// Waits for an event that `wanted` takes.
pub(crate) async fn event<T>(
    events: &mut broadcast::Receiver<Event>,
    mut wanted: impl FnMut(Event) -> Option<T>,
) -> T {
    loop {
        if let Some(found) = wanted(events.recv().await.unwrap()) {
            return found;
        }
    }
}

/// An actor of one type of messages, which can be copied: even numbers are urgent.
#[derive(Default)]
pub(crate) struct Plain(Vec<u64>);

impl Handler for Plain {
    type Msg = u64;

    fn priority(number: &u64) -> Priority {
        match number % 2 {
            0 => Priority::High,
            _ => Priority::Low,
        }
    }

    async fn handle(&mut self, number: u64, _: &mut Context<Self>) -> ActorResult {
        self.0.push(number);
        Ok(())
    }
}

impl Observe for Plain {
    type State = Vec<u64>;

    /// Sorted.
    fn observe(&self) -> Vec<u64> {
        let mut numbers = self.0.clone();
        numbers.sort_unstable();
        numbers
    }
}

impl Remote for Plain {
    const TYPE: &'static str = "test/plain";
}
