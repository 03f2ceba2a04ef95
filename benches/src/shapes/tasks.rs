//! `tasks`: up to 512 sending tasks and one receiver, with numbers and with packets.

use bytes::Bytes;

use crate::plan::{Cell, Effort, Shape, Value};
use crate::rig::payload::Payload;
use crate::rig::stats::Unit;
use crate::rivals::channels::{AsyncFamily, AsyncVisitor, Capacity, visit_async};
use crate::shapes::fan_in::FanIn;

const TASKS: &[usize] = &[1, 2, 8, 64, 512];
/// Slots of the whole channel in the cells `1024 total`.
const TOTAL: usize = 1_024;
/// Slots of each sender in the cells `64 a lane`.
const LANE: usize = 64;

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "tasks",
    about: "One receiving task and 1 to 512 sending tasks on a multi-threaded executor. The \
            messages are numbers (`u64`) or 1200-byte packets (`Bytes`, taken in rotation from a \
            ring that each sender owns). The total number of slots is equal for all subjects: \
            `1024 total` is divided among the lanes of a subject that has lanes; with `64 a lane`, \
            a subject with one queue has 64 slots for every sender.",
    cells,
};

#[derive(Clone, Copy)]
enum Room {
    Total,
    Lane,
}

fn cells(effort: &Effort) -> Vec<Cell> {
    let mut visit = Visit {
        cells: Vec::new(),
        room: Room::Total,
        tasks: 0,
        packets: false,
    };
    for packets in [false, true] {
        for room in [Room::Total, Room::Lane] {
            for tasks in effort.choose(TASKS, &[2, 64]) {
                visit = Visit {
                    room,
                    tasks: *tasks,
                    packets,
                    ..visit
                };
                visit_async(&mut visit);
            }
        }
    }
    visit.cells
}

struct Visit {
    cells: Vec<Cell>,
    room: Room,
    tasks: usize,
    packets: bool,
}

impl Visit {
    fn add<T: Payload, F: AsyncFamily<T>>(&mut self) {
        let (room, slots) = match self.room {
            Room::Total => ("1024 total", Capacity::split(TOTAL, self.tasks)),
            Room::Lane => ("64 a lane", Capacity::per_lane(LANE, self.tasks)),
        };
        let fan_in = FanIn {
            rigs: 1,
            senders: self.tasks,
            slots,
        };
        let params = vec![
            ("message", Value::from(T::NAME)),
            ("slots", Value::from(room)),
            ("tasks", Value::from(self.tasks)),
        ];
        let run = move |count| fan_in.run::<T, F>(count);
        self.cells.push(Cell::rate::<F>(
            SHAPE.name,
            params,
            Unit::NanosPerMessage,
            20_000,
            run,
        ));
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
