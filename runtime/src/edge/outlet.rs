//! The sending end of a link into the mailbox of an actor of this process.

use std::{
    fmt,
    task::{Context, Poll},
};

use lanemesh::TrySendError;
use tokio::time::Instant;

use crate::{
    actor::Actor,
    edge::{Parcel, inlet::wrap},
    error::SendError,
    handle::ActorHandle,
};

/// Puts parcels into the mailbox of an actor: a producer of its own, with what is left of each
/// message's time.
///
/// A message that has expired on the way is sent too: the actor drops and counts it, as any other.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{edge::{Outlet, Parcel}, spawn, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (handle, _child) = spawn(Sink::<(), u64>::new());
/// let mut outlet = Outlet::new(handle.clone());
/// outlet.try_low(Parcel { message: 7, expires: None, is_ask: false }).unwrap();
/// handle.idle().await;
/// assert_eq!(handle.stats().low, 1);
/// # }
/// ```
pub struct Outlet<A: Actor>(ActorHandle<A>);

impl<A: Actor> Outlet<A> {
    /// Sends through the lanes of `handle`.
    pub fn new(handle: ActorHandle<A>) -> Self {
        Self(handle)
    }

    /// The handle.
    pub fn handle(&self) -> &ActorHandle<A> {
        &self.0
    }

    /// Whether the actor has taken all that was put in.
    pub fn is_empty(&self) -> bool {
        self.0.mailbox_sender_ref().is_empty()
    }

    /// Sends with high priority, without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`], with the parcel.
    pub fn try_high(
        &mut self,
        parcel: Parcel<A::HighPriorityMsg>,
    ) -> Result<(), SendError<Parcel<A::HighPriorityMsg>>> {
        let (expires, is_ask) = (parcel.expires, parcel.is_ask);
        let envelope = wrap(parcel, self.0.stamp());
        let sent = self.0.mailbox_sender_mut().high().try_send(envelope);
        back(
            sent.map_err(|error| error.map(|e| e.message)),
            expires,
            is_ask,
        )
    }

    /// Sends with low priority, without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`], with the parcel.
    pub fn try_low(
        &mut self,
        parcel: Parcel<A::LowPriorityMsg>,
    ) -> Result<(), SendError<Parcel<A::LowPriorityMsg>>> {
        let (expires, is_ask) = (parcel.expires, parcel.is_ask);
        let envelope = wrap(parcel, self.0.stamp());
        let sent = self.0.mailbox_sender_mut().low().try_send(envelope);
        back(
            sent.map_err(|error| error.map(|e| e.message)),
            expires,
            is_ask,
        )
    }

    /// Waits for room for a high-priority message.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages.
    pub fn poll_high_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.0.poll_ready_high(cx)
    }

    /// Waits for room for a low-priority message.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages.
    pub fn poll_low_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.0.poll_ready_low(cx)
    }
}

fn back<M>(
    sent: Result<(), TrySendError<M>>,
    expires: Option<Instant>,
    is_ask: bool,
) -> Result<(), SendError<Parcel<M>>> {
    let parcel = |message| Parcel {
        message,
        expires,
        is_ask,
    };
    sent.map_err(|error| match error {
        TrySendError::Full(message) => SendError::Full(parcel(message)),
        TrySendError::Closed(message) => SendError::Closed(parcel(message)),
    })
}

impl<A: Actor> fmt::Debug for Outlet<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outlet").field(&self.0).finish()
    }
}
