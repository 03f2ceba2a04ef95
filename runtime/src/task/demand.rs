//! Between two incarnations: the wait until somebody needs the actor.

use std::{
    future::poll_fn,
    task::{Context as PollContext, Poll},
};

use crate::{
    actor::{Actor, Context},
    cell::signal,
};

/// Waits until somebody needs the actor: a message, an inspection, a drain, its supervisor; or until
/// nobody can any more. Returns `false` if one of the signals `end` came first.
pub(super) async fn demand<A: Actor>(ctx: &mut Context<A>, end: u32) -> bool {
    const NEEDS: u32 = signal::CONTROL | signal::DRAIN | signal::SUSPEND | signal::RESUME;
    poll_fn(|cx| {
        let signals = ctx.cell.signals();
        if signals & end != 0 {
            return Poll::Ready(false);
        }
        if signals & NEEDS != 0 || ctx.outside() > 0 || ctx.has_unhandled() {
            return Poll::Ready(true);
        }
        ctx.poll_first(cx, signals).map(|()| true)
    })
    .await
}

impl<A: Actor> Context<A> {
    /// Receives the message with which the next incarnation begins; ready without one when the
    /// mailbox is closed.
    fn poll_first(&mut self, cx: &mut PollContext<'_>, signals: u32) -> Poll<()> {
        let ticket = self.ticket(signals);
        match self.mailbox.poll_recv(cx) {
            Poll::Ready(message) => {
                self.optional_or_default().custody.in_hand = message;
                Poll::Ready(())
            }
            Poll::Pending => {
                self.on_idle(signals, ticket);
                Poll::Pending
            }
        }
    }
}
