//! Worker threads: threads that run several actors each.
//!
//! A worker thread has a tokio runtime of its own and can be pinned to a core. Its actors need not
//! be `Send`, share no cache line with another core except through their mailboxes, and never
//! move. The thread ends when its [`WorkerThread`] and all its actors are gone.

use std::{
    fmt, io,
    sync::{Arc, mpsc},
    thread,
};

use tokio::{runtime::Builder, sync::oneshot};

use crate::{
    observe::ThreadStats,
    util::executor::{RuntimeThread, run_worker_thread},
};

/// A thread that runs actors. Clones refer to the same thread.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{WorkerThread, builder, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let worker_thread = WorkerThread::new("media")?;
/// // Two actors that share the thread.
/// let (_generator, _child_1) = builder(Sink::<(), u64>::new).on(&worker_thread).spawn();
/// let (_heartbeat, _child_2) = builder(Sink::<(), ()>::new).on(&worker_thread).spawn();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct WorkerThread {
    name: Arc<str>,
    core: Option<usize>,
    thread: RuntimeThread,
}

impl WorkerThread {
    /// Starts a thread on any core.
    ///
    /// # Errors
    ///
    /// If the system refuses the thread or the I/O driver.
    pub fn new(name: impl Into<String>) -> io::Result<Self> {
        Self::start(name.into(), None)
    }

    /// Starts a thread pinned to the core with this index, counted from 0 over the cores that the
    /// process may use. Where the system does not allow pinning, the thread runs unpinned:
    /// [`core`](Self::core) tells.
    ///
    /// # Errors
    ///
    /// If the system refuses the thread or the I/O driver.
    pub fn pinned(name: impl Into<String>, core: usize) -> io::Result<Self> {
        Self::start(name.into(), Some(core))
    }

    /// Starts one pinned thread for each core that the process may use, and at least one.
    ///
    /// # Errors
    ///
    /// If the system refuses the thread or the I/O driver.
    pub fn per_core(name: &str) -> io::Result<Vec<Self>> {
        let cores = core_affinity::get_core_ids().map_or(1, |cores| cores.len().max(1));
        (0..cores)
            .map(|core| Self::pinned(format!("{name}-{core}"), core))
            .collect()
    }

    /// The name, as the system shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The index of the core that the thread is pinned to, if it is pinned.
    pub fn core(&self) -> Option<usize> {
        self.core
    }

    /// What the thread has done so far; its load is the difference of two.
    pub fn stats(&self) -> ThreadStats {
        ThreadStats::of_worker(self.thread.handle(), 0, self.core)
    }

    pub(crate) fn thread(&self) -> RuntimeThread {
        self.thread.clone()
    }

    fn start(name: String, core: Option<usize>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let (report, pinned) = mpsc::sync_channel(1);
        thread::Builder::new().name(name.clone()).spawn(move || {
            let _ = report.send(core.filter(|core| pin(*core)));
            run_worker_thread(&runtime, stopped);
        })?;
        let core = pinned.recv().ok().flatten();
        Ok(Self {
            name: name.into(),
            core,
            thread: RuntimeThread::new(handle, stop),
        })
    }
}

fn pin(core: usize) -> bool {
    core_affinity::get_core_ids()
        .and_then(|cores| cores.get(core).copied())
        .is_some_and(core_affinity::set_for_current)
}

impl fmt::Debug for WorkerThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerThread")
            .field("name", &self.name())
            .field("core", &self.core())
            .finish_non_exhaustive()
    }
}
