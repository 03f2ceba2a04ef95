//! `durable`: messages that are on disk before their sender goes on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(feature = "stores")]
use std::time::Duration;
use std::time::Instant;

use lanemesh_durable::{Durable, DurableExt, DurableMessage, Mailbox};
use lanemesh_runtime::{Actor, ActorResult, Context, builder};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use crate::plan::{Cell, Effort, Metric, Shape};
use crate::rig::fault::{Fault, ensure};
use crate::rig::stats::Unit;
use crate::rivals::Subject;
use crate::rivals::stores::{LanemeshDurable, Store, StoreVisitor, visit_stores};
#[cfg(feature = "stores")]
use crate::rivals::stores::{Polled, Sqlite};

/// Bytes of a message.
const BYTES: usize = 256;
/// Producers of the second metric.
const PRODUCERS: u64 = 64;

const METRICS: &[Metric] = &[
    Metric::new("tell to handled, p50", Unit::Micros),
    Metric::new("64 producers", Unit::NanosPerMessage),
    Metric::new("start with 1 M queued", Unit::Millis),
];

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "durable",
    about: "Messages of 256 bytes that are on disk before their sender goes on, and are handled by \
            one consumer. `tell to handled, p50`: one producer, one message at a time. `64 \
            producers`: each waits for its receipt; all that wait when a commit begins are one \
            commit, or each is one on its own (`row a commit`). `start with 1 M queued`: opening a \
            store that has as many messages (10,000 in a quick run), with a warm cache. The raw log \
            is the floor: it writes into a file that is there and calls `fdatasync`, without \
            checksums, index, acknowledgements or recovery. The peers neither \
            acknowledge nor remove what was handled. `polled` is how a mailbox over SQLite works whose \
            consumer looks every 10 ms. The figures are those of the disk below the system's \
            directory for temporary files. Peers need the feature `stores`.",
    cells,
};

fn cells(_effort: &Effort) -> Vec<Cell> {
    struct Visit(Vec<Cell>);

    impl StoreVisitor for Visit {
        fn visit<S: Subject, T: Store>(&mut self, batch: usize) {
            let run = move |effort: Effort| {
                let one =
                    in_directory(|path| latency(path, effort, Group::<T>::open(path, batch)?))?;
                let many = in_directory(|path| throughput(effort, Group::<T>::open(path, batch)?))?;
                Ok(vec![one, many, f64::NAN])
            };
            self.0.push(local::<S>(run));
        }
    }

    let ours = |effort: Effort| {
        let one = in_directory(|path| latency(path, effort, Ours::open(path)?))?;
        let many = in_directory(|path| throughput(effort, Ours::open(path)?))?;
        let start = in_directory(|path| start(path, effort))?;
        Ok(vec![one, many, start])
    };
    let mut visit = Visit(vec![local::<LanemeshDurable>(ours)]);
    visit_stores(&mut visit);
    #[cfg(feature = "stores")]
    visit.0.push(local::<Polled>(|effort| {
        Ok(vec![
            in_directory(|path| polled(path, effort))?,
            f64::NAN,
            f64::NAN,
        ])
    }));
    visit.0
}

fn local<S: Subject>(
    run: impl Fn(Effort) -> Result<Vec<f64>, Fault> + Send + Sync + 'static,
) -> Cell {
    Cell {
        without_membarrier: None,
        ..Cell::readings::<S>(SHAPE.name, Vec::new(), METRICS, run)
    }
}

fn failed(error: impl std::fmt::Display) -> Fault {
    Fault::Failed(error.to_string())
}

fn in_directory<T>(run: impl FnOnce(&Path) -> Result<T, Fault>) -> Result<T, Fault> {
    let directory = tempfile::tempdir().map_err(failed)?;
    run(directory.path())
}

fn runtime() -> Result<Runtime, Fault> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)
}

/// What is measured: producers that wait for receipts, and one consumer.
trait Durably: Sized {
    type Producer: Send + 'static;

    /// Must be called in a runtime. The consumer counts what it handles, and tells after each.
    fn start(self, handled: Handled) -> impl Future<Output = Result<Self::Producer, Fault>>;

    fn clone_producer(producer: &Self::Producer) -> Self::Producer;

    /// Returns when the message is on disk.
    fn tell(
        producer: &mut Self::Producer,
        payload: Vec<u8>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// When all producers but this are gone.
    fn end(producer: Self::Producer) -> impl Future<Output = ()>;
}

#[derive(Clone)]
struct Handled {
    count: Arc<AtomicU64>,
    each: mpsc::UnboundedSender<Instant>,
}

impl Handled {
    fn note(&self) {
        // ORDERING: a count; the channel below orders what depends on it.
        self.count.fetch_add(1, Ordering::Relaxed);
        let _ = self.each.send(Instant::now());
    }
}

/// The median of single messages, in microseconds.
fn latency<D: Durably>(_: &Path, effort: Effort, subject: D) -> Result<f64, Fault> {
    let rounds = if effort.quick { 50 } else { 2_000 };
    runtime()?.block_on(async {
        let (each, mut seen) = mpsc::unbounded_channel();
        let handled = Handled {
            count: Arc::default(),
            each,
        };
        let mut producer = subject.start(handled).await?;
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let began = Instant::now();
            D::tell(&mut producer, vec![7; BYTES]).await?;
            let at = seen.recv().await.ok_or(Fault::Hung)?;
            times.push(at.saturating_duration_since(began));
        }
        D::end(producer).await;
        times.sort_unstable();
        Ok(times[rounds / 2].as_secs_f64() * 1e6)
    })
}

/// Nanoseconds a message, from the first to the last that is handled.
fn throughput<D: Durably>(effort: Effort, subject: D) -> Result<f64, Fault> {
    let each = if effort.quick { 4 } else { 1_000 };
    runtime()?.block_on(async {
        let (each_tx, mut seen) = mpsc::unbounded_channel();
        let count = Arc::<AtomicU64>::default();
        let handled = Handled {
            count: count.clone(),
            each: each_tx,
        };
        let producer = subject.start(handled).await?;
        let began = Instant::now();
        let mut tasks = Vec::new();
        for _ in 0..PRODUCERS {
            let mut producer = D::clone_producer(&producer);
            tasks.push(tokio::spawn(async move {
                for _ in 0..each {
                    D::tell(&mut producer, vec![7; BYTES]).await?;
                }
                Ok::<(), Fault>(())
            }));
        }
        for task in tasks {
            task.await.map_err(failed)??;
        }
        let wanted = PRODUCERS * each;
        let mut last = began;
        for _ in 0..wanted {
            last = seen.recv().await.ok_or(Fault::Hung)?;
        }
        D::end(producer).await;
        // ORDERING: see `Handled::note`.
        ensure(
            count.load(Ordering::Relaxed) == wanted,
            "handled as often as told",
        )?;
        Ok(last.duration_since(began).as_nanos() as f64 / wanted as f64)
    })
}

/// A store behind a thread that commits what waits, as `lanemesh-durable` does.
struct Group<T> {
    store: T,
    batch: usize,
}

impl<T: Store> Group<T> {
    fn open(directory: &Path, batch: usize) -> Result<Self, Fault> {
        Ok(Group {
            store: T::open(directory)?,
            batch,
        })
    }
}

type Waiting = (Vec<u8>, oneshot::Sender<Result<(), Fault>>);

impl<T: Store> Durably for Group<T> {
    type Producer = mpsc::UnboundedSender<Waiting>;

    async fn start(self, handled: Handled) -> Result<Self::Producer, Fault> {
        let Group { mut store, batch } = self;
        let (tx, mut rx) = mpsc::unbounded_channel::<Waiting>();
        let (pass_on, mut passed) = mpsc::unbounded_channel::<Vec<u8>>();
        std::thread::spawn(move || {
            while let Some(first) = rx.blocking_recv() {
                let (mut messages, mut receipts) = (vec![first.0], vec![first.1]);
                while messages.len() < batch
                    && let Ok((message, receipt)) = rx.try_recv()
                {
                    messages.push(message);
                    receipts.push(receipt);
                }
                let outcome = store.commit(&messages);
                for receipt in receipts {
                    let _ = receipt.send(outcome.clone());
                }
                for message in messages {
                    let _ = pass_on.send(message);
                }
            }
        });
        tokio::spawn(async move {
            while let Some(message) = passed.recv().await {
                std::hint::black_box(message);
                handled.note();
            }
        });
        Ok(tx)
    }

    fn clone_producer(producer: &Self::Producer) -> Self::Producer {
        producer.clone()
    }

    async fn tell(producer: &mut Self::Producer, payload: Vec<u8>) -> Result<(), Fault> {
        let (receipt, stored) = oneshot::channel();
        producer.send((payload, receipt)).map_err(failed)?;
        stored.await.map_err(failed)?
    }

    async fn end(producer: Self::Producer) {
        drop(producer);
    }
}

#[derive(Serialize, Deserialize)]
struct Packet(Vec<u8>);

impl DurableMessage for Packet {
    const NAME: &'static str = "packet";
}

struct Consumer(Handled);

impl Actor for Consumer {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Packet;

    async fn on_low(&mut self, packet: Packet, _: &mut Context<Self>) -> ActorResult {
        std::hint::black_box(packet.0);
        self.0.note();
        Ok(())
    }
}

struct Ours(Durable);

impl Ours {
    fn open(directory: &Path) -> Result<Self, Fault> {
        Ok(Ours(Durable::open(directory).map_err(failed)?))
    }
}

type Handle = lanemesh_durable::DurableHandle<Consumer, lanemesh_durable::actor::LowOnly>;

impl Durably for Ours {
    type Producer = (Handle, Durable);

    async fn start(self, handled: Handled) -> Result<Self::Producer, Fault> {
        let consumer = builder(move || Consumer(handled.clone())).durable_low(&self.0, "bench");
        let (handle, child) = consumer.spawn().await.map_err(failed)?;
        child.detach();
        Ok((handle, self.0))
    }

    fn clone_producer(producer: &Self::Producer) -> Self::Producer {
        producer.clone()
    }

    async fn tell((handle, _): &mut Self::Producer, payload: Vec<u8>) -> Result<(), Fault> {
        handle.low().tell(Packet(payload)).await.map_err(failed)?;
        Ok(())
    }

    async fn end((handle, store): Self::Producer) {
        handle.clone().actor().stop();
        drop(handle);
        store.close().await;
    }
}

/// Opens a store with a million messages.
fn start(directory: &Path, effort: Effort) -> Result<f64, Fault> {
    let messages: usize = if effort.quick { 10_000 } else { 1_000_000 };
    runtime()?.block_on(async {
        let mut mailbox = Mailbox::open(directory).await.map_err(failed)?;
        let mut sent = 0;
        while sent < messages {
            let mut producers = Vec::new();
            for _ in 0..1_000.min(messages - sent) {
                let mut producer = mailbox.clone();
                producers.push(tokio::spawn(async move {
                    producer.enqueue_low(vec![7; BYTES]).await.map(drop)
                }));
                sent += 1;
            }
            for producer in producers {
                producer.await.map_err(failed)?.map_err(failed)?;
            }
        }
        mailbox.close().await;
        let began = Instant::now();
        mailbox = Mailbox::open(directory).await.map_err(failed)?;
        let elapsed = began.elapsed();
        let ready = mailbox.stats().await.map_err(failed)?.low.ready;
        ensure(ready == messages, "all messages are there after the start")?;
        mailbox.close().await;
        Ok(elapsed.as_secs_f64() * 1e3)
    })
}

/// A consumer that looks every 10 ms.
#[cfg(feature = "stores")]
fn polled(directory: &Path, effort: Effort) -> Result<f64, Fault> {
    let rounds = if effort.quick { 5 } else { 100 };
    let store = Arc::new(std::sync::Mutex::new(Sqlite::open(directory)?));
    let consumer = store.clone();
    let (seen_tx, seen) = std::sync::mpsc::channel();
    let polling = std::thread::spawn(move || {
        let mut left = rounds;
        while left > 0 {
            let taken = consumer.lock().map_err(failed)?.take()?;
            for _ in 0..taken {
                let _ = seen_tx.send(Instant::now());
                left -= 1;
            }
            if taken == 0 {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok::<(), Fault>(())
    });
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        store.lock().map_err(failed)?.commit(&[vec![7; BYTES]])?;
        let at = seen.recv().map_err(failed)?;
        times.push(at.saturating_duration_since(began));
    }
    polling
        .join()
        .map_err(|_| Fault::Panicked("the consumer".to_owned()))??;
    times.sort_unstable();
    Ok(times[rounds / 2].as_secs_f64() * 1e6)
}
