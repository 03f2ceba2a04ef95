//! Asking an actor: by a message with a reply, or by inspecting its state.

use std::{any::Any, future::poll_fn, time::Duration};

use lanemesh::{MailboxStats, Message};

use crate::{
    actor::{Actor, Observe},
    cell::{ActorCell, Control, Inspection},
    error::AskError,
    handle::{
        ActorHandle,
        reply::{Answer, Ask, AskTimer, Reply},
    },
    util::timer::from_now,
};

impl<A: Actor> ActorHandle<A> {
    /// Asks by an urgent message and waits for the answer, for `timeout` at most. A message to a
    /// [`Handler`](crate::Handler) has the priority that it says.
    ///
    /// `question` makes the message from the [`Reply`] that the actor answers through. An actor
    /// skips an ask that has timed out, unless it was idle until then. Consecutive asks with the
    /// same type of answer do not allocate.
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled ask may have been sent; its answer is dropped.
    pub async fn ask<R: Send + 'static>(
        &mut self,
        question: impl FnOnce(Reply<R>) -> A::HighPriorityMsg,
        timeout: Duration,
    ) -> Result<R, AskError> {
        let ask = Ask::new(timeout, self.stamp())?;
        let (reply, answer) = self.ask_state.open();
        match A::by_priority(question(reply)) {
            Message::High(message) => {
                let lane = self.tx.high();
                ask.send(lane, &self.cell, self.policies.high, message)
                    .await?;
            }
            Message::Low(message) => {
                let lane = self.tx.low();
                ask.send(lane, &self.cell, self.policies.low, message)
                    .await?;
            }
        }
        self.ask_state.wait(answer, &self.cell, ask.deadline).await
    }

    /// Asks by a low-priority message, behind the messages that are queued; otherwise like
    /// [`ask`](Self::ask).
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled ask may have been sent; its answer is dropped.
    pub async fn ask_low<R: Send + 'static>(
        &mut self,
        question: impl FnOnce(Reply<R>) -> A::LowPriorityMsg,
        timeout: Duration,
    ) -> Result<R, AskError> {
        let ask = Ask::new(timeout, self.stamp())?;
        let (reply, answer) = self.ask_state.open();
        let lane = self.tx.low();
        ask.send(lane, &self.cell, self.policies.low, question(reply))
            .await?;
        self.ask_state.wait(answer, &self.cell, ask.deadline).await
    }

    /// Calls `look` with the actor between two messages, before any message that waits.
    ///
    /// It is meant for tests and diagnosis: it allocates, and it depends on the actor's type.
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled look may still take place; its result is dropped.
    pub async fn inspect<R: Send + 'static>(
        &self,
        look: impl FnOnce(&mut A) -> R + Send + 'static,
        timeout: Duration,
    ) -> Result<R, AskError> {
        inspect(&self.cell, look, timeout).await
    }

    /// What the actor's two channels have counted, of all handles together: lanes, messages that are
    /// queued, the highest fill of a lane, wake-ups. The receiving end counts them, so they cost a
    /// send nothing; this call waits until the actor is between two messages.
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use lanemesh_runtime::{spawn, testing::Sink};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut handle, _child) = spawn(Sink::<(), u64>::new());
    /// let mut other = handle.clone();
    /// handle.send_low(1).await?;
    /// other.send_low(2).await?;
    /// handle.idle().await;
    /// let channels = handle.channels(Duration::from_secs(1)).await?;
    /// assert_eq!((channels.low.lanes_open, channels.low.messages), (2, 2));
    /// assert_eq!((channels.high.lanes_open, channels.low.depth), (0, 0));
    /// # Ok(()) }
    /// ```
    pub async fn channels(&self, timeout: Duration) -> Result<MailboxStats, AskError> {
        channels(&self.cell, timeout).await
    }

    /// A copy of the actor's observable state.
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn state(&self, timeout: Duration) -> Result<A::State, AskError>
    where
        A: Observe,
    {
        self.inspect(|actor| actor.observe(), timeout).await
    }

    /// Waits until the actor has handled everything that this handle has sent and is idle, or has
    /// ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn idle(&self) {
        let mut since = None;
        poll_fn(|cx| self.cell.poll_idle(&mut since, cx)).await;
    }
}

/// Calls `look` with the actor `cell`, which is an `A`.
pub(in crate::handle) async fn inspect<A: Actor, R: Send + 'static>(
    cell: &ActorCell,
    look: impl FnOnce(&mut A) -> R + Send + 'static,
    timeout: Duration,
) -> Result<R, AskError> {
    let (reply, answer) = Reply::pair();
    let look = move |actor: &mut dyn Any, _: &MailboxStats| {
        if let Some(actor) = actor.downcast_mut::<A>() {
            // The caller may be gone.
            let _ = reply.send(look(actor));
        }
    };
    between_messages(cell, Box::new(look), answer, timeout).await
}

/// What the channels of the actor `cell` have counted.
pub(in crate::handle) async fn channels(
    cell: &ActorCell,
    timeout: Duration,
) -> Result<MailboxStats, AskError> {
    let (reply, answer) = Reply::pair();
    let look = move |_: &mut dyn Any, channels: &MailboxStats| drop(reply.send(*channels));
    between_messages(cell, Box::new(look), answer, timeout).await
}

async fn between_messages<R: Send + 'static>(
    cell: &ActorCell,
    inspection: Inspection,
    answer: Answer<R>,
    timeout: Duration,
) -> Result<R, AskError> {
    if !cell.is_alive() {
        return Err(AskError::Closed);
    }
    if !cell.kind().is_local {
        return Err(AskError::NotLocal);
    }
    cell.post(Control::Inspect(inspection));
    answer
        .wait(cell, from_now(timeout), &mut AskTimer::default())
        .await
}
