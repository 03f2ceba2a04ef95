//! Questions: a message with a slot for the answer.
//!
//! The slot exists before the question leaves. Every way in which no answer comes is told apart,
//! see [`AskError`].

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use lanemesh::{Overflow, Sender, TrySendError};
use tokio::{
    runtime::{Handle, Id},
    sync::oneshot,
    time::{Instant, Sleep, sleep_until, timeout_at},
};

use crate::{
    envelope::Envelope,
    error::{AskError, ReplyError, SendError},
    shared::Shared,
    wait::wait_for_room,
};

/// Where an actor puts the answer to a question. It may be kept and answered later.
///
/// Dropping it without an answer tells the asker at once.
#[must_use = "dropping a reply tells the asker that there is no answer"]
pub struct Reply<R>(oneshot::Sender<R>);

impl<R> Reply<R> {
    /// Makes a slot by hand, for a message that is not sent by `ask`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lanemesh_runtime::{AskError, Reply};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let second = Duration::from_secs(1);
    /// let (reply, answer) = Reply::pair();
    /// reply.send(7).unwrap();
    /// assert_eq!(answer.receive(second).await, Ok(7));
    ///
    /// let (reply, answer) = Reply::<u32>::pair();
    /// drop(reply);
    /// assert_eq!(answer.receive(second).await, Err(AskError::Crashed));
    /// # }
    /// ```
    pub fn pair() -> (Self, Answer<R>) {
        slot()
    }

    /// Answers.
    ///
    /// # Errors
    ///
    /// [`ReplyError`], with the answer, when nobody waits for it any more.
    pub fn send(self, answer: R) -> Result<(), ReplyError<R>> {
        self.0.send(answer).map_err(ReplyError)
    }

    /// Whether nobody waits for the answer any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("is_closed", &self.is_closed())
            .finish()
    }
}

pub(crate) fn slot<R>() -> (Reply<R>, Answer<R>) {
    let (tx, rx) = oneshot::channel();
    (Reply(tx), Answer(rx))
}

/// Where the answer to a [`Reply`] made by [`Reply::pair`] appears.
pub struct Answer<R>(oneshot::Receiver<R>);

impl<R> Answer<R> {
    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// [`AskError::Timeout`], or [`AskError::Crashed`] when the reply was dropped: who dropped it,
    /// and why, is not known here.
    ///
    /// # Cancel safety
    ///
    /// A cancelled wait drops the answer.
    pub async fn receive(self, timeout: Duration) -> Result<R, AskError> {
        match tokio::time::timeout(timeout, self.0).await {
            Ok(answer) => answer.map_err(|_| AskError::Crashed),
            Err(_) => Err(AskError::Timeout),
        }
    }

    /// Waits for the answer of the actor `shared`.
    pub(crate) async fn wait(
        &mut self,
        shared: &Shared,
        deadline: Instant,
        alarm: &mut Alarm,
    ) -> Result<R, AskError> {
        poll_fn(|cx| {
            if let Poll::Ready(answer) = Pin::new(&mut self.0).poll(cx) {
                return Poll::Ready(answer.map_err(|_| unanswered(shared, deadline)));
            }
            alarm.poll(deadline, cx).map(|()| Err(AskError::Timeout))
        })
        .await
    }
}

/// A timer that one question after the other uses.
///
/// To arm a timer is dearer than all the rest of a question. So the timer of the last question is
/// left as it is when it rings before the deadline of this one, and armed again only if it rings.
#[derive(Default)]
pub(crate) struct Alarm(Option<Box<Armed>>);

struct Armed {
    /// A timer belongs to a runtime, and a handle may move to another.
    runtime: Id,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let runtime = Handle::current().id();
        let armed = match &mut self.0 {
            Some(armed) if armed.runtime == runtime => armed,
            other => other.insert(Box::new(Armed {
                runtime,
                sleep: Box::pin(sleep_until(deadline)),
            })),
        };
        if armed.sleep.deadline() > deadline {
            armed.sleep.as_mut().reset(deadline);
        }
        while armed.sleep.as_mut().poll(cx).is_ready() {
            if armed.sleep.deadline() >= deadline {
                self.0 = None;
                return Poll::Ready(());
            }
            armed.sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// The slot was dropped without an answer: why?
fn unanswered(shared: &Shared, deadline: Instant) -> AskError {
    if Instant::now() >= deadline {
        return AskError::Timeout; // the actor skipped a question whose time was up
    }
    match shared.exit_reason() {
        Some(reason) if !reason.is_failure() => AskError::Closed,
        _ => AskError::Crashed,
    }
}

/// Sends a question, waiting for room until `deadline` if the policy is to wait.
pub(crate) async fn send<M: Send + 'static>(
    lane: &mut Sender<Envelope<M>>,
    shared: &Arc<Shared>,
    policy: Overflow,
    envelope: Envelope<M>,
    deadline: Instant,
) -> Result<(), AskError> {
    let mut envelope = match lane.try_send(envelope) {
        Ok(()) => return Ok(()),
        Err(TrySendError::Closed(_)) => return Err(AskError::Closed),
        Err(TrySendError::Full(back)) => back,
    };
    if policy != Overflow::Wait {
        // A question that is dropped silently is a question without an answer: refuse it.
        // ORDERING: a statistic; no other data hangs on it.
        shared.rejected.fetch_add(1, Ordering::Relaxed);
        return Err(AskError::Full);
    }
    loop {
        match timeout_at(deadline, wait_for_room(lane, shared)).await {
            Ok(Ok(())) => {}
            Ok(Err(SendError::Closed(()))) => return Err(AskError::Closed),
            Ok(Err(_)) | Err(_) => return Err(AskError::Full),
        }
        envelope = match lane.try_send(envelope) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(AskError::Closed),
            Err(TrySendError::Full(back)) => back,
        };
    }
}

impl<R> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}
