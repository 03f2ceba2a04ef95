//! The peers: published channels, each as a pair.

use std::sync::Arc;

use super::bell::{Bell, Ringer, bell};
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
    /// Two crossbeam channels and a doorbell: they only block.
    Crossbeam,
    "crossbeam"
);
pair_of!(
    /// Two kanal channels and a doorbell: a dropped receiving future of kanal's may take a message
    /// with it, so none is made.
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

/// A sender with a doorbell.
#[derive(Debug)]
pub struct Ringing<S> {
    // Dropped before the bell rings for the last time.
    sender: Arc<S>,
    ringer: Ringer,
}

/// A receiver with a doorbell.
#[derive(Debug)]
pub struct Belled<R> {
    receiver: R,
    bell: Bell,
}

impl<S> Clone for Ringing<S> {
    fn clone(&self) -> Self {
        Self {
            sender: Arc::clone(&self.sender),
            ringer: self.ringer.clone(),
        }
    }
}

fn belled<S, R>((sender, receiver): (S, R)) -> (Ringing<S>, Belled<R>) {
    let (ringer, bell) = bell();
    (
        Ringing {
            sender: Arc::new(sender),
            ringer,
        },
        Belled { receiver, bell },
    )
}

impl Channel for Crossbeam {
    type Tx<T: Send + 'static> = Ringing<crossbeam_channel::Sender<T>>;
    type Rx<T: Send + 'static> = Belled<crossbeam_channel::Receiver<T>>;

    fn channel<T: Send + 'static>(capacity: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        belled(crossbeam_channel::bounded(capacity))
    }
}

impl<T: Send + 'static> Tx<T> for Ringing<crossbeam_channel::Sender<T>> {
    fn try_send(&mut self, message: T) -> Result<(), Refused<T>> {
        use crossbeam_channel::TrySendError;
        match self.sender.try_send(message) {
            Ok(()) => {
                self.ringer.ring();
                Ok(())
            }
            Err(TrySendError::Full(message)) => Err(Refused::Full(message)),
            Err(TrySendError::Disconnected(message)) => Err(Refused::Closed(message)),
        }
    }
}

fn take_crossbeam<T>(receiver: &crossbeam_channel::Receiver<T>) -> Result<T, Nothing> {
    use crossbeam_channel::TryRecvError;
    receiver.try_recv().map_err(|error| match error {
        TryRecvError::Empty => Nothing::Empty,
        TryRecvError::Disconnected => Nothing::Closed,
    })
}

impl<T: Send + 'static> Rx<T> for Belled<crossbeam_channel::Receiver<T>> {
    fn try_recv(&mut self) -> Result<T, Nothing> {
        take_crossbeam(&self.receiver)
    }

    async fn recv(&mut self) -> Option<T> {
        self.bell.wait(|| take_crossbeam(&self.receiver)).await
    }

    fn depth(&self) -> usize {
        self.receiver.len()
    }
}

impl Channel for Kanal {
    type Tx<T: Send + 'static> = Ringing<kanal::Sender<T>>;
    type Rx<T: Send + 'static> = Belled<kanal::Receiver<T>>;

    fn channel<T: Send + 'static>(capacity: usize) -> (Self::Tx<T>, Self::Rx<T>) {
        belled(kanal::bounded(capacity))
    }
}

impl<T: Send + 'static> Tx<T> for Ringing<kanal::Sender<T>> {
    fn try_send(&mut self, message: T) -> Result<(), Refused<T>> {
        let mut message = Some(message);
        let sent = self.sender.try_send_option(&mut message);
        match (sent, message) {
            (Err(_), Some(message)) => Err(Refused::Closed(message)),
            (_, Some(message)) => Err(Refused::Full(message)),
            (_, None) => {
                self.ringer.ring();
                Ok(())
            }
        }
    }
}

fn take_kanal<T>(receiver: &kanal::Receiver<T>) -> Result<T, Nothing> {
    match receiver.try_recv() {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Nothing::Empty),
        Err(_) => Err(Nothing::Closed),
    }
}

impl<T: Send + 'static> Rx<T> for Belled<kanal::Receiver<T>> {
    fn try_recv(&mut self) -> Result<T, Nothing> {
        take_kanal(&self.receiver)
    }

    async fn recv(&mut self) -> Option<T> {
        self.bell.wait(|| take_kanal(&self.receiver)).await
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
