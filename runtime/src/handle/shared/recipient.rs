//! An actor as a recipient, through the lanes that clones share.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use lanemesh::{SharedOwnedPermit, SharedSender};

use crate::{
    actor::{Actor, High, Low},
    envelope::Envelope,
    error::SendError,
    handle::{AnyRecipient, Recipient, SharedHandle},
    id::ActorId,
};

/// The wait for a permit.
type Wait<M> =
    Pin<Box<dyn Future<Output = Result<SharedOwnedPermit<M>, lanemesh::SendError<()>>> + Send>>;

/// Room that `poll_ready` waits for or has found. The next message takes it.
struct Room<M> {
    wait: Option<Wait<M>>,
    permit: Option<SharedOwnedPermit<M>>,
}

impl<M: Send + 'static> Room<M> {
    fn none() -> Self {
        Self {
            wait: None,
            permit: None,
        }
    }

    fn poll(
        &mut self,
        lane: &SharedSender<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<()>>> {
        if self.permit.is_none() {
            let wait = self
                .wait
                .get_or_insert_with(|| Box::pin(lane.clone().reserve_owned()));
            let permit = ready!(wait.as_mut().poll(cx));
            self.wait = None;
            self.permit = Some(permit.map_err(|_| SendError::Closed(()))?);
        }
        Poll::Ready(Ok(()))
    }
}

/// Sends by the permit, if there is one.
fn send<M: Send + 'static>(
    room: &mut Room<Envelope<M>>,
    envelope: Envelope<M>,
) -> Result<Result<(), SendError<M>>, Envelope<M>> {
    let Some(permit) = room.permit.take() else {
        return Err(envelope);
    };
    Ok(match permit.send(envelope) {
        Ok(_) => Ok(()),
        Err(lanemesh::SendError(envelope)) => Err(SendError::Closed(envelope.message)),
    })
}

/// An actor as the recipient of its high-priority messages, made by
/// [`SharedHandle::high_recipient`].
pub struct SharedHighRecipient<A: Actor> {
    /// Before the handle, whose drop tells the actor that there is a sender less.
    room: Room<High<A>>,
    handle: SharedHandle<A>,
}

/// An actor as the recipient of its low-priority messages, made by
/// [`SharedHandle::low_recipient`].
pub struct SharedLowRecipient<A: Actor> {
    /// Before the handle, whose drop tells the actor that there is a sender less.
    room: Room<Low<A>>,
    handle: SharedHandle<A>,
}

impl<A: Actor> SharedHandle<A> {
    /// The actor as the recipient of its high-priority messages, through the lanes of this handle.
    ///
    /// Room that [`poll_ready`](Recipient::poll_ready) has found is kept for the next message.
    pub fn high_recipient(&self) -> SharedHighRecipient<A> {
        SharedHighRecipient {
            handle: self.clone(),
            room: Room::none(),
        }
    }

    /// The actor as the recipient of its low-priority messages, through the lanes of this handle.
    ///
    /// Room that [`poll_ready`](Recipient::poll_ready) has found is kept for the next message.
    pub fn low_recipient(&self) -> SharedLowRecipient<A> {
        SharedLowRecipient {
            handle: self.clone(),
            room: Room::none(),
        }
    }
}

macro_rules! shared_recipient {
    ($name:ident, $message:ident, $lane:ident, $try_send:ident, $recipient:ident) => {
        impl<A: Actor> Recipient<A::$message> for $name<A> {
            fn try_send(&mut self, message: A::$message) -> Result<(), SendError<A::$message>> {
                match send(&mut self.room, self.handle.wrap(message)) {
                    Ok(outcome) => outcome,
                    Err(envelope) => self.handle.$try_send(envelope.message),
                }
            }

            fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
                self.room.poll(self.handle.tx.$lane(), cx)
            }

            fn is_closed(&self) -> bool {
                self.handle.is_closed()
            }

            fn boxed_clone(&self) -> AnyRecipient<A::$message> {
                Box::new(self.handle.$recipient())
            }

            fn target(&self) -> Option<ActorId> {
                Some(self.handle.id())
            }

            /// It has lanes of its own: those of this handle keep the actor running.
            fn weak(&self) -> Option<AnyRecipient<A::$message>> {
                self.handle.handle().$recipient().weak()
            }
        }

        impl<A: Actor> fmt::Debug for $name<A> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name))
                    .field(&self.handle)
                    .finish()
            }
        }
    };
}

shared_recipient!(
    SharedHighRecipient,
    HighPriorityMsg,
    high,
    try_send_high,
    high_recipient
);
shared_recipient!(
    SharedLowRecipient,
    LowPriorityMsg,
    low,
    try_send_low,
    low_recipient
);
