//! `latency`: one message at a time, back and forth.

use std::thread;
use std::time::Instant;

use bytes::Bytes;

use crate::plan::{Cell, Effort, Params, Shape, Timing, Value};
use crate::rig::executor::{cores, executor, joined, stay_on};
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::Tally;
use crate::rig::stats::Unit;
use crate::rivals::channels::{
    AsyncFamily, AsyncRx, AsyncTx, AsyncVisitor, BlockingFamily, BlockingRx, BlockingTx,
    BlockingVisitor, Capacity, visit_async, visit_blocking,
};

/// Capacity of each of the two channels.
const SLOTS: Capacity = Capacity {
    total: 16,
    lane: 16,
};

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "latency",
    about: "One message at a time travels to the other end and back, over two channels; the figure \
            is half a round trip. The ends are two tasks on one worker, two tasks on one worker \
            for each core, or two blocking threads, each of which stays on a core of its own.",
    cells,
};

fn cells(_effort: &Effort) -> Vec<Cell> {
    let mut visit = Visit {
        cells: Vec::new(),
        workers: 0,
    };
    for workers in [1, cores().max(2)] {
        visit.workers = workers;
        visit_async(&mut visit);
    }
    visit_blocking(&mut visit);
    visit.cells
}

struct Visit {
    cells: Vec<Cell>,
    workers: usize,
}

fn between(ends: &str) -> Params {
    vec![("between", Value::from(ends))]
}

impl AsyncVisitor for Visit {
    fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self) {
        let workers = self.workers;
        let params = between(&match workers {
            1 => "tasks, 1 worker".to_owned(),
            more => format!("tasks, {more} workers"),
        });
        let run = move |count| tasks::<F>(workers, count);
        self.cells.push(Cell::rate::<F>(
            SHAPE.name,
            params,
            Unit::NanosPerMessage,
            1_000,
            run,
        ));
    }
}

impl BlockingVisitor for Visit {
    fn visit<F: BlockingFamily<u64>>(&mut self) {
        let params = between("threads");
        let unit = Unit::NanosPerMessage;
        self.cells.push(Cell::rate::<F>(
            SHAPE.name,
            params,
            unit,
            1_000,
            threads::<F>,
        ));
    }
}

/// Sends about `count` messages back and forth between two tasks.
///
/// # Errors
///
/// A [`Fault`] if a message does not come back.
pub fn tasks<F: AsyncFamily<u64>>(workers: usize, count: u64) -> Result<Timing, Fault> {
    let rounds = (count / 2).max(1);
    executor(workers)?.block_on(async move {
        let (mut out, mut echo_rx) = F::open(SLOTS, 1);
        let (mut echo_tx, mut back) = F::open(SLOTS, 1);
        let echo = tokio::spawn(async move {
            while let Some(message) = echo_rx.recv().await {
                if !echo_tx[0].send(message).await {
                    break;
                }
            }
        });
        let start = Instant::now();
        let pinger = tokio::spawn(async move {
            let (mut sent, mut received) = (Tally::default(), Tally::default());
            for round in 0..rounds {
                if !out[0].send(round).await {
                    break;
                }
                sent.add(round);
                match back.recv().await {
                    Some(message) => received.add(message),
                    None => break,
                }
            }
            (sent, received)
        });
        let (sent, received) = joined(pinger).await?;
        let elapsed = start.elapsed();
        joined(echo).await?;
        Tally::check(sent, received)?;
        ensure(sent.count() == rounds, "a channel closed early")?;
        Ok(Timing {
            count: 2 * rounds,
            elapsed,
        })
    })
}

/// Sends about `count` messages back and forth between two threads.
///
/// # Errors
///
/// A [`Fault`] if a message does not come back.
pub fn threads<F: BlockingFamily<u64>>(count: u64) -> Result<Timing, Fault> {
    let rounds = (count / 2).max(1);
    let (mut out, mut echo_rx) = F::open(SLOTS, 1);
    let (mut echo_tx, mut back) = F::open(SLOTS, 1);
    // A run is too short for the scheduler to part two threads that it has put on the same core, and
    // such a run measures time slices: even the bare ring takes microseconds there.
    let echo = thread::spawn(move || {
        stay_on(1);
        while let Some(message) = echo_rx.blocking_recv() {
            if !echo_tx[0].blocking_send(message) {
                break;
            }
        }
    });
    stay_on(0);
    let (mut sent, mut received) = (Tally::default(), Tally::default());
    let start = Instant::now();
    for round in 0..rounds {
        if !out[0].blocking_send(round) {
            break;
        }
        sent.add(round);
        match back.blocking_recv() {
            Some(message) => received.add(message),
            None => break,
        }
    }
    let elapsed = start.elapsed();
    drop((out, back));
    echo.join()
        .map_err(|_| Fault::Panicked("the echo thread".to_owned()))?;
    Tally::check(sent, received)?;
    ensure(sent.count() == rounds, "a channel closed early")?;
    Ok(Timing {
        count: 2 * rounds,
        elapsed,
    })
}
