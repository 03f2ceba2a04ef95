//! Questions to an actor: by a message, or by a look at its state.

use std::{future::poll_fn, time::Duration};

use tokio::time::Instant;

use crate::{
    actor::{Actor, Observe},
    ask::{self, Alarm, Reply},
    error::AskError,
    handle::ActorHandle,
    shared::Control,
};

impl<A: Actor> ActorHandle<A> {
    /// Asks by an urgent message and waits for the answer, for `timeout` at most.
    ///
    /// `question` makes the message of the [`Reply`] that the actor answers through. If nobody
    /// waits any more when the actor comes to it, it is skipped.
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled question may have been sent; its answer is dropped.
    pub async fn ask<R: Send + 'static>(
        &mut self,
        question: impl FnOnce(Reply<R>) -> A::HighPriorityMsg,
        timeout: Duration,
    ) -> Result<R, AskError> {
        if timeout.is_zero() {
            return Err(AskError::Timeout);
        }
        let deadline = Instant::now() + timeout;
        let (reply, mut answer) = ask::slot();
        let mut envelope = self.wrap(question(reply));
        envelope.expires = self.shared.nanos(deadline);
        let policy = self.policies.high;
        ask::send(self.tx.high(), &self.shared, policy, envelope, deadline).await?;
        answer.wait(&self.shared, deadline, &mut self.alarm).await
    }

    /// Asks by a low-priority message, behind what is queued. As [`ask`](Self::ask) otherwise.
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled question may have been sent; its answer is dropped.
    pub async fn ask_low<R: Send + 'static>(
        &mut self,
        question: impl FnOnce(Reply<R>) -> A::LowPriorityMsg,
        timeout: Duration,
    ) -> Result<R, AskError> {
        if timeout.is_zero() {
            return Err(AskError::Timeout);
        }
        let deadline = Instant::now() + timeout;
        let (reply, mut answer) = ask::slot();
        let mut envelope = self.wrap(question(reply));
        envelope.expires = self.shared.nanos(deadline);
        let policy = self.policies.low;
        ask::send(self.tx.low(), &self.shared, policy, envelope, deadline).await?;
        answer.wait(&self.shared, deadline, &mut self.alarm).await
    }

    /// Lets `look` see the actor between two messages, before any message that waits.
    ///
    /// It is for tests and for diagnosis: it allocates, and it knows the actor's type.
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
        if !self.shared.is_alive() {
            return Err(AskError::Closed);
        }
        let (reply, mut answer) = ask::slot();
        self.shared.post(Control::Inspect(Box::new(move |actor| {
            if let Some(actor) = actor.downcast_mut::<A>() {
                let _ = reply.send(look(actor));
            }
        })));
        let deadline = Instant::now() + timeout;
        answer
            .wait(&self.shared, deadline, &mut Alarm::default())
            .await
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

    /// Waits until the actor has handled all that this handle has sent, and has nothing else to
    /// do, or has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn idle(&self) {
        let mut since = None;
        poll_fn(|cx| self.shared.poll_idle(&mut since, cx)).await;
    }
}
