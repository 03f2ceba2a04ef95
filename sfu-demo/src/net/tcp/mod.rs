//! WebRTC over TCP, for networks that let no UDP through (RFC 6544, passive; framed as RFC 4571).
//!
//! Every buffer is bounded: a frame longer than a datagram may be ends its connection, and of a
//! reader that is too slow the oldest frames are dropped, then the connection. Nothing is encrypted
//! here: what travels in the frames is, as it is in datagrams.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::net::gate::Permit;

mod frames;

pub(crate) use frames::{Inbox, Outbox, TooLong};

/// How long a connection may take nothing of what waits for it.
const STALLED: Duration = Duration::from_secs(10);

/// A connection on its way to its shard, with the frame that told whose it is.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// The connection.
    pub stream: std::net::TcpStream,
    /// Its other end.
    pub remote: SocketAddr,
    /// The address that it was made to.
    pub local: SocketAddr,
    /// What has been read of it, the first frame whole.
    pub inbox: Inbox,
    /// Its share of the connections that there may be.
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
    /// The other side closed it, or the network did.
    Gone,
    /// It sent what is no frame.
    Malformed,
    /// It took nothing for too long.
    Stalled,
}

impl Connection {
    /// Takes a connection onto the executor of the calling task.
    ///
    /// # Errors
    ///
    /// If the executor cannot watch it.
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

    /// Its other end.
    #[must_use]
    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The address that it was made to.
    #[must_use]
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether there may be something to do; if not, the task is woken when there is.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let readable = self.stream.poll_read_ready(cx).is_ready();
        let writable = !self.outbox.is_empty() && self.stream.poll_write_ready(cx).is_ready();
        if readable || writable {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Reads what is there, as far as there is room for it.
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

    /// The next whole frame of what was read.
    ///
    /// # Errors
    ///
    /// If it is no frame: the connection has ended.
    pub(crate) fn frame(&mut self) -> Result<Option<&[u8]>, Ended> {
        self.inbox.frame().map_err(|TooLong| Ended::Malformed)
    }

    /// Puts a frame into the queue; says how many older ones it pushed out.
    pub(crate) fn push(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.outbox.push(now, bytes)
    }

    /// Writes what there is to write, as far as it goes; says how many frames went out and how many
    /// were too old to be of use.
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

    /// Whether something waits to go out.
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
        // Whoever takes something has the whole time again.
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
