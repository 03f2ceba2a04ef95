//! Receiving as a thread, which parks when there is nothing.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use super::{standoff::Standoff, wait::Sleeper};
use crate::{error::RecvTimeoutError, sync::park};

/// Receives from `from`, parking the thread while `attempt` returns nothing; `poll` returns `None`
/// if nothing will come.
pub(crate) fn recv_blocking<S: Sleeper, R>(
    from: &mut S,
    deadline: Option<Instant>,
    standoff: impl Fn(&mut S) -> &mut Standoff,
    attempt: impl Fn(&mut S) -> Option<R>,
    poll: impl Fn(&mut S, &mut Context<'_>) -> Poll<Option<R>>,
) -> Result<R, RecvTimeoutError> {
    let mut own = *standoff(from);
    let spun = own.spin(|| attempt(from)).map(Some);
    let received = spun.or_else(|| {
        let received = park::block_on(deadline, |cx| poll(from, cx));
        from.stop_sleeping();
        received
    });
    // Polling while parked tuned this for tasks; restore the thread's own state.
    *standoff(from) = own;
    match received {
        Some(Some(message)) => Ok(message),
        Some(None) => Err(RecvTimeoutError::Closed),
        None => Err(RecvTimeoutError::Timeout),
    }
}
