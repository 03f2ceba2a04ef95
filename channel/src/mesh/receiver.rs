//! Receiving from a mesh of one class.

use std::{
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    handover::Port,
    membership::{Membership, drain},
    one_class::Only,
    sender::WeakMeshSender,
    table::{Member, Mesh},
};
use crate::{
    error::{RecvTimeoutError, SendError, TryRecvError},
    receiver::Receiver,
    stats::Stats,
    sync::{Arc, mutant, wake_all::WakeAll},
};

/// One of the receivers of a mesh. It behaves as a [`Receiver`], and may join and leave while others send.
///
/// Dropping it, or [`leave`](Self::leave), hands the messages that it has not taken to the other receivers, each to the
/// one that its key belongs to now, and those without a key by turns. They go on top of the capacity of lanes.
pub struct MeshReceiver<T> {
    receiver: Receiver<T>,
    membership: Membership<Port<T>>,
}

impl<T> MeshReceiver<T> {
    pub(super) fn new(
        receiver: Receiver<T>,
        mesh: Arc<Mesh<Port<T>>>,
        member: Arc<Member<Port<T>>>,
    ) -> Self {
        Self {
            receiver,
            membership: Membership::new(mesh, member),
        }
    }

    pub(super) fn join(mesh: &Arc<Mesh<Port<T>>>) -> Result<Self, SendError<()>> {
        let (root, receiver) = mesh.settings.build();
        let member = mesh.join(root).ok_or(SendError(()))?;
        Ok(Self::new(receiver, mesh.clone(), member))
    }

    /// Takes a message if there is one.
    ///
    /// # Errors
    ///
    /// As [`Receiver::try_recv`]; this receiver also ends when it has [closed](Self::close).
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let received = self.receiver.try_recv();
        if matches!(received, Err(TryRecvError::Closed)) {
            self.end();
        }
        received
    }

    /// Appends up to `limit` messages to `into`, and returns how many.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv), if there is none and `limit` is not zero.
    pub fn try_recv_many(
        &mut self,
        into: &mut Vec<T>,
        limit: usize,
    ) -> Result<usize, TryRecvError> {
        let received = self.receiver.try_recv_many(into, limit);
        if matches!(received, Err(TryRecvError::Closed)) {
            self.end();
        }
        received
    }

    /// Waits for a message. `None` if all senders of the mesh were dropped, or if this receiver has
    /// [closed](Self::close), and all messages have been received.
    ///
    /// # Cancel safety
    ///
    /// As [`Receiver::recv`]: dropping the future loses nothing.
    #[inline]
    pub async fn recv(&mut self) -> Option<T> {
        let received = self.receiver.recv().await;
        if received.is_none() {
            self.end();
        }
        received
    }

    /// Waits for messages, and appends up to `limit` of those that are there to `into`. Returns how many: zero where
    /// [`recv`](Self::recv) returns `None`, or if `limit` is zero.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        let count = self.receiver.recv_many(into, limit).await;
        if count == 0 && limit > 0 {
            self.end();
        }
        count
    }

    /// Polls for a message, as [`Receiver::poll_recv`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let received = self.receiver.poll_recv(cx);
        if matches!(received, Poll::Ready(None)) {
            self.end();
        }
        received
    }

    /// Waits for a message, blocking the thread. `None` where [`recv`](Self::recv) returns it.
    pub fn blocking_recv(&mut self) -> Option<T> {
        let received = self.receiver.blocking_recv();
        if received.is_none() {
            self.end();
        }
        received
    }

    /// Waits for a message, blocking the thread for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv_timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let received = self.receiver.recv_timeout(timeout);
        if matches!(received, Err(RecvTimeoutError::Closed)) {
            self.end();
        }
        received
    }

    /// All that there was has been received, by this receiver.
    #[cold]
    fn end(&mut self) {
        if self.membership.is_leaving() {
            let mut all = WakeAll::default();
            self.hand_on(Vec::new(), &mut all);
            all.done();
        }
    }

    fn hand_on(&mut self, messages: Vec<T>, all: &mut WakeAll) -> Vec<T> {
        let left = self.membership.hand_on::<T, Only>(messages, all);
        self.membership.end(all);
        left
    }

    /// Takes no more messages, and keeps those that it has: new ones go to the other receivers, once this one has
    /// received those of the same key.
    ///
    /// It ends when these have been received. If it is the last receiver, the mesh is closed.
    pub fn close(&mut self) {
        let mut all = WakeAll::default();
        self.close_with(&mut all);
        all.done();
    }

    fn close_with(&mut self, all: &mut WakeAll) {
        if mutant("leave_first") {
            self.receiver.close();
        }
        self.membership.leave(all);
        all.run(|| self.receiver.close());
    }

    /// Leaves the mesh, and hands the messages that were not received to the other receivers. Returns those that cannot
    /// be handed on: if this was the last receiver, or if all senders were dropped, so that others may have ended.
    ///
    /// Dropping the receiver does the same, and drops what this returns.
    ///
    /// # Examples
    ///
    /// ```
    /// let (mut tx, first) = lanemesh::mesh::mesh(4);
    /// let mut second = tx.add_receiver().unwrap();
    /// for n in 0..4 {
    ///     tx.try_send(n).unwrap();
    /// }
    /// assert!(first.leave().is_empty());
    /// let mut all: Vec<_> = (0..4).map(|_| second.try_recv().unwrap()).collect();
    /// all.sort();
    /// assert_eq!(all, [0, 1, 2, 3]);
    /// tx.try_send(4).unwrap();
    /// assert_eq!(second.leave(), [4]);
    /// assert_eq!(tx.try_send(5).unwrap_err().into_inner(), 5);
    /// ```
    pub fn leave(mut self) -> Vec<T> {
        let mut all = WakeAll::default();
        let left = self.leave_with(&mut all);
        all.done();
        left
    }

    fn leave_with(&mut self, all: &mut WakeAll) -> Vec<T> {
        self.close_with(all);
        let messages = drain(|| self.receiver.try_recv());
        if !self.membership.is_leaving() {
            return messages;
        }
        self.hand_on(messages, all)
    }

    /// Adds another receiver to the mesh.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the last receiver has left.
    pub fn add_receiver(&self) -> Result<Self, SendError<()>> {
        Self::join(&self.membership.mesh)
    }

    /// A handle that makes senders as long as at least one exists, and does not keep the mesh open.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, mut rx) = lanemesh::mesh::mesh(1);
    /// let weak = rx.weak_sender();
    /// weak.upgrade().unwrap().try_send("hello").unwrap();
    /// drop(tx);
    /// assert!(weak.upgrade().is_none());
    /// assert_eq!(rx.try_recv(), Ok("hello"));
    /// assert!(rx.try_recv().is_err());
    /// ```
    pub fn weak_sender(&self) -> WeakMeshSender<T> {
        WeakMeshSender::new(self.membership.mesh.clone())
    }

    /// Whether this receiver takes no new messages: it has closed, or all senders were dropped.
    pub fn is_closed(&self) -> bool {
        self.receiver.is_closed()
    }

    /// Whether there is no message for this receiver; a snapshot.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// The number of messages for this receiver; a snapshot. Visits each lane that has messages.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// A copy of this receiver's statistics.
    pub fn stats(&self) -> Stats {
        self.receiver.stats()
    }
}

impl<T> Drop for MeshReceiver<T> {
    fn drop(&mut self) {
        let mut all = WakeAll::default();
        let left = self.leave_with(&mut all);
        all.run(|| drop(left));
        all.done();
    }
}

impl<T> fmt::Debug for MeshReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshReceiver")
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}
