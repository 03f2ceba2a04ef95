//! `uncontended`: one thread both sends and receives.

use std::time::Instant;

use crate::plan::{Cell, Effort, Shape, Timing, Value};
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::{Arrivals, Payload, Tally};
use crate::rig::stats::Unit;
use crate::rivals::channels::{Capacity, Family, TryRx, TryTx, TryVisitor, visit_all};

/// Number of messages in a batch.
const BATCH: usize = 32;
/// Slots of the channel.
const TOTAL: usize = 1_024;

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "uncontended",
    about: "One thread calls `try_send` and `try_recv` for one message, or for 32 at a time. \
            Batches use the channel's batch interface where it has one (tokio's `try_reserve_many` \
            and `poll_recv_many`, kanal's `drain_into`, flume's `drain`). `rtrb`, which pushes and \
            pops 32 times, and `rtrb-chunks`, which moves one chunk, are floors.",
    cells,
};

fn cells(_effort: &Effort) -> Vec<Cell> {
    let mut visit = Visit {
        cells: Vec::new(),
        batch: 0,
    };
    for batch in [1, BATCH] {
        visit.batch = batch;
        visit_all(&mut visit);
    }
    visit.cells
}

struct Visit {
    cells: Vec<Cell>,
    batch: usize,
}

impl TryVisitor for Visit {
    fn visit<F: Family<u64>>(&mut self) {
        let params = vec![("batch", Value::from(self.batch))];
        let batch = self.batch;
        let run = move |count| {
            if batch == 1 {
                singly::<F>(count)
            } else {
                in_batches::<F>(batch, count)
            }
        };
        self.cells.push(Cell::rate::<F>(
            SHAPE.name,
            params,
            Unit::NanosPerMessage,
            20_000,
            run,
        ));
    }
}

/// Sends and receives `count` messages, one by one.
///
/// # Errors
///
/// A [`Fault`] if a message is refused, missing or altered.
pub fn singly<F: Family<u64>>(count: u64) -> Result<Timing, Fault> {
    let (mut producers, mut rx) = F::open(Capacity::split(TOTAL, 1), 1);
    let tx = &mut producers[0];
    let mut source = u64::source(0);
    let (mut sent, mut received) = (Tally::default(), Arrivals::<u64>::from(1));
    let start = Instant::now();
    for _ in 0..count {
        let message = u64::next(&mut source);
        if tx.try_send(message).sent() {
            sent.add(message);
        }
        if let Some(message) = rx.try_recv() {
            received.add(message);
        }
    }
    let elapsed = start.elapsed();
    ensure(
        sent.count() == count,
        "a message was refused by an empty channel",
    )?;
    received.check(sent)?;
    Ok(Timing { count, elapsed })
}

/// Sends and receives about `count` messages, in batches.
///
/// # Errors
///
/// A [`Fault`] if a message is refused, missing or altered.
pub fn in_batches<F: Family<u64>>(batch: usize, count: u64) -> Result<Timing, Fault> {
    let (mut producers, mut rx) = F::open(Capacity::split(TOTAL, 1), 1);
    let tx = &mut producers[0];
    let mut source = u64::source(0);
    let (mut sent, mut received) = (Tally::default(), Arrivals::<u64>::from(1));
    let (mut outgoing, mut incoming) = (Vec::with_capacity(batch), Vec::with_capacity(batch));
    let rounds = count / batch as u64;
    let start = Instant::now();
    for _ in 0..rounds {
        outgoing.extend((0..batch).map(|_| {
            let message = u64::next(&mut source);
            sent.add(message);
            message
        }));
        tx.try_send_batch(&mut outgoing);
        rx.try_recv_batch(&mut incoming, batch);
        for message in incoming.drain(..) {
            received.add(message);
        }
    }
    let elapsed = start.elapsed();
    ensure(
        outgoing.is_empty(),
        "a message was refused by an empty channel",
    )?;
    received.check(sent)?;
    Ok(Timing {
        count: received.count(),
        elapsed,
    })
}
