//! The UDP sockets of a shard, each with the batch to send next.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::Poll;

use str0m::net::Transmit;

use super::outbox::MAX_STAGED;
use crate::net::udp::{RecvBatch, SendBatch, Socket};
use crate::stats::{Counters, DropReason};

pub(super) struct Sockets(Vec<(Socket, SendBatch)>);

impl Sockets {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// Registers the sockets with the executor of the calling task.
    pub(super) fn new(sockets: Vec<UdpSocket>) -> io::Result<Self> {
        let sockets = sockets.into_iter();
        let sockets = sockets.map(|socket| Ok((Socket::new(socket)?, SendBatch::new())));
        sockets.collect::<io::Result<_>>().map(Self)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Waits until one of the sockets may have a datagram.
    pub(super) async fn readable(&self) {
        poll_fn(|cx| {
            for (socket, _) in &self.0 {
                if socket.poll_readable(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// Receives from the socket number `index`. Returns the address that it is bound to, or `None` if there was
    /// nothing to receive.
    pub(super) fn receive(
        &self,
        index: usize,
        batch: &mut RecvBatch,
    ) -> io::Result<Option<SocketAddr>> {
        let socket = &self.0[index].0;
        match socket.try_recv(batch) {
            Ok(_) => Ok(Some(socket.local_addr())),
            Err(error) if would_block(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds a datagram to the batch of its source address's socket.
    pub(super) fn push(&mut self, counters: &mut Counters, transmit: &Transmit) {
        let mut sockets = self.0.iter_mut();
        let socket = sockets.find(|(socket, _)| socket.local_addr() == transmit.source);
        if let Some((_, batch)) = socket {
            counters.bytes_out += transmit.contents.len() as u64;
            batch.push_copy(transmit.destination, &transmit.contents);
        }
    }

    /// Whether datagrams wait for room in a socket.
    pub(super) fn waits(&self) -> bool {
        self.0.iter().any(|(_, batch)| !batch.is_empty())
    }

    /// Sends every batch. Datagrams for a full socket are kept, up to a limit.
    pub(super) fn flush(&mut self, counters: &mut Counters) -> io::Result<()> {
        for (socket, batch) in &mut self.0 {
            if batch.is_empty() {
                continue;
            }
            let flushed = socket.try_send(batch)?;
            counters.datagrams_out += flushed.sent as u64;
            counters.send_calls += flushed.calls as u64;
            counters.drops.add(DropReason::Refused, flushed.refused);
            if flushed.blocked && batch.len() > 4 * MAX_STAGED {
                counters.drops.add(DropReason::Socket, batch.len());
                batch.clear();
            }
        }
        Ok(())
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused
    )
}
