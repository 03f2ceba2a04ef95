//! Receiving as a thread, which parks when there is nothing.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use super::{budget::CoopBudget, wait::Sleeper};
use crate::{error::RecvTimeoutError, sync::park};

/// Receives from `from`, parking the thread while `attempt` returns nothing; `poll` returns `None`
/// if nothing will come.
pub(crate) fn recv_blocking<S: Sleeper, R>(
    from: &mut S,
    deadline: Option<Instant>,
    budget: impl Fn(&mut S) -> &mut CoopBudget,
    attempt: impl Fn(&mut S) -> Option<R>,
    poll: impl Fn(&mut S, &mut Context<'_>) -> Poll<Option<R>>,
) -> Result<R, RecvTimeoutError> {
    let mut own = budget(from).standoff;
    let spun = own.spin(deadline, || attempt(from)).map(Some);
    let received = spun.or_else(|| {
        budget(from).begin_wait();
        let received = park::block_on(deadline, |cx| {
            budget(from).reset();
            poll(from, cx)
        });
        from.stop_sleeping();
        received
    });
    // Polling while parked tuned this for tasks; restore the thread's own state.
    budget(from).standoff = own;
    match received {
        Some(Some(message)) => Ok(message),
        Some(None) => Err(RecvTimeoutError::Closed),
        None => Err(RecvTimeoutError::Timeout),
    }
}

/// Receives a batch from `from` with `take`, which returns how many messages it has taken, parking
/// the thread while there is none. `readable` says whether there is one, and `poll` waits for it.
/// Zero if nothing will come, or if `limit` is zero.
pub(crate) fn recv_many_blocking<S: Sleeper>(
    from: &mut S,
    limit: usize,
    budget: impl Fn(&mut S) -> &mut CoopBudget,
    mut take: impl FnMut(&mut S) -> usize,
    readable: impl Fn(&mut S) -> bool,
    poll: impl Fn(&mut S, &mut Context<'_>) -> Poll<bool>,
) -> usize {
    if limit == 0 {
        return 0;
    }
    loop {
        let count = take(from);
        if count > 0 {
            return count;
        }
        let attempt = |from: &mut S| readable(from).then_some(());
        let poll = |from: &mut S, cx: &mut Context<'_>| {
            poll(from, cx).map(|readable| readable.then_some(()))
        };
        if recv_blocking(from, None, &budget, attempt, poll).is_err() {
            return 0;
        }
    }
}
