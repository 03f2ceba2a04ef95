//! A subject that loses, duplicates, alters, reorders or refuses a message, or closes early, fails in
//! every shape.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use lanemesh_benches::plan::{Cell, Effort, Timing, Value};
use lanemesh_benches::rig::fault::Fault;
use lanemesh_benches::rig::stats::Unit;
use lanemesh_benches::rivals::Subject;
use lanemesh_benches::rivals::actors::{ActorCounter, Actors, Bare, Handle, Worker};
use lanemesh_benches::rivals::channels::{
    AsyncFamily, AsyncRx, AsyncTx, Attempt, BlockingFamily, BlockingRx, BlockingTx, Capacity,
    Family, Flume, TryRx, TryTx,
};
use lanemesh_benches::rivals::mesh::OneQueue;
use lanemesh_benches::rivals::two_class;
use lanemesh_benches::runner::{self, Progress, RunConfig};
use lanemesh_benches::shapes::fan_in::FanIn;
use lanemesh_benches::shapes::{
    idle_lanes, latency, memory, mesh, pinball, priority, runtime, threads, uncontended,
};

/// Index of the faulty message, counted at each producer or at the consumer.
const AT: u64 = 7;
/// Messages of a run: enough for every producer of every shape to reach its faulty message.
const COUNT: u64 = 10_000;
/// Data producers and bursts of `priority`: enough to reach the faulty messages even if the
/// producers are late, since each has a turn for every eighth control message.
const FLOODERS: usize = 8;
const BURSTS: u64 = 6;
const _: () = assert!(BURSTS * priority::IN_BURST >= AT * FLOODERS as u64);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Nothing,
    Loss,
    Double,
    Change,
    Swap,
    Refusal,
    End,
}

trait FaultKind: Clone + Send + 'static {
    const WHAT: What;
}

macro_rules! kinds {
    ($($name:ident)*) => {
        $(
            #[derive(Clone)]
            struct $name;

            impl FaultKind for $name {
                const WHAT: What = What::$name;
            }
        )*
    };
}

kinds!(Nothing Loss Double Change Swap Refusal End);

/// A channel in which something goes wrong.
struct Faulty<F, K>(PhantomData<(F, K)>);

impl<F: Subject, K: FaultKind> Subject for Faulty<F, K> {
    const NAME: &'static str = "faulty";
}

impl<F: Family<u64>, K: FaultKind> Family<u64> for Faulty<F, K> {
    type Tx = FaultyTx<F::Tx, K>;
    type Rx = FaultyRx<F::Rx, K>;

    fn open(slots: Capacity, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
        let (producers, rx) = F::open(slots, producers);
        let rx = FaultyRx(rx, Turn::new());
        let producers = producers.into_iter();
        (producers.map(|tx| FaultyTx(tx, Turn::new())).collect(), rx)
    }
}

struct FaultyTx<X, K>(X, Turn<K>);

#[derive(Clone)]
struct FaultyRx<R, K>(R, Turn<K>);

/// Counts the messages at one end.
#[derive(Clone)]
struct Turn<K> {
    count: u64,
    /// The message that its successor overtakes.
    held: Option<u64>,
    kind: PhantomData<K>,
}

impl<K: FaultKind> Turn<K> {
    fn new() -> Turn<K> {
        Turn {
            count: 0,
            held: None,
            kind: PhantomData,
        }
    }

    fn goes_wrong(&mut self) -> bool {
        self.count += 1;
        self.count == AT
    }

    /// The messages that are sent instead of `item`; `None` if it is refused.
    fn instead_of(&mut self, item: u64) -> Option<impl Iterator<Item = u64> + use<K>> {
        let sent = match K::WHAT {
            _ if self.held.is_some() => [Some(item), self.held.take()],
            _ if !self.goes_wrong() => [Some(item), None],
            What::Nothing | What::End => [Some(item), None],
            What::Loss => [None, None],
            What::Double => [Some(item), Some(item)],
            What::Change => [Some(item + (1 << 50)), None],
            What::Swap => {
                self.held = Some(item);
                [None, None]
            }
            What::Refusal => return None,
        };
        Some(sent.into_iter().flatten())
    }

    fn ends(&mut self) -> bool {
        K::WHAT == What::End && self.goes_wrong()
    }
}

impl<X: TryTx<u64>, K: FaultKind> TryTx<u64> for FaultyTx<X, K> {
    fn try_send(&mut self, item: u64) -> Attempt {
        let Some(items) = self.1.instead_of(item) else {
            return Attempt::Closed;
        };
        for item in items {
            match self.0.try_send(item) {
                Attempt::Sent => {}
                other => return other,
            }
        }
        Attempt::Sent
    }
}

impl<X: AsyncTx<u64>, K: FaultKind> AsyncTx<u64> for FaultyTx<X, K> {
    async fn send(&mut self, item: u64) -> bool {
        let Some(items) = self.1.instead_of(item) else {
            return false;
        };
        for item in items {
            if !self.0.send(item).await {
                return false;
            }
        }
        true
    }
}

impl<X: BlockingTx<u64>, K: FaultKind> BlockingTx<u64> for FaultyTx<X, K> {
    fn blocking_send(&mut self, item: u64) -> bool {
        let items = self.1.instead_of(item);
        items.is_some_and(|mut items| items.all(|item| self.0.blocking_send(item)))
    }
}

impl<R: TryRx<u64>, K: FaultKind> TryRx<u64> for FaultyRx<R, K> {
    fn try_recv(&mut self) -> Option<u64> {
        self.0.try_recv()
    }
}

impl<R: AsyncRx<u64>, K: FaultKind> AsyncRx<u64> for FaultyRx<R, K> {
    async fn recv(&mut self) -> Option<u64> {
        if self.1.ends() {
            return None;
        }
        self.0.recv().await
    }
}

impl<R: BlockingRx<u64>, K: FaultKind> BlockingRx<u64> for FaultyRx<R, K> {
    fn blocking_recv(&mut self) -> Option<u64> {
        if self.1.ends() {
            return None;
        }
        self.0.blocking_recv()
    }
}

/// Actors with a faulty channel.
struct FaultyActors<K>(PhantomData<K>);

impl<K: FaultKind> Subject for FaultyActors<K> {
    const NAME: &'static str = "faulty";
}

type Supervised = <Bare as Actors>::Supervised;

impl<K: FaultKind> Actors for FaultyActors<K> {
    type Handle = FaultyHandle<K>;
    type Supervised = Supervised;
    type Tree = <Bare as Actors>::Tree;

    async fn spawn(worker: Worker, senders: usize) -> FaultyHandle<K> {
        FaultyHandle(Bare::spawn(worker, senders).await, Turn::new())
    }

    async fn spawn_supervised() -> Option<Supervised> {
        Bare::spawn_supervised().await
    }

    async fn spawn_tree(branches: usize, leaves: usize, counter: Arc<ActorCounter>) -> Self::Tree {
        Bare::spawn_tree(branches, leaves, counter).await
    }

    async fn stop_tree(tree: Self::Tree) {
        Bare::stop_tree(tree).await;
    }
}

#[derive(Clone)]
struct FaultyHandle<K>(<Bare as Actors>::Handle, Turn<K>);

impl<K: FaultKind> Handle for FaultyHandle<K> {
    async fn tell(&mut self, message: u64) -> bool {
        let Some(messages) = self.1.instead_of(message) else {
            return false;
        };
        for message in messages {
            if !self.0.tell(message).await {
                return false;
            }
        }
        true
    }

    async fn ask(&mut self, message: u64) -> Option<u64> {
        self.0.ask(message).await
    }
}

const SLOTS: Capacity = Capacity {
    total: 64,
    lane: 64,
};

fn fan_in<F: AsyncFamily<u64>>() -> Result<Timing, Fault> {
    let fan_in = FanIn {
        rigs: 2,
        senders: 3,
        slots: SLOTS,
    };
    fan_in.run::<u64, F>(COUNT)
}

fn in_threads<F: BlockingFamily<u64>>() -> Result<Timing, Fault> {
    threads::run::<F>(3, SLOTS, COUNT)
}

fn mesh_of_tasks<K: FaultKind>() -> Result<Timing, Fault> {
    mesh::tasks::<OneQueue<Task<K>>>(3, 2, 64, COUNT)
}

fn mesh_of_threads<K: FaultKind>() -> Result<Timing, Fault> {
    mesh::threads::<OneQueue<Thread<K>>>(3, 2, 64, COUNT)
}

fn lost<R>(result: Result<R, Fault>) -> bool {
    matches!(result, Err(Fault::Lost { sent, received }) if sent > received)
}

fn doubled<R>(result: Result<R, Fault>) -> bool {
    matches!(result, Err(Fault::Lost { sent, received }) if sent < received)
}

fn altered<R>(result: Result<R, Fault>) -> bool {
    matches!(result, Err(Fault::Altered))
}

type Task<K> = Faulty<Flume, K>;
type Thread<K> = Faulty<Flume, K>;

fn flood<K: FaultKind>() -> Result<priority::Outcome, Fault> {
    priority::flood::<two_class::OneQueue<Task<K>>>(FLOODERS, BURSTS)
}

#[test]
fn sound_subject_passes() {
    assert!(fan_in::<Task<Nothing>>().is_ok());
    assert!(pinball::run::<Task<Nothing>>(2, 3, COUNT).is_ok());
    assert!(in_threads::<Thread<Nothing>>().is_ok());
    assert!(mesh_of_tasks::<Nothing>().is_ok());
    assert!(mesh_of_threads::<Nothing>().is_ok());
    assert!(uncontended::singly::<Task<Nothing>>(COUNT).is_ok());
    assert!(uncontended::in_batches::<Task<Nothing>>(32, COUNT).is_ok());
    assert!(idle_lanes::beside_idle::<Task<Nothing>>(10, COUNT).is_ok());
    assert!(flood::<Nothing>().is_ok());
    assert!(latency::tasks::<Task<Nothing>>(1, COUNT).is_ok());
    assert!(latency::threads::<Thread<Nothing>>(COUNT).is_ok());
    assert!(memory::idle::<Task<Nothing>>().is_ok());
    assert!(memory::full::<Task<Nothing>>().is_ok());
    assert!(runtime::tell::<FaultyActors<Nothing>>(1, 2, COUNT).is_ok());
}

#[test]
fn loss_is_a_fault() {
    assert!(lost(fan_in::<Task<Loss>>()));
    assert!(lost(in_threads::<Thread<Loss>>()));
    assert!(lost(mesh_of_tasks::<Loss>()));
    assert!(lost(mesh_of_threads::<Loss>()));
    assert!(lost(uncontended::singly::<Task<Loss>>(COUNT)));
    assert!(lost(uncontended::in_batches::<Task<Loss>>(32, COUNT)));
    assert!(lost(idle_lanes::beside_idle::<Task<Loss>>(10, COUNT)));
    assert!(lost(flood::<Loss>()));
    assert!(lost(memory::full::<Task<Loss>>()));
}

#[test]
fn loss_that_leaves_everybody_waiting_is_a_hang() {
    assert_eq!(
        watched(|count| pinball::run::<Task<Loss>>(2, 3, count)),
        Some(Fault::Hung)
    );
    assert_eq!(
        watched(|count| latency::tasks::<Task<Loss>>(1, count)),
        Some(Fault::Hung)
    );
    assert_eq!(watched(latency::threads::<Thread<Loss>>), Some(Fault::Hung));
    assert_eq!(watched(latency::threads::<Thread<Swap>>), Some(Fault::Hung));
    assert_eq!(
        watched(|count| latency::tasks::<Task<Swap>>(1, count)),
        Some(Fault::Hung)
    );
    let tell = |count| runtime::tell::<FaultyActors<Loss>>(1, 2, count);
    assert_eq!(watched(tell), Some(Fault::Hung));
}

#[test]
fn double_is_a_fault() {
    assert!(doubled(fan_in::<Task<Double>>()));
    assert!(doubled(in_threads::<Thread<Double>>()));
    assert!(doubled(mesh_of_tasks::<Double>()));
    assert!(doubled(mesh_of_threads::<Double>()));
    assert!(doubled(idle_lanes::beside_idle::<Task<Double>>(10, COUNT)));
    assert!(doubled(flood::<Double>()));
    assert!(doubled(runtime::tell::<FaultyActors<Double>>(1, 2, COUNT)));
    // The duplicate arrives instead of the message that is expected then.
    assert!(altered(uncontended::singly::<Task<Double>>(COUNT)));
    assert!(altered(latency::tasks::<Task<Double>>(1, COUNT)));
    assert!(altered(latency::threads::<Thread<Double>>(COUNT)));
}

#[test]
fn changed_message_is_a_fault() {
    assert!(altered(fan_in::<Task<Change>>()));
    assert!(altered(in_threads::<Thread<Change>>()));
    assert!(altered(mesh_of_tasks::<Change>()));
    assert!(altered(mesh_of_threads::<Change>()));
    assert!(altered(uncontended::singly::<Task<Change>>(COUNT)));
    assert!(altered(uncontended::in_batches::<Task<Change>>(32, COUNT)));
    assert!(altered(idle_lanes::beside_idle::<Task<Change>>(10, COUNT)));
    assert!(altered(flood::<Change>()));
    assert!(altered(latency::tasks::<Task<Change>>(1, COUNT)));
    assert!(altered(latency::threads::<Thread<Change>>(COUNT)));
    assert!(altered(memory::full::<Task<Change>>()));
    assert!(altered(runtime::tell::<FaultyActors<Change>>(1, 2, COUNT)));
}

#[test]
fn message_that_overtakes_another_is_a_fault() {
    assert_eq!(fan_in::<Task<Swap>>().unwrap_err(), Fault::Reordered);
    assert_eq!(
        pinball::run::<Task<Swap>>(2, 300, COUNT).unwrap_err(),
        Fault::Reordered
    );
    assert_eq!(in_threads::<Thread<Swap>>().unwrap_err(), Fault::Reordered);
    // Two receivers may take the two messages at the same time.
    let tasks = mesh::tasks::<OneQueue<Task<Swap>>>(3, 1, 64, COUNT);
    assert_eq!(tasks.unwrap_err(), Fault::Reordered);
    let threads = mesh::threads::<OneQueue<Thread<Swap>>>(3, 1, 64, COUNT);
    assert_eq!(threads.unwrap_err(), Fault::Reordered);
    assert_eq!(flood::<Swap>().unwrap_err(), Fault::Reordered);
    let full = memory::full::<Task<Swap>>().unwrap_err();
    assert_eq!(full, Fault::Reordered);
    assert_eq!(
        uncontended::in_batches::<Task<Swap>>(32, COUNT).unwrap_err(),
        Fault::Reordered
    );
    // With one message in the channel at a time, the one held back is missing at once.
    assert!(lost(uncontended::singly::<Task<Swap>>(COUNT)));
    let idle = idle_lanes::beside_idle::<Task<Swap>>(10, COUNT);
    assert_eq!(idle.unwrap_err(), Fault::Reordered);
}

#[test]
fn refused_message_is_a_fault() {
    assert!(fan_in::<Task<Refusal>>().is_err());
    assert!(pinball::run::<Task<Refusal>>(2, 3, COUNT).is_err());
    assert!(in_threads::<Thread<Refusal>>().is_err());
    assert!(mesh_of_tasks::<Refusal>().is_err());
    assert!(mesh_of_threads::<Refusal>().is_err());
    assert!(uncontended::singly::<Task<Refusal>>(COUNT).is_err());
    assert!(uncontended::in_batches::<Task<Refusal>>(32, COUNT).is_err());
    assert!(idle_lanes::beside_idle::<Task<Refusal>>(10, COUNT).is_err());
    assert!(flood::<Refusal>().is_err());
    assert!(latency::tasks::<Task<Refusal>>(1, COUNT).is_err());
    assert!(latency::threads::<Thread<Refusal>>(COUNT).is_err());
    assert!(memory::full::<Task<Refusal>>().is_err());
    assert!(runtime::tell::<FaultyActors<Refusal>>(1, 2, COUNT).is_err());
}

#[test]
fn early_end_is_a_fault() {
    assert!(fan_in::<Task<End>>().is_err());
    assert!(in_threads::<Thread<End>>().is_err());
    assert!(mesh_of_tasks::<End>().is_err());
    assert!(mesh_of_threads::<End>().is_err());
    assert!(flood::<End>().is_err());
    assert!(latency::tasks::<Task<End>>(1, COUNT).is_err());
    assert!(latency::threads::<Thread<End>>(COUNT).is_err());
}

/// The fault of a cell under the runner's watchdog.
fn watched(run: impl Fn(u64) -> Result<Timing, Fault> + Send + Sync + 'static) -> Option<Fault> {
    struct Quiet;

    impl Progress for Quiet {
        fn start(&mut self, _: &Cell) {}
        fn done(&mut self) {}
        fn failed(&mut self, _: &Cell, _: &Fault, _: usize) {}
    }

    let params = vec![("count", Value::Number(COUNT))];
    let cell = Cell::rate::<Flume>("faults", params, Unit::Nanos, COUNT, run);
    let options = RunConfig {
        runs: 1,
        seed: 1,
        effort: Effort::quick(),
        watchdog: Duration::from_millis(100),
    };
    let mut entries = runner::run(&[cell], &options, &mut Quiet);
    entries.pop().and_then(|entry| entry.fault)
}
