//! WebRTC over TCP, for networks that block UDP (RFC 6544 passive candidates; framing of RFC 4571).
//!
//! Every buffer is bounded: a frame longer than the largest datagram closes its connection; for a reader that is
//! too slow the oldest frames are dropped, and then the connection. Encryption is that of the datagrams in the
//! frames.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::net::gate::Permit;

mod frames;

pub(crate) use frames::{Inbox, Outbox, TooLong};

/// How long writes to a connection may make no progress.
const STALLED: Duration = Duration::from_secs(10);

/// A connection on its way to its shard, with the frame that named its peer.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// The connection.
    pub stream: std::net::TcpStream,
    /// The remote address.
    pub remote: SocketAddr,
    /// The local address.
    pub local: SocketAddr,
    /// What was read from it: at least the first frame.
    pub inbox: Inbox,
    /// Its place within the limits.
    pub permit: Permit,
}

/// A peer's connection in its shard.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    remote: SocketAddr,
    local: SocketAddr,
    inbox: Inbox,
    outbox: Outbox,
    stalled_since: Option<Instant>,
    _permit: Permit,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The remote side or the network closed it.
    Gone,
    /// It sent a malformed frame.
    Malformed,
    /// Writes made no progress for too long.
    Stalled,
}

impl Connection {
    /// Registers a connection with the executor of the calling task.
    ///
    /// # Errors
    ///
    /// If the executor cannot register it.
    pub(crate) fn new(arrived: Arrived) -> io::Result<Self> {
        Ok(Self {
            stream: TcpStream::from_std(arrived.stream)?,
            remote: arrived.remote,
            local: arrived.local,
            inbox: arrived.inbox,
            outbox: Outbox::new(),
            stalled_since: None,
            _permit: arrived.permit,
        })
    }

    /// The remote address.
    #[must_use]
    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The local address.
    #[must_use]
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Ready when it may be readable, or writable while frames wait. Otherwise the task is woken when it is.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let readable = self.stream.poll_read_ready(cx).is_ready();
        let writable = !self.outbox.is_empty() && self.stream.poll_write_ready(cx).is_ready();
        if readable || writable {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Reads without waiting, as much as the buffer has room for.
    ///
    /// # Errors
    ///
    /// If the connection has ended.
    pub(crate) fn read(&mut self) -> Result<(), Ended> {
        match self.stream.try_read(self.inbox.room()) {
            Ok(0) => Err(Ended::Gone),
            Ok(read) => {
                self.inbox.filled(read);
                Ok(())
            }
            Err(error) if retry(&error) => Ok(()),
            Err(_) => Err(Ended::Gone),
        }
    }

    /// The next complete frame that was read.
    ///
    /// # Errors
    ///
    /// If the frame is malformed: the connection has ended.
    pub(crate) fn frame(&mut self) -> Result<Option<&[u8]>, Ended> {
        self.inbox.frame().map_err(|TooLong| Ended::Malformed)
    }

    /// Queues a frame. Returns how many older ones were dropped for it.
    pub(crate) fn push(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.outbox.push(now, bytes)
    }

    /// Writes queued frames without waiting. Returns how many were sent and how many were dropped because of their
    /// age.
    ///
    /// # Errors
    ///
    /// If the connection has ended.
    pub(crate) fn write(&mut self, now: Instant) -> Result<(usize, usize), Ended> {
        let (mut sent, mut dropped) = (0, 0);
        while !self.outbox.is_empty() {
            dropped += self.outbox.expire(now);
            let written = self
                .outbox
                .with_slices(|slices| self.stream.try_write_vectored(slices));
            match written {
                Ok(0) => return Err(Ended::Gone),
                Ok(written) => {
                    sent += self.outbox.advance(written);
                    self.stalled_since = None;
                }
                Err(error) if retry(&error) => {
                    let since = *self.stalled_since.get_or_insert(now);
                    if now.saturating_duration_since(since) > STALLED {
                        return Err(Ended::Stalled);
                    }
                    break;
                }
                Err(_) => return Err(Ended::Gone),
            }
        }
        Ok((sent, dropped))
    }

    /// Whether frames are queued.
    #[must_use]
    pub(crate) fn waits(&self) -> bool {
        !self.outbox.is_empty()
    }
}

fn retry(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::gate::{Gate, TcpLimits};

    #[tokio::test]
    async fn reader_that_takes_nothing_for_long_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let mut reader = std::net::TcpStream::connect(local).unwrap();
        let (stream, remote) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let gate = Gate::new(TcpLimits::default());
        let mut connection = Connection::new(Arrived {
            stream,
            remote,
            local,
            inbox: Inbox::new(),
            permit: gate.enter(remote.ip()).unwrap(),
        })
        .unwrap();
        /// Lets the executor see what the system says of the connection.
        async fn write(connection: &mut Connection, now: Instant) -> Result<(usize, usize), Ended> {
            tokio::task::yield_now().await;
            connection.write(now)
        }
        let start = Instant::now();
        // Until the buffers of the system and ours are full.
        let mut dropped = 0;
        while dropped == 0 {
            dropped += connection.push(start, &[1; 1200]);
            write(&mut connection, start).await.unwrap();
        }
        assert!(connection.waits());
        assert!(write(&mut connection, start + STALLED).await.is_ok());
        // After progress the whole timeout starts again.
        let mut taken = vec![0; 1 << 20];
        let progress = start + STALLED;
        connection.push(progress, &[2; 1200]);
        while write(&mut connection, progress).await.unwrap().0 == 0 {
            let read = std::io::Read::read(&mut reader, &mut taken).unwrap();
            assert!(read > 0);
            connection.push(progress, &[2; 1200]);
        }
        dropped = 0;
        while dropped == 0 {
            dropped += connection.push(progress, &[3; 1200]);
            write(&mut connection, progress).await.unwrap();
        }
        let late = progress + STALLED;
        assert!(write(&mut connection, late).await.is_ok());
        let late = late + Duration::from_millis(1);
        assert_eq!(write(&mut connection, late).await, Err(Ended::Stalled));
    }
}
