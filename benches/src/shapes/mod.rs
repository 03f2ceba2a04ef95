//! The shapes of traffic, a file each.
//!
//! A shape turns every subject it concerns into cells. The work behind a cell opens its own channels
//! and its own executor, checks that every message arrives once, and joins all it started.

use std::future::Future;
use std::num::NonZero;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::payload::Fault;
use crate::plan::{Cell, Effort};

pub mod fan_in;
pub mod funnel;
pub mod latency;
pub mod pinball;
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
    latency::SHAPE,
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
