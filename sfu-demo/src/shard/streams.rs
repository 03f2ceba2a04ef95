//! The TCP connections of a shard's peers: their frames are datagrams like any other.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Instant;

use str0m::net::Transmit;

use super::Shard;
use crate::mailbox::Mailbox;
use crate::net::origin::Origin;
use crate::net::tcp::{Arrived, Connection, Ended};
use crate::stats::{Counters, Drop, TcpCounters};

/// Connections, by their place and by their other end.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    by_remote: HashMap<SocketAddr, usize>,
    frame: Vec<u8>,
    counters: TcpCounters,
}

impl Streams {
    pub(super) fn counters(&self) -> TcpCounters {
        TcpCounters {
            open: self.by_remote.len() as u64,
            ..self.counters
        }
    }

    /// Waits until a connection may have something to do.
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

    /// Queues a datagram for the connection that it is to leave by.
    pub(super) fn pack(&mut self, now: Instant, counters: &mut Counters, transmit: &Transmit) {
        let place = self.by_remote.get(&transmit.destination);
        match place.and_then(|&at| self.slots[at].as_mut()) {
            Some(connection) => {
                counters.bytes_out += transmit.contents.len() as u64;
                let dropped = connection.push(now, &transmit.contents);
                self.counters.dropped += dropped as u64;
            }
            None => counters.drops.add(Drop::Refused, 1),
        }
    }

    /// Writes what waits; says which connections have ended by it.
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
        for (remote, why) in &ended {
            self.count(*why);
            self.close(now, *remote);
        }
        ended.into_iter().map(|(remote, _)| remote).collect()
    }

    /// Ends a connection; what waits is written as far as that goes at once.
    pub(super) fn close(&mut self, now: Instant, remote: SocketAddr) {
        if let Some(at) = self.by_remote.remove(&remote)
            && let Some(mut connection) = self.slots[at].take()
        {
            self.free.push(at);
            let _ = connection.write(now);
        }
    }

    fn insert(&mut self, connection: Connection) -> usize {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.by_remote.insert(connection.remote(), at);
        self.slots[at] = Some(connection);
        at
    }

    fn count(&mut self, why: Ended) {
        match why {
            Ended::Gone => {}
            Ended::Malformed => self.counters.malformed += 1,
            Ended::Stalled => self.counters.stalled += 1,
        }
    }
}

impl<M: Mailbox> Shard<M> {
    /// Takes a connection over, if its first frame is signed by the peer that it names.
    pub(super) fn connect(&mut self, now: Instant, arrived: Arrived) {
        let Ok(connection) = Connection::new(arrived) else {
            return;
        };
        let remote = connection.remote();
        self.hang_up(now, remote);
        let at = self.streams.insert(connection);
        self.frames(now, at);
        if self.directory.knows(Origin::tcp(remote)) {
            self.streams.counters.accepted += 1;
        } else {
            self.streams.counters.strangers += 1;
            self.hang_up(now, remote);
        }
    }

    /// Reads every connection once.
    pub(super) fn receive_streams(&mut self, now: Instant) {
        for at in 0..self.streams.slots.len() {
            let Some(connection) = self.streams.slots[at].as_mut() else {
                continue;
            };
            let remote = connection.remote();
            match connection.read() {
                Ok(()) => self.frames(now, at),
                Err(why) => {
                    self.streams.count(why);
                    self.hang_up(now, remote);
                }
            }
        }
    }

    /// Takes each whole frame that has been read of a connection for a datagram.
    fn frames(&mut self, now: Instant, at: usize) {
        let mut frame = std::mem::take(&mut self.streams.frame);
        while let Some(connection) = self.streams.slots[at].as_mut() {
            let (remote, local) = (connection.remote(), connection.local());
            match connection.frame() {
                Ok(Some(bytes)) => {
                    frame.clear();
                    frame.extend_from_slice(bytes);
                }
                Ok(None) => break,
                Err(why) => {
                    self.streams.count(why);
                    self.hang_up(now, remote);
                    break;
                }
            }
            self.streams.counters.frames_in += 1;
            self.counters.datagrams_in += 1;
            self.counters.bytes_in += frame.len() as u64;
            // It was brought to the shard of the peer that it names, and goes to no other.
            self.datagram(now, Origin::tcp(remote), local, &frame, true);
        }
        self.streams.frame = frame;
    }

    /// Ends a connection, whose address is nobody's from then on.
    pub(super) fn hang_up(&mut self, now: Instant, remote: SocketAddr) {
        self.streams.close(now, remote);
        self.directory.unlearn(Origin::tcp(remote));
    }
}
