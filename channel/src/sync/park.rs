//! Waiting as a thread: polls as a task does, with a waker that unparks the thread.

use std::{
    cell::RefCell,
    num::NonZero,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Instant,
};

use crossbeam_utils::Backoff;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Attempts before a thread first yields: whoever it waits for may need its processor.
const SPINS: usize = 3;
/// How often a thread yields before it parks: about 10 µs if nothing else runs, and less than two
/// threads take to wake each other.
const YIELDS: usize = 32;

thread_local! {
    /// One waker per thread, so that it need not be made for every wait.
    static WAKER: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

fn thread_waker() -> Waker {
    let new = || Waker::from(Arc::new(Unpark(thread::current())));
    // A thread that is being destroyed has no thread-locals any more, and gets a new waker.
    WAKER
        .try_with(|cached| {
            cached
                .try_borrow_mut()
                .map(|mut cached| cached.get_or_insert_with(new).clone())
                .ok()
        })
        .ok()
        .flatten()
        .unwrap_or_else(new)
}

/// Calls `attempt` until it returns something: first in quick succession, then yielding in between.
/// `None` if it is time to park.
pub(crate) fn spin<R>(mut attempt: impl FnMut() -> Option<R>) -> Option<R> {
    let backoff = Backoff::new();
    for _ in 0..SPINS {
        let result = attempt();
        if result.is_some() {
            return result;
        }
        backoff.spin();
    }
    spin_yielding(attempt)
}

/// As `spin`, for one of `threads` threads that wait for a last one. If there are not enough
/// processors for all of them, each yields at once: spinning would take time from the thread that
/// it waits for.
pub(crate) fn spin_unless_oversubscribed<R>(
    threads: usize,
    attempt: impl FnMut() -> Option<R>,
) -> Option<R> {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    let known = || thread::available_parallelism().map_or(1, NonZero::get);
    if threads < *PROCESSORS.get_or_init(known) {
        spin(attempt)
    } else {
        spin_yielding(attempt)
    }
}

fn spin_yielding<R>(mut attempt: impl FnMut() -> Option<R>) -> Option<R> {
    for _ in 0..YIELDS {
        let result = attempt();
        if result.is_some() {
            return result;
        }
        thread::yield_now();
    }
    None
}

/// Polls until ready, parking the thread in between; `None` if `deadline` has passed.
pub(crate) fn block_on<R>(
    deadline: Option<Instant>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
) -> Option<R> {
    let waker = thread_waker();
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(result) = poll(&mut cx) {
            return Some(result);
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                thread::park_timeout(left);
            }
        }
    }
}
