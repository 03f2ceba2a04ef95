//! Waiting as a thread: the same polls as a task's, with a waker that unparks.

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

/// Looks before a thread gives way for the first time: what it waits for may have to run where it runs.
const QUICK_LOOKS: usize = 3;
/// Times that a thread gives way before it parks: some 10 us where nobody else has work, and less than two threads
/// take to wake each other.
const GIVING_WAY: usize = 32;

thread_local! {
    /// One waker for a thread, so that it need not be cloned anew for every wait.
    static WAKER: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

fn thread_waker() -> Waker {
    let new = || Waker::from(Arc::new(Unpark(thread::current())));
    // A thread that is being torn down has no locals any more: a waker of its own does as well.
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

/// Calls `attempt` until it gives something: at first in quick succession, then giving way to others.
/// `None` when it is time to park.
pub(crate) fn spin<R>(mut attempt: impl FnMut() -> Option<R>) -> Option<R> {
    let backoff = Backoff::new();
    for _ in 0..QUICK_LOOKS {
        let result = attempt();
        if result.is_some() {
            return result;
        }
        backoff.spin();
    }
    give_way(attempt)
}

/// The same for one of so many threads that wait for a last one. Where there are not processors for all of them,
/// each gives way at once: to go on looking would take the time of the thread that it waits for.
pub(crate) fn spin_among<R>(threads: usize, attempt: impl FnMut() -> Option<R>) -> Option<R> {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    let known = || thread::available_parallelism().map_or(1, NonZero::get);
    if threads < *PROCESSORS.get_or_init(known) {
        spin(attempt)
    } else {
        give_way(attempt)
    }
}

fn give_way<R>(mut attempt: impl FnMut() -> Option<R>) -> Option<R> {
    for _ in 0..GIVING_WAY {
        let result = attempt();
        if result.is_some() {
            return result;
        }
        thread::yield_now();
    }
    None
}

/// Polls until ready, parking the thread in between; `None` when `deadline` has passed first.
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
