//! From the sockets to the sessions: each datagram goes to a peer, goes to another shard, or is dropped.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::Shard;
use super::demux::Lookup;
use super::streams::Addresses;
use crate::ids::{PeerKey, ShardId};
use crate::mailbox::Mailbox;
use crate::messages::Media;
use crate::net::origin::Origin;
use crate::net::tcp::{Arrived, Connection};
use crate::net::udp::RecvBatch;
use crate::session::Received;
use crate::stats::DropReason;

impl<M: Mailbox> Shard<M> {
    pub(super) fn receive(&mut self, batch: &mut RecvBatch) -> io::Result<()> {
        for index in 0..self.sockets.len() {
            let Some(destination) = self.sockets.receive(index, batch)? else {
                continue;
            };
            self.meter.counters.recv_calls += 1;
            let now = self.now();
            for datagram in batch.iter() {
                self.meter.counters.datagrams_in += 1;
                self.meter.counters.bytes_in += datagram.bytes.len() as u64;
                if datagram.bytes.is_empty() {
                    self.meter.counters.drops.add(DropReason::Oversized, 1);
                    continue;
                }
                let origin = Origin::udp(datagram.source);
                self.datagram(now, origin, destination, datagram.bytes, false);
            }
        }
        Ok(())
    }

    /// Passes a datagram to its peer or shard, or drops it.
    pub(super) fn datagram(
        &mut self,
        now: Instant,
        origin: Origin,
        destination: SocketAddr,
        bytes: &[u8],
        passed_on: bool,
    ) {
        match self.directory.lookup(origin, bytes, passed_on) {
            Lookup::Peer(key) => self.input(now, key, origin, destination, bytes),
            Lookup::IfSigned(key, message) => {
                let valid = self.isolated(key, |session| {
                    let valid = session.verifies(&message);
                    if valid {
                        session.consent(now);
                    }
                    valid
                });
                if valid == Some(true) {
                    self.directory.learn(key, origin);
                    self.input(now, key, origin, destination, bytes);
                } else {
                    self.meter.counters.drops.add(DropReason::Stranger, 1);
                }
            }
            Lookup::Elsewhere(shard) => self.redirect(shard, origin, destination, bytes),
            Lookup::NamesElsewhere(ufrag, shard) => {
                self.directory.learn_elsewhere(&ufrag, shard, origin);
                self.redirect(shard, origin, destination, bytes);
            }
            Lookup::NamesUnknown(ufrag) => {
                // Admission knows the peers that have not connected yet. In a flood the claim is lost; a real peer sends
                // another.
                if !self.links.try_claim(ufrag, bytes) {
                    self.meter.counters.drops.add(DropReason::Stranger, 1);
                }
            }
            Lookup::Stranger => self.meter.counters.drops.add(DropReason::Stranger, 1),
            Lookup::Malformed => self.meter.counters.drops.add(DropReason::Malformed, 1),
        }
    }

    fn redirect(&mut self, shard: ShardId, origin: Origin, destination: SocketAddr, bytes: &[u8]) {
        self.meter.counters.redirected += 1;
        let bytes = bytes.into();
        let datagram = Media::Datagram {
            origin,
            destination,
            bytes,
        };
        self.links.media(shard, datagram);
    }

    fn input(
        &mut self,
        now: Instant,
        key: PeerKey,
        origin: Origin,
        destination: SocketAddr,
        bytes: &[u8],
    ) {
        let taken = self.isolated(key, |session| {
            session.receive(now, origin, destination, bytes)
        });
        match taken {
            Some(Received::Accepted) => self.poll_session(now, key, false),
            Some(Received::Rejected) => self.meter.counters.drops.add(DropReason::Malformed, 1),
            Some(Received::TooManySources) => self.meter.counters.drops.add(DropReason::Sources, 1),
            None => {}
        }
    }

    /// Adds a connection, if the peer that its first frame names has signed it.
    pub(super) fn connect(&mut self, now: Instant, arrived: Arrived) {
        let Ok(connection) = Connection::new(arrived) else {
            return;
        };
        let remote = connection.remote();
        self.disconnect(now, remote);
        let at = self.streams.insert(connection);
        self.frames(now, at);
        let signed = self.directory.knows(Origin::tcp(remote));
        self.streams.count_first_frame(signed);
        if !signed {
            self.disconnect(now, remote);
        }
    }

    /// Reads every connection once.
    pub(super) fn receive_streams(&mut self, now: Instant) {
        for at in self.streams.slots() {
            match self.streams.read(at) {
                Some(Ok(())) => self.frames(now, at),
                Some(Err(remote)) => self.disconnect(now, remote),
                None => {}
            }
        }
    }

    /// Handles each complete frame of a connection as a datagram.
    fn frames(&mut self, now: Instant, at: usize) {
        let mut frame = self.streams.take_frame_buffer();
        while let Some(next) = self.streams.next_frame(at, &mut frame) {
            let Addresses { remote, local } = match next {
                Ok(addresses) => addresses,
                Err(remote) => {
                    self.disconnect(now, remote);
                    break;
                }
            };
            self.meter.counters.datagrams_in += 1;
            self.meter.counters.bytes_in += frame.len() as u64;
            // Admission sent the connection to the shard of its peer, so its frames are not passed on.
            self.datagram(now, Origin::tcp(remote), local, &frame, true);
        }
        self.streams.return_frame_buffer(frame);
    }

    /// Closes a connection, and removes its address from its peer.
    pub(super) fn disconnect(&mut self, now: Instant, remote: SocketAddr) {
        self.streams.close(now, remote);
        self.directory.unlearn(Origin::tcp(remote));
    }
}
