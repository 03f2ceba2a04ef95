//! Channels that carry control and data, compared by the shape `priority`.

use std::future::Future;
use std::marker::PhantomData;

use lanemesh::{MailboxReceiver, MailboxSender, Message, TrySendError, mailbox};
use tokio::sync::mpsc;

use crate::rivals::channels::TokioMpsc;
use crate::rivals::channels::traits::{
    AsyncFamily, AsyncRx, AsyncVisitor, Attempt, Capacity, TryTx, handles,
};
use crate::rivals::channels::visit_async;
use crate::rivals::subject::{Role, Subject};

/// A message of one of the two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Control, which should overtake data.
    High(u64),
    /// Data.
    Low(u64),
}

/// A kind of channel with two classes of message.
pub trait TwoClass: Subject {
    /// One producer of both classes.
    type Tx: TwoClassTx;
    /// The consumer.
    type Rx: TwoClassRx;

    /// Opens a channel. A queue that both classes share has the slots of both together.
    fn open(high: Capacity, low: Capacity, producers: usize) -> (Vec<Self::Tx>, Self::Rx);
}

/// A producer of both classes that sends without waiting.
pub trait TwoClassTx: Send + 'static {
    /// Sends control if there is room.
    fn try_high(&mut self, stamp: u64) -> Attempt;

    /// Sends data if there is room.
    fn try_low(&mut self, stamp: u64) -> Attempt;
}

/// A consumer of both classes.
pub trait TwoClassRx: Send + 'static {
    /// The next message; control comes first if the channel distinguishes the classes.
    fn recv(&mut self) -> impl Future<Output = Option<Class>> + Send;
}

/// Visits every kind of channel with two classes.
pub trait TwoClassVisitor {
    /// Called once for each kind.
    fn visit<F: TwoClass>(&mut self);
}

/// Calls the visitor for every kind of channel with two classes.
pub fn visit_two_class(visitor: &mut impl TwoClassVisitor) {
    struct Adapter<'a, V>(&'a mut V);

    impl<V: TwoClassVisitor> AsyncVisitor for Adapter<'_, V> {
        fn visit<F: AsyncFamily<u64> + AsyncFamily<bytes::Bytes>>(&mut self) {
            // The project's own subject takes part with its mailbox instead.
            if F::ROLE == Role::Peer {
                self.0.visit::<OneQueue<F>>();
            }
        }
    }

    visitor.visit::<LanemeshMailbox>();
    visitor.visit::<TokioPair>();
    visit_async(&mut Adapter(visitor));
}

/// `lanemesh::mailbox`.
#[derive(Debug)]
pub struct LanemeshMailbox;

impl Subject for LanemeshMailbox {
    const NAME: &'static str = "lanemesh";
    const ROLE: Role = Role::Ours;
    const WITHOUT_MEMBARRIER: Option<&'static str> = Some("lanemesh-no-membarrier");
}

impl TwoClass for LanemeshMailbox {
    type Tx = MailboxSender<u64, u64>;
    type Rx = MailboxReceiver<u64, u64>;

    fn open(high: Capacity, low: Capacity, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
        let (tx, rx) = mailbox(high.lane, low.lane);
        (handles(tx, producers), rx)
    }
}

fn attempt(result: Result<(), TrySendError<u64>>) -> Attempt {
    match result {
        Ok(()) => Attempt::Sent,
        Err(TrySendError::Full(_)) => Attempt::Full,
        Err(TrySendError::Closed(_)) => Attempt::Closed,
    }
}

impl TwoClassTx for MailboxSender<u64, u64> {
    #[inline]
    fn try_high(&mut self, stamp: u64) -> Attempt {
        attempt(self.try_send_high(stamp))
    }

    #[inline]
    fn try_low(&mut self, stamp: u64) -> Attempt {
        attempt(self.try_send_low(stamp))
    }
}

impl TwoClassRx for MailboxReceiver<u64, u64> {
    #[inline]
    async fn recv(&mut self) -> Option<Class> {
        Some(match MailboxReceiver::recv(self).await? {
            Message::High(stamp) => Class::High(stamp),
            Message::Low(stamp) => Class::Low(stamp),
        })
    }
}

/// A channel that carries both classes in one queue.
#[derive(Debug)]
pub struct OneQueue<F>(PhantomData<F>);

/// The bit of a stamp that marks control in a shared queue.
const HIGH: u64 = 1 << 63;

impl<F: Subject> Subject for OneQueue<F> {
    const NAME: &'static str = F::NAME;
    const ROLE: Role = F::ROLE;
}

impl<F: AsyncFamily<u64>> TwoClass for OneQueue<F> {
    type Tx = OneTx<F::Tx>;
    type Rx = OneRx<F::Rx>;

    fn open(high: Capacity, low: Capacity, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
        let both = Capacity {
            total: high.total + low.total,
            lane: high.lane + low.lane,
        };
        let (producers, rx) = F::open(both, producers);
        (producers.into_iter().map(OneTx).collect(), OneRx(rx))
    }
}

/// The producer of a [`OneQueue`].
#[derive(Debug)]
pub struct OneTx<X>(X);

impl<X: TryTx<u64>> TwoClassTx for OneTx<X> {
    #[inline]
    fn try_high(&mut self, stamp: u64) -> Attempt {
        self.0.try_send(stamp | HIGH)
    }

    #[inline]
    fn try_low(&mut self, stamp: u64) -> Attempt {
        self.0.try_send(stamp)
    }
}

/// The consumer of a [`OneQueue`].
#[derive(Debug)]
pub struct OneRx<R>(R);

impl<R: AsyncRx<u64>> TwoClassRx for OneRx<R> {
    #[inline]
    async fn recv(&mut self) -> Option<Class> {
        let stamp = self.0.recv().await?;
        Some(if stamp & HIGH == 0 {
            Class::Low(stamp)
        } else {
            Class::High(stamp & !HIGH)
        })
    }
}

/// One tokio channel for each class, received with a biased `select!`.
#[derive(Debug)]
pub struct TokioPair;

impl Subject for TokioPair {
    const NAME: &'static str = "tokio-pair";
    const ROLE: Role = TokioMpsc::ROLE;
}

impl TwoClass for TokioPair {
    type Tx = PairTx;
    type Rx = PairRx;

    fn open(high: Capacity, low: Capacity, producers: usize) -> (Vec<PairTx>, PairRx) {
        let (high_tx, high_rx) = mpsc::channel(high.total);
        let (low_tx, low_rx) = mpsc::channel(low.total);
        let tx = PairTx {
            high: high_tx,
            low: low_tx,
        };
        (
            handles(tx, producers),
            PairRx {
                high: high_rx,
                low: low_rx,
            },
        )
    }
}

/// The producer of a [`TokioPair`].
#[derive(Debug, Clone)]
pub struct PairTx {
    high: mpsc::Sender<u64>,
    low: mpsc::Sender<u64>,
}

impl TwoClassTx for PairTx {
    #[inline]
    fn try_high(&mut self, stamp: u64) -> Attempt {
        TryTx::try_send(&mut self.high, stamp)
    }

    #[inline]
    fn try_low(&mut self, stamp: u64) -> Attempt {
        TryTx::try_send(&mut self.low, stamp)
    }
}

/// The consumer of a [`TokioPair`].
#[derive(Debug)]
pub struct PairRx {
    high: mpsc::Receiver<u64>,
    low: mpsc::Receiver<u64>,
}

impl TwoClassRx for PairRx {
    #[inline]
    async fn recv(&mut self) -> Option<Class> {
        tokio::select! {
            biased;
            Some(stamp) = self.high.recv() => Some(Class::High(stamp)),
            Some(stamp) = self.low.recv() => Some(Class::Low(stamp)),
            else => None,
        }
    }
}
