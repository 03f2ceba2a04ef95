//! One small trait family over every channel, statically dispatched, and one file per peer.
//!
//! An adapter adds nothing but names: no buffering, no retry, no batching that its channel lacks.

use std::future::Future;
use std::iter;

use bytes::Bytes;

mod async_channel;
mod crossbeam;
mod crossfire;
mod flume;
mod futures_mpsc;
mod kanal;
mod lanemesh;
mod rtrb;
mod std_mpsc;
mod tachyonix;
mod thingbuf;
mod tokio_mpsc;

pub use self::async_channel::AsyncChannel;
pub use self::crossbeam::Crossbeam;
pub use self::crossfire::{CrossfireAsync, CrossfireBlocking};
pub use self::flume::{FlumeAsync, FlumeBlocking};
pub use self::futures_mpsc::FuturesMpsc;
pub use self::kanal::{KanalAsync, KanalBlocking};
pub use self::lanemesh::{Lanemesh, LanemeshLanes, LanemeshMailbox};
pub use self::rtrb::{Rtrb, RtrbChunks};
pub use self::std_mpsc::StdMpsc;
pub use self::tachyonix::Tachyonix;
pub use self::thingbuf::Thingbuf;
pub use self::tokio_mpsc::TokioMpsc;

/// How a subject stands in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The project's own.
    Ours,
    /// What a user could pick instead; the best of these is the measure.
    Peer,
    /// A bound that does less than a channel (no waiting, one producer): shown, never the measure.
    Floor,
}

/// Room in a channel, told in both ways of counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// For a channel whose producers share one queue.
    pub total: usize,
    /// For a channel whose producers have a queue each.
    pub lane: usize,
}

impl Slots {
    /// The same number of slots for both kinds: `total`, shared out and rounded up to whole slots.
    pub fn split(total: usize, producers: usize) -> Slots {
        Slots {
            total,
            lane: total.div_ceil(producers).max(1),
        }
    }

    /// The same number of slots for both kinds: `lane` for each producer.
    pub fn per_lane(lane: usize, producers: usize) -> Slots {
        Slots {
            total: lane * producers,
            lane,
        }
    }
}

/// What became of an attempt to send without waiting; a message that did not go is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The channel has it.
    Sent,
    /// There was no room.
    Full,
    /// The receiver is gone.
    Closed,
}

impl Attempt {
    /// Whether the message went.
    #[inline]
    pub fn sent(self) -> bool {
        self == Attempt::Sent
    }
}

/// The name of a subject and its part in the comparison.
pub trait Subject: 'static {
    /// Name in tables, results and on the command line.
    const NAME: &'static str;
    /// Part in the comparison.
    const ROLE: Role = Role::Peer;
    /// The most producers that a channel can have.
    const MAX_PRODUCERS: usize = usize::MAX;
}

/// A kind of channel for messages of type `T`.
pub trait Family<T>: Subject {
    /// One producer.
    type Tx: TryTx<T>;
    /// The consumer.
    type Rx: TryRx<T>;

    /// Opens a channel with as many producers as asked for.
    fn open(slots: Slots, producers: usize) -> (Vec<Self::Tx>, Self::Rx);
}

/// A producer that need not wait.
pub trait TryTx<T>: Send + 'static {
    /// Sends if there is room.
    fn try_send(&mut self, item: T) -> Attempt;

    /// Sends from the front of `batch` while there is room, with the channel's own batch interface
    /// where it has one.
    fn try_send_batch(&mut self, batch: &mut Vec<T>) {
        for item in batch.drain(..) {
            if !self.try_send(item).sent() {
                return;
            }
        }
    }
}

/// A consumer that need not wait.
pub trait TryRx<T>: Send + 'static {
    /// Takes a message if there is one.
    fn try_recv(&mut self) -> Option<T>;

    /// Takes up to `limit` messages, with the channel's own batch interface where it has one.
    fn try_recv_batch(&mut self, into: &mut Vec<T>, limit: usize) {
        while into.len() < limit {
            match self.try_recv() {
                Some(item) => into.push(item),
                None => return,
            }
        }
    }
}

/// A producer that waits for room as a task.
pub trait AsyncTx<T>: TryTx<T> {
    /// Sends, waiting for room; false when the receiver is gone.
    fn send(&mut self, item: T) -> impl Future<Output = bool> + Send;
}

/// A consumer that waits as a task.
pub trait AsyncRx<T>: TryRx<T> {
    /// The next message, or `None` when all producers are gone and the channel is drained.
    fn recv(&mut self) -> impl Future<Output = Option<T>> + Send;
}

/// A producer that waits for room as a thread.
pub trait BlockingTx<T>: TryTx<T> {
    /// Sends, waiting for room; false when the receiver is gone.
    fn blocking_send(&mut self, item: T) -> bool;
}

/// A consumer that waits as a thread.
pub trait BlockingRx<T>: TryRx<T> {
    /// The next message, or `None` when all producers are gone and the channel is drained.
    fn blocking_recv(&mut self) -> Option<T>;
}

/// A kind of channel for tasks.
pub trait AsyncFamily<T>: Family<T, Tx: AsyncTx<T>, Rx: AsyncRx<T>> {}

impl<T, F: Family<T, Tx: AsyncTx<T>, Rx: AsyncRx<T>>> AsyncFamily<T> for F {}

/// A kind of channel for threads.
pub trait BlockingFamily<T>: Family<T, Tx: BlockingTx<T>, Rx: BlockingRx<T>> {}

impl<T, F: Family<T, Tx: BlockingTx<T>, Rx: BlockingRx<T>>> BlockingFamily<T> for F {}

/// Does something with every channel for tasks.
pub trait AsyncVisitor {
    /// Called once for each kind.
    fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self);
}

/// Does something with every channel for threads.
pub trait BlockingVisitor {
    /// Called once for each kind.
    fn visit<F: BlockingFamily<u64>>(&mut self);
}

/// Does something with every channel, without waiting on it.
pub trait TryVisitor {
    /// Called once for each kind.
    fn visit<F: Family<u64>>(&mut self);
}

/// What some channels ask to be called once before they are used.
pub fn prepare(membarrier: bool) {
    ::crossfire::detect_backoff_cfg();
    if membarrier && let Err(error) = ::lanemesh::register_membarrier() {
        eprintln!("lanemesh goes without membarrier: {error}");
    }
}

/// Shows every channel for tasks to a visitor.
pub fn visit_async(visitor: &mut impl AsyncVisitor) {
    visitor.visit::<Lanemesh>();
    visitor.visit::<TokioMpsc>();
    visitor.visit::<Tachyonix>();
    visitor.visit::<KanalAsync>();
    visitor.visit::<FlumeAsync>();
    visitor.visit::<AsyncChannel>();
    visitor.visit::<CrossfireAsync>();
    visitor.visit::<Thingbuf>();
    visitor.visit::<FuturesMpsc>();
}

/// Shows every channel for threads to a visitor.
pub fn visit_blocking(visitor: &mut impl BlockingVisitor) {
    visitor.visit::<Lanemesh>();
    visitor.visit::<StdMpsc>();
    visitor.visit::<Crossbeam>();
    visitor.visit::<KanalBlocking>();
    visitor.visit::<FlumeBlocking>();
    visitor.visit::<CrossfireBlocking>();
    visitor.visit::<Rtrb>();
}

/// Shows every channel to a visitor, each once: those that serve tasks and threads as the former.
pub fn visit_all(visitor: &mut impl TryVisitor) {
    struct Adapter<'a, V>(&'a mut V);

    impl<V: TryVisitor> AsyncVisitor for Adapter<'_, V> {
        fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self) {
            self.0.visit::<F>();
        }
    }

    visit_async(&mut Adapter(visitor));
    visitor.visit::<StdMpsc>();
    visitor.visit::<Crossbeam>();
    visitor.visit::<Rtrb>();
    visitor.visit::<RtrbChunks>();
}

/// As many handles as asked for, the given one among them.
pub(super) fn handles<H: Clone>(handle: H, count: usize) -> Vec<H> {
    iter::repeat_n(handle, count).collect()
}
