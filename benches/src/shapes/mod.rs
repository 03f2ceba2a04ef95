//! The shapes of traffic, a file each.
//!
//! A shape turns every subject it concerns into cells. The work behind a cell opens its own channels
//! and its own executor, checks that every message arrives once, and joins all it started.

use std::future::Future;
use std::num::NonZero;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::plan::{Cell, Effort};
use crate::rig::payload::Fault;

pub mod fan_in;
pub mod funnel;
pub mod idle_lanes;
pub mod latency;
pub mod memory;
pub mod pinball;
pub mod priority;
pub mod runtime;
pub mod tasks;
pub mod threads;
pub mod uncontended;

/// A shape: its name, what it is, and its cells.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Name in results and on the command line.
    pub name: &'static str,
    /// What happens in it, for the report.
    pub about: &'static str,
    /// Its cells.
    pub cells: fn(&Effort) -> Vec<Cell>,
}

/// All shapes, in the order of the report.
pub const ALL: &[Shape] = &[
    funnel::SHAPE,
    pinball::SHAPE,
    tasks::SHAPE,
    threads::SHAPE,
    uncontended::SHAPE,
    idle_lanes::SHAPE,
    priority::SHAPE,
    latency::SHAPE,
    memory::SHAPE,
    runtime::SHAPE,
];

/// The names of all shapes.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|shape| shape.name).collect()
}

/// The number of cores that this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// tokio's executor with this many workers.
///
/// # Errors
///
/// [`Fault::Failed`] when the threads cannot be started.
pub fn executor(workers: usize) -> Result<Runtime, Fault> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_time()
        .build()
        .map_err(|error| Fault::Failed(format!("no executor: {error}")))
}

/// What a task returned; a fault when it panicked.
///
/// # Errors
///
/// [`Fault::Panicked`].
pub async fn joined<R>(task: JoinHandle<R>) -> Result<R, Fault> {
    task.await
        .map_err(|error| Fault::Panicked(error.to_string()))
}

/// Runs `work` on an executor of all cores.
///
/// # Errors
///
/// Those of the work, and [`Fault::Failed`] when there is no executor.
pub fn on_all_cores<R>(work: impl Future<Output = Result<R, Fault>>) -> Result<R, Fault> {
    executor(cores())?.block_on(work)
}

/// Fails with the given words unless the condition holds.
///
/// # Errors
///
/// [`Fault::Failed`].
pub fn ensure(condition: bool, what: &str) -> Result<(), Fault> {
    if condition {
        Ok(())
    } else {
        Err(Fault::Failed(what.to_owned()))
    }
}

/// Keeps the calling thread on the core with this number among those that the process may use, where
/// the system knows how; elsewhere, or without such a core, the thread stays free.
pub fn stay_on(core: usize) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

        let Ok(usable) = sched_getaffinity(None) else {
            return;
        };
        if let Some(cpu) = (0..CpuSet::MAX_CPU)
            .filter(|cpu| usable.is_set(*cpu))
            .nth(core)
        {
            let mut one = CpuSet::new();
            one.set(cpu);
            // A refusal leaves the thread where it was: free.
            let _ = sched_setaffinity(None, &one);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = core;
}
