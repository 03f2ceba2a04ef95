//! Sending to a mesh of one class.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{handover::Port, lanes::Lanes, one_class::Only, receiver::MeshReceiver, table::Mesh};
use crate::{
    error::{SendError, SendTimeoutError, TrySendError},
    sync::Arc,
};

/// The sending side of a mesh. Each clone is a producer, with a lane of its own to each receiver.
///
/// A lane is opened by the first message to its receiver. Which receiver a message goes to is said by the settings of
/// the mesh: [`MeshBuilder`](super::MeshBuilder). A receiver that joins or leaves is noticed at the next send.
///
/// As other senders, its async functions yield to the executor after a [budget](crate::Builder::budget) of messages;
/// here it is always the default one.
pub struct MeshSender<T> {
    lanes: Lanes<T, Only>,
    mesh: Arc<Mesh<Port<T>>>,
}

impl<T> MeshSender<T> {
    /// A sender that the mesh has counted already.
    pub(super) fn first(mesh: Arc<Mesh<Port<T>>>) -> Self {
        Self {
            lanes: Lanes::new(&mesh),
            mesh,
        }
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Closed`] if the last receiver has left, and [`TrySendError::Full`]
    ///
    /// - without a key: if the lanes to all receivers are full;
    /// - with a key: if the lane to its receiver is full, or if its receiver has changed, and messages of the key that
    ///   this sender sent before have not been received yet.
    ///
    /// Both return the message. `Ok` means that a receiver gets it, or that it is returned or dropped when a receiver
    /// leaves that cannot hand it on.
    #[inline]
    pub fn try_send(&mut self, message: T) -> Result<(), TrySendError<T>> {
        self.lanes.try_send(&self.mesh, message)
    }

    /// Sends a message, waiting as long as [`try_send`](Self::try_send) would find no room.
    ///
    /// If a receiver joins or leaves meanwhile, it looks again which one the message goes to.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message if the last receiver has left, or leaves while it waits.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message was not sent and is dropped with the future.
    pub async fn send(&mut self, message: T) -> Result<(), SendError<T>> {
        let mut message = Some(message);
        let sent = self.lanes.send_from(&self.mesh, &mut message).await;
        match (message, sent) {
            (Some(message), Err(_)) => Err(SendError(message)),
            _ => Ok(()),
        }
    }

    /// Sends a message, blocking the thread as long as [`try_send`](Self::try_send) would find no room.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn blocking_send(&mut self, message: T) -> Result<(), SendError<T>> {
        self.lanes
            .send_until(&self.mesh, message, None)
            .map_err(|error| SendError(error.into_inner()))
    }

    /// Sends a message, blocking the thread for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError::Timeout`] if there was no room in time, and [`SendTimeoutError::Closed`] if the last receiver
    /// has left, or leaves while it waits; both return the message.
    pub fn send_timeout(
        &mut self,
        message: T,
        timeout: Duration,
    ) -> Result<(), SendTimeoutError<T>> {
        if timeout.is_zero() {
            return self.try_send(message).map_err(SendTimeoutError::from);
        }
        let deadline = Instant::now().checked_add(timeout);
        self.lanes.send_until(&self.mesh, message, deadline)
    }

    /// Sends from the front of `messages` until one of them finds no room, removes those that were sent, and returns how
    /// many. What follows a message without room stays, whatever its key.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the last receiver has left, with the number of messages sent before. The others stay in
    /// `messages`.
    pub fn try_send_vec(&mut self, messages: &mut Vec<T>) -> Result<usize, SendError<usize>> {
        self.lanes.try_send_vec(&self.mesh, messages)
    }

    /// Sends all of `messages`, waiting for room as needed, and returns how many.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the last receiver has left, or leaves while it waits, with the number of messages sent before.
    /// The others stay in `messages`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, messages that were sent have been removed from `messages`, and the rest is still there.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (mut tx, mut first) = lanemesh::mesh::mesh(4);
    /// let mut second = first.add_receiver().unwrap();
    /// assert_eq!(tx.send_vec(&mut vec![1, 2, 3, 4]).await, Ok(4));
    /// assert_eq!((first.try_recv(), second.try_recv()), (Ok(1), Ok(2)));
    /// assert_eq!((first.try_recv(), second.try_recv()), (Ok(3), Ok(4)));
    /// # }
    /// ```
    pub async fn send_vec(&mut self, messages: &mut Vec<T>) -> Result<usize, SendError<usize>> {
        self.lanes.send_vec(&self.mesh, messages).await
    }

    /// Adds a receiver. Senders notice it at their next send; those that wait for room, at once.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the last receiver has left.
    pub fn add_receiver(&self) -> Result<MeshReceiver<T>, SendError<()>> {
        MeshReceiver::join(&self.mesh)
    }

    /// The number of receivers.
    pub fn receivers(&self) -> usize {
        self.mesh.snapshot().members.len()
    }

    /// Whether the last receiver has left.
    pub fn is_closed(&self) -> bool {
        self.mesh.is_closed()
    }

    /// Waits until the last receiver has left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn closed(&self) {
        self.mesh.closed().await;
    }

    /// The number of this sender's messages that wait in its lanes. Those that a receiver handed on do not count.
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Whether no message waits in this sender's lanes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both send to the same mesh.
    pub fn same_mesh(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mesh, &other.mesh)
    }

    /// A handle that does not keep the mesh open.
    pub fn downgrade(&self) -> WeakMeshSender<T> {
        WeakMeshSender::new(self.mesh.clone())
    }
}

/// Makes another producer, with lanes of its own.
impl<T> Clone for MeshSender<T> {
    fn clone(&self) -> Self {
        self.mesh.add_sender();
        Self::first(self.mesh.clone())
    }
}

/// The receivers still get what was sent; with the last sender they get to know that nothing follows.
impl<T> Drop for MeshSender<T> {
    fn drop(&mut self) {
        self.mesh.remove_sender();
    }
}

impl<T> fmt::Debug for MeshSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshSender")
            .field("receivers", &self.receivers())
            .finish_non_exhaustive()
    }
}

/// A handle to a mesh that does not keep it open.
pub struct WeakMeshSender<T> {
    mesh: Arc<Mesh<Port<T>>>,
}

impl<T> WeakMeshSender<T> {
    pub(super) fn new(mesh: Arc<Mesh<Port<T>>>) -> Self {
        Self { mesh }
    }

    /// Makes a new producer; `None` if the last sender was dropped.
    pub fn upgrade(&self) -> Option<MeshSender<T>> {
        self.mesh
            .try_add_sender()
            .then(|| MeshSender::first(self.mesh.clone()))
    }
}

impl<T> Clone for WeakMeshSender<T> {
    fn clone(&self) -> Self {
        Self::new(self.mesh.clone())
    }
}

impl<T> fmt::Debug for WeakMeshSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakMeshSender").finish_non_exhaustive()
    }
}
