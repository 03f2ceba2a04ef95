//! The lanemesh mailbox behind the trait.

use lanemesh::{MailboxReceiver, MailboxSender, Message, TrySendError};
use lanemesh_runtime::{Actor, ActorHandle, SendError};

use super::{Mailbox, Observed, Receiver, Refused, Sender};

/// The lanemesh mailbox.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mesh;

impl Mailbox for Mesh {
    const NAME: &'static str = "mesh";
    const PER_SENDER: bool = true;
    type Sender<H: Send + 'static, L: Send + 'static> = MailboxSender<H, L>;
    type Receiver<H: Send + 'static, L: Send + 'static> = MailboxReceiver<H, L>;

    fn mailbox<H: Send + 'static, L: Send + 'static>(
        high: usize,
        low: usize,
    ) -> (Self::Sender<H, L>, Self::Receiver<H, L>) {
        lanemesh::mailbox(high, low)
    }

    const FEEDS: bool = false;
    type Handle<A: Actor> = ActorHandle<A>;
    type Feed<A: Actor> = NoFeed;
    type Inlet<A: Actor> = ();

    fn feed<A: Actor>(_high: usize, _low: usize) -> ((), NoFeed) {
        ((), NoFeed)
    }

    fn handle<A: Actor>((): (), actor: &ActorHandle<A>) -> ActorHandle<A> {
        actor.clone()
    }
}

/// Messages come through the runtime's own mailbox, so there is nothing to receive here.
#[derive(Debug)]
pub struct NoFeed;

impl<H: Send + 'static, L: Send + 'static> Receiver<H, L> for NoFeed {
    async fn recv_many(&mut self, _: &mut Vec<Message<H, L>>, _: usize) -> usize {
        std::future::pending().await
    }

    fn try_recv_many(&mut self, _: &mut Vec<Message<H, L>>, _: usize) -> usize {
        0
    }

    fn observe(&self) -> Observed {
        Observed::default()
    }
}

impl<A: Actor> Sender<A::HighPriorityMsg, A::LowPriorityMsg> for ActorHandle<A> {
    fn try_send_high(
        &mut self,
        message: A::HighPriorityMsg,
    ) -> Result<(), Refused<A::HighPriorityMsg>> {
        Self::try_send_high(self, message).map_err(refused_by_actor)
    }

    fn try_send_low(
        &mut self,
        message: A::LowPriorityMsg,
    ) -> Result<(), Refused<A::LowPriorityMsg>> {
        Self::try_send_low(self, message).map_err(refused_by_actor)
    }

    fn try_send_low_many(
        &mut self,
        messages: &mut Vec<A::LowPriorityMsg>,
    ) -> Result<usize, Refused<()>> {
        Self::try_send_vec_low(self, messages).map_err(|_| Refused::Closed(()))
    }
}

fn refused_by_actor<T>(error: SendError<T>) -> Refused<T> {
    match error {
        SendError::Full(message) => Refused::Full(message),
        closed => Refused::Closed(closed.into_inner()),
    }
}

fn refused<T>(error: TrySendError<T>) -> Refused<T> {
    match error {
        TrySendError::Full(message) => Refused::Full(message),
        TrySendError::Closed(message) => Refused::Closed(message),
    }
}

impl<H: Send + 'static, L: Send + 'static> Sender<H, L> for MailboxSender<H, L> {
    fn try_send_high(&mut self, message: H) -> Result<(), Refused<H>> {
        Self::try_send_high(self, message).map_err(refused)
    }

    fn try_send_low(&mut self, message: L) -> Result<(), Refused<L>> {
        Self::try_send_low(self, message).map_err(refused)
    }

    fn try_send_low_many(&mut self, messages: &mut Vec<L>) -> Result<usize, Refused<()>> {
        self.low()
            .try_send_vec(messages)
            .map_err(|_| Refused::Closed(()))
    }
}

impl<H: Send + 'static, L: Send + 'static> Receiver<H, L> for MailboxReceiver<H, L> {
    async fn recv_many(&mut self, into: &mut Vec<Message<H, L>>, limit: usize) -> usize {
        Self::recv_many(self, into, limit).await
    }

    fn try_recv_many(&mut self, into: &mut Vec<Message<H, L>>, limit: usize) -> usize {
        Self::try_recv_many(self, into, limit).unwrap_or(0)
    }

    fn observe(&self) -> Observed {
        let stats = self.stats();
        Observed {
            high_depth: stats.high.depth,
            low_depth: stats.low.depth,
            sleeps: stats.high.wakeups + stats.low.wakeups,
        }
    }
}
