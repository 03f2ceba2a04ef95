//! Receiving from a mesh of mailboxes.

use std::{
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use super::{classes::PortPair, membership::MailboxMembership};
use crate::{
    error::{RecvTimeoutError, SendError, TryRecvError},
    mailbox::{Message, class_receiver::ClassReceiver, receiver::MailboxReceiver},
    mesh::table::{Member, Mesh},
    stats::MailboxStats,
    sync::{Arc, wake_all::WakeAll},
};

/// One of the receivers of a mesh of mailboxes. It behaves as a [`MailboxReceiver`], and may join and leave while others
/// send, as a [`MeshReceiver`](super::super::MeshReceiver) does.
pub struct MailboxMeshReceiver<High, Low> {
    receiver: MailboxReceiver<High, Low>,
    membership: MailboxMembership<High, Low>,
}

impl<High, Low> MailboxMeshReceiver<High, Low> {
    pub(in crate::mesh) fn new(
        receiver: MailboxReceiver<High, Low>,
        mesh: Arc<Mesh<PortPair<High, Low>>>,
        member: Arc<Member<PortPair<High, Low>>>,
    ) -> Self {
        Self {
            receiver,
            membership: MailboxMembership::new(mesh, member),
        }
    }

    pub(super) fn join(mesh: &Arc<Mesh<PortPair<High, Low>>>) -> Result<Self, SendError<()>> {
        let (root, receiver) = mesh.settings.build();
        let member = mesh.join(root).ok_or(SendError(()))?;
        Ok(Self::new(receiver, mesh.clone(), member))
    }

    /// Takes a message if there is one, high priority first.
    ///
    /// # Errors
    ///
    /// As [`MailboxReceiver::try_recv`]; this receiver also ends when it has [closed](Self::close).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Message<High, Low>, TryRecvError> {
        let received = self.receiver.try_recv();
        if matches!(received, Err(TryRecvError::Closed)) {
            self.membership.end();
        }
        received
    }

    /// Appends up to `limit` messages to `into`, as [`MailboxReceiver::try_recv_many`] does, and returns how many.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv), if there is none and `limit` is not zero.
    pub fn try_recv_many(
        &mut self,
        into: &mut Vec<Message<High, Low>>,
        limit: usize,
    ) -> Result<usize, TryRecvError> {
        let received = self.receiver.try_recv_many(into, limit);
        if matches!(received, Err(TryRecvError::Closed)) {
            self.membership.end();
        }
        received
    }

    /// Waits for a message. `None` if all senders of the mesh were dropped, or if this receiver has
    /// [closed](Self::close), and all messages have been received.
    ///
    /// # Cancel safety
    ///
    /// As [`MailboxReceiver::recv`]: dropping the future loses nothing.
    #[inline]
    pub async fn recv(&mut self) -> Option<Message<High, Low>> {
        let received = self.receiver.recv().await;
        if received.is_none() {
            self.membership.end();
        }
        received
    }

    /// Waits for messages, and appends up to `limit` of those that are there to `into`. Returns how many: zero where
    /// [`recv`](Self::recv) returns `None`, or if `limit` is zero.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv_many(&mut self, into: &mut Vec<Message<High, Low>>, limit: usize) -> usize {
        let count = self.receiver.recv_many(into, limit).await;
        if count == 0 && limit > 0 {
            self.membership.end();
        }
        count
    }

    /// Polls for a message, as [`MailboxReceiver::poll_recv`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message<High, Low>>> {
        let received = self.receiver.poll_recv(cx);
        if matches!(received, Poll::Ready(None)) {
            self.membership.end();
        }
        received
    }

    /// Waits for a message, blocking the thread. `None` where [`recv`](Self::recv) returns it.
    pub fn blocking_recv(&mut self) -> Option<Message<High, Low>> {
        let received = self.receiver.blocking_recv();
        if received.is_none() {
            self.membership.end();
        }
        received
    }

    /// Waits for a message, blocking the thread for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`MailboxReceiver::recv_timeout`].
    pub fn recv_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Message<High, Low>, RecvTimeoutError> {
        let received = self.receiver.recv_timeout(timeout);
        if matches!(received, Err(RecvTimeoutError::Closed)) {
            self.membership.end();
        }
        received
    }

    /// Receives from the high class alone.
    pub fn high(&mut self) -> ClassReceiver<'_, High> {
        self.receiver.high()
    }

    /// Receives from the low class alone, whatever waits in the high class.
    pub fn low(&mut self) -> ClassReceiver<'_, Low> {
        self.receiver.low()
    }

    /// Takes no more messages, and keeps those that it has; see [`MeshReceiver::close`](super::super::MeshReceiver::close).
    pub fn close(&mut self) {
        let mut all = WakeAll::default();
        all.run(|| self.membership.leave());
        all.run(|| self.receiver.close());
        all.done();
    }

    /// Leaves the mesh, and hands the messages that were not received to the other receivers; see
    /// [`MeshReceiver::leave`](super::super::MeshReceiver::leave).
    pub fn leave(mut self) -> Vec<Message<High, Low>> {
        let mut all = WakeAll::default();
        let left = self.leave_with(&mut all);
        all.done();
        left
    }

    fn leave_with(&mut self, all: &mut WakeAll) -> Vec<Message<High, Low>> {
        self.membership
            .hand_on_with(Vec::new(), &mut self.receiver, all)
            .left
    }

    /// Adds another receiver to the mesh.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the last receiver has left.
    pub fn add_receiver(&self) -> Result<Self, SendError<()>> {
        Self::join(&self.membership.inner.mesh)
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

    /// A copy of the statistics of both classes of this receiver.
    pub fn stats(&self) -> MailboxStats {
        self.receiver.stats()
    }
}

impl<High, Low> Drop for MailboxMeshReceiver<High, Low> {
    fn drop(&mut self) {
        let mut all = WakeAll::default();
        let left = self.leave_with(&mut all);
        all.run(|| drop(left));
        all.done();
    }
}

impl<High, Low> fmt::Debug for MailboxMeshReceiver<High, Low> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxMeshReceiver")
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}
