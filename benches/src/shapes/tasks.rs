//! `tasks`: up to 512 sending tasks and one receiver, with numbers and with packets.

use bytes::Bytes;

use crate::plan::{Cell, Effort, Shape, Value};
use crate::rig::payload::Payload;
use crate::rig::stats::Unit;
use crate::rivals::Subject;
use crate::rivals::channels::{
    AsyncFamily, AsyncVisitor, Capacity, LanemeshShared, visit_async_bounds,
};
use crate::shapes::fan_in::FanIn;

const TASKS: &[usize] = &[1, 2, 8, 64, 512];
/// Most tasks that share one `SharedSender`.
const MAX_SHARED: usize = 64;
/// The numbers that each channel is opened with.
const CAPACITIES: &[usize] = &[64, 1_024];

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "tasks",
    about: "One receiving task and 1 to 512 sending tasks on a multi-threaded executor. The \
            messages are numbers (`u64`) or 1200-byte packets (`Bytes`, taken in rotation from a \
            ring that each sender owns). Every channel is opened with the same number, \
            `channel(64)` or `channel(1024)`. In `lanemesh` that is the capacity of every sender's \
            lane; `lanemesh-total` (`Builder::total_capacity`) and `lanemesh-shared` (up to 64 \
            clones of one `SharedSender`) have as many slots in all as the peers. For † see \
            `funnel`.",
    cells,
};

fn cells(effort: &Effort) -> Vec<Cell> {
    let mut visit = Visit {
        cells: Vec::new(),
        capacity: 0,
        tasks: 0,
        packets: false,
    };
    for packets in [false, true] {
        for capacity in CAPACITIES {
            for tasks in effort.choose(TASKS, &[2, 64]) {
                visit = Visit {
                    capacity: *capacity,
                    tasks: *tasks,
                    packets,
                    ..visit
                };
                visit_async_bounds(&mut visit);
            }
        }
    }
    visit.cells
}

struct Visit {
    cells: Vec<Cell>,
    capacity: usize,
    tasks: usize,
    packets: bool,
}

impl Visit {
    fn add<T: Payload, F: AsyncFamily<T>>(&mut self) {
        if F::NAME == LanemeshShared::NAME && self.tasks > MAX_SHARED {
            return;
        }
        let fan_in = FanIn {
            rigs: 1,
            senders: self.tasks,
            slots: Capacity::same(self.capacity),
        };
        let params = vec![
            ("message", Value::from(T::NAME)),
            ("slots", Value::Text(format!("channel({})", self.capacity))),
            ("tasks", Value::from(self.tasks)),
        ];
        let run = move |count| fan_in.run::<T, F>(count);
        let cell = Cell::rate::<F>(SHAPE.name, params, Unit::NanosPerMessage, 20_000, run);
        self.cells.push(cell.waiting::<F>());
    }
}

impl AsyncVisitor for Visit {
    fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self) {
        if self.packets {
            self.add::<Bytes, F>();
        } else {
            self.add::<u64, F>();
        }
    }
}
