//! Channels with several receivers, each message for one of them, compared by the shape `mesh`.

use std::iter;
use std::marker::PhantomData;

use lanemesh::TrySendError;
use lanemesh::mesh::{MeshReceiver, MeshSender, mesh};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, BlockingRx, BlockingTx, Capacity, Family, TryRx, TryTx, handles,
};
use crate::rivals::channels::{AsyncChannel, Crossbeam, Flume, KanalAsync, KanalBlocking};
use crate::rivals::subject::{Role, Subject};

/// A kind of channel with several receivers.
pub trait Mesh: Subject {
    /// One producer.
    type Tx: TryTx<u64>;
    /// One consumer.
    type Rx: TryRx<u64>;

    /// Opens a channel with this number of slots.
    fn open(slots: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>);
}

/// A kind of channel with several receivers, for tasks.
pub trait AsyncMesh: Mesh<Tx: AsyncTx<u64>, Rx: AsyncRx<u64>> {}

impl<M: Mesh<Tx: AsyncTx<u64>, Rx: AsyncRx<u64>>> AsyncMesh for M {}

/// A kind of channel with several receivers, for threads.
pub trait BlockingMesh: Mesh<Tx: BlockingTx<u64>, Rx: BlockingRx<u64>> {}

impl<M: Mesh<Tx: BlockingTx<u64>, Rx: BlockingRx<u64>>> BlockingMesh for M {}

/// Visits every kind of channel with several receivers.
pub trait MeshVisitor {
    /// Called once for each kind for tasks.
    fn visit_async<M: AsyncMesh>(&mut self);

    /// Called once for each kind for threads.
    fn visit_blocking<M: BlockingMesh>(&mut self);
}

/// Calls the visitor for every kind of channel with several receivers.
pub fn visit_meshes(visitor: &mut impl MeshVisitor) {
    visitor.visit_async::<LanemeshMesh>();
    visitor.visit_async::<OneQueue<AsyncChannel>>();
    visitor.visit_async::<OneQueue<KanalAsync>>();
    visitor.visit_async::<OneQueue<Flume>>();
    visitor.visit_blocking::<LanemeshMesh>();
    visitor.visit_blocking::<OneQueue<Crossbeam>>();
    visitor.visit_blocking::<OneQueue<KanalBlocking>>();
    visitor.visit_blocking::<OneQueue<Flume>>();
}

/// A channel whose receivers are clones that take from one queue.
#[derive(Debug)]
pub struct OneQueue<F>(PhantomData<F>);

impl<F: Subject> Subject for OneQueue<F> {
    const NAME: &'static str = F::NAME;
    const ROLE: Role = F::ROLE;
    const SENDS_CANCELLED: bool = F::SENDS_CANCELLED;
}

impl<F: Family<u64, Rx: Clone>> Mesh for OneQueue<F> {
    type Tx = F::Tx;
    type Rx = F::Rx;

    fn open(slots: usize, producers: usize, consumers: usize) -> (Vec<F::Tx>, Vec<F::Rx>) {
        let (producers, rx) = F::open(Capacity::same(slots), producers);
        (producers, handles(rx, consumers))
    }
}

/// `lanemesh::mesh`, whose senders choose the receivers by turns.
#[derive(Debug)]
pub struct LanemeshMesh;

impl Subject for LanemeshMesh {
    const NAME: &'static str = "lanemesh";
    const ROLE: Role = Role::Ours;
    const WITHOUT_MEMBARRIER: Option<&'static str> = Some("lanemesh-no-membarrier");
}

impl Mesh for LanemeshMesh {
    type Tx = MeshSender<u64>;
    type Rx = MeshReceiver<u64>;

    fn open(slots: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        let (tx, rx) = mesh(slots);
        // Nothing has been sent, so no receiver has left and more can join.
        let others = iter::from_fn(|| tx.add_receiver().ok()).take(consumers - 1);
        let mut receivers: Vec<Self::Rx> = others.collect();
        receivers.push(rx);
        (handles(tx, producers), receivers)
    }
}

impl<T: Payload> TryTx<T> for MeshSender<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        match MeshSender::try_send(self, item) {
            Ok(()) => Attempt::Sent,
            Err(TrySendError::Full(_)) => Attempt::Full,
            Err(TrySendError::Closed(_)) => Attempt::Closed,
        }
    }
}

impl<T: Payload> AsyncTx<T> for MeshSender<T> {
    #[inline]
    async fn send(&mut self, item: T) -> bool {
        MeshSender::send(self, item).await.is_ok()
    }
}

impl<T: Payload> BlockingTx<T> for MeshSender<T> {
    #[inline]
    fn blocking_send(&mut self, item: T) -> bool {
        MeshSender::blocking_send(self, item).is_ok()
    }
}

impl<T: Payload> TryRx<T> for MeshReceiver<T> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        MeshReceiver::try_recv(self).ok()
    }
}

impl<T: Payload> AsyncRx<T> for MeshReceiver<T> {
    #[inline]
    async fn recv(&mut self) -> Option<T> {
        MeshReceiver::recv(self).await
    }
}

impl<T: Payload> BlockingRx<T> for MeshReceiver<T> {
    #[inline]
    fn blocking_recv(&mut self) -> Option<T> {
        MeshReceiver::blocking_recv(self)
    }
}
