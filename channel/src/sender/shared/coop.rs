//! Sends that find room yield to the executor at regular intervals: a loop of them would keep every other task
//! of its thread from running, and timeouts around it from firing. The thread counts, because clones share no
//! state that a send could write without contention.

#[cfg(feature = "sink")]
use std::task::Context;
use std::{cell::Cell, future::poll_fn, task::Poll};

/// Sends in a row, of all tasks of a thread, of which one yields, unless the channel has a budget of its own.
const BUDGET: usize = 128;

thread_local! {
    /// Sends since one yielded or waited.
    static SENDS: Cell<usize> = const { Cell::new(0) };
}

/// A send begins. It yields first if it is the thread's turn to: nothing has been sent by then.
#[inline]
pub(super) async fn proceed(budget: Option<usize>) {
    if is_due(budget.unwrap_or(BUDGET)) {
        yield_once().await;
    }
}

/// As `proceed`, for a poll function. If it is the thread's turn to yield, the task is woken.
#[cfg(feature = "sink")]
pub(super) fn poll_proceed(budget: Option<usize>, cx: &mut Context<'_>) -> Poll<()> {
    if is_due(budget.unwrap_or(BUDGET)) {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(())
}

/// A send waits, so others run.
pub(super) fn rest() {
    // A thread that is being torn down has no locals any more, and no loop of sends.
    let _ = SENDS.try_with(|sends| sends.set(0));
}

#[inline]
fn is_due(budget: usize) -> bool {
    // A model has no loops of sends.
    !cfg!(loom)
        && SENDS
            .try_with(|sends| {
                let due = sends.get() >= budget;
                sends.set(if due { 1 } else { sends.get() + 1 });
                due
            })
            .unwrap_or(false)
}

#[cold]
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
