//! `funnel`: 13 senders into one receiver, 61 such rigs at once and one alone.

use bytes::Bytes;

use crate::plan::{Cell, Effort, Shape, Value};
use crate::rig::stats::Unit;
use crate::rivals::channels::{AsyncFamily, AsyncVisitor, LanemeshLanes, Slots, visit_async};
use crate::shapes::fan_in::FanIn;

/// Rigs side by side, as in the public benchmark.
const RIGS: usize = 61;
/// Senders of each rig.
const SENDERS: usize = 13;
const CAPACITIES: &[usize] = &[1, 10, 100, 1_000, 10_000];

/// The shape.
pub const SHAPE: Shape = Shape {
    name: "funnel",
    about: "61 rigs of 13 sending tasks and one receiving task on a multi-threaded executor, and one \
            such rig alone. Capacity is that of a whole channel: where every sender has a lane of \
            its own, the capacity is shared out among the 13 lanes and rounded up to whole slots, \
            one at least. `lanemesh-lanes` gets the whole capacity in every lane: it has 13 \
            times the slots and is no part of an equal comparison. `futures` grants every sender a \
            slot beyond the capacity. The receivers of `kanal` and `flume` take messages out of sends \
            that still wait, so that a send whose future is dropped may have taken place \
            (`tests/it/cancelled_sends.rs`); no other does.",
    cells,
};

fn cells(effort: &Effort) -> Vec<Cell> {
    let mut visit = Visit {
        cells: Vec::new(),
        rigs: 0,
        capacity: 0,
    };
    for rigs in [RIGS, 1] {
        for capacity in effort.choose(CAPACITIES, &[10, 1_000]) {
            (visit.rigs, visit.capacity) = (rigs, *capacity);
            visit_async(&mut visit);
            AsyncVisitor::visit::<LanemeshLanes>(&mut visit);
        }
    }
    visit.cells
}

struct Visit {
    cells: Vec<Cell>,
    rigs: usize,
    capacity: usize,
}

impl AsyncVisitor for Visit {
    fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self) {
        let slots = Slots::split(self.capacity, SENDERS);
        let fan_in = FanIn {
            rigs: self.rigs,
            senders: SENDERS,
            slots,
        };
        let params = vec![
            ("rigs", Value::from(self.rigs)),
            ("capacity", Value::from(self.capacity)),
        ];
        let run = move |count| fan_in.run::<u64, F>(count);
        self.cells.push(Cell::rate::<F>(
            SHAPE.name,
            params,
            Unit::MillionsPerSecond,
            50_000,
            run,
        ));
    }
}
