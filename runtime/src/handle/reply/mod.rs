//! The reply to an ask, and the wait for it.
//!
//! The oneshot exists before the message is sent. Every way of getting no answer has its own
//! [`AskError`].

#[cfg(feature = "serde")]
pub(crate) mod carried;
mod oneshot;

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use lanemesh::{Overflow, SendTimeoutError, TrySendError};
use pin_project_lite::pin_project;
use tokio::{
    runtime::{self, Handle},
    task,
    time::{Instant, Sleep, sleep_until, timeout_at},
};

use crate::{
    cell::ActorCell,
    envelope::{ASK, Envelope},
    error::{AskError, ReplyError, SendError},
    exit::ExitReason,
    handle::{
        lane::Lane,
        reply::oneshot::{Oneshot, SpareOneshot},
    },
    util::{
        blocking::block_until,
        timer::{from_now, poll_until, stamp},
    },
};

/// The sending end of an answer. An actor may store it and answer later.
///
/// Dropping it without an answer fails the ask at once.
#[must_use = "dropping a reply tells the asker that there is no answer"]
pub struct Reply<R>(Option<Arc<Oneshot<R>>>);

impl<R> Reply<R> {
    /// Makes both ends, for a message that is not sent by `ask`.
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
        pair(Arc::default())
    }

    /// Sends the answer.
    ///
    /// # Errors
    ///
    /// [`ReplyError`], with the answer, when the asker is gone. Do not pass it on with `?`: that
    /// would fail the actor because its asker gave up.
    pub fn send(mut self, answer: R) -> Result<(), ReplyError<R>> {
        match self.0.take() {
            Some(oneshot) => oneshot
                .put(Some(answer))
                .map_or(Ok(()), |answer| Err(ReplyError(answer))),
            None => unreachable!("only `send` and the drop take the oneshot"),
        }
    }

    /// Whether the asker is gone.
    pub fn is_closed(&self) -> bool {
        self.0.as_ref().is_none_or(|oneshot| oneshot.is_abandoned())
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        if let Some(oneshot) = self.0.take() {
            oneshot.put(None);
        }
    }
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("is_closed", &self.is_closed())
            .finish()
    }
}

/// The receiving end of an answer, made by [`Reply::pair`].
pub struct Answer<R>(Option<Arc<Oneshot<R>>>);

impl<R> Answer<R> {
    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// [`AskError::Timeout`], or [`AskError::Crashed`] when the reply was dropped, for whatever
    /// reason.
    ///
    /// # Cancel safety
    ///
    /// A cancelled wait drops the answer.
    pub async fn receive(self, timeout: Duration) -> Result<R, AskError> {
        match tokio::time::timeout(timeout, poll_fn(|cx| self.poll(cx))).await {
            Ok(answer) => answer.ok_or_else(|| self.why().unwrap_or(AskError::Crashed)),
            Err(_) => Err(AskError::Timeout),
        }
    }

    /// Ready with the answer, or with none if there will be none.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<R>> {
        match &self.0 {
            Some(oneshot) => oneshot.poll(cx),
            None => Poll::Ready(None),
        }
    }

    #[cold]
    fn why(&self) -> Option<AskError> {
        self.0.as_ref().and_then(|oneshot| oneshot.why())
    }

    /// Why the oneshot was dropped without an answer.
    #[cold]
    fn unanswered(&self, cell: &ActorCell, deadline: Instant) -> AskError {
        if let Some(why) = self.why() {
            return why;
        }
        if Instant::now() >= deadline {
            return AskError::Timeout; // the actor skipped an expired ask
        }
        match cell.exit_reason() {
            Some(reason) if !reason.is_failure() => AskError::Closed,
            Some(ExitReason::Unreachable) => AskError::Unreachable,
            _ => AskError::Crashed,
        }
    }

    /// Waits for the answer of the actor `cell`.
    pub(crate) async fn wait(
        &self,
        cell: &ActorCell,
        deadline: Instant,
        timer: &mut AskTimer,
    ) -> Result<R, AskError> {
        poll_fn(|cx| {
            if let Poll::Ready(answer) = self.poll(cx) {
                return Poll::Ready(answer.ok_or_else(|| self.unanswered(cell, deadline)));
            }
            timer.poll(deadline, cx).map(|()| Err(AskError::Timeout))
        })
        .await
    }
}

impl<R> Drop for Answer<R> {
    fn drop(&mut self) {
        if let Some(oneshot) = &self.0 {
            oneshot.abandon();
        }
    }
}

impl<R> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

/// The two ends of a oneshot without other references.
pub(crate) fn pair<R>(oneshot: Arc<Oneshot<R>>) -> (Reply<R>, Answer<R>) {
    (Reply(Some(oneshot.clone())), Answer(Some(oneshot)))
}

/// When an ask times out, and its send time if it is in the sample.
pub(in crate::handle) struct Ask {
    pub(crate) deadline: Instant,
    sent: u64,
}

impl Ask {
    #[inline]
    pub(crate) fn new(timeout: Duration, sent: u64) -> Result<Self, AskError> {
        if timeout.is_zero() {
            return Err(AskError::Timeout);
        }
        let deadline = from_now(timeout);
        Ok(Self { deadline, sent })
    }

    /// Sends the question through a lane; waits for room if the policy is to wait.
    pub(in crate::handle) async fn send<M: Send + 'static>(
        &self,
        mut lane: impl Lane<M>,
        cell: &Arc<ActorCell>,
        policy: Overflow,
        message: M,
    ) -> Result<(), AskError> {
        let envelope = match lane.offer(self.wrap(message)) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(closed(cell)),
            Err(TrySendError::Full(back)) => back,
        };
        if policy != Overflow::Wait {
            // Also under `Overflow::Drop`: an ask that is dropped silently would time out.
            cell.count_rejected();
            return Err(AskError::Full);
        }
        let mut slot = Some(envelope);
        match timeout_at(self.deadline, lane.push(cell, &mut slot, None)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(SendError::Closed(()))) => Err(closed(cell)),
            Ok(Err(_)) | Err(_) => Err(AskError::Full),
        }
    }

    /// As [`send`](Self::send), from a thread that runs no tasks.
    pub(in crate::handle) fn blocking_send<M>(
        &self,
        mut lane: impl Lane<M>,
        cell: &ActorCell,
        policy: Overflow,
        message: M,
    ) -> Result<(), AskError> {
        let envelope = match lane.offer(self.wrap(message)) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(closed(cell)),
            Err(TrySendError::Full(back)) => back,
        };
        if policy != Overflow::Wait {
            cell.count_rejected();
            return Err(AskError::Full);
        }
        match lane.blocking_push(envelope, Some(self.deadline)) {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_)) => Err(closed(cell)),
            Err(SendTimeoutError::Timeout(_)) => Err(AskError::Full),
        }
    }

    #[inline]
    fn wrap<M>(&self, message: M) -> Envelope<M> {
        Envelope {
            message,
            expires: stamp(self.deadline) | ASK,
            sent: self.sent,
        }
    }
}

/// Why the mailbox of an actor accepts no ask.
#[cold]
fn closed(cell: &ActorCell) -> AskError {
    match cell.exit_reason() {
        Some(ExitReason::Unreachable) => AskError::Unreachable,
        _ => AskError::Closed,
    }
}

/// What one ask of a handle leaves for the next one to reuse.
#[derive(Default)]
pub(crate) struct AskState {
    timer: AskTimer,
    spare: SpareOneshot,
}

impl AskState {
    /// The two ends of an ask.
    pub(crate) fn open<R: Send + 'static>(&mut self) -> (Reply<R>, Answer<R>) {
        pair(self.spare.take())
    }

    /// Waits for the answer of the actor `cell`.
    pub(crate) async fn wait<R: Send + 'static>(
        &mut self,
        mut answer: Answer<R>,
        cell: &ActorCell,
        deadline: Instant,
    ) -> Result<R, AskError> {
        let outcome = answer.wait(cell, deadline, &mut self.timer).await;
        if outcome.is_ok()
            && let Some(oneshot) = answer.0.take()
        {
            self.spare.keep(oneshot);
        }
        outcome
    }
}

impl AskState {
    /// As [`wait`](Self::wait), from a thread that runs no tasks.
    pub(crate) fn blocking_wait<R: Send + 'static>(
        &mut self,
        mut answer: Answer<R>,
        cell: &ActorCell,
        deadline: Instant,
    ) -> Result<R, AskError> {
        let Some(outcome) = block_until(deadline, |cx| answer.poll(cx)) else {
            return Err(AskError::Timeout);
        };
        let outcome = outcome.ok_or_else(|| answer.unanswered(cell, deadline))?;
        if let Some(oneshot) = answer.0.take() {
            self.spare.keep(oneshot);
        }
        Ok(outcome)
    }
}

/// A timer for asks, made by the first one that has to wait.
#[derive(Default)]
pub(crate) struct AskTimer(Option<Pin<Box<Armed>>>);

pin_project! {
    /// A timer belongs to a runtime, and a handle may move to another runtime.
    struct Armed {
        #[pin]
        sleep: Sleep,
        asker: Asker,
        // The waker that the timer wakes.
        wakes: WakerAddress,
    }
}

/// Which waker it is, without keeping the memory of its task alive.
#[derive(Clone, Copy, PartialEq, Eq)]
struct WakerAddress {
    data: usize,
    vtable: usize,
}

impl WakerAddress {
    fn of(waker: &Waker) -> Self {
        Self {
            data: waker.data().addr(),
            vtable: std::ptr::from_ref(waker.vtable()).addr(),
        }
    }
}

/// The task or runtime that a timer was armed in. A task does not change its runtime.
#[derive(PartialEq, Eq)]
enum Asker {
    Task(task::Id),
    Runtime(runtime::Id),
}

impl Asker {
    fn current() -> Self {
        match task::try_id() {
            Some(id) => Self::Task(id),
            None => Self::Runtime(Handle::current().id()),
        }
    }
}

impl AskTimer {
    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let (asker, wakes) = (Asker::current(), WakerAddress::of(cx.waker()));
        // A timer that still runs has a clone of its waker, so no other can have come to that address. To poll it again
        // would change nothing, and is a considerable part of the cost of an ask.
        if let Some(armed) = &self.0
            && armed.wakes == wakes
            && armed.asker == asker
            && armed.sleep.deadline() <= deadline
            && !armed.sleep.is_elapsed()
        {
            return Poll::Pending;
        }
        if self.0.as_ref().is_some_and(|armed| armed.asker != asker) {
            self.0 = None;
        }
        let armed = self.0.get_or_insert_with(|| {
            let sleep = sleep_until(deadline);
            Box::pin(Armed {
                sleep,
                asker,
                wakes,
            })
        });
        let armed = armed.as_mut().project();
        *armed.wakes = wakes;
        let poll = poll_until(armed.sleep, deadline, cx);
        if poll.is_ready() {
            self.0 = None;
        }
        poll
    }
}
