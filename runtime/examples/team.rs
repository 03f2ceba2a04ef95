//! Generator, heartbeat, worker and logger, as the performant sample of steady_state has them: two
//! lightweight actors share a thread, two have one each, and numbers move in slices, without a
//! vector on the way.
//!
//! The worker waits for 256 numbers, room for their results and a beat, all at once. `pipeline` has
//! more of this, with a crash on the way.

use std::{convert::Infallible, time::Duration};

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Context, System, WorkerThread, actor::Batch, actor_loop,
    builder,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

const BATCH: usize = 256;
const LOGGED: usize = 1024;
const BURST: usize = 32;
const BEATS: usize = 320;

struct Generator {
    worker: ActorHandle<Worker>,
    next: u64,
}

struct Heartbeat {
    beats: Sender<()>,
}

struct Worker {
    beats: Option<Receiver<()>>,
    logger: ActorHandle<Logger>,
}

struct Logger {
    sum: u64,
}

impl Actor for Generator {
    type HighPriorityMsg = Infallible;
    type LowPriorityMsg = Infallible;

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            () = self.worker.low_room(BATCH) => {
                let values: [u64; BATCH] = std::array::from_fn(|i| self.next + i as u64);
                if self.worker.send_slice_low(&values).await.is_err() {
                    break; // the worker is done
                }
                self.next += BATCH as u64;
            },
        )
    }
}

impl Actor for Heartbeat {
    type HighPriorityMsg = Infallible;
    type LowPriorityMsg = Infallible;

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        actor_loop!(self, ctx,
            _ = tick.tick() => {
                for _ in 0..BURST {
                    let _ = self.beats.send(()).await; // the worker may be done
                }
            },
        )
    }
}

impl Actor for Worker {
    type HighPriorityMsg = Infallible;
    type LowPriorityMsg = u64;

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let Some(mut beats) = self.beats.take() else {
            return Ok(());
        };
        let mut output = self.logger.clone();
        let mut results = [0; BATCH];
        for _ in 0..BEATS {
            let others = async { tokio::join!(beats.recv(), output.low_room(BATCH)) };
            if !ctx.wait_all(self, BATCH, others).await? {
                break;
            }
            let mut batch = ctx.take_batch();
            batch.take_into(&mut results);
            ctx.put_batch(batch);
            results.iter_mut().for_each(|value| *value *= 2);
            output.send_slice_low(&results).await?;
        }
        Ok(())
    }
}

impl Actor for Logger {
    type HighPriorityMsg = Infallible;
    type LowPriorityMsg = u64;
    const BATCH: usize = LOGGED;

    async fn on_low_batch(&mut self, batch: &mut Batch<u64>, _: &mut Context<Self>) -> ActorResult {
        let (first, second) = batch.as_slices();
        self.sum += first.iter().chain(second).sum::<u64>();
        batch.clear();
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (system, (beats, beat)) = (System::new("graph"), channel(BURST));
    let (working, logging) = (WorkerThread::new("worker")?, WorkerThread::new("logger")?);
    let team = WorkerThread::new("team")?;

    let logger = builder(|| Logger { sum: 0 }).low_capacity(8192);
    let (logger, _logging) = system.spawn(logger.on(&logging));
    let (mut beat, output) = (Some(beat), logger.clone());
    let worker = builder(move || Worker {
        beats: beat.take(),
        logger: output.clone(),
    });
    let (worker, worked) = system.spawn(worker.low_capacity(8192).on(&working));
    // Generator and heartbeat share a thread.
    let generator = builder(move || Generator {
        worker: worker.clone(),
        next: 0,
    });
    let (_generator, _generating) = system.spawn(generator.on(&team));
    let heartbeat = builder(move || Heartbeat {
        beats: beats.clone(),
    });
    let (_heartbeat, _beating) = system.spawn(heartbeat.on(&team));

    worked.await;
    logger.idle().await;
    let second = Duration::from_secs(1);
    let sum = logger.inspect(|logger| logger.sum, second).await?;
    println!(
        "{} numbers in {} batches, {:?}",
        logger.stats().low,
        logger.stats().batches,
        logging.stats(),
    );
    let count = (BEATS * BATCH) as u64;
    assert_eq!((logger.stats().low, sum), (count, count * (count - 1)));
    assert_eq!(logger.channels(second).await?.low.messages, count);
    Ok(())
}
