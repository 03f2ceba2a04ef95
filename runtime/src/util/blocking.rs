//! Waiting on a thread, outside of any executor.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use tokio::time::Instant;

/// Panics, with a text that says why, on a thread that runs tasks of tokio: to block it would stop
/// them all. A thread of [`spawn_blocking`](tokio::task::spawn_blocking) may block.
#[track_caller]
pub(crate) fn forbid_in_tasks() {
    // Tokio's own check, which is not public: it is made before the lock is tried.
    drop(tokio::sync::Mutex::new(()).blocking_lock());
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks the thread until the poll is ready. None when `deadline` has passed before.
pub(crate) fn block_until<T>(
    deadline: Instant,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = poll(&mut cx) {
            return Some(output);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}
