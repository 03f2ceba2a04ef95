//! Sending to a mesh of mailboxes.

use std::fmt;

use super::{
    classes::{HighClass, LowClass, PortPair},
    membership::MailboxMembership,
    receiver::MailboxMeshReceiver,
};
use crate::{
    error::{SendError, TrySendError},
    mailbox::sender::MailboxSender,
    mesh::{lanes::Lanes, table::Mesh},
    sync::Arc,
};

/// The sending side of a mesh of mailboxes. Each clone is a producer, with two lanes of its own to each receiver.
///
/// Each class has its own order and its own rule, set by [`MailboxMeshBuilder`](super::super::MailboxMeshBuilder).
/// Otherwise it behaves as a [`MeshSender`](super::super::MeshSender).
pub struct MailboxMeshSender<High, Low> {
    high: Lanes<High, HighClass<Low>>,
    low: Lanes<Low, LowClass<High>>,
    mesh: Arc<Mesh<PortPair<High, Low>>>,
}

impl<High, Low> MailboxMeshSender<High, Low> {
    /// A sender that the mesh has counted already.
    pub(in crate::mesh) fn first(mesh: Arc<Mesh<PortPair<High, Low>>>) -> Self {
        Self {
            high: Lanes::new(&mesh),
            low: Lanes::new(&mesh),
            mesh,
        }
    }

    pub(in crate::mesh) fn mesh(&self) -> &Arc<Mesh<PortPair<High, Low>>> {
        &self.mesh
    }

    /// Sends a high-priority message if there is room for it now.
    ///
    /// # Errors
    ///
    /// As [`MeshSender::try_send`](super::super::MeshSender::try_send).
    #[inline]
    pub fn try_send_high(&mut self, message: High) -> Result<(), TrySendError<High>> {
        self.high.try_send(&self.mesh, message)
    }

    /// Sends a high-priority message, waiting as long as there is no room for it.
    ///
    /// # Errors
    ///
    /// As [`MeshSender::send`](super::super::MeshSender::send).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message was not sent and is dropped with the future.
    pub async fn send_high(&mut self, message: High) -> Result<(), SendError<High>> {
        let mut message = Some(message);
        let sent = self.high.send_from(&self.mesh, &mut message).await;
        match (message, sent) {
            (Some(message), Err(_)) => Err(SendError(message)),
            _ => Ok(()),
        }
    }

    /// Sends a high-priority message, blocking the thread as long as there is no room for it.
    ///
    /// # Errors
    ///
    /// As [`send_high`](Self::send_high).
    pub fn blocking_send_high(&mut self, message: High) -> Result<(), SendError<High>> {
        let sent = self.high.send_until(&self.mesh, message, None);
        sent.map_err(|error| SendError(error.into_inner()))
    }

    /// Sends a low-priority message if there is room for it now.
    ///
    /// # Errors
    ///
    /// As [`MeshSender::try_send`](super::super::MeshSender::try_send).
    #[inline]
    pub fn try_send_low(&mut self, message: Low) -> Result<(), TrySendError<Low>> {
        self.low.try_send(&self.mesh, message)
    }

    /// Sends a low-priority message, waiting as long as there is no room for it.
    ///
    /// # Errors
    ///
    /// As [`MeshSender::send`](super::super::MeshSender::send).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message was not sent and is dropped with the future.
    pub async fn send_low(&mut self, message: Low) -> Result<(), SendError<Low>> {
        let mut message = Some(message);
        let sent = self.low.send_from(&self.mesh, &mut message).await;
        match (message, sent) {
            (Some(message), Err(_)) => Err(SendError(message)),
            _ => Ok(()),
        }
    }

    /// Sends a low-priority message, blocking the thread as long as there is no room for it.
    ///
    /// # Errors
    ///
    /// As [`send_low`](Self::send_low).
    pub fn blocking_send_low(&mut self, message: Low) -> Result<(), SendError<Low>> {
        let sent = self.low.send_until(&self.mesh, message, None);
        sent.map_err(|error| SendError(error.into_inner()))
    }

    /// Sends low-priority messages from the front of `messages` until one of them finds no room, and returns how many.
    ///
    /// # Errors
    ///
    /// As [`MeshSender::try_send_vec`](super::super::MeshSender::try_send_vec).
    pub fn try_send_vec_low(&mut self, messages: &mut Vec<Low>) -> Result<usize, SendError<usize>> {
        self.low.try_send_vec(&self.mesh, messages)
    }

    /// Sends all of these low-priority messages, waiting for room as needed, and returns how many.
    ///
    /// # Errors
    ///
    /// As [`MeshSender::send_vec`](super::super::MeshSender::send_vec).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, messages that were sent have been removed from `messages`, and the rest is still there.
    pub async fn send_vec_low(
        &mut self,
        messages: &mut Vec<Low>,
    ) -> Result<usize, SendError<usize>> {
        self.low.send_vec(&self.mesh, messages).await
    }

    /// Adds a receiver. Senders notice it at their next send; those that wait for room, at once.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the last receiver has left.
    pub fn add_receiver(&self) -> Result<MailboxMeshReceiver<High, Low>, SendError<()>> {
        MailboxMeshReceiver::join(&self.mesh)
    }

    /// Adds the receiver of a mailbox that exists already, to which `sender` leads. The mesh keeps the mailbox open until
    /// its last sender is dropped, or the receiver leaves by the [`MailboxMembership`] that is returned.
    ///
    /// The capacities of its lanes are those of the mailbox.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the last receiver has left.
    ///
    /// # Panics
    ///
    /// Panics if a class of the mailbox has a total capacity.
    pub fn join(
        &self,
        sender: MailboxSender<High, Low>,
    ) -> Result<MailboxMembership<High, Low>, SendError<()>> {
        sender.assert_no_total();
        let member = self.mesh.join(sender).ok_or(SendError(()))?;
        Ok(MailboxMembership::new(self.mesh.clone(), member))
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

    /// The number of this sender's messages that wait in its lanes, in both classes.
    pub fn len(&self) -> usize {
        self.high.len() + self.low.len()
    }

    /// Whether no message waits in this sender's lanes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes another producer, with lanes of its own.
impl<High, Low> Clone for MailboxMeshSender<High, Low> {
    fn clone(&self) -> Self {
        self.mesh.add_sender();
        Self::first(self.mesh.clone())
    }
}

/// The receivers still get what was sent; with the last sender they get to know that nothing follows.
impl<High, Low> Drop for MailboxMeshSender<High, Low> {
    fn drop(&mut self) {
        self.mesh.remove_sender();
    }
}

impl<High, Low> fmt::Debug for MailboxMeshSender<High, Low> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxMeshSender")
            .field("receivers", &self.receivers())
            .finish_non_exhaustive()
    }
}
