//! The TCP connections of a shard's peers, whose frames are handled like datagrams.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Instant;

use str0m::net::Transmit;

use crate::net::tcp::{Connection, Ended};
use crate::stats::{Counters, DropReason, TcpCounters};

/// Connections, by slot and by remote address.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    by_remote: HashMap<SocketAddr, usize>,
    frame: Vec<u8>,
    counters: TcpCounters,
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) remote: SocketAddr,
    pub(super) local: SocketAddr,
}

impl Streams {
    pub(super) fn counters(&self) -> TcpCounters {
        TcpCounters {
            open: self.by_remote.len() as u64,
            ..self.counters
        }
    }

    /// Waits until a connection may be readable or writable.
    pub(super) async fn ready(&self) {
        poll_fn(|cx| {
            for connection in self.slots.iter().flatten() {
                if connection.poll_ready(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// Queues a datagram for the connection to its destination.
    pub(super) fn push(&mut self, now: Instant, counters: &mut Counters, transmit: &Transmit) {
        let place = self.by_remote.get(&transmit.destination);
        match place.and_then(|&at| self.slots[at].as_mut()) {
            Some(connection) => {
                counters.bytes_out += transmit.contents.len() as u64;
                let dropped = connection.push(now, &transmit.contents);
                self.counters.dropped += dropped as u64;
            }
            None => counters.drops.add(DropReason::Refused, 1),
        }
    }

    /// Writes queued frames. Returns the remote addresses of connections that have ended.
    pub(super) fn flush(&mut self, now: Instant, counters: &mut Counters) -> Vec<SocketAddr> {
        let mut ended = Vec::new();
        for connection in self.slots.iter_mut().flatten() {
            if !connection.waits() {
                continue;
            }
            match connection.write(now) {
                Ok((sent, dropped)) => {
                    counters.datagrams_out += sent as u64;
                    self.counters.frames_out += sent as u64;
                    self.counters.dropped += dropped as u64;
                }
                Err(why) => ended.push((connection.remote(), why)),
            }
        }
        for &(remote, why) in &ended {
            self.ended(why, remote);
            self.close(now, remote);
        }
        ended.into_iter().map(|(remote, _)| remote).collect()
    }

    /// Closes a connection, after one attempt to write its queued frames.
    pub(super) fn close(&mut self, now: Instant, remote: SocketAddr) {
        if let Some(at) = self.by_remote.remove(&remote)
            && let Some(mut connection) = self.slots[at].take()
        {
            self.free.push(at);
            let _ = connection.write(now);
        }
    }

    /// Adds a connection and returns its slot.
    pub(super) fn insert(&mut self, connection: Connection) -> usize {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.by_remote.insert(connection.remote(), at);
        self.slots[at] = Some(connection);
        at
    }

    /// Every slot that a connection has or had.
    pub(super) fn slots(&self) -> std::ops::Range<usize> {
        0..self.slots.len()
    }

    /// Reads a connection once. `None` means that there is none in this slot.
    ///
    /// # Errors
    ///
    /// The remote address of a connection that has ended.
    pub(super) fn read(&mut self, at: usize) -> Option<Result<(), SocketAddr>> {
        let connection = self.slots[at].as_mut()?;
        let read = connection.read();
        let remote = connection.remote();
        Some(read.map_err(|why| self.ended(why, remote)))
    }

    /// Copies the next complete frame of a connection into `frame`. `None` means that there is none.
    ///
    /// # Errors
    ///
    /// The remote address of a connection that has ended.
    pub(super) fn next_frame(
        &mut self,
        at: usize,
        frame: &mut Vec<u8>,
    ) -> Option<Result<Addresses, SocketAddr>> {
        let connection = self.slots[at].as_mut()?;
        let (remote, local) = (connection.remote(), connection.local());
        match connection.frame() {
            Ok(bytes) => {
                frame.clear();
                frame.extend_from_slice(bytes?);
                self.counters.frames_in += 1;
                Some(Ok(Addresses { remote, local }))
            }
            Err(why) => Some(Err(self.ended(why, remote))),
        }
    }

    /// Takes the buffer for a frame, which has to be returned.
    pub(super) fn take_frame_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.frame)
    }

    pub(super) fn return_frame_buffer(&mut self, frame: Vec<u8>) {
        self.frame = frame;
    }

    /// Counts a new connection by whether a peer of this shard had signed its first frame.
    pub(super) fn count_first_frame(&mut self, signed: bool) {
        if signed {
            self.counters.accepted += 1;
        } else {
            self.counters.strangers += 1;
        }
    }

    fn ended(&mut self, why: Ended, remote: SocketAddr) -> SocketAddr {
        match why {
            Ended::Gone => {}
            Ended::Malformed => self.counters.malformed += 1,
            Ended::Stalled => self.counters.stalled += 1,
        }
        remote
    }
}
