//! `memory`: heap use, measured by a counting allocator.

use crate::plan::{Cell, Effort, Metric, Shape};
use crate::rig::alloc;
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::{Arrivals, Payload, Tally};
use crate::rig::stats::Unit;
use crate::rivals::Subject;
use crate::rivals::channels::{
    Capacity, Family, LanemeshTotal, TryRx, TryTx, TryVisitor, visit_all,
};

/// Number of channels that `channel` opens.
const CHANNELS: usize = 100;
/// Number of producers for `idle producer`.
const IDLE: usize = 1_001;
/// Number of producers for `full producer`.
const FULL: usize = 64;
/// Slots of each producer for `full producer`.
const LANE: usize = 64;
/// Slots of the channel for the other two metrics.
const TOTAL: usize = 1_024;

const METRICS: &[Metric] = &[
    Metric::new("channel", Unit::Bytes),
    Metric::new("idle producer", Unit::Bytes),
    Metric::new("full producer", Unit::Bytes),
];

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "memory",
    about: "Bytes of heap for 8-byte messages. `channel`: a newly opened channel with 1024 slots \
            and one producer. `idle producer`: one more producer, its handle included, that has \
            sent one message, which was received. `full producer`: each of 64 producers that have \
            filled a channel with 64 slots for each; `lanemesh-total` lends its slots by the chunk, \
            so that not every one can be filled. A channel that allocates as it fills is small \
            in the first column and as large as others in the last.",
    cells,
};

fn cells(_effort: &Effort) -> Vec<Cell> {
    struct Visit(Vec<Cell>);

    impl TryVisitor for Visit {
        fn visit<F: Family<u64>>(&mut self) {
            let run = |_: Effort| {
                // Lanes borrow slots of a common bound by the chunk, so it is not filled exactly.
                let is_lent = F::NAME == LanemeshTotal::NAME;
                let full = if is_lent { f64::NAN } else { full::<F>()? };
                Ok(vec![channel::<F>(), idle::<F>()?, full])
            };
            // A channel for one producer has no second one to measure.
            if F::MAX_PRODUCERS > 1 {
                self.0.push(Cell {
                    without_membarrier: None,
                    ..Cell::readings::<F>(SHAPE.name, Vec::new(), METRICS, run)
                });
            }
        }
    }

    let mut visit = Visit(Vec::new());
    visit_all(&mut visit);
    visit.0
}

/// Bytes of a newly opened channel.
pub fn channel<F: Family<u64>>() -> f64 {
    let mut channels = Vec::with_capacity(CHANNELS);
    let ((), heap) = alloc::measure(|| {
        channels.extend((0..CHANNELS).map(|_| F::open(Capacity::split(TOTAL, 1), 1)));
    });
    heap.live as f64 / CHANNELS as f64
}

/// Bytes of one more idle producer.
///
/// # Errors
///
/// [`Fault::Failed`] if a message is refused or missing.
pub fn idle<F: Family<u64>>() -> Result<f64, Fault> {
    let opened = |producers: usize| {
        let (held, heap) = alloc::measure(|| {
            let slots = Capacity {
                total: TOTAL,
                lane: TOTAL,
            };
            let (mut senders, mut rx) = F::open(slots, producers);
            for tx in &mut senders {
                ensure(
                    tx.try_send(1).sent(),
                    "a message was refused by an empty channel",
                )?;
                ensure(rx.try_recv() == Some(1), "a message is missing")?;
            }
            Ok((senders, rx))
        });
        held.map(|_| heap.live)
    };
    Ok((opened(IDLE)? - opened(1)?) as f64 / (IDLE - 1) as f64)
}

/// Bytes of a full channel, divided by the number of its producers.
///
/// # Errors
///
/// [`Fault::Failed`] if fewer messages fit than there are slots, [`Fault::Lost`] if others are
/// received than were sent.
pub fn full<F: Family<u64>>() -> Result<f64, Fault> {
    let mut sent = Tally::default();
    let (held, heap) = alloc::measure(|| {
        let (mut senders, rx) = F::open(Capacity::per_lane(LANE, FULL), FULL);
        for (index, tx) in senders.iter_mut().enumerate() {
            let mut source = u64::source(index);
            for _ in 0..LANE {
                let message = u64::next(&mut source);
                ensure(
                    tx.try_send(message).sent(),
                    "fewer messages fit than there are slots",
                )?;
                sent.add(message);
            }
        }
        Ok((senders, rx))
    });
    let (_senders, mut rx) = held?;
    let mut received = Arrivals::<u64>::from(FULL);
    while let Some(message) = rx.try_recv() {
        received.add(message);
    }
    received.check(sent)?;
    Ok(heap.live as f64 / FULL as f64)
}
