//! Waiting for room in a lane, with deadlock detection.
//!
//! Two actors whose handlers wait for room in each other's full lanes would wait forever. While a
//! handler waits, its actor records for which actor. If these records lead back to it and nothing
//! in the cycle moves for a while, the send fails with the cycle and returns the message. Sends
//! outside of actors are not recorded: they cannot close a cycle. An actor that is down until a round of
//! restarts is over waits, by way of the round, for the sibling whose end the round waits for: a handler of
//! that sibling which waits for room there would wait until the end of its grace period.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    cell::{ActorCell, current},
    error::SendError,
    id::ActorId,
};

/// How long a cycle must stand still to count as a deadlock. A sender that was woken but not polled
/// for this long would be taken for a blocked one, so it is generous.
const STANDSTILL: Duration = Duration::from_millis(250);

/// Waits until `poll_room` is ready with room in a lane of `target`. It fails when the lane is
/// closed.
pub(crate) async fn wait_for_room<T, E>(
    target: &Arc<ActorCell>,
    mut poll_room: impl FnMut(&mut Context<'_>) -> Poll<Result<T, E>>,
) -> Result<T, SendError<()>> {
    let Some(sender) = current() else {
        return poll_fn(poll_room).await.map_err(|_| SendError::Closed(()));
    };
    let _edge = sender.begin_wait(target);
    let mut timer = pin!(sleep(STANDSTILL));
    let mut seen: Option<Vec<(ActorId, u64)>> = sender.wait_cycle();
    poll_fn(|cx| {
        if let Poll::Ready(room) = poll_room(cx) {
            return Poll::Ready(room.map_err(|_| SendError::Closed(())));
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = sender.wait_cycle();
            if let Some(cycle) = &now
                && now == seen
            {
                let cycle: Vec<ActorId> = cycle.iter().map(|(id, _)| *id).collect();
                tracing::error!(?cycle, "actors wait for room in each other's lanes");
                return Poll::Ready(Err(SendError::Deadlock { message: (), cycle }));
            }
            seen = now;
            timer.as_mut().reset(Instant::now() + STANDSTILL);
        }
        Poll::Pending
    })
    .await
}
