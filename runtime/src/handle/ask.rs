//! Questions to an actor: by a message, or by a look at its state.

use std::{future::poll_fn, time::Duration};

use crate::{
    actor::{Actor, Observe},
    cell::Control,
    error::AskError,
    handle::{
        actor_handle::ActorHandle,
        reply::{AskTimer, Reply},
    },
    util::timer::from_now,
};

impl<A: Actor> ActorHandle<A> {
    /// Asks by an urgent message and waits for the answer, for `timeout` at most.
    ///
    /// `question` makes the message of the [`Reply`] that the actor answers through. If its time
    /// is up when the actor comes to it, it is skipped, unless the actor was idle until then.
    /// Questions of the same type of answer, one after the other, do not allocate.
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
        let (policy, sent) = (self.policies.high, self.stamp());
        self.ask_state
            .ask(self.tx.high(), &self.cell, policy, sent, question, timeout)
            .await
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
        let (policy, sent) = (self.policies.low, self.stamp());
        self.ask_state
            .ask(self.tx.low(), &self.cell, policy, sent, question, timeout)
            .await
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
        if !self.cell.is_alive() {
            return Err(AskError::Closed);
        }
        let (reply, answer) = Reply::pair();
        self.cell.post(Control::Inspect(Box::new(move |actor| {
            if let Some(actor) = actor.downcast_mut::<A>() {
                // Whoever asked may have gone.
                let _ = reply.send(look(actor));
            }
        })));
        answer
            .wait(&self.cell, from_now(timeout), &mut AskTimer::default())
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
        poll_fn(|cx| self.cell.poll_idle(&mut since, cx)).await;
    }
}
