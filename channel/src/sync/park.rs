//! Waiting as a thread: polls as a task does, with a waker that unparks the thread.

use std::{
    cell::RefCell,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Instant,
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
