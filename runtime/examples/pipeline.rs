//! A pipeline with batches: generator and heartbeat on one worker thread, worker, logger.
//!
//! The generator makes 256 numbers a batch, the heartbeat bursts of 32 beats, the worker works
//! when there is input and a beat, and the logger takes up to 1024 results at once. The logger
//! crashes once (in a run of 44 beats or more), and its counters survive.
//!
//! `cargo run --release --example pipeline -- --rate 1 --beats 2000`: a burst each millisecond,
//! until 2000 beats are done.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lanemesh_runtime::{
    Actor, ActorError, ActorHandle, ActorResult, Context, Restart, System, WorkerThread,
    actor::Batch,
    actor_loop, builder,
    crash::{Lease, Persistent},
    supervision::{Backoff, Strategy, Supervision},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{MissedTickBehavior, interval},
};

const GENERATED: usize = 256;
const BURST: u64 = 32;
const LOGGED: usize = 1024;
/// The logger crashes at the first batch after this many results.
const CRASH_AFTER: u64 = 10_000;

/// Generates numbers as fast as the worker takes them.
struct Generator {
    worker: ActorHandle<Worker>,
    next: u64,
    batch: Vec<u64>,
}

impl Actor for Generator {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let mut room = self.worker.clone();
        actor_loop!(self, ctx,
            () = room.low_room(GENERATED) => {
                self.batch.extend(self.next..self.next + GENERATED as u64);
                self.next += GENERATED as u64;
                if room.send_vec_low(&mut self.batch).await.is_err() {
                    break; // the worker is done
                }
            },
        )
    }
}

/// Sends beats in bursts.
struct Heartbeat {
    worker: ActorHandle<Worker>,
    rate: Duration,
    left: u64,
}

impl Actor for Heartbeat {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let mut tick = interval(self.rate);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        actor_loop!(self, ctx,
            _ = tick.tick() => {
                let burst = BURST.min(self.left);
                self.left -= burst;
                self.worker.send_high(burst).await?;
                if self.left == 0 {
                    break;
                }
            },
        )
    }
}

/// Handles one batch of the generator for each beat.
struct Worker {
    logger: ActorHandle<Logger>,
    beats: Arc<Semaphore>,
    left: u64,
    results: Vec<u64>,
}

impl Actor for Worker {
    type HighPriorityMsg = u64;
    type LowPriorityMsg = u64;

    async fn on_high(&mut self, beats: u64, _: &mut Context<Self>) -> ActorResult {
        self.beats.add_permits(beats as usize);
        Ok(())
    }

    async fn on_low(&mut self, _: u64, _: &mut Context<Self>) -> ActorResult {
        Ok(()) // what is left when the work is done
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let mut output = self.logger.clone();
        let beats = self.beats.clone();
        while self.left > 0 {
            // Enough input, room in the output, and a beat; urgent messages are handled meanwhile.
            let others = async { tokio::join!(beats.acquire(), output.low_room(GENERATED)) };
            let others = async { others.await.0.map(SemaphorePermit::forget) };
            if !ctx.wait_all(self, GENERATED, others).await? {
                return Ok(());
            }
            self.left -= 1;
            let mut batch = ctx.take_batch();
            self.results
                .extend(batch.drain().map(|number| number.wrapping_mul(2)));
            ctx.put_batch(batch);
            output.send_vec_low(&mut self.results).await?;
        }
        Ok(())
    }
}

/// What the logger has seen; it survives restarts of the logger.
#[derive(Default)]
struct Seen {
    count: u64,
    sum: u64,
    batches: u64,
    crashes: u64,
}

struct Logger {
    seen: Lease<Seen>,
    since: Instant,
    counted: u64,
}

impl Actor for Logger {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u64;
    const BATCH: usize = LOGGED;

    async fn on_low_batch(
        &mut self,
        batch: &mut Batch<u64>,
        ctx: &mut Context<Self>,
    ) -> ActorResult {
        if self.seen.crashes == 0 && self.seen.count > CRASH_AFTER {
            self.seen.crashes += 1;
            return Err(ActorError::msg("a disk is full")); // the batch stays queued
        }
        self.seen.batches += 1;
        self.seen.count += batch.len() as u64;
        self.counted += batch.len() as u64;
        self.seen.sum = self.seen.sum.wrapping_add(batch.drain().sum());
        let elapsed = self.since.elapsed();
        if elapsed >= Duration::from_millis(50) {
            let rate = self.counted as f64 / elapsed.as_secs_f64() / 1e6;
            println!("{rate:8.2} M results/s, incarnation {}", ctx.incarnation());
            (self.since, self.counted) = (Instant::now(), 0);
        }
        Ok(())
    }
}

const USAGE: &str = "pipeline [--rate MILLISECONDS] [--beats NUMBER]: a burst of 32 beats in each \
                     interval (1 ms), until this many beats (2000) are done";

/// The rate and the number of beats from the command line.
fn arguments() -> Result<(u64, u64), Box<dyn std::error::Error>> {
    let (mut rate, mut beats) = (1, 2_000);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = match name.as_str() {
            "--rate" => &mut rate,
            "--beats" => &mut beats,
            _ => return Err(USAGE.into()),
        };
        *value = arguments.next().ok_or(USAGE)?.parse()?;
    }
    Ok((rate, beats))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (rate, beats) = arguments()?;
    let rate = Duration::from_millis(rate.max(1));
    let worker_thread = WorkerThread::new("sources")?;
    let seen = Persistent::new(Seen::default());

    let rules = Supervision::new(Strategy::OneForOne).backoff(Backoff::none());
    let system = System::supervised("pipeline", rules);

    let persistent = seen.clone();
    let logger = move || Logger {
        seen: persistent.lease(),
        since: Instant::now(),
        counted: 0,
    };
    let logger = builder(logger)
        .name("logger")
        .low_capacity(8192)
        .restart(Restart::Permanent);
    let (logger, _logging) = system.spawn(logger);
    let output = logger.clone();
    let worker = move || Worker {
        logger: output.clone(),
        beats: Arc::new(Semaphore::new(0)),
        left: beats,
        results: Vec::new(),
    };
    // Each stage ends before its consumer does, so that a drain loses nothing.
    let worker = builder(worker)
        .name("worker")
        .low_capacity(8192)
        .before(&logger);
    let (worker, working) = system.spawn(worker);
    let input = worker.clone();
    let generator = move || Generator {
        worker: input.clone(),
        next: 0,
        batch: Vec::new(),
    };
    let generator = builder(generator)
        .name("generator")
        .on(&worker_thread)
        .keep_running()
        .before(&worker);
    let (_generator, _generating) = system.spawn(generator);
    let input = worker.clone();
    let heartbeat = move || Heartbeat {
        worker: input.clone(),
        rate,
        left: beats,
    };
    let heartbeat = builder(heartbeat)
        .name("heartbeat")
        .on(&worker_thread)
        .keep_running()
        .before(&worker);
    let (_heartbeat, beating) = system.spawn(heartbeat);

    let begun = Instant::now();
    beating.await;
    working.await;
    logger.idle().await;
    let elapsed = begun.elapsed();
    let stats = logger.stats();
    let report = system.drain(Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report}");

    let expected = beats * GENERATED as u64;
    let sum = (0..expected).fold(0u64, |sum, number| sum.wrapping_add(number.wrapping_mul(2)));
    let (count, batches, crashes, seen_sum) = seen
        .with(|seen| (seen.count, seen.batches, seen.crashes, seen.sum))
        .ok_or("the logger still runs")?;
    println!(
        "{count} results in {batches} batches and {elapsed:?}: {:.2} M/s; {} restart",
        count as f64 / elapsed.as_secs_f64() / 1e6,
        stats.restarts,
    );
    assert_eq!(
        count, expected,
        "the counters survive the restart, and no result is lost"
    );
    assert_eq!(seen_sum, sum);
    assert_eq!(crashes, stats.restarts);
    // At least one batch follows after this many results.
    if expected > CRASH_AFTER + LOGGED as u64 {
        assert_eq!(crashes, 1, "the logger crashes on the way");
    }
    Ok(())
}
