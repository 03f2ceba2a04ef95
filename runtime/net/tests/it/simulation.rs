//! A network in one process, with a seed: delay, cuts that reset or stall connections, and nodes that are
//! cut off. A connection delivers in order what it delivers, as TCP does; two connections have no order.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use lanemesh_net::{
    Config,
    transport::{Accepted, BoxFuture, Connection, Listener, Transport},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

/// Bytes that are on the way in one direction at most, besides the one that is being delayed.
const PIPE: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Flowing,
    Stalled,
    Reset,
}

#[derive(Clone)]
pub(crate) struct Network(Arc<Mutex<Inside>>);

struct Inside {
    random: fastrand::Rng,
    max_delay: Duration,
    listeners: BTreeMap<String, mpsc::Sender<DuplexStream>>,
    connections: Vec<(BTreeSet<String>, watch::Sender<State>)>,
    /// Nodes between which nothing flows, and nothing is connected.
    cut: BTreeSet<BTreeSet<String>>,
}

fn both(one: &str, other: &str) -> BTreeSet<String> {
    [one.to_owned(), other.to_owned()].into()
}

impl Network {
    pub(crate) fn new(seed: u64, max_delay: Duration) -> Self {
        Self(Arc::new(Mutex::new(Inside {
            random: fastrand::Rng::with_seed(seed),
            max_delay,
            listeners: BTreeMap::new(),
            connections: Vec::new(),
            cut: BTreeSet::new(),
        })))
    }

    /// The network as a node sees it; an address is the name of a node.
    pub(crate) fn of(&self, node: &str) -> Access {
        Access {
            network: self.clone(),
            node: node.to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    /// Resets all connections between two nodes.
    pub(crate) fn reset(&self, one: &str, other: &str) {
        self.set(&both(one, other), State::Reset);
    }

    /// Lets nothing through between two nodes, and says nothing.
    pub(crate) fn cut(&self, one: &str, other: &str) {
        self.lock().cut.insert(both(one, other));
        self.set(&both(one, other), State::Stalled);
    }

    /// Lets everything through again, what was held back first.
    pub(crate) fn heal(&self, one: &str, other: &str) {
        self.lock().cut.remove(&both(one, other));
        self.set(&both(one, other), State::Flowing);
    }

    /// The node is gone with all its connections, and listens no more.
    pub(crate) fn crash(&self, node: &str) {
        let mut inside = self.lock();
        inside.listeners.remove(node);
        for (ends, state) in &inside.connections {
            if ends.contains(node) {
                state.send_replace(State::Reset);
            }
        }
    }

    fn set(&self, ends: &BTreeSet<String>, to: State) {
        let mut inside = self.lock();
        inside.connections.retain(|(_, state)| !state.is_closed());
        for (_, state) in inside.connections.iter().filter(|(known, _)| known == ends) {
            if *state.borrow() != State::Reset {
                state.send_replace(to);
            }
        }
    }

    fn delay(&self) -> Duration {
        let mut inside = self.lock();
        inside.max_delay.mul_f64(inside.random.f64())
    }

    fn size(&self) -> usize {
        self.lock().random.usize(1..4096)
    }

    /// Carries bytes in one direction until the connection is closed or reset.
    async fn carry(
        self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        mut state: watch::Receiver<State>,
    ) {
        let mut buffer = vec![0; 4096];
        loop {
            let size = self.size();
            let count = tokio::select! {
                biased;
                _ = state.wait_for(|state| *state == State::Reset) => return,
                read = from.read(&mut buffer[..size]) => match read {
                    Ok(count) if count > 0 => count,
                    _ => return,
                },
            };
            sleep(self.delay()).await;
            let state = state.wait_for(|state| *state != State::Stalled).await;
            if !state.is_ok_and(|state| *state == State::Flowing) {
                return;
            }
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }
}

pub(crate) struct Access {
    network: Network,
    node: String,
}

impl Transport for Access {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            sleep(self.network.delay()).await;
            let ends = both(&self.node, address);
            let (own, near) = tokio::io::duplex(PIPE);
            let (far, other) = tokio::io::duplex(PIPE);
            let (tx, state) = watch::channel(State::Flowing);
            let listener = {
                let mut inside = self.network.lock();
                if inside.cut.contains(&ends) {
                    return Err(io::ErrorKind::HostUnreachable.into());
                }
                inside.connections.push((ends, tx));
                inside.listeners.get(address).cloned()
            };
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let accepted = listener.ok_or_else(refused)?.send(other).await;
            accepted.map_err(|_| refused())?;
            let (near_in, near_out) = tokio::io::split(near);
            let (far_in, far_out) = tokio::io::split(far);
            let network = &self.network;
            tokio::spawn(network.clone().carry(near_in, far_out, state.clone()));
            tokio::spawn(network.clone().carry(far_in, near_out, state));
            let (reader, writer) = tokio::io::split(own);
            Ok(Connection::new(reader, writer))
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            assert_eq!(address, self.node);
            let (tx, rx) = mpsc::channel(16);
            self.network.lock().listeners.insert(address.to_owned(), tx);
            let listener: Box<dyn Listener> = Box::new(Listening(rx, address.to_owned()));
            Ok(listener)
        })
    }

    fn is_private(&self) -> bool {
        true
    }
}

struct Listening(mpsc::Receiver<DuplexStream>, String);

impl Listener for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async move {
            let stream = self.0.recv().await;
            let stream = stream.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
            let (reader, writer) = tokio::io::split(stream);
            let accepted: Accepted = Box::pin(ready(Ok(Connection::new(reader, writer))));
            Ok(accepted)
        })
    }

    fn address(&self) -> String {
        self.1.clone()
    }
}

/// Deadlines that are met often in a run.
pub(crate) fn config() -> Config {
    Config {
        heartbeat: Duration::from_millis(50),
        suspected_after: Duration::from_millis(200),
        dead_after: Duration::from_millis(400),
        handshake_timeout: Duration::from_millis(500),
        lookup_timeout: Duration::from_millis(500),
        backoff: Duration::from_millis(10),
        max_backoff: Duration::from_millis(200),
        ..Config::default()
    }
}

/// Runs a simulation for each seed, for at most `limit` of simulated time.
pub(crate) fn simulate(
    limit: Duration,
    seeds: impl Iterator<Item = u64>,
    mut run: impl AsyncFnMut(u64),
) {
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let ended = timeout(limit, run(seed)).await;
            ended.unwrap_or_else(|_| panic!("seed {seed} stands still"));
        });
    }
}

/// The seeds of a test, or those of `LANEMESH_SEEDS=first..last`.
pub(crate) fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    seeds_of_environment().unwrap_or(default)
}

/// Those of `LANEMESH_SEEDS=first..last`, if it is set.
pub(crate) fn seeds_of_environment() -> Option<std::ops::Range<u64>> {
    let range = std::env::var("LANEMESH_SEEDS").ok()?;
    let (first, last) = range.split_once("..").expect("LANEMESH_SEEDS=first..last");
    Some(first.parse().unwrap()..last.parse().unwrap())
}
