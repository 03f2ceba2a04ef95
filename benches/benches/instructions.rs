//! Instruction counts under callgrind: the cost of an operation, independent of the machine's load.
//!
//! Needs valgrind and `gungraun-runner`. Every function performs its operation [`TIMES`] times.
//!
//! `cargo bench -p lanemesh-benches --features callgrind --bench instructions --
//! --save-summary=json` counts; `cargo run -p lanemesh-benches --bin instructions` then prints the
//! difference from the baseline.
// The macros generate modules that cannot be documented.
#![allow(missing_docs)]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use gungraun::{LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use lanemesh_benches::rivals::actors::{
    ActorCounter, Actors, Bare, Handle, LanemeshRuntime, Worker,
};
use lanemesh_benches::rivals::channels::{
    AsyncFamily, AsyncRx, Capacity, Lanemesh, Tachyonix, TokioMpsc, TryRx, TryTx,
};
use tokio::runtime::{Builder, Runtime};

/// Number of operations of each function.
const TIMES: u64 = 1_000;
/// Number of messages in a batch.
const BATCH: usize = 32;
/// Capacity for all messages of a function.
const SLOTS: Capacity = Capacity {
    total: 1_024,
    lane: 1_024,
};

/// Both ends of a channel that has been used once.
struct Ends<F: AsyncFamily<u64>> {
    tx: F::Tx,
    rx: F::Rx,
}

fn open<F: AsyncFamily<u64>>() -> Ends<F> {
    let (mut producers, rx) = F::open(SLOTS, 1);
    let mut ends = Ends {
        tx: producers.remove(0),
        rx,
    };
    // Lanes and blocks are allocated at first use, and rings grow; neither should be counted.
    for _ in 0..2 {
        ends = receive(send(ends));
    }
    ends
}

fn filled<F: AsyncFamily<u64>>() -> Ends<F> {
    send(open())
}

fn send<F: AsyncFamily<u64>>(mut ends: Ends<F>) -> Ends<F> {
    for message in 0..TIMES {
        assert!(ends.tx.try_send(black_box(message)).sent());
    }
    ends
}

fn receive<F: AsyncFamily<u64>>(mut ends: Ends<F>) -> Ends<F> {
    for _ in 0..TIMES {
        assert!(black_box(ends.rx.try_recv()).is_some());
    }
    ends
}

/// The receiver finds nothing, is woken, and takes the message.
fn wake<F: AsyncFamily<u64>>(mut ends: Ends<F>) -> Ends<F> {
    let mut context = Context::from_waker(Waker::noop());
    for message in 0..TIMES {
        let mut receiving = pin!(ends.rx.recv());
        assert!(receiving.as_mut().poll(&mut context).is_pending());
        assert!(ends.tx.try_send(black_box(message)).sent());
        assert!(receiving.as_mut().poll(&mut context).is_ready());
    }
    ends
}

fn batches<F: AsyncFamily<u64>>(mut ends: Ends<F>) -> Ends<F> {
    let (mut outgoing, mut incoming) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    for _ in 0..TIMES / BATCH as u64 {
        outgoing.extend(0..BATCH as u64);
        ends.tx.try_send_batch(&mut outgoing);
        ends.rx.try_recv_batch(&mut incoming, BATCH);
        assert_eq!(black_box(&incoming).len(), BATCH);
        incoming.clear();
    }
    ends
}

/// An executor on this thread, warmed up.
fn executor<A: Actors>() -> Runtime {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap_or_else(|error| panic!("no executor: {error}"));
    spawn::<A>(runtime)
}

/// Starts actors, tells each something, and waits until all have received it.
fn spawn<A: Actors>(runtime: Runtime) -> Runtime {
    runtime.block_on(async {
        let counter = ActorCounter::new(TIMES as usize);
        let mut handles = Vec::with_capacity(TIMES as usize);
        for _ in 0..TIMES {
            let mut actor = A::spawn(Worker::counted(&counter), 1).await;
            assert!(actor.tell(1).await);
            handles.push(actor);
        }
        counter.all_started().await;
    });
    runtime
}

macro_rules! channel {
    ($group:ident, $family:ty, $send:ident, $receive:ident, $wake:ident, $batches:ident) => {
        #[library_benchmark(setup = open::<$family>)]
        #[bench::times()]
        fn $send(ends: Ends<$family>) -> Ends<$family> {
            send(ends)
        }

        #[library_benchmark(setup = filled::<$family>)]
        #[bench::times()]
        fn $receive(ends: Ends<$family>) -> Ends<$family> {
            receive(ends)
        }

        #[library_benchmark(setup = open::<$family>)]
        #[bench::times()]
        fn $wake(ends: Ends<$family>) -> Ends<$family> {
            wake(ends)
        }

        #[library_benchmark(setup = open::<$family>)]
        #[bench::times()]
        fn $batches(ends: Ends<$family>) -> Ends<$family> {
            batches(ends)
        }

        library_benchmark_group!(
            name = $group;
            benchmarks = $send, $receive, $wake, $batches
        );
    };
}

channel!(
    lanemesh,
    Lanemesh,
    lanemesh_send,
    lanemesh_receive,
    lanemesh_wake,
    lanemesh_batches
);
channel!(
    tokio_mpsc,
    TokioMpsc,
    tokio_send,
    tokio_receive,
    tokio_wake,
    tokio_batches
);
channel!(
    tachyonix,
    Tachyonix,
    tachyonix_send,
    tachyonix_receive,
    tachyonix_wake,
    tachyonix_batches
);

#[library_benchmark(setup = executor::<Bare>)]
#[bench::times()]
fn bare_spawn(runtime: Runtime) -> Runtime {
    spawn::<Bare>(runtime)
}

#[library_benchmark(setup = executor::<LanemeshRuntime>)]
#[bench::times()]
fn lanemesh_spawn(runtime: Runtime) -> Runtime {
    spawn::<LanemeshRuntime>(runtime)
}

/// An executor and the handle of an actor that runs on it.
struct Asker<A: Actors> {
    runtime: Runtime,
    handle: A::Handle,
}

/// An actor that has already answered once.
fn answering<A: Actors>() -> Asker<A> {
    let runtime = executor::<A>();
    let handle = runtime.block_on(A::spawn(Worker::default(), 1));
    ask(Asker { runtime, handle })
}

/// Asks one question after the other.
fn ask<A: Actors>(mut asker: Asker<A>) -> Asker<A> {
    asker.runtime.block_on(async {
        for question in 0..TIMES {
            let answer = asker.handle.ask(black_box(question)).await;
            assert_eq!(answer, Some(question));
        }
    });
    asker
}

#[library_benchmark(setup = answering::<Bare>)]
#[bench::times()]
fn bare_ask(asker: Asker<Bare>) -> Asker<Bare> {
    ask(asker)
}

#[library_benchmark(setup = answering::<LanemeshRuntime>)]
#[bench::times()]
fn lanemesh_ask(asker: Asker<LanemeshRuntime>) -> Asker<LanemeshRuntime> {
    ask(asker)
}

/// An executor and a tree of [`TIMES`] actors that wait on it.
struct Grown<A: Actors> {
    runtime: Runtime,
    tree: A::Tree,
    counter: Arc<ActorCounter>,
}

/// Children of the root.
const BRANCHES: usize = 9;
/// Children of each of those.
const LEAVES: usize = 110;

fn grown<A: Actors>() -> Grown<A> {
    assert_eq!(1 + BRANCHES + BRANCHES * LEAVES, TIMES as usize);
    let runtime = executor::<A>();
    let counter = ActorCounter::new(TIMES as usize);
    let tree = runtime.block_on(async {
        let tree = A::spawn_tree(BRANCHES, LEAVES, counter.clone()).await;
        counter.all_started().await;
        // Until every task has been polled.
        for _ in 0..TIMES {
            tokio::task::yield_now().await;
        }
        tree
    });
    Grown {
        runtime,
        tree,
        counter,
    }
}

/// Stops a tree, and waits until all its actors have ended.
fn stop<A: Actors>(grown: Grown<A>) -> Runtime {
    let Grown {
        runtime,
        tree,
        counter,
    } = grown;
    runtime.block_on(async {
        A::stop_tree(tree).await;
        counter.all_stopped().await;
    });
    runtime
}

#[library_benchmark(setup = grown::<Bare>)]
#[bench::times()]
fn bare_stop(grown: Grown<Bare>) -> Runtime {
    stop(grown)
}

#[library_benchmark(setup = grown::<LanemeshRuntime>)]
#[bench::times()]
fn lanemesh_stop(grown: Grown<LanemeshRuntime>) -> Runtime {
    stop(grown)
}

library_benchmark_group!(
    name = actors;
    benchmarks = bare_spawn, bare_ask, bare_stop, lanemesh_spawn, lanemesh_ask, lanemesh_stop
);

main!(
    config = LibraryBenchmarkConfig::default();
    library_benchmark_groups = lanemesh, tokio_mpsc, tachyonix, actors
);
