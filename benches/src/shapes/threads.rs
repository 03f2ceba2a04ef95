//! `threads`: blocking producers and one blocking consumer.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::plan::{Cell, Effort, Shape, Timing, Value};
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::{Arrivals, Payload, Tally};
use crate::rig::stats::Unit;
use crate::rivals::channels::{
    BlockingFamily, BlockingRx, BlockingTx, BlockingVisitor, Capacity, visit_blocking,
};

const THREADS: &[usize] = &[1, 2, 4, 8];
/// Slots that each channel is opened with.
const TOTAL: usize = 1_024;

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "threads",
    about: "1 to 8 producer threads and one consumer thread, all blocking, opened with \
            1024 slots: in each lane of `lanemesh`, in all of every other subject. `rtrb` is the \
            bare ring with one producer, whose ends spin instead of blocking: a floor.",
    cells,
};

fn cells(effort: &Effort) -> Vec<Cell> {
    let mut visit = Visit {
        cells: Vec::new(),
        threads: 0,
    };
    for threads in effort.choose(THREADS, &[1, 4]) {
        visit.threads = *threads;
        visit_blocking(&mut visit);
    }
    visit.cells
}

struct Visit {
    cells: Vec<Cell>,
    threads: usize,
}

impl BlockingVisitor for Visit {
    fn visit<F: BlockingFamily<u64>>(&mut self) {
        let threads = self.threads;
        if threads > F::MAX_PRODUCERS {
            return;
        }
        let params = vec![("threads", Value::from(threads))];
        let run = move |count| run::<F>(threads, Capacity::same(TOTAL), count);
        self.cells.push(Cell::rate::<F>(
            SHAPE.name,
            params,
            Unit::NanosPerMessage,
            20_000,
            run,
        ));
    }
}

/// Sends about `count` messages, the same number from every thread.
///
/// # Errors
///
/// A [`Fault`] if other messages arrive than were sent.
pub fn run<F: BlockingFamily<u64>>(
    threads: usize,
    slots: Capacity,
    count: u64,
) -> Result<Timing, Fault> {
    let share = (count / threads as u64).max(1);
    let (producers, mut rx) = F::open(slots, threads);
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let senders: Vec<_> = producers
            .into_iter()
            .enumerate()
            .map(|(index, tx)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    send(tx, index, share)
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        let mut received = Arrivals::<u64>::from(threads);
        while let Some(message) = rx.blocking_recv() {
            received.add(message.stamp());
        }
        let elapsed = start.elapsed();
        // If the channel ended early, its producers must not wait for room forever.
        drop(rx);
        let mut sent = Tally::default();
        for sender in senders {
            let tally = sender
                .join()
                .map_err(|_| Fault::Panicked("a producer thread".to_owned()))?;
            sent.merge(tally);
        }
        received.check(sent)?;
        ensure(
            sent.count() == share * threads as u64,
            "a channel closed early",
        )?;
        Ok(Timing {
            count: received.count(),
            elapsed,
        })
    })
}

fn send<X: BlockingTx<u64>>(mut tx: X, index: usize, share: u64) -> Tally {
    let mut source = u64::source(index);
    let mut tally = Tally::default();
    for _ in 0..share {
        let message = u64::next(&mut source);
        if !tx.blocking_send(message) {
            break;
        }
        tally.add(message.stamp());
    }
    tally
}
