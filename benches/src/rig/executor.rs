//! The executor that tasks run on, and the cores that threads run on.

use std::future::Future;
use std::num::NonZero;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::rig::fault::Fault;

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
