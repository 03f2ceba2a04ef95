//! The edge of a handle as a trait: something that takes messages of one type.
//!
//! A lane may lead to an actor's high or low lane, to a plain channel, or through a function to
//! either. Topics, dead letters and conversations send through it, and so may what this crate does
//! not have: a lane to another process, or to a mailbox on disk.

use std::{
    fmt,
    task::{Context, Poll},
};

use crate::{actor::Actor, error::SendError, handle::ActorHandle, id::ActorId};

/// Something that takes messages.
pub trait Lane<M>: Send {
    /// Sends without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] when there is no room, [`SendError::Closed`] when nobody receives any
    /// more. The message comes back.
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>>;

    /// Waits for room for one message. A cycle of full lanes is not diagnosed.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when nobody receives any more.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>>;

    /// Whether nobody receives any more.
    fn is_closed(&self) -> bool;

    /// Another lane to the same place.
    fn boxed_clone(&self) -> AnyLane<M>;

    /// The actor at the other end, if there is one.
    fn target(&self) -> Option<ActorId> {
        None
    }
}

/// A lane whose other end is not known by type.
pub type AnyLane<M> = Box<dyn Lane<M>>;

impl<M> fmt::Debug for dyn Lane<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}

impl<M: 'static> Lane<M> for AnyLane<M> {
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>> {
        (**self).try_send(message)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        (**self).poll_ready(cx)
    }

    fn is_closed(&self) -> bool {
        (**self).is_closed()
    }

    fn boxed_clone(&self) -> AnyLane<M> {
        (**self).boxed_clone()
    }

    fn target(&self) -> Option<ActorId> {
        (**self).target()
    }
}

/// The high lane of an actor.
#[derive(Debug)]
pub struct HighLane<A: Actor>(pub(crate) ActorHandle<A>);

/// The low lane of an actor.
#[derive(Debug)]
pub struct LowLane<A: Actor>(pub(crate) ActorHandle<A>);

impl<A: Actor> Lane<A::HighPriorityMsg> for HighLane<A> {
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

    fn boxed_clone(&self) -> AnyLane<A::HighPriorityMsg> {
        Box::new(Self(self.0.clone()))
    }

    fn target(&self) -> Option<ActorId> {
        Some(self.0.id())
    }
}

impl<A: Actor> Lane<A::LowPriorityMsg> for LowLane<A> {
    fn try_send(&mut self, message: A::LowPriorityMsg) -> Result<(), SendError<A::LowPriorityMsg>> {
        self.0.try_send_low(message)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.0.poll_ready_low(cx)
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn boxed_clone(&self) -> AnyLane<A::LowPriorityMsg> {
        Box::new(Self(self.0.clone()))
    }

    fn target(&self) -> Option<ActorId> {
        Some(self.0.id())
    }
}

impl<M: Send + 'static> Lane<M> for lanemesh::Sender<M> {
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

    fn boxed_clone(&self) -> AnyLane<M> {
        Box::new(self.clone())
    }
}

/// A lane behind a function; made by [`map_lane`].
pub struct MapLane<N, F> {
    inner: AnyLane<N>,
    wrap: F,
}

/// Turns a lane for `N` into a lane for `M`.
///
/// `wrap` makes the `N`. `unwrap` undoes it, for a message that could not be sent: it sees nothing
/// but what `wrap` has made.
pub fn map_lane<M, N: 'static, W, U>(
    lane: impl Lane<N> + 'static,
    wrap: W,
    unwrap: U,
) -> MapLane<N, (W, U)>
where
    W: Fn(M) -> N + Clone + Send + 'static,
    U: Fn(N) -> M + Clone + Send + 'static,
{
    MapLane {
        inner: Box::new(lane),
        wrap: (wrap, unwrap),
    }
}

impl<N: 'static, F> fmt::Debug for MapLane<N, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapLane")
            .field("target", &self.inner.target())
            .finish_non_exhaustive()
    }
}

impl<M, N: 'static, W, U> Lane<M> for MapLane<N, (W, U)>
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

    fn boxed_clone(&self) -> AnyLane<M> {
        Box::new(Self {
            inner: self.inner.boxed_clone(),
            wrap: self.wrap.clone(),
        })
    }

    fn target(&self) -> Option<ActorId> {
        self.inner.target()
    }
}
