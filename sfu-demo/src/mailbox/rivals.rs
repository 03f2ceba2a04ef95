//! Published channels to compare with, each as a pair.

use std::sync::Arc;

use lanemesh_runtime::{Actor, ActorHandle};

use super::notify::{Notified, Notifier, notifier};
use super::pair::{self, Channel, Nothing, PairReceiver, PairSender, Rx, Tx};
use super::{Mailbox, Refused};

macro_rules! pair_of {
    ($(#[$doc:meta])* $kind:ident, $name:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $kind;

        impl Mailbox for $kind {
            const NAME: &'static str = $name;
            type Sender<H: Send + 'static, L: Send + 'static> = PairSender<$kind, H, L>;
            type Receiver<H: Send + 'static, L: Send + 'static> = PairReceiver<$kind, H, L>;

            fn mailbox<H: Send + 'static, L: Send + 'static>(
                high: usize,
                low: usize,
            ) -> (Self::Sender<H, L>, Self::Receiver<H, L>) {
                pair::mailbox(high, low)
            }

            type Handle<A: Actor> = PairSender<$kind, A::HighPriorityMsg, A::LowPriorityMsg>;
            type Feed<A: Actor> = PairReceiver<$kind, A::HighPriorityMsg, A::LowPriorityMsg>;
            type Inlet<A: Actor> = Self::Handle<A>;

            fn feed<A: Actor>(high: usize, low: usize) -> (Self::Inlet<A>, Self::Feed<A>) {
                pair::mailbox(high, low)
            }

            fn handle<A: Actor>(inlet: Self::Inlet<A>, _: &ActorHandle<A>) -> Self::Handle<A> {
                inlet
            }
        }
    };
}

pair_of!(
    /// Two `tokio::sync::mpsc` channels.
    Tokio,
    "tokio"
);
pair_of!(
    /// Two tachyonix channels.
    Tachyonix,
    "tachyonix"
);
pair_of!(
    /// Two flume channels.
    Flume,
    "flume"
);
pair_of!(
    /// Two crossbeam channels with wakers: they can only be waited for by blocking.
    Crossbeam,
    "crossbeam"
);
pair_of!(
    /// Two kanal channels with wakers: dropping a receive future of kanal can lose a message, so none is made.
    Kanal,
    "kanal"
);
pair_of!(
    /// Two crossfire channels.
    Crossfire,
    "crossfire"
);

impl Channel for Tokio {
    type Tx<T: Send + 'static> = tokio::sync::mpsc::Sender<T>;
    type Rx<T: Send + 'static> = tokio::sync::mpsc::Receiver<T>;

    fn channel<T: Send + 'static>(capacity: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        tokio::sync::mpsc::channel(capacity)
    }
}

impl<T: Send + 'static> Tx<T> for tokio::sync::mpsc::Sender<T> {
    fn try_send(&mut self, message: T) -> Result<(), Refused<T>> {
        use tokio::sync::mpsc::error::TrySendError;
        Self::try_send(self, message).map_err(|error| match error {
            TrySendError::Full(message) => Refused::Full(message),
            TrySendError::Closed(message) => Refused::Closed(message),
        })
    }
}

impl<T: Send + 'static> Rx<T> for tokio::sync::mpsc::Receiver<T> {
    fn try_recv(&mut self) -> Result<T, Nothing> {
        use tokio::sync::mpsc::error::TryRecvError;
        Self::try_recv(self).map_err(|error| match error {
            TryRecvError::Empty => Nothing::Empty,
            TryRecvError::Disconnected => Nothing::Closed,
        })
    }

    async fn recv(&mut self) -> Option<T> {
        Self::recv(self).await
    }

    fn depth(&self) -> usize {
        Self::len(self)
    }
}

impl Channel for Tachyonix {
    type Tx<T: Send + 'static> = tachyonix::Sender<T>;
    type Rx<T: Send + 'static> = tachyonix::Receiver<T>;

    fn channel<T: Send + 'static>(capacity: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        tachyonix::channel(capacity)
    }
}

impl<T: Send + 'static> Tx<T> for tachyonix::Sender<T> {
    fn try_send(&mut self, message: T) -> Result<(), Refused<T>> {
        use tachyonix::TrySendError;
        Self::try_send(self, message).map_err(|error| match error {
            TrySendError::Full(message) => Refused::Full(message),
            TrySendError::Closed(message) => Refused::Closed(message),
        })
    }
}

impl<T: Send + 'static> Rx<T> for tachyonix::Receiver<T> {
    fn try_recv(&mut self) -> Result<T, Nothing> {
        use tachyonix::TryRecvError;
        Self::try_recv(self).map_err(|error| match error {
            TryRecvError::Empty => Nothing::Empty,
            TryRecvError::Closed => Nothing::Closed,
        })
    }

    async fn recv(&mut self) -> Option<T> {
        Self::recv(self).await.ok()
    }

    fn depth(&self) -> usize {
        0
    }
}

impl Channel for Flume {
    type Tx<T: Send + 'static> = flume::Sender<T>;
    type Rx<T: Send + 'static> = flume::Receiver<T>;

    fn channel<T: Send + 'static>(capacity: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        flume::bounded(capacity)
    }
}

impl<T: Send + 'static> Tx<T> for flume::Sender<T> {
    fn try_send(&mut self, message: T) -> Result<(), Refused<T>> {
        use flume::TrySendError;
        Self::try_send(self, message).map_err(|error| match error {
            TrySendError::Full(message) => Refused::Full(message),
            TrySendError::Disconnected(message) => Refused::Closed(message),
        })
    }
}

impl<T: Send + 'static> Rx<T> for flume::Receiver<T> {
    fn try_recv(&mut self) -> Result<T, Nothing> {
        use flume::TryRecvError;
        Self::try_recv(self).map_err(|error| match error {
            TryRecvError::Empty => Nothing::Empty,
            TryRecvError::Disconnected => Nothing::Closed,
        })
    }

    async fn recv(&mut self) -> Option<T> {
        self.recv_async().await.ok()
    }

    fn depth(&self) -> usize {
        Self::len(self)
    }
}

/// A sender that wakes the receiver.
#[derive(Debug)]
pub struct NotifyingTx<S> {
    // Dropped before the notifier, which wakes the receiver for the last time.
    sender: Arc<S>,
    notifier: Notifier,
}

/// A receiver that a waker wakes.
#[derive(Debug)]
pub struct AwaitableRx<R> {
    receiver: R,
    notified: Notified,
}

impl<S> Clone for NotifyingTx<S> {
    fn clone(&self) -> Self {
        Self {
            sender: Arc::clone(&self.sender),
            notifier: self.notifier.clone(),
        }
    }
}

fn awaitable<S, R>((sender, receiver): (S, R)) -> (NotifyingTx<S>, AwaitableRx<R>) {
    let (notifier, notified) = notifier();
    (
        NotifyingTx {
            sender: Arc::new(sender),
            notifier,
        },
        AwaitableRx { receiver, notified },
    )
}

impl Channel for Crossbeam {
    type Tx<T: Send + 'static> = NotifyingTx<crossbeam_channel::Sender<T>>;
    type Rx<T: Send + 'static> = AwaitableRx<crossbeam_channel::Receiver<T>>;

    fn channel<T: Send + 'static>(capacity: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        awaitable(crossbeam_channel::bounded(capacity))
    }
}

impl<T: Send + 'static> Tx<T> for NotifyingTx<crossbeam_channel::Sender<T>> {
    fn try_send(&mut self, message: T) -> Result<(), Refused<T>> {
        use crossbeam_channel::TrySendError;
        match self.sender.try_send(message) {
            Ok(()) => {
                self.notifier.notify();
                Ok(())
            }
            Err(TrySendError::Full(message)) => Err(Refused::Full(message)),
            Err(TrySendError::Disconnected(message)) => Err(Refused::Closed(message)),
        }
    }
}

fn try_recv_crossbeam<T>(receiver: &crossbeam_channel::Receiver<T>) -> Result<T, Nothing> {
    use crossbeam_channel::TryRecvError;
    receiver.try_recv().map_err(|error| match error {
        TryRecvError::Empty => Nothing::Empty,
        TryRecvError::Disconnected => Nothing::Closed,
    })
}

impl<T: Send + 'static> Rx<T> for AwaitableRx<crossbeam_channel::Receiver<T>> {
    fn try_recv(&mut self) -> Result<T, Nothing> {
        try_recv_crossbeam(&self.receiver)
    }

    async fn recv(&mut self) -> Option<T> {
        self.notified
            .wait(|| try_recv_crossbeam(&self.receiver))
            .await
    }

    fn depth(&self) -> usize {
        self.receiver.len()
    }
}

impl Channel for Kanal {
    type Tx<T: Send + 'static> = NotifyingTx<kanal::Sender<T>>;
    type Rx<T: Send + 'static> = AwaitableRx<kanal::Receiver<T>>;

    fn channel<T: Send + 'static>(capacity: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        awaitable(kanal::bounded(capacity))
    }
}

impl<T: Send + 'static> Tx<T> for NotifyingTx<kanal::Sender<T>> {
    fn try_send(&mut self, message: T) -> Result<(), Refused<T>> {
        let mut message = Some(message);
        let sent = self.sender.try_send_option(&mut message);
        match (sent, message) {
            (Err(_), Some(message)) => Err(Refused::Closed(message)),
            (_, Some(message)) => Err(Refused::Full(message)),
            (_, None) => {
                self.notifier.notify();
                Ok(())
            }
        }
    }
}

fn try_recv_kanal<T>(receiver: &kanal::Receiver<T>) -> Result<T, Nothing> {
    match receiver.try_recv() {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Nothing::Empty),
        Err(_) => Err(Nothing::Closed),
    }
}

impl<T: Send + 'static> Rx<T> for AwaitableRx<kanal::Receiver<T>> {
    fn try_recv(&mut self) -> Result<T, Nothing> {
        try_recv_kanal(&self.receiver)
    }

    async fn recv(&mut self) -> Option<T> {
        self.notified.wait(|| try_recv_kanal(&self.receiver)).await
    }

    fn depth(&self) -> usize {
        self.receiver.len()
    }
}

type CrossfireTx<T> = crossfire::MAsyncTx<crossfire::mpsc::Array<T>>;
type CrossfireRx<T> = crossfire::AsyncRx<crossfire::mpsc::Array<T>>;

impl Channel for Crossfire {
    type Tx<T: Send + 'static> = CrossfireTx<T>;
    type Rx<T: Send + 'static> = CrossfireRx<T>;

    fn channel<T: Send + 'static>(capacity: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        crossfire::mpsc::bounded_async(capacity)
    }
}

impl<T: Send + 'static> Tx<T> for CrossfireTx<T> {
    fn try_send(&mut self, message: T) -> Result<(), Refused<T>> {
        use crossfire::TrySendError;
        crossfire::AsyncTx::try_send(self, message).map_err(|error| match error {
            TrySendError::Full(message) => Refused::Full(message),
            TrySendError::Disconnected(message) => Refused::Closed(message),
        })
    }
}

impl<T: Send + 'static> Rx<T> for CrossfireRx<T> {
    fn try_recv(&mut self) -> Result<T, Nothing> {
        use crossfire::TryRecvError;
        Self::try_recv(self).map_err(|error| match error {
            TryRecvError::Empty => Nothing::Empty,
            TryRecvError::Disconnected => Nothing::Closed,
        })
    }

    async fn recv(&mut self) -> Option<T> {
        Self::recv(self).await.ok()
    }

    fn depth(&self) -> usize {
        self.as_ref().len()
    }
}
