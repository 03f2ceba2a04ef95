//! `mesh`: several senders and several receivers, each message for one of them.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::plan::{Cell, Effort, Params, Shape, Timing, Value};
use crate::rig::executor::{joined, on_all_cores};
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::{Arrivals, Payload, Tally};
use crate::rig::stats::Unit;
use crate::rivals::channels::{AsyncRx, AsyncTx, BlockingRx, BlockingTx};
use crate::rivals::mesh::{AsyncMesh, BlockingMesh, MeshVisitor, visit_meshes};

/// Numbers of senders and receivers.
const SIZES: &[(usize, usize)] = &[(1, 4), (4, 4), (64, 4)];
/// Most senders that are threads.
const MAX_THREADS: usize = 8;
/// Slots that each channel is opened with.
const SLOTS: usize = 64;

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "mesh",
    about: "Several senders and several receivers, tasks or blocking threads; each message is for \
            one receiver, whichever. Every channel is opened with 64 slots. `lanemesh` is a \
            `mesh`, in which each sender has a lane of 64 slots to each receiver and sends to them \
            by turns; in the peers, all receivers take from one queue. For † see `funnel`.",
    cells,
};

fn cells(effort: &Effort) -> Vec<Cell> {
    let mut visit = Visit {
        cells: Vec::new(),
        senders: 0,
        receivers: 0,
    };
    for (senders, receivers) in effort.choose(SIZES, &[(4, 4)]) {
        (visit.senders, visit.receivers) = (*senders, *receivers);
        visit_meshes(&mut visit);
    }
    visit.cells
}

struct Visit {
    cells: Vec<Cell>,
    senders: usize,
    receivers: usize,
}

impl Visit {
    fn params(&self, between: &str) -> Params {
        let size = format!("{} × {}", self.senders, self.receivers);
        vec![
            ("between", Value::from(between)),
            ("senders × receivers", Value::Text(size)),
        ]
    }
}

impl MeshVisitor for Visit {
    fn visit_async<M: AsyncMesh>(&mut self) {
        let (senders, receivers) = (self.senders, self.receivers);
        let run = move |count| tasks::<M>(senders, receivers, SLOTS, count);
        let unit = Unit::NanosPerMessage;
        let cell = Cell::rate::<M>(SHAPE.name, self.params("tasks"), unit, 20_000, run);
        self.cells.push(cell.waiting::<M>());
    }

    fn visit_blocking<M: BlockingMesh>(&mut self) {
        let (senders, receivers) = (self.senders, self.receivers);
        if senders > MAX_THREADS {
            return;
        }
        let run = move |count| threads::<M>(senders, receivers, SLOTS, count);
        let unit = Unit::NanosPerMessage;
        let cell = Cell::rate::<M>(SHAPE.name, self.params("threads"), unit, 20_000, run);
        self.cells.push(cell);
    }
}

/// Sends about `count` messages between tasks, the same number from every sender.
///
/// # Errors
///
/// A [`Fault`] if other messages arrive than were sent.
pub fn tasks<M: AsyncMesh>(
    senders: usize,
    receivers: usize,
    slots: usize,
    count: u64,
) -> Result<Timing, Fault> {
    let share = (count / senders as u64).max(1);
    on_all_cores(async move {
        let start = Instant::now();
        let (producers, consumers) = M::open(slots, senders, receivers);
        let receivers: Vec<_> = consumers
            .into_iter()
            .map(|mut rx| {
                tokio::spawn(async move {
                    let mut received = Arrivals::from(senders);
                    while let Some(message) = rx.recv().await {
                        received.add(message);
                    }
                    received
                })
            })
            .collect();
        let senders: Vec<_> = producers
            .into_iter()
            .enumerate()
            .map(|(index, mut tx)| {
                tokio::spawn(async move {
                    let (mut source, mut sent) = (u64::source(index), Tally::default());
                    for _ in 0..share {
                        let message = u64::next(&mut source);
                        if !tx.send(message).await {
                            break;
                        }
                        sent.add(message);
                    }
                    sent
                })
            })
            .collect();
        let expected = share * senders.len() as u64;
        let (mut sent, mut received) = (Tally::default(), Vec::new());
        for sender in senders {
            sent.merge(joined(sender).await?);
        }
        for receiver in receivers {
            received.push(joined(receiver).await?);
        }
        let elapsed = start.elapsed();
        let count = checked(sent, &received, expected)?;
        Ok(Timing { count, elapsed })
    })
}

/// Sends about `count` messages between threads, the same number from every sender.
///
/// # Errors
///
/// A [`Fault`] if other messages arrive than were sent.
pub fn threads<M: BlockingMesh>(
    senders: usize,
    receivers: usize,
    slots: usize,
    count: u64,
) -> Result<Timing, Fault> {
    let share = (count / senders as u64).max(1);
    let (producers, consumers) = M::open(slots, senders, receivers);
    let barrier = Barrier::new(senders + 1);
    thread::scope(|scope| {
        let receivers: Vec<_> = consumers
            .into_iter()
            .map(|mut rx| {
                scope.spawn(move || {
                    let mut received = Arrivals::from(senders);
                    while let Some(message) = rx.blocking_recv() {
                        received.add(message);
                    }
                    received
                })
            })
            .collect();
        let barrier = &barrier;
        let senders: Vec<_> = producers
            .into_iter()
            .enumerate()
            .map(|(index, mut tx)| {
                scope.spawn(move || {
                    let (mut source, mut sent) = (u64::source(index), Tally::default());
                    barrier.wait();
                    for _ in 0..share {
                        let message = u64::next(&mut source);
                        if !tx.blocking_send(message) {
                            break;
                        }
                        sent.add(message);
                    }
                    sent
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        let panicked = |_| Fault::Panicked("a thread".to_owned());
        let expected = share * senders.len() as u64;
        let (mut sent, mut received) = (Tally::default(), Vec::new());
        for sender in senders {
            sent.merge(sender.join().map_err(panicked)?);
        }
        for receiver in receivers {
            received.push(receiver.join().map_err(panicked)?);
        }
        let elapsed = start.elapsed();
        let count = checked(sent, &received, expected)?;
        Ok(Timing { count, elapsed })
    })
}

/// The number of messages, if all receivers together have what was sent, and each in order.
fn checked(sent: Tally, received: &[Arrivals<u64>], expected: u64) -> Result<u64, Fault> {
    let mut all = Tally::default();
    received
        .iter()
        .for_each(|received| all.merge(received.tally()));
    Tally::check(sent, all)?;
    received.iter().try_for_each(Arrivals::check_order)?;
    ensure(sent.count() == expected, "a channel closed early")?;
    Ok(all.count())
}
