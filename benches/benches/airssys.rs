//! The operations for which airssys-rt publishes figures, with actors that really run as tasks.
//!
//! airssys-rt says: spawn 625 ns, 681 ns an actor in a batch of 10; 31.5 ns a message; 212 ns a message
//! through its broker; 6 % more a message with 50 actors than with 1. Its spawn starts no task, and
//! its messages are handled by the task that sends them. Here every actor is a task: a spawn is over
//! when `started` has run, and messages are over when they are handled, so a turn of the executor is
//! part of each figure. Compare on one machine only.
//!
//! `cargo bench -p lanemesh-benches --bench airssys` prints the table that stands in
//! `runtime/COMING_FROM.md`: each figure is the median of a number of rounds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use lanemesh_benches::rig::stats::median;
use lanemesh_runtime::patterns::{Broker, SlowPolicy};
use lanemesh_runtime::{Actor, ActorHandle, ActorResult, Child, Context, spawn};
use tokio::runtime::{Builder, Runtime};

/// Number of messages of one iteration, of all actors together.
const MESSAGES: u64 = 1_000;

/// Number of rounds, of which the median is taken.
const ROUNDS: usize = 101;

/// Number of iterations of a round.
const ITERATIONS: u64 = 100;

struct Counter(u64);

impl Actor for Counter {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u64;

    async fn on_low(&mut self, number: u64, _: &mut Context<Self>) -> ActorResult {
        self.0 = black_box(self.0.wrapping_add(number));
        Ok(())
    }
}

fn executor() -> Runtime {
    match Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no executor: {error}"),
    }
}

/// Starts `count` actors, and waits until all of them run.
async fn start(count: usize) -> Vec<(ActorHandle<Counter>, Child)> {
    let actors: Vec<_> = (0..count).map(|_| spawn(Counter(0))).collect();
    for (handle, _) in &actors {
        handle.idle().await;
    }
    actors
}

async fn time_spawn(count: usize, iterations: u64) -> Duration {
    let mut elapsed = Duration::ZERO;
    for _ in 0..iterations {
        let begun = Instant::now();
        let actors = start(count).await;
        elapsed += begun.elapsed();
        for (_, child) in actors {
            child.stop().await;
        }
    }
    elapsed
}

async fn time_messages(count: usize, iterations: u64) -> Duration {
    let mut actors = start(count).await;
    let begun = Instant::now();
    for _ in 0..iterations {
        let mut sent = 0;
        while sent < MESSAGES {
            for (handle, _) in &mut actors {
                if handle.send_low(sent).await.is_err() {
                    panic!("the actor has ended");
                }
                sent += 1;
            }
        }
        for (handle, _) in &actors {
            handle.idle().await;
        }
    }
    let elapsed = begun.elapsed();
    let handled: u64 = actors.iter().map(|(handle, _)| handle.stats().low).sum();
    assert_eq!(handled, iterations * MESSAGES);
    elapsed
}

async fn time_broker(iterations: u64) -> Duration {
    let actors = start(1).await;
    let (handle, _) = &actors[0];
    let mut broker = Broker::new();
    broker.subscribe_recipient("numbers", handle.low_recipient(), SlowPolicy::Wait);
    let begun = Instant::now();
    for _ in 0..iterations {
        for number in 0..MESSAGES {
            let published = broker.publish("numbers", number).await;
            assert_eq!(published.queued, 1);
        }
        handle.idle().await;
    }
    let elapsed = begun.elapsed();
    assert_eq!(handle.stats().low, iterations * MESSAGES);
    elapsed
}

/// Nanoseconds for each of `operations` of an iteration: the median of the rounds.
fn nanos<F: Future<Output = Duration>>(
    executor: &Runtime,
    operations: u64,
    time: impl Fn(u64) -> F,
) -> f64 {
    let round = |_| {
        let elapsed = executor.block_on(time(ITERATIONS));
        elapsed.as_nanos() as f64 / (ITERATIONS * operations) as f64
    };
    let rounds: Vec<f64> = (0..ROUNDS).map(round).collect();
    // The first ones warm up.
    median(&rounds[ROUNDS / 10..]).unwrap_or(f64::NAN)
}

fn main() {
    let executor = &executor();
    let spawn_one = nanos(executor, 1, |iterations| time_spawn(1, iterations));
    let spawn_ten = nanos(executor, 10, |iterations| time_spawn(10, iterations));
    let message = nanos(executor, MESSAGES, |iterations| {
        time_messages(1, iterations)
    });
    let message_of_50 = nanos(executor, MESSAGES, |iterations| {
        time_messages(50, iterations)
    });
    let published = nanos(executor, MESSAGES, time_broker);
    let more = 100.0 * (message_of_50 / message - 1.0);
    println!("| operation | airssys-rt says | here |");
    println!("|---|---|---|");
    println!("| a spawn | 625 ns | {spawn_one:.0} ns |");
    println!("| a spawn, of 10 at once | 681 ns | {spawn_ten:.0} ns |");
    println!("| a message | 31.5 ns | {message:.1} ns |");
    println!("| a message through a broker | 212 ns | {published:.0} ns |");
    println!("| a message with 50 actors instead of 1 | +6 % | {more:+.0} % |");
}
