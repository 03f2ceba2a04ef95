//! `funnel`: 13 senders to one receiver, in 61 rigs at the same time and in one alone.

use bytes::Bytes;

use crate::plan::{Cell, Effort, Shape, Value};
use crate::rig::stats::Unit;
use crate::rivals::channels::{AsyncFamily, AsyncVisitor, Capacity, visit_async_bounds};
use crate::shapes::fan_in::FanIn;

/// Number of rigs that run at the same time, as in tachyonix's benchmark of this name.
const RIGS: usize = 61;
/// Number of senders of each rig.
const SENDERS: usize = 13;
const CAPACITIES: &[usize] = &[1, 10, 100, 1_000, 10_000];

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "funnel",
    about: "61 rigs, each with 13 sending tasks and one receiving task, on a multi-threaded \
            executor; and one such rig alone. `capacity` is the number that each channel is opened \
            with. In `lanemesh` that is the capacity of every sender's lane: the same call with \
            the same number, but 13 times the slots, whose bytes are below. `lanemesh-total` \
            (`Builder::total_capacity`) and `lanemesh-shared` (clones of one `SharedSender`) have \
            as many slots in all as the peers. `futures` gives every sender one slot beyond the \
            capacity. The receivers of `kanal` and `flume` (†) also take messages from sends that \
            are still waiting, so that a send can take effect although its future was dropped \
            (`tests/it/cancelled_sends.rs`); no other channel does this.",
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
            visit_async_bounds(&mut visit);
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
        let slots = Capacity::same(self.capacity);
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
        let cell = Cell::rate::<F>(SHAPE.name, params, Unit::MillionsPerSecond, 50_000, run);
        self.cells.push(cell.waiting::<F>());
    }
}
