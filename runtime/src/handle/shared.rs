//! A handle that many tasks use at once.

use std::{
    fmt,
    future::poll_fn,
    ops::ControlFlow,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use lanemesh::{Overflow, Sent};
use tokio::time::timeout_at;

use crate::{
    actor::Actor,
    error::{AskError, SendError},
    handle::{
        actor_handle::ActorHandle,
        actor_handle::send::on_full,
        reply::{AskState, Reply},
    },
    id::ActorId,
    util::{lock::lock, timer::from_now},
};

/// An [`ActorHandle`] for shared state, for example of a web server: it sends through `&self`.
///
/// All clones share one pair of lanes, and its capacity, behind a lock that is held for one push
/// and never while waiting. Messages of one task arrive in order. Prefer [`handle`](Self::handle),
/// with its own lanes, for code that sends a lot. It also has what is not here: deadlines, batches,
/// low-priority asks, counters, stops.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use lanemesh_runtime::{spawn, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (handle, _child) = spawn(Sink::<(), u64>::new());
/// let state = Arc::new(handle.shared_handle());
/// let requests: Vec<_> = (0..10)
///     .map(|number| {
///         let state = state.clone();
///         tokio::spawn(async move { state.send_low(number).await })
///     })
///     .collect();
/// for request in requests {
///     request.await??;
/// }
/// handle.idle().await;
/// assert_eq!(handle.stats().low, 10);
/// # Ok(()) }
/// ```
pub struct SharedHandle<A: Actor> {
    id: ActorId,
    inner: Arc<Inner<A>>,
}

struct Inner<A: Actor> {
    handle: Mutex<ActorHandle<A>>,
    turn: tokio::sync::Mutex<()>,
    /// What answered asks leave for the next ones to reuse, [`ASK_STATES`] at most.
    ask_states: Mutex<Vec<AskState>>,
}

/// How many concurrent asks find an [`AskState`] to reuse.
const ASK_STATES: usize = 32;

impl<A: Actor> ActorHandle<A> {
    /// A handle to the same actor that sends through `&self`, for shared state.
    pub fn shared_handle(&self) -> SharedHandle<A> {
        SharedHandle::new(self.clone())
    }
}

impl<A: Actor> SharedHandle<A> {
    pub(crate) fn new(handle: ActorHandle<A>) -> Self {
        let id = handle.id();
        let inner = Inner {
            handle: Mutex::new(handle),
            turn: tokio::sync::Mutex::new(()),
            ask_states: Mutex::default(),
        };
        Self {
            id,
            inner: Arc::new(inner),
        }
    }

    /// A handle with its own lanes.
    pub fn handle(&self) -> ActorHandle<A> {
        lock(&self.inner.handle).clone()
    }

    /// The actor's identity.
    pub fn id(&self) -> ActorId {
        self.id
    }

    /// Whether the actor has not ended for good.
    pub fn is_alive(&self) -> bool {
        lock(&self.inner.handle).is_alive()
    }

    /// Sends a high-priority message without waiting.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::try_send_high`].
    pub fn try_send_high(
        &self,
        message: A::HighPriorityMsg,
    ) -> Result<(), SendError<A::HighPriorityMsg>> {
        lock(&self.inner.handle).try_send_high(message)
    }

    /// Sends a low-priority message without waiting.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::try_send_low`].
    pub fn try_send_low(
        &self,
        message: A::LowPriorityMsg,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        lock(&self.inner.handle).try_send_low(message)
    }

    /// Sends a high-priority message. When the lane is full, its overflow policy applies.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::send_high`], but without deadlock detection.
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped.
    pub async fn send_high(
        &self,
        message: A::HighPriorityMsg,
    ) -> Result<Sent, SendError<A::HighPriorityMsg>> {
        let policy = lock(&self.inner.handle).policies.high;
        self.push(
            policy,
            message,
            ActorHandle::offer_high,
            ActorHandle::poll_ready_high,
        )
        .await
    }

    /// Sends a low-priority message. When the lane is full, its overflow policy applies.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::send_low`], but without deadlock detection.
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped.
    pub async fn send_low(
        &self,
        message: A::LowPriorityMsg,
    ) -> Result<Sent, SendError<A::LowPriorityMsg>> {
        let policy = lock(&self.inner.handle).policies.low;
        self.push(
            policy,
            message,
            ActorHandle::offer_low,
            ActorHandle::poll_ready_low,
        )
        .await
    }

    /// Asks by an urgent message and waits for the answer, for `timeout` at most.
    ///
    /// Up to 32 concurrent asks with the same type of answer do not allocate once as many have been
    /// answered, except for a timer when an ask waits with the state of another task.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::ask`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled ask may have been sent; its answer is dropped.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Reply<R>) -> A::HighPriorityMsg,
        timeout: Duration,
    ) -> Result<R, AskError> {
        let deadline = from_now(timeout);
        let (cell, policy) = {
            let handle = lock(&self.inner.handle);
            (handle.cell.clone(), handle.policies.high)
        };
        // An ask that is dropped silently would time out: refuse it.
        let policy = if policy == Overflow::Drop {
            Overflow::Reject
        } else {
            policy
        };
        let mut ask_state = lock(&self.inner.ask_states).pop().unwrap_or_default();
        let (reply, answer) = ask_state.open();
        let offer = |handle: &mut ActorHandle<A>, message| handle.offer_high_by(message, deadline);
        let send = self.push(policy, question(reply), offer, ActorHandle::poll_ready_high);
        let outcome = match timeout_at(deadline, send).await {
            Ok(Ok(_)) => ask_state.wait(answer, &cell, deadline).await,
            Ok(Err(SendError::Closed(_))) => Err(AskError::Closed),
            Ok(Err(SendError::Expired(_))) => Err(AskError::Timeout),
            Ok(Err(_)) | Err(_) => Err(AskError::Full),
        };
        self.keep(ask_state);
        outcome
    }

    /// Stores the state of an ask for the next one.
    fn keep(&self, ask_state: AskState) {
        let mut ask_states = lock(&self.inner.ask_states);
        if ask_states.len() < ASK_STATES {
            ask_states.push(ask_state);
        }
    }

    async fn push<M>(
        &self,
        policy: Overflow,
        message: M,
        offer: impl Fn(&mut ActorHandle<A>, M) -> Result<(), SendError<M>>,
        ready: impl Fn(&mut ActorHandle<A>, &mut Context<'_>) -> Poll<Result<(), SendError<()>>>,
    ) -> Result<Sent, SendError<M>> {
        let outcome = offer(&mut lock(&self.inner.handle), message);
        let mut message = match outcome {
            Ok(()) => return Ok(Sent::Queued),
            Err(SendError::Full(back)) => back,
            Err(error) => return Err(error),
        };
        let cell = lock(&self.inner.handle).cell.clone();
        message = match on_full(&cell, policy, message) {
            ControlFlow::Continue(message) => message,
            ControlFlow::Break(outcome) => return outcome,
        };
        // A lane wakes one waiting sender: the others wait for this lock.
        let _turn = self.inner.turn.lock().await;
        loop {
            let room = poll_fn(|cx| ready(&mut lock(&self.inner.handle), cx)).await;
            if let Err(error) = room {
                return Err(error.map(|()| message));
            }
            let outcome = offer(&mut lock(&self.inner.handle), message);
            message = match outcome {
                Ok(()) => return Ok(Sent::Queued),
                Err(SendError::Full(back)) => back, // another task took the room
                Err(error) => return Err(error),
            };
        }
    }
}

impl<A: Actor> Clone for SharedHandle<A> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            inner: self.inner.clone(),
        }
    }
}

impl<A: Actor> fmt::Debug for SharedHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
