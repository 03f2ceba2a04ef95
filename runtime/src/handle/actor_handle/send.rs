//! Sending one message: now or when there is room, with or without a deadline.

use std::{
    future::poll_fn,
    ops::ControlFlow,
    sync::Arc,
    task::{Context, Poll},
};

use lanemesh::{Overflow, Sender, Sent, TrySendError};
use tokio::time::{Instant, timeout_at};

use crate::{
    actor::{Actor, Low},
    cell::ActorCell,
    envelope::Envelope,
    error::SendError,
    handle::{ActorHandle, deadlock::wait_for_room},
    util::timer::unstamp,
};

/// Sends an envelope through one of a handle's lanes, by its policy. A macro, since an async
/// function would copy the envelope into a future of its own.
macro_rules! send_through {
    ($handle:expr, $class:ident, $envelope:expr) => {
        match $handle.tx.$class().try_send($envelope) {
            Ok(()) => Ok(Sent::Queued),
            Err(TrySendError::Closed(envelope)) => Err(SendError::Closed(envelope.message)),
            Err(TrySendError::Full(envelope)) => {
                let policy = $handle.policies.$class;
                overflow($handle.tx.$class(), &$handle.cell, policy, envelope).await
            }
        }
    };
}

impl<A: Actor> ActorHandle<A> {
    // --- high ---------------------------------------------------------------------------------

    /// Sends a high-priority message. When the lane is full, its overflow policy applies.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages; [`SendError::Full`] under
    /// [`Overflow::Reject`]; [`SendError::Deadlock`] when waiting would never end.
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped. To keep the message, wait for
    /// [`high_ready`](Self::high_ready), then [`try_send_high`](Self::try_send_high).
    pub async fn send_high(
        &mut self,
        message: A::HighPriorityMsg,
    ) -> Result<Sent, SendError<A::HighPriorityMsg>> {
        let envelope = self.wrap(message);
        send_through!(self, high, envelope)
    }

    /// Sends a high-priority message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`], with the message.
    pub fn try_send_high(
        &mut self,
        message: A::HighPriorityMsg,
    ) -> Result<(), SendError<A::HighPriorityMsg>> {
        let envelope = self.wrap(message);
        refuse(&self.cell, self.tx.high().try_send(envelope))
    }

    /// Sends a high-priority message that expires at `deadline`.
    ///
    /// # Errors
    ///
    /// As [`send_high`](Self::send_high); [`SendError::Expired`] when the deadline has passed, or
    /// passes while waiting for room.
    ///
    /// # Cancel safety
    ///
    /// As [`send_high`](Self::send_high).
    pub async fn send_high_by(
        &mut self,
        message: A::HighPriorityMsg,
        deadline: Instant,
    ) -> Result<Sent, SendError<A::HighPriorityMsg>> {
        let envelope = self.wrap_by(message, deadline)?;
        send_through!(self, high, envelope)
    }

    /// Waits for room for a high-priority message, without deadlock detection.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn high_ready(&mut self) -> Result<(), SendError<()>> {
        poll_fn(|cx| self.poll_ready_high(cx)).await
    }

    pub(crate) fn poll_ready_high(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<()>>> {
        self.tx
            .high()
            .poll_reserve(cx)
            .map_err(|_| SendError::Closed(()))
    }

    // --- low ----------------------------------------------------------------------------------

    /// Sends a low-priority message. When the lane is full, its overflow policy applies.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages; [`SendError::Full`] under
    /// [`Overflow::Reject`]; [`SendError::Deadlock`] when waiting would never end.
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped. To keep the message, wait for
    /// [`low_ready`](Self::low_ready), then [`try_send_low`](Self::try_send_low).
    pub async fn send_low(
        &mut self,
        message: A::LowPriorityMsg,
    ) -> Result<Sent, SendError<A::LowPriorityMsg>> {
        let envelope = self.wrap(message);
        send_through!(self, low, envelope)
    }

    /// Sends a low-priority message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`], with the message.
    pub fn try_send_low(
        &mut self,
        message: A::LowPriorityMsg,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        let envelope = self.wrap(message);
        refuse(&self.cell, self.tx.low().try_send(envelope))
    }

    /// Sends a low-priority message that expires at `deadline`.
    ///
    /// # Errors
    ///
    /// As [`send_low`](Self::send_low); [`SendError::Expired`] when the deadline has passed, or
    /// passes while waiting for room.
    ///
    /// # Cancel safety
    ///
    /// As [`send_low`](Self::send_low).
    pub async fn send_low_by(
        &mut self,
        message: A::LowPriorityMsg,
        deadline: Instant,
    ) -> Result<Sent, SendError<A::LowPriorityMsg>> {
        let envelope = self.wrap_by(message, deadline)?;
        send_through!(self, low, envelope)
    }

    /// Waits for room for a low-priority message, without deadlock detection.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn low_ready(&mut self) -> Result<(), SendError<()>> {
        poll_fn(|cx| self.poll_ready_low(cx)).await
    }

    pub(crate) fn poll_ready_low(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<()>>> {
        self.tx
            .low()
            .poll_reserve(cx)
            .map_err(|_| SendError::Closed(()))
    }

    /// Waits for room for `wanted` low-priority messages, or for an empty lane if that is less.
    /// Returns at once when the actor accepts no more messages: the next send fails. Without
    /// deadlock detection.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn low_room(&mut self, wanted: usize) {
        let wanted = wanted.min(self.tx.low().capacity());
        poll_fn(|cx| {
            let has_room = |lane: &Sender<Low<A>>| {
                lane.is_closed() || lane.capacity() - lane.len().min(lane.capacity()) >= wanted
            };
            if has_room(self.tx.low()) || !self.cell.is_alive() {
                return Poll::Ready(());
            }
            self.cell.add_room_waiter(cx.waker());
            if has_room(self.tx.low()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    // --- for handles that are shared ----------------------------------------------------------

    /// Sends without waiting; a refusal is not counted.
    pub(crate) fn offer_high(
        &mut self,
        message: A::HighPriorityMsg,
    ) -> Result<(), SendError<A::HighPriorityMsg>> {
        let envelope = self.wrap(message);
        without_envelope(self.tx.high().try_send(envelope))
    }

    pub(crate) fn offer_high_by(
        &mut self,
        message: A::HighPriorityMsg,
        deadline: Instant,
    ) -> Result<(), SendError<A::HighPriorityMsg>> {
        let envelope = self.wrap_by(message, deadline)?;
        without_envelope(self.tx.high().try_send(envelope))
    }

    pub(crate) fn offer_low(
        &mut self,
        message: A::LowPriorityMsg,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        let envelope = self.wrap(message);
        without_envelope(self.tx.low().try_send(envelope))
    }
}

/// The lane is full: rejects, drops, or waits for room, by the policy.
#[cold]
async fn overflow<M: Send + 'static>(
    lane: &mut Sender<Envelope<M>>,
    cell: &Arc<ActorCell>,
    policy: Overflow,
    envelope: Envelope<M>,
) -> Result<Sent, SendError<M>> {
    let mut envelope = match on_full(cell, policy, envelope) {
        ControlFlow::Continue(envelope) => envelope,
        ControlFlow::Break(outcome) => {
            return outcome.map_err(|error| error.map(|envelope| envelope.message));
        }
    };
    loop {
        let room = if envelope.expires == 0 {
            wait_for_room(lane, cell).await
        } else {
            // Boxed, so that sends without a deadline are no larger.
            Box::pin(wait_until(unstamp(envelope.expires), lane, cell)).await
        };
        if let Err(error) = room {
            return Err(error.map(|()| envelope.message));
        }
        envelope = match lane.try_send(envelope) {
            Ok(()) => return Ok(Sent::Queued),
            Err(TrySendError::Closed(back)) => return Err(SendError::Closed(back.message)),
            Err(TrySendError::Full(back)) => back,
        };
    }
}

/// What becomes of a message that finds its lane full; to continue is to wait for room.
pub(in crate::handle) fn on_full<M>(
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

/// Waits for room until `deadline`, so that an expired message is not queued.
async fn wait_until<M: Send + 'static>(
    deadline: Instant,
    lane: &mut Sender<Envelope<M>>,
    cell: &Arc<ActorCell>,
) -> Result<(), SendError<()>> {
    let room = timeout_at(deadline, wait_for_room(lane, cell)).await;
    match room {
        Ok(Ok(())) if deadline <= Instant::now() => Err(SendError::Expired(())),
        Ok(room) => room,
        Err(_) => Err(SendError::Expired(())),
    }
}

#[inline]
fn refuse<M>(
    cell: &ActorCell,
    outcome: Result<(), TrySendError<Envelope<M>>>,
) -> Result<(), SendError<M>> {
    if let Err(TrySendError::Full(_)) = &outcome {
        cell.count_rejected();
    }
    without_envelope(outcome)
}

#[inline]
fn without_envelope<M>(outcome: Result<(), TrySendError<Envelope<M>>>) -> Result<(), SendError<M>> {
    outcome.map_err(|error| match error {
        TrySendError::Closed(envelope) => SendError::Closed(envelope.message),
        TrySendError::Full(envelope) => SendError::Full(envelope.message),
    })
}
