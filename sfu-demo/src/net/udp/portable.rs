//! One call for each datagram, for systems without `recvmmsg` and `sendmmsg`.

use std::io;
use std::net::SocketAddr;

use super::batch::{RecvBatch, SLOT, SendBatch};
use super::steer::Choice;

/// No system but Linux lets a program choose.
pub(super) fn choose(_: &std::net::UdpSocket, choice: &Choice) -> io::Result<()> {
    if choice.program().is_empty() {
        return Ok(());
    }
    Err(io::ErrorKind::Unsupported.into())
}

/// A socket, watched by an executor or not.
pub(super) trait Handle {
    fn recv_from(&self, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize>;
}

impl Handle for std::net::UdpSocket {
    fn recv_from(&self, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        Self::recv_from(self, bytes)
    }

    fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        Self::send_to(self, bytes, to)
    }
}

impl Handle for tokio::net::UdpSocket {
    fn recv_from(&self, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.try_recv_from(bytes)
    }

    fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        socket2::SockRef::from(self).send_to(bytes, &to.into())
    }
}

pub(super) fn gso(_socket: &std::net::UdpSocket) -> bool {
    false
}

pub(super) fn is_refusal(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::NotConnected | io::ErrorKind::BrokenPipe
    )
}

pub(super) fn recv(socket: &impl Handle, batch: &mut RecvBatch) -> io::Result<usize> {
    while batch.filled < batch.heads.len() {
        let at = batch.filled * SLOT;
        match socket.recv_from(&mut batch.bytes[at..at + SLOT]) {
            Ok(head) => {
                batch.heads[batch.filled] = head;
                batch.filled += 1;
            }
            Err(_) if batch.filled > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(batch.filled)
}

pub(super) fn send(socket: &impl Handle, batch: &SendBatch, _gso: bool) -> io::Result<usize> {
    let mut sent = 0;
    for entry in batch.pending() {
        match socket.send_to(batch.bytes(entry.bytes), entry.to) {
            Ok(_) => sent += 1,
            Err(_) if sent > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
