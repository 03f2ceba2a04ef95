//! Asking through the lanes that clones share; looking at the actor.

use std::{future::poll_fn, time::Duration};

use lanemesh::{MailboxStats, Message};

use crate::{
    actor::{Actor, Observe},
    error::AskError,
    handle::{
        SharedHandle, channels, inspect,
        reply::{Ask, Reply},
    },
};

impl<A: Actor> SharedHandle<A> {
    /// Asks by an urgent message and waits for the answer, for `timeout` at most. A message to a
    /// [`Handler`](crate::Handler) has the priority that it says.
    ///
    /// Up to 32 concurrent asks with the same type of answer do not allocate once as many have been
    /// answered, except for a timer when an ask waits with the state of another task.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::ask`](crate::ActorHandle::ask).
    ///
    /// # Cancel safety
    ///
    /// A cancelled ask may have been sent; its answer is dropped.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Reply<R>) -> A::HighPriorityMsg,
        timeout: Duration,
    ) -> Result<R, AskError> {
        self.ask_by(|reply| A::by_priority(question(reply)), timeout)
            .await
    }

    /// Asks by a low-priority message, behind the messages that are queued; otherwise like
    /// [`ask`](Self::ask).
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::ask`](crate::ActorHandle::ask).
    ///
    /// # Cancel safety
    ///
    /// A cancelled ask may have been sent; its answer is dropped.
    pub async fn ask_low<R: Send + 'static>(
        &self,
        question: impl FnOnce(Reply<R>) -> A::LowPriorityMsg,
        timeout: Duration,
    ) -> Result<R, AskError> {
        self.ask_by(|reply| Message::Low(question(reply)), timeout)
            .await
    }

    async fn ask_by<R: Send + 'static>(
        &self,
        question: impl FnOnce(Reply<R>) -> Message<A::HighPriorityMsg, A::LowPriorityMsg>,
        timeout: Duration,
    ) -> Result<R, AskError> {
        let ask = Ask::new(timeout, self.stamp())?;
        let mut ask_state = self.ask_state();
        let (reply, answer) = ask_state.open();
        let sent = match question(reply) {
            Message::High(message) => {
                let policy = self.policies.high;
                ask.send(self.tx.high(), &self.cell, policy, message).await
            }
            Message::Low(message) => {
                let policy = self.policies.low;
                ask.send(self.tx.low(), &self.cell, policy, message).await
            }
        };
        let outcome = match sent {
            Ok(()) => ask_state.wait(answer, &self.cell, ask.deadline).await,
            Err(error) => Err(error),
        };
        self.keep(ask_state);
        outcome
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

    /// What the actor's two channels have counted: as
    /// [`ActorHandle::channels`](crate::ActorHandle::channels).
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
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

    /// Waits until the actor has handled everything that this handle and its clones have sent and is
    /// idle, or has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn idle(&self) {
        let mut since = None;
        poll_fn(|cx| self.cell.poll_idle(&mut since, cx)).await;
    }
}
