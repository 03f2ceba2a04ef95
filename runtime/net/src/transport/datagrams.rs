//! What goes beside a connection and may be lost.

use std::fmt;

use bytes::Bytes;
use tokio::sync::mpsc;

/// One end of a way for datagrams beside a [`Connection`](super::Connection): bytes that arrive whole, in any order, or not
/// at all.
///
/// What finds no room is dropped, at both ends.
pub struct Datagrams {
    sender: mpsc::Sender<Bytes>,
    receiver: mpsc::Receiver<Bytes>,
    limit: usize,
}

impl Datagrams {
    /// Both ends of a way, on which `capacity` datagrams of up to `limit` bytes may wait in each direction.
    pub fn pair(capacity: usize, limit: usize) -> (Self, Self) {
        let [(to_one, of_one), (to_other, of_other)] = [(); 2].map(|()| mpsc::channel(capacity));
        let end = |sender, receiver| Self {
            sender,
            receiver,
            limit,
        };
        (end(to_other, of_one), end(to_one, of_other))
    }

    /// Bytes that a datagram may have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Gives a datagram to the other end. Returns whether it was short enough and there was room for it.
    pub fn send(&self, datagram: impl Into<Bytes>) -> bool {
        let datagram = datagram.into();
        datagram.len() <= self.limit && self.sender.try_send(datagram).is_ok()
    }

    /// Waits for a datagram of the other end, until that is gone.
    ///
    /// # Cancel safety
    ///
    /// None is lost.
    pub async fn receive(&mut self) -> Option<Bytes> {
        self.receiver.recv().await
    }

    pub(crate) fn into_parts(self) -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>, usize) {
        (self.sender, self.receiver, self.limit)
    }
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
