//! Channels that carry control and data, compared by the shape `priority`.

use std::marker::PhantomData;

use lanemesh::{MailboxReceiver, MailboxSender, Message, TrySendError, mailbox};

use crate::rivals::channels::traits::{
    AsyncFamily, AsyncRx, AsyncVisitor, Attempt, Capacity, TryTx, handles,
};
use crate::rivals::channels::{Tachyonix, TokioMpsc, visit_async};
use crate::rivals::subject::{Role, Subject};

mod heap;
mod pair;
mod traits;

pub use self::heap::AsyncPriorityChannel;
pub use self::pair::{CrossbeamPair, KanalPair, Pair};
pub use self::traits::{Class, TwoClass, TwoClassRx, TwoClassTx, TwoClassVisitor};

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
    visitor.visit::<Pair<TokioMpsc>>();
    visitor.visit::<Pair<Tachyonix>>();
    visitor.visit::<KanalPair>();
    visitor.visit::<CrossbeamPair>();
    visitor.visit::<AsyncPriorityChannel>();
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
    async fn for_each(mut self, mut handle: impl FnMut(Class) + Send) {
        while let Some(message) = self.recv().await {
            handle(match message {
                Message::High(stamp) => Class::High(stamp),
                Message::Low(stamp) => Class::Low(stamp),
            });
        }
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
    async fn for_each(mut self, mut handle: impl FnMut(Class) + Send) {
        while let Some(stamp) = self.0.recv().await {
            handle(if stamp & HIGH == 0 {
                Class::Low(stamp)
            } else {
                Class::High(stamp & !HIGH)
            });
        }
    }
}
