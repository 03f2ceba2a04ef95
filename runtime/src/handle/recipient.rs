//! Recipients: anything that accepts messages of one type.
//!
//! A recipient is an actor's high or low lane, a plain channel, or one of these behind a function.
//! Topics and dead letters are sent to recipients. Destinations that this crate does not provide,
//! such as another process or a mailbox on disk, implement [`Recipient`].

use std::{
    fmt,
    task::{Context, Poll},
};

use crate::{actor::Actor, error::SendError, handle::actor_handle::ActorHandle, id::ActorId};

/// A destination for messages of one type.
pub trait Recipient<M>: Send {
    /// Sends without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] when there is no room, [`SendError::Closed`] when the receiver is gone.
    /// Both return the message.
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>>;

    /// Waits for room for one message, without deadlock detection.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the receiver is gone.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>>;

    /// Whether the receiver is gone.
    fn is_closed(&self) -> bool;

    /// Another recipient for the same destination.
    fn boxed_clone(&self) -> AnyRecipient<M>;

    /// The actor at the other end, if there is one.
    fn target(&self) -> Option<ActorId> {
        None
    }
}

/// A boxed recipient whose concrete type is not known.
pub type AnyRecipient<M> = Box<dyn Recipient<M>>;

impl<M> fmt::Debug for dyn Recipient<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient")
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}

impl<M: 'static> Recipient<M> for AnyRecipient<M> {
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>> {
        (**self).try_send(message)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        (**self).poll_ready(cx)
    }

    fn is_closed(&self) -> bool {
        (**self).is_closed()
    }

    fn boxed_clone(&self) -> AnyRecipient<M> {
        (**self).boxed_clone()
    }

    fn target(&self) -> Option<ActorId> {
        (**self).target()
    }
}

/// An actor as the recipient of its high-priority messages.
#[derive(Debug)]
pub struct HighRecipient<A: Actor>(ActorHandle<A>);

/// An actor as the recipient of its low-priority messages.
#[derive(Debug)]
pub struct LowRecipient<A: Actor>(ActorHandle<A>);

impl<A: Actor> ActorHandle<A> {
    /// The actor as the recipient of its high-priority messages, through a clone of this handle.
    pub fn high_recipient(&self) -> HighRecipient<A> {
        HighRecipient(self.clone())
    }

    /// The actor as the recipient of its low-priority messages, through a clone of this handle.
    pub fn low_recipient(&self) -> LowRecipient<A> {
        LowRecipient(self.clone())
    }
}

impl<A: Actor> Recipient<A::HighPriorityMsg> for HighRecipient<A> {
    fn try_send(
        &mut self,
        message: A::HighPriorityMsg,
    ) -> Result<(), SendError<A::HighPriorityMsg>> {
        self.0.try_send_high(message)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.0.poll_ready_high(cx)
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn boxed_clone(&self) -> AnyRecipient<A::HighPriorityMsg> {
        Box::new(Self(self.0.clone()))
    }

    fn target(&self) -> Option<ActorId> {
        Some(self.0.id())
    }
}

impl<A: Actor> Recipient<A::LowPriorityMsg> for LowRecipient<A> {
    fn try_send(&mut self, message: A::LowPriorityMsg) -> Result<(), SendError<A::LowPriorityMsg>> {
        self.0.try_send_low(message)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.0.poll_ready_low(cx)
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn boxed_clone(&self) -> AnyRecipient<A::LowPriorityMsg> {
        Box::new(Self(self.0.clone()))
    }

    fn target(&self) -> Option<ActorId> {
        Some(self.0.id())
    }
}

impl<M: Send + 'static> Recipient<M> for lanemesh::Sender<M> {
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>> {
        lanemesh::Sender::try_send(self, message).map_err(|error| match error {
            lanemesh::TrySendError::Full(message) => SendError::Full(message),
            lanemesh::TrySendError::Closed(message) => SendError::Closed(message),
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.poll_reserve(cx).map_err(|_| SendError::Closed(()))
    }

    fn is_closed(&self) -> bool {
        lanemesh::Sender::is_closed(self)
    }

    fn boxed_clone(&self) -> AnyRecipient<M> {
        Box::new(self.clone())
    }
}

/// A recipient behind a conversion; made by [`map_recipient`].
pub struct MapRecipient<N, F> {
    inner: AnyRecipient<N>,
    wrap: F,
}

/// Turns a recipient of `N` into a recipient of `M`.
///
/// `wrap` makes the `N`. `unwrap` undoes it for a message that could not be sent: it only gets
/// values that `wrap` has made.
pub fn map_recipient<M, N: 'static, W, U>(
    recipient: impl Recipient<N> + 'static,
    wrap: W,
    unwrap: U,
) -> MapRecipient<N, (W, U)>
where
    W: Fn(M) -> N + Clone + Send + 'static,
    U: Fn(N) -> M + Clone + Send + 'static,
{
    MapRecipient {
        inner: Box::new(recipient),
        wrap: (wrap, unwrap),
    }
}

impl<N: 'static, F> fmt::Debug for MapRecipient<N, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapRecipient")
            .field("target", &self.inner.target())
            .finish_non_exhaustive()
    }
}

impl<M, N: 'static, W, U> Recipient<M> for MapRecipient<N, (W, U)>
where
    W: Fn(M) -> N + Clone + Send + 'static,
    U: Fn(N) -> M + Clone + Send + 'static,
{
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>> {
        let (wrap, unwrap) = &self.wrap;
        self.inner
            .try_send(wrap(message))
            .map_err(|error| error.map(unwrap))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.inner.poll_ready(cx)
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn boxed_clone(&self) -> AnyRecipient<M> {
        Box::new(Self {
            inner: self.inner.boxed_clone(),
            wrap: self.wrap.clone(),
        })
    }

    fn target(&self) -> Option<ActorId> {
        self.inner.target()
    }
}
