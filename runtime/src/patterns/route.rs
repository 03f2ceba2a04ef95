//! A route: peers in order of preference; messages go to the first one that is alive.

use std::fmt;

use lanemesh::Sent;

use crate::{
    actor::{Actor, Context},
    error::SendError,
    exit::CrashPolicy,
    handle::ActorHandle,
};

/// Handles to peers that can replace each other.
///
/// Messages go to the first peer that is alive; when it ends, the message that could not be
/// delivered and all after it go to the next. Messages that were queued at the peer that ended stay
/// with it: see [`Builder::dead_letters`](crate::Builder::dead_letters).
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{patterns::Route, spawn, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (first, first_child) = spawn(Sink::<(), u64>::new());
/// let (second, _child) = spawn(Sink::<(), u64>::new());
/// let mut route = Route::new([first, second.clone()]);
/// first_child.stop().await;
/// route.send_low(1).await?;
/// assert_eq!(route.current().map(|peer| peer.id()), Some(second.id()));
/// # Ok(()) }
/// ```
pub struct Route<A: Actor> {
    peers: Vec<ActorHandle<A>>,
}

impl<A: Actor> Route<A> {
    /// Makes a route; the first peer is preferred.
    pub fn new(peers: impl IntoIterator<Item = ActorHandle<A>>) -> Self {
        Self {
            peers: peers.into_iter().collect(),
        }
    }

    /// Lets an actor watch every peer with [`CrashPolicy::RouteToNext`].
    pub fn watch<P: Actor>(&self, ctx: &mut Context<P>) {
        for peer in &self.peers {
            ctx.watch(peer, CrashPolicy::RouteToNext);
        }
    }

    /// The peer that the next message goes to; none if no peer is alive.
    pub fn current(&self) -> Option<&ActorHandle<A>> {
        self.peers.iter().find(|peer| peer.is_alive())
    }

    /// Sends a low-priority message to the first peer that accepts it.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when no peer is alive; otherwise as [`ActorHandle::send_low`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped.
    pub async fn send_low(
        &mut self,
        mut message: A::LowPriorityMsg,
    ) -> Result<Sent, SendError<A::LowPriorityMsg>> {
        for peer in &mut self.peers {
            message = match peer.send_low(message).await {
                Err(SendError::Closed(back)) => back,
                other => return other,
            };
        }
        Err(SendError::Closed(message))
    }

    /// Sends a high-priority message to the first peer that accepts it.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when no peer is alive; otherwise as [`ActorHandle::send_high`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped.
    pub async fn send_high(
        &mut self,
        mut message: A::HighPriorityMsg,
    ) -> Result<Sent, SendError<A::HighPriorityMsg>> {
        for peer in &mut self.peers {
            message = match peer.send_high(message).await {
                Err(SendError::Closed(back)) => back,
                other => return other,
            };
        }
        Err(SendError::Closed(message))
    }
}

impl<A: Actor> Clone for Route<A> {
    fn clone(&self) -> Self {
        Self {
            peers: self.peers.clone(),
        }
    }
}

impl<A: Actor> fmt::Debug for Route<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("peers", &self.peers).finish()
    }
}
