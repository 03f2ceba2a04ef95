//! `remote`: an actor on another node, over TCP on the loopback interface.

mod node;
mod raw;
mod setup;

use std::time::Duration;

use crate::plan::{Cell, Effort, METRIC, Metric, Params, Shape, Timing, Value};
use crate::rig::fault::Fault;
use crate::rig::stats::Unit;
use crate::rivals::{Role, Subject};

/// Messages before a question, in the run that asks behind them.
const AHEAD: u64 = 200_000;
const AHEAD_QUICK: u64 = 5_000;

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "remote",
    about: "Two nodes in one process, linked over TCP on the loopback interface, on one worker for each \
            core. `raw-tcp` is one connection without frames, actors or credit: a floor.\n\n\
            - `ask, 64 B`: one task asks one actor, one question at a time; for `raw-tcp` an echo.\n\
            - `tell, 1200 B`: one task sends to one actor, which counts; all must arrive, in order.\n\
            - `ask behind tells`: time from the question to its answer right after 200,000 tells of \
            1200 B (5,000 in a quick run). For lanemesh-net the question has high priority; on one \
            connection it stands behind them.",
    cells,
};

const BEHIND: &[Metric] = &[Metric::new("ask behind tells", Unit::Micros)];

fn cells(_effort: &Effort) -> Vec<Cell> {
    let mut cells = Vec::new();
    add::<Net>(&mut cells, node::ask, node::tell, node::ask_behind);
    add::<RawTcp>(&mut cells, raw::ask, raw::tell, raw::ask_behind);
    cells
}

type Run = fn(u64) -> Result<Timing, Fault>;

fn add<S: Subject>(
    cells: &mut Vec<Cell>,
    ask: Run,
    tell: Run,
    ask_behind: fn(u64) -> Result<Duration, Fault>,
) {
    let traffic = |name: &str| -> Params { vec![("traffic", Value::from(name))] };
    let unit = Unit::NanosPerMessage;
    cells.push(Cell::rate::<S>(
        SHAPE.name,
        traffic("ask, 64 B"),
        unit,
        100,
        ask,
    ));
    cells.push(Cell::rate::<S>(
        SHAPE.name,
        traffic("tell, 1200 B"),
        unit,
        1000,
        tell,
    ));
    let behind = move |effort: Effort| {
        let ahead = if effort.quick { AHEAD_QUICK } else { AHEAD };
        Ok(vec![ask_behind(ahead)?.as_secs_f64() * 1e6])
    };
    let params = vec![(METRIC, Value::from("-"))];
    cells.push(Cell::readings::<S>(SHAPE.name, params, BEHIND, behind));
}

struct Net;

impl Subject for Net {
    const NAME: &'static str = "lanemesh-net";
    const ROLE: Role = Role::Ours;
}

struct RawTcp;

impl Subject for RawTcp {
    const NAME: &'static str = "raw-tcp";
    const ROLE: Role = Role::Floor;
}
