//! Sending and asking from threads that run no tasks.

use std::time::Duration;

use lanemesh::{Message, Sent};

use crate::{
    actor::{Actor, Handler, Priority},
    error::{AskError, SendError},
    handle::{
        ActorHandle,
        lane::blocking_send,
        reply::{Ask, Reply},
    },
    util::blocking::forbid_in_tasks,
};

impl<A: Actor> ActorHandle<A> {
    /// Sends a high-priority message from a thread that runs no tasks. When the lane is full, its
    /// overflow policy applies; to wait is to block the thread.
    ///
    /// # Errors
    ///
    /// As [`send_high`](Self::send_high), but without deadlock detection.
    ///
    /// # Panics
    ///
    /// On a thread that runs tasks of tokio. A thread of
    /// [`spawn_blocking`](tokio::task::spawn_blocking) may block.
    #[track_caller]
    pub fn blocking_send_high(
        &mut self,
        message: A::HighPriorityMsg,
    ) -> Result<Sent, SendError<A::HighPriorityMsg>> {
        forbid_in_tasks();
        let envelope = self.wrap(message);
        blocking_send(self.tx.high(), &self.cell, self.policies.high, envelope)
    }

    /// Sends a low-priority message from a thread that runs no tasks. When the lane is full, its
    /// overflow policy applies; to wait is to block the thread.
    ///
    /// # Errors
    ///
    /// As [`send_low`](Self::send_low), but without deadlock detection.
    ///
    /// # Panics
    ///
    /// On a thread that runs tasks of tokio. A thread of
    /// [`spawn_blocking`](tokio::task::spawn_blocking) may block.
    #[track_caller]
    pub fn blocking_send_low(
        &mut self,
        message: A::LowPriorityMsg,
    ) -> Result<Sent, SendError<A::LowPriorityMsg>> {
        forbid_in_tasks();
        let envelope = self.wrap(message);
        blocking_send(self.tx.low(), &self.cell, self.policies.low, envelope)
    }

    /// Asks by an urgent message from a thread that runs no tasks, and blocks it until the answer, for
    /// `timeout` at most; otherwise like [`ask`](Self::ask).
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    ///
    /// # Panics
    ///
    /// On a thread that runs tasks of tokio. A thread of
    /// [`spawn_blocking`](tokio::task::spawn_blocking) may block.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lanemesh_runtime::{ActorResult, Context, Handler, Reply, spawn};
    ///
    /// struct Sum(u64);
    ///
    /// enum Msg { Add(u64), Get(Reply<u64>) }
    ///
    /// impl Handler for Sum {
    ///     type Msg = Msg;
    ///     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
    ///         match msg {
    ///             Msg::Add(n) => self.0 += n,
    ///             Msg::Get(reply) => drop(reply.send(self.0)),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (mut sum, child) = spawn(Sum(0));
    /// let thread = std::thread::spawn(move || {
    ///     sum.blocking_tell(Msg::Add(2)).unwrap();
    ///     sum.blocking_ask(Msg::Get, Duration::from_secs(10))
    /// });
    /// assert!(!child.await.is_failure()); // until the thread drops the handle
    /// assert_eq!(thread.join().unwrap(), Ok(2));
    /// # }
    /// ```
    #[track_caller]
    pub fn blocking_ask<R: Send + 'static>(
        &mut self,
        question: impl FnOnce(Reply<R>) -> A::HighPriorityMsg,
        timeout: Duration,
    ) -> Result<R, AskError> {
        forbid_in_tasks();
        self.blocking_ask_by(|reply| A::by_priority(question(reply)), timeout)
    }

    /// Asks by a low-priority message from a thread that runs no tasks; otherwise like
    /// [`blocking_ask`](Self::blocking_ask).
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    ///
    /// # Panics
    ///
    /// As [`blocking_ask`](Self::blocking_ask).
    #[track_caller]
    pub fn blocking_ask_low<R: Send + 'static>(
        &mut self,
        question: impl FnOnce(Reply<R>) -> A::LowPriorityMsg,
        timeout: Duration,
    ) -> Result<R, AskError> {
        forbid_in_tasks();
        self.blocking_ask_by(|reply| Message::Low(question(reply)), timeout)
    }

    fn blocking_ask_by<R: Send + 'static>(
        &mut self,
        question: impl FnOnce(Reply<R>) -> Message<A::HighPriorityMsg, A::LowPriorityMsg>,
        timeout: Duration,
    ) -> Result<R, AskError> {
        let ask = Ask::new(timeout, self.stamp())?;
        let (reply, answer) = self.ask_state.open();
        let (cell, policies) = (&self.cell, self.policies);
        match question(reply) {
            Message::High(message) => {
                ask.blocking_send(self.tx.high(), cell, policies.high, message)?;
            }
            Message::Low(message) => {
                ask.blocking_send(self.tx.low(), cell, policies.low, message)?;
            }
        }
        self.ask_state.blocking_wait(answer, cell, ask.deadline)
    }
}

impl<A: Handler> ActorHandle<A> {
    /// Sends a message from a thread that runs no tasks, through the lane of its
    /// [`priority`](Handler::priority).
    ///
    /// # Errors
    ///
    /// As [`blocking_send_low`](Self::blocking_send_low).
    ///
    /// # Panics
    ///
    /// As [`blocking_send_low`](Self::blocking_send_low).
    #[track_caller]
    pub fn blocking_tell(&mut self, message: A::Msg) -> Result<Sent, SendError<A::Msg>> {
        match A::priority(&message) {
            Priority::High => self.blocking_send_high(message),
            Priority::Low => self.blocking_send_low(message),
        }
    }
}
