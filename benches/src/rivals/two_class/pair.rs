//! Two channels, one for each class, received with a biased select: what people build from a channel
//! without priorities.

use std::marker::PhantomData;
use std::pin::pin;

use crate::rivals::channels::traits::{AsyncFamily, AsyncRx, Attempt, Capacity, Family, TryTx};
use crate::rivals::channels::{Crossbeam, KanalAsync, Tachyonix, TokioMpsc};
use crate::rivals::subject::Subject;
use crate::rivals::two_class::traits::{Class, TwoClass, TwoClassRx, TwoClassTx};

/// Two channels of this kind, received with a biased `tokio::select!`. The kind's receive must be
/// cancel-safe.
#[derive(Debug)]
pub struct Pair<F>(PhantomData<F>);

impl Subject for Pair<TokioMpsc> {
    const NAME: &'static str = "tokio-pair";
}

impl Subject for Pair<Tachyonix> {
    const NAME: &'static str = "tachyonix-pair";
}

impl<F: AsyncFamily<u64>> TwoClass for Pair<F>
where
    Pair<F>: Subject,
{
    type Tx = PairTx<F::Tx>;
    type Rx = PairRx<F::Rx>;

    fn open(high: Capacity, low: Capacity, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
        open::<F>(high, low, producers)
    }
}

/// The producer of a pair.
#[derive(Debug)]
pub struct PairTx<X> {
    high: X,
    low: X,
}

/// The consumer of a [`Pair`].
#[derive(Debug)]
pub struct PairRx<R> {
    high: R,
    low: R,
}

fn open<F: Family<u64>>(
    high: Capacity,
    low: Capacity,
    producers: usize,
) -> (Vec<PairTx<F::Tx>>, PairRx<F::Rx>) {
    let (highs, high) = F::open(high, producers);
    let (lows, low) = F::open(low, producers);
    let pairs = highs.into_iter().zip(lows);
    let producers = pairs.map(|(high, low)| PairTx { high, low }).collect();
    (producers, PairRx { high, low })
}

impl<X: TryTx<u64>> TwoClassTx for PairTx<X> {
    #[inline]
    fn try_high(&mut self, stamp: u64) -> Attempt {
        self.high.try_send(stamp)
    }

    #[inline]
    fn try_low(&mut self, stamp: u64) -> Attempt {
        self.low.try_send(stamp)
    }
}

impl<R: AsyncRx<u64>> TwoClassRx for PairRx<R> {
    async fn for_each(mut self, mut handle: impl FnMut(Class) + Send) {
        loop {
            handle(tokio::select! {
                biased;
                Some(stamp) = self.high.recv() => Class::High(stamp),
                Some(stamp) = self.low.recv() => Class::Low(stamp),
                else => break,
            });
        }
    }
}

/// Two kanal channels. A `select!` that drops a receive future loses messages: a sender hands its
/// message to the waiting future, which drops it with itself, as kanal's documentation warns. And
/// kanal 0.1's stream yields a message again after it has waited a second time. So the consumer
/// keeps a receive future of each channel until it is done.
#[derive(Debug)]
pub struct KanalPair;

impl Subject for KanalPair {
    const NAME: &'static str = "kanal-pair";
}

impl TwoClass for KanalPair {
    type Tx = PairTx<kanal::AsyncSender<u64>>;
    type Rx = KanalPairRx;

    fn open(high: Capacity, low: Capacity, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
        let (producers, rx) = open::<KanalAsync>(high, low, producers);
        (producers, KanalPairRx(rx))
    }
}

/// The consumer of a [`KanalPair`].
#[derive(Debug)]
pub struct KanalPairRx(PairRx<kanal::AsyncReceiver<u64>>);

impl TwoClassRx for KanalPairRx {
    async fn for_each(self, mut handle: impl FnMut(Class) + Send) {
        let PairRx { high, low } = &self.0;
        let (mut next_high, mut next_low) = (pin!(high.recv()), pin!(low.recv()));
        let (mut is_high_open, mut is_low_open) = (true, true);
        loop {
            tokio::select! {
                biased;
                stamp = &mut next_high, if is_high_open => match stamp {
                    Ok(stamp) => {
                        next_high.set(high.recv());
                        handle(Class::High(stamp));
                    }
                    Err(_) => is_high_open = false,
                },
                stamp = &mut next_low, if is_low_open => match stamp {
                    Ok(stamp) => {
                        next_low.set(low.recv());
                        handle(Class::Low(stamp));
                    }
                    Err(_) => is_low_open = false,
                },
                else => break,
            }
        }
    }
}

/// Two crossbeam channels, received with `select_biased!`. It blocks the thread, which here has
/// nothing else to do; a task could not use it.
#[derive(Debug)]
pub struct CrossbeamPair;

impl Subject for CrossbeamPair {
    const NAME: &'static str = "crossbeam-pair";
}

impl TwoClass for CrossbeamPair {
    type Tx = PairTx<crossbeam_channel::Sender<u64>>;
    type Rx = CrossbeamPairRx;

    fn open(high: Capacity, low: Capacity, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
        let (producers, rx) = open::<Crossbeam>(high, low, producers);
        (producers, CrossbeamPairRx(rx))
    }
}

/// The consumer of a [`CrossbeamPair`].
#[derive(Debug)]
pub struct CrossbeamPairRx(PairRx<crossbeam_channel::Receiver<u64>>);

impl TwoClassRx for CrossbeamPairRx {
    async fn for_each(self, mut handle: impl FnMut(Class) + Send) {
        let PairRx { mut high, mut low } = self.0;
        let mut open = 2;
        while open > 0 {
            // A closed channel is always ready, with an error.
            let (closed, class) = crossbeam_channel::select_biased! {
                recv(high) -> stamp => (&mut high, stamp.map(Class::High)),
                recv(low) -> stamp => (&mut low, stamp.map(Class::Low)),
            };
            match class {
                Ok(class) => handle(class),
                Err(_) => {
                    *closed = crossbeam_channel::never();
                    open -= 1;
                }
            }
        }
    }
}
