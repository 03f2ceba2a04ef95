//! The lanes behind handles, of one handle or shared by clones, and what becomes of a message that
//! finds its lane full.

use std::{future::Future, ops::ControlFlow, pin::pin, sync::Arc};

use lanemesh::{Overflow, SendTimeoutError, Sender, Sent, SharedSender, TrySendError};
use tokio::time::{Instant, timeout_at};

use crate::{
    cell::ActorCell, envelope::Envelope, error::SendError, handle::deadlock::wait_for_room,
    util::timer::unstamp,
};

/// A lane of a handle.
pub(super) trait Lane<M> {
    /// Waits for room and sends what is in `slot`. What was not sent is still there, also when this
    /// is cancelled. A message whose `deadline` has passed is not sent.
    fn push(
        &mut self,
        target: &Arc<ActorCell>,
        slot: &mut Option<Envelope<M>>,
        deadline: Option<Instant>,
    ) -> impl Future<Output = Result<(), SendError<()>>> + Send;

    fn offer(&mut self, envelope: Envelope<M>) -> Result<(), TrySendError<Envelope<M>>>;

    /// Blocks the thread until there is room, or until `deadline`.
    fn blocking_push(
        &mut self,
        envelope: Envelope<M>,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<Envelope<M>>>;
}

impl<M: Send + 'static> Lane<M> for &mut Sender<Envelope<M>> {
    async fn push(
        &mut self,
        target: &Arc<ActorCell>,
        slot: &mut Option<Envelope<M>>,
        deadline: Option<Instant>,
    ) -> Result<(), SendError<()>> {
        while let Some(envelope) = {
            wait_for_room(target, |cx| self.poll_reserve(cx)).await?;
            check(deadline)?;
            slot.take()
        } {
            match self.try_send(envelope) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) => *slot = Some(back),
                Err(TrySendError::Closed(back)) => {
                    *slot = Some(back);
                    return Err(SendError::Closed(()));
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn offer(&mut self, envelope: Envelope<M>) -> Result<(), TrySendError<Envelope<M>>> {
        self.try_send(envelope)
    }

    fn blocking_push(
        &mut self,
        envelope: Envelope<M>,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<Envelope<M>>> {
        match deadline {
            Some(deadline) => self.send_deadline(envelope, deadline.into_std()),
            None => self
                .blocking_send(envelope)
                .map_err(|error| SendTimeoutError::Closed(error.0)),
        }
    }
}

impl<M: Send + 'static> Lane<M> for &SharedSender<Envelope<M>> {
    async fn push(
        &mut self,
        target: &Arc<ActorCell>,
        slot: &mut Option<Envelope<M>>,
        deadline: Option<Instant>,
    ) -> Result<(), SendError<()>> {
        let mut reserve = pin!(self.reserve());
        let permit = wait_for_room(target, |cx| reserve.as_mut().poll(cx)).await?;
        check(deadline)?;
        if let Some(envelope) = slot.take()
            && let Err(lanemesh::SendError(back)) = permit.send(envelope)
        {
            *slot = Some(back);
            return Err(SendError::Closed(()));
        }
        Ok(())
    }

    #[inline]
    fn offer(&mut self, envelope: Envelope<M>) -> Result<(), TrySendError<Envelope<M>>> {
        self.try_send(envelope)
    }

    fn blocking_push(
        &mut self,
        envelope: Envelope<M>,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<Envelope<M>>> {
        match deadline {
            Some(deadline) => self.send_deadline(envelope, deadline.into_std()),
            None => self
                .blocking_send(envelope)
                .map_err(|error| SendTimeoutError::Closed(error.0)),
        }
    }
}

fn check(deadline: Option<Instant>) -> Result<(), SendError<()>> {
    match deadline {
        Some(deadline) if deadline <= Instant::now() => Err(SendError::Expired(())),
        _ => Ok(()),
    }
}

/// The lane is full: rejects, drops, or waits for room, by the policy.
#[cold]
pub(super) async fn overflow<M: Send + 'static>(
    mut lane: impl Lane<M>,
    cell: &Arc<ActorCell>,
    policy: Overflow,
    envelope: Envelope<M>,
) -> Result<Sent, SendError<M>> {
    let envelope = match on_full(cell, policy, envelope) {
        ControlFlow::Continue(envelope) => envelope,
        ControlFlow::Break(outcome) => {
            return outcome.map_err(|error| error.map(|envelope| envelope.message));
        }
    };
    let deadline = (envelope.expires != 0).then(|| unstamp(envelope.expires));
    let mut slot = Some(envelope);
    let outcome = match deadline {
        None => lane.push(cell, &mut slot, None).await,
        // Boxed, so that sends without a deadline are no larger.
        Some(deadline) => Box::pin(push_until(&mut lane, cell, &mut slot, deadline)).await,
    };
    match (outcome, slot) {
        (Err(error), Some(envelope)) => Err(error.map(|()| envelope.message)),
        _ => Ok(Sent::Queued),
    }
}

/// Sends an envelope from a thread that runs no tasks, by the policy of its lane.
pub(super) fn blocking_send<M>(
    mut lane: impl Lane<M>,
    cell: &ActorCell,
    policy: Overflow,
    envelope: Envelope<M>,
) -> Result<Sent, SendError<M>> {
    let envelope = match lane.offer(envelope) {
        Ok(()) => return Ok(Sent::Queued),
        Err(TrySendError::Closed(envelope)) => return Err(SendError::Closed(envelope.message)),
        Err(TrySendError::Full(envelope)) => envelope,
    };
    let envelope = match on_full(cell, policy, envelope) {
        ControlFlow::Continue(envelope) => envelope,
        ControlFlow::Break(outcome) => {
            return outcome.map_err(|error| error.map(|envelope| envelope.message));
        }
    };
    let deadline = (envelope.expires != 0).then(|| unstamp(envelope.expires));
    match lane.blocking_push(envelope, deadline) {
        Ok(()) => Ok(Sent::Queued),
        Err(SendTimeoutError::Timeout(envelope)) => Err(SendError::Expired(envelope.message)),
        Err(SendTimeoutError::Closed(envelope)) => Err(SendError::Closed(envelope.message)),
    }
}

async fn push_until<M>(
    lane: &mut impl Lane<M>,
    cell: &Arc<ActorCell>,
    slot: &mut Option<Envelope<M>>,
    deadline: Instant,
) -> Result<(), SendError<()>> {
    match timeout_at(deadline, lane.push(cell, slot, Some(deadline))).await {
        Ok(outcome) => outcome,
        Err(_) => Err(SendError::Expired(())),
    }
}

/// What becomes of a message that finds its lane full; to continue is to wait for room.
pub(super) fn on_full<M>(
    cell: &ActorCell,
    policy: Overflow,
    message: M,
) -> ControlFlow<Result<Sent, SendError<M>>, M> {
    match policy {
        Overflow::Wait => ControlFlow::Continue(message),
        Overflow::Reject => {
            cell.count_rejected();
            ControlFlow::Break(Err(SendError::Full(message)))
        }
        Overflow::Drop => {
            cell.count_dropped();
            ControlFlow::Break(Ok(Sent::Dropped))
        }
    }
}

/// The outcome of a send that does not wait.
#[inline]
pub(super) fn refuse<M>(
    cell: &ActorCell,
    outcome: Result<(), TrySendError<Envelope<M>>>,
) -> Result<(), SendError<M>> {
    if let Err(TrySendError::Full(_)) = &outcome {
        cell.count_rejected();
    }
    without_envelope(outcome)
}

#[inline]
pub(super) fn without_envelope<M>(
    outcome: Result<(), TrySendError<Envelope<M>>>,
) -> Result<(), SendError<M>> {
    outcome.map_err(|error| match error {
        TrySendError::Closed(envelope) => SendError::Closed(envelope.message),
        TrySendError::Full(envelope) => SendError::Full(envelope.message),
    })
}

/// Sends an envelope through a lane, by its policy. A macro, since an async function would copy the
/// envelope into a future of its own.
macro_rules! send_through {
    ($lane:expr, $cell:expr, $policy:expr, $envelope:expr) => {
        match $lane.try_send($envelope) {
            Ok(()) => Ok(Sent::Queued),
            Err(TrySendError::Closed(envelope)) => Err(SendError::Closed(envelope.message)),
            Err(TrySendError::Full(envelope)) => {
                $crate::handle::lane::overflow($lane, $cell, $policy, envelope).await
            }
        }
    };
}
pub(super) use send_through;
