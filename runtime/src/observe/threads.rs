//! The load of the threads that run actors, as values.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// What one thread of a runtime has done so far. The load is the difference of two.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{WorkerThread, builder, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let thread = WorkerThread::new("media")?;
/// let (mut handle, _child) = builder(Sink::<(), u64>::new).on(&thread).spawn();
/// let before = thread.stats();
/// for number in 0..1_000 {
///     handle.send_low(number).await?;
/// }
/// handle.idle().await;
/// let after = thread.stats();
/// assert_eq!(after.tasks, 1);
/// assert!((0.0..=1.0).contains(&after.load_since(&before)));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ThreadStats {
    /// The core that the thread is pinned to, if it is a pinned
    /// [`WorkerThread`](crate::WorkerThread).
    pub core: Option<usize>,
    /// Tasks of the thread's runtime that have not ended: its actors, and what else was spawned
    /// there. The threads of one runtime share them.
    pub tasks: usize,
    /// Tasks that wait in the runtime's common queue.
    pub queued: usize,
    /// How long the thread has been busy.
    pub busy: Duration,
    /// How often the thread has gone to sleep.
    pub parks: u64,
    /// When this was read.
    pub at: Instant,
}

impl ThreadStats {
    /// All threads of a tokio runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::observe::ThreadStats;
    /// use tokio::runtime::Handle;
    ///
    /// # #[tokio::main(flavor = "multi_thread", worker_threads = 2)] async fn main() {
    /// let threads = ThreadStats::of_runtime(&Handle::current());
    /// assert_eq!(threads.len(), 2);
    /// # }
    /// ```
    pub fn of_runtime(runtime: &Handle) -> Vec<Self> {
        let workers = runtime.metrics().num_workers();
        (0..workers)
            .map(|worker| Self::of_worker(runtime, worker, None))
            .collect()
    }

    /// The part of the time since `earlier` in which the thread was busy, from 0 to 1. The thread
    /// counts its busy time when it goes to sleep, so look at intervals of some seconds.
    pub fn load_since(&self, earlier: &Self) -> f64 {
        let elapsed = self.at.saturating_duration_since(earlier.at).as_secs_f64();
        if elapsed == 0.0 {
            return 0.0;
        }
        let busy = self.busy.saturating_sub(earlier.busy).as_secs_f64();
        (busy / elapsed).min(1.0)
    }

    pub(crate) fn of_worker(runtime: &Handle, worker: usize, core: Option<usize>) -> Self {
        let metrics = runtime.metrics();
        Self {
            core,
            tasks: metrics.num_alive_tasks(),
            queued: metrics.global_queue_depth(),
            busy: metrics.worker_total_busy_duration(worker),
            parks: metrics.worker_park_count(worker),
            at: Instant::now(),
        }
    }
}
