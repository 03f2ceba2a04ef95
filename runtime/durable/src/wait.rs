//! Waiting for a future on a thread that runs no tasks.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// Unparks this thread. A wake-up for an earlier future only lets the next one be polled once more.
    static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
}

/// Blocks the thread until the future is ready.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    block_until(future, None).expect("a wait without a deadline ends with an output")
}

/// As [`block_on`], for at most `timeout`; then the future is dropped.
pub(crate) fn block_for<F: Future>(future: F, timeout: Duration) -> Option<F::Output> {
    block_until(future, Instant::now().checked_add(timeout))
}

fn block_until<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = WAKER.with(Waker::clone);
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => thread::park_timeout(left),
                _ => return None,
            },
        }
    }
}
