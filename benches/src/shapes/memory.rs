//! `memory`: bytes of heap, by a counting allocator.

use crate::plan::{Cell, Effort, Metric, Shape};
use crate::rig::alloc;
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::Tally;
use crate::rig::stats::Unit;
use crate::rivals::channels::{Family, Slots, TryRx, TryTx, TryVisitor, visit_all};

/// Channels opened for the first metric.
const CHANNELS: usize = 100;
/// Producers of the second.
const IDLE: usize = 1_001;
/// Producers of the third.
const FULL: usize = 64;
/// Slots of a producer in the third.
const LANE: usize = 64;
/// Slots of a channel in the first two.
const TOTAL: usize = 1_024;

const METRICS: &[Metric] = &[
    Metric {
        name: "channel",
        unit: Unit::Bytes,
    },
    Metric {
        name: "idle producer",
        unit: Unit::Bytes,
    },
    Metric {
        name: "full producer",
        unit: Unit::Bytes,
    },
];

/// The shape.
pub const SHAPE: Shape = Shape {
    name: "memory",
    about: "Bytes of heap for messages of 8 bytes: of a channel with 1024 slots and one producer, as \
            opened; of one more producer that has sent a message, which was received (its handle \
            included); of each of 64 producers that have filled a channel with 64 slots for each. \
            A channel that allocates as it fills shows little in the first and as much as others in \
            the last.",
    cells,
};

fn cells(_effort: &Effort) -> Vec<Cell> {
    struct Visit(Vec<Cell>);

    impl TryVisitor for Visit {
        fn visit<F: Family<u64>>(&mut self) {
            let run = |_: Effort| Ok(vec![channel::<F>(), idle::<F>()?, full::<F>()?]);
            // A ring for one producer has no second one to ask about.
            if F::MAX_PRODUCERS > 1 {
                self.0
                    .push(Cell::readings::<F>(SHAPE.name, Vec::new(), METRICS, run));
            }
        }
    }

    let mut visit = Visit(Vec::new());
    visit_all(&mut visit);
    visit.0
}

/// Bytes of a channel as opened.
pub fn channel<F: Family<u64>>() -> f64 {
    let mut channels = Vec::with_capacity(CHANNELS);
    let ((), heap) = alloc::measure(|| {
        channels.extend((0..CHANNELS).map(|_| F::open(Slots::split(TOTAL, 1), 1)));
    });
    heap.live as f64 / CHANNELS as f64
}

/// Bytes that one more idle producer takes.
///
/// # Errors
///
/// [`Fault::Failed`] when a message is refused or missing.
pub fn idle<F: Family<u64>>() -> Result<f64, Fault> {
    let opened = |producers: usize| {
        let (held, heap) = alloc::measure(|| {
            let slots = Slots {
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

/// Bytes of a full channel, shared out among its producers.
///
/// # Errors
///
/// [`Fault::Failed`] when fewer messages fit than there are slots, [`Fault::Lost`] when others come out
/// than went in.
pub fn full<F: Family<u64>>() -> Result<f64, Fault> {
    let (held, heap) = alloc::measure(|| {
        let (mut senders, rx) = F::open(Slots::per_lane(LANE, FULL), FULL);
        for tx in &mut senders {
            for _ in 0..LANE {
                ensure(
                    tx.try_send(1).sent(),
                    "fewer messages fit than there are slots",
                )?;
            }
        }
        Ok((senders, rx))
    });
    let (_senders, mut rx) = held?;
    let (mut sent, mut received) = (Tally::default(), Tally::default());
    (0..LANE * FULL).for_each(|_| sent.add(1));
    while let Some(message) = rx.try_recv() {
        received.add(message);
    }
    Tally::check(sent, received)?;
    Ok(heap.live as f64 / FULL as f64)
}
