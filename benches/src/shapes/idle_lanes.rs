//! `idle_lanes`: the cost of a receive when there are many idle producers.

use std::time::Instant;

use bytes::Bytes;

use crate::plan::{Cell, Effort, Shape, Timing, Value};
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::{Arrivals, Payload, Tally};
use crate::rig::stats::Unit;
use crate::rivals::channels::{
    AsyncFamily, AsyncVisitor, Capacity, Family, TryRx, TryTx, visit_async,
};

const PRODUCERS: &[usize] = &[1, 10, 100, 1_000, 10_000, 100_000];
/// The subjects that take part: tokio, the most widely used peer, and tachyonix represent channels
/// with one queue.
const SUBJECTS: &[&str] = &["lanemesh", "no-express", "tokio", "tachyonix"];
/// Slots that each channel is opened with.
const SLOTS: usize = 1_024;

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "idle_lanes",
    about: "One producer sends a message; the receiver takes it, then checks once more and finds \
            nothing. All other producers are idle: each sent one message earlier, which was \
            received. Everything runs on one thread; the figure covers the send, the receive and \
            the final check.",
    cells,
};

fn cells(effort: &Effort) -> Vec<Cell> {
    let mut visit = Visit {
        cells: Vec::new(),
        producers: 0,
    };
    for producers in effort.choose(PRODUCERS, &[1, 1_000, 100_000]) {
        visit.producers = *producers;
        visit_async(&mut visit);
    }
    visit.cells
}

struct Visit {
    cells: Vec<Cell>,
    producers: usize,
}

impl AsyncVisitor for Visit {
    fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self) {
        if !SUBJECTS.contains(&F::NAME) {
            return;
        }
        let producers = self.producers;
        let params = vec![("producers", Value::from(producers))];
        let run = move |count| beside_idle::<F>(producers, count);
        self.cells.push(Cell::rate::<F>(
            SHAPE.name,
            params,
            Unit::NanosPerMessage,
            100_000,
            run,
        ));
    }
}

/// Sends and receives `count` messages while all other producers are idle.
///
/// # Errors
///
/// A [`Fault`] if a message is refused, missing or altered.
pub fn beside_idle<F: Family<u64>>(producers: usize, count: u64) -> Result<Timing, Fault> {
    let (mut producers, mut rx) = F::open(Capacity::same(SLOTS), producers);
    let (mut sent, mut received) = (Tally::default(), Tally::default());
    for (index, tx) in producers.iter_mut().enumerate() {
        let message = index as u64;
        ensure(
            tx.try_send(message).sent(),
            "a message was refused by an empty channel",
        )?;
        sent.add(message);
        while let Some(message) = rx.try_recv() {
            received.add(message);
        }
    }
    Tally::check(sent, received)?;

    let middle = producers.len() / 2;
    let tx = &mut producers[middle];
    let mut source = u64::source(0);
    let (mut sent, mut received) = (Tally::default(), Arrivals::<u64>::from(1));
    let start = Instant::now();
    for _ in 0..count {
        let message = u64::next(&mut source);
        if tx.try_send(message).sent() {
            sent.add(message);
        }
        while let Some(message) = rx.try_recv() {
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
