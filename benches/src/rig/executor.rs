//! The tokio executor that tasks run on, and pinning of threads to cores.

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

/// A multi-threaded tokio executor with this many workers.
///
/// # Errors
///
/// [`Fault::Failed`] if the threads cannot be started.
pub fn executor(workers: usize) -> Result<Runtime, Fault> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_time()
        .build()
        .map_err(|error| Fault::Failed(format!("the executor did not start: {error}")))
}

/// Waits for a task and returns its result.
///
/// # Errors
///
/// [`Fault::Panicked`] if the task panicked.
pub async fn joined<R>(task: JoinHandle<R>) -> Result<R, Fault> {
    task.await
        .map_err(|error| Fault::Panicked(error.to_string()))
}

/// Runs `work` on an executor with one worker for each core.
///
/// # Errors
///
/// Those of the work, and [`Fault::Failed`] if the executor cannot be started.
pub fn on_all_cores<R>(work: impl Future<Output = Result<R, Fault>>) -> Result<R, Fault> {
    executor(cores())?.block_on(work)
}

/// Pins the calling thread to a core: the one with this index among those that the process may use.
///
/// Does nothing on systems other than Linux, or if there is no such core.
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
            // If the system refuses, the thread stays unpinned, which costs precision only.
            let _ = sched_setaffinity(None, &one);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = core;
}
