//! Several actors on one thread: a team.
//!
//! A team is a thread with a tokio runtime of its own, pinned to a core where the system allows.
//! Its actors need not be `Send`, share no cache line with another core except through their
//! mailboxes, and never move. The thread lives as long as the team or one of its actors.

use std::{
    fmt, io,
    sync::{Arc, mpsc},
    thread,
};

use tokio::{runtime::Builder, sync::oneshot};

use crate::util::executor::RuntimeThread;

/// A thread for actors.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{Team, builder, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let team = Team::new("media")?;
/// // Two actors that share the team's thread.
/// let (_generator, _child_1) = builder(Sink::<(), u64>::new).on(&team).spawn();
/// let (_heartbeat, _child_2) = builder(Sink::<(), ()>::new).on(&team).spawn();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Team {
    name: Arc<str>,
    core: Option<usize>,
    thread: RuntimeThread,
}

impl Team {
    /// Starts a team that the system places.
    ///
    /// # Errors
    ///
    /// If the system gives no thread or no I/O driver.
    pub fn new(name: impl Into<String>) -> io::Result<Self> {
        Self::start(name.into(), None)
    }

    /// Starts a team on the core with this index, counted from 0 over the cores that the process
    /// may use. If the system does not allow it the team runs unpinned: see
    /// [`core`](Self::core).
    ///
    /// # Errors
    ///
    /// If the system gives no thread or no I/O driver.
    pub fn pinned(name: impl Into<String>, core: usize) -> io::Result<Self> {
        Self::start(name.into(), Some(core))
    }

    /// Starts a pinned team for each core that the process may use; at least one.
    ///
    /// # Errors
    ///
    /// If the system gives no thread or no I/O driver.
    pub fn per_core(name: &str) -> io::Result<Vec<Self>> {
        let cores = core_affinity::get_core_ids().map_or(1, |cores| cores.len().max(1));
        (0..cores)
            .map(|core| Self::pinned(format!("{name}-{core}"), core))
            .collect()
    }

    /// The team's name, which is also the thread's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The index of the core that the team is pinned to, if it is.
    pub fn core(&self) -> Option<usize> {
        self.core
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
            let _ = runtime.block_on(stopped);
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

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team")
            .field("name", &self.name())
            .field("core", &self.core())
            .finish_non_exhaustive()
    }
}
