//! From the sockets to the sessions: every datagram finds its peer, another shard, or its end.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::Shard;
use crate::ids::{PeerKey, ShardId};
use crate::mailbox::{Mailbox, Sender};
use crate::messages::{LobbyMessage, Media};
use crate::net::origin::Origin;
use crate::net::udp::RecvBatch;
use crate::session::Taken;
use crate::shard::demux::Route;
use crate::stats::Drop;

impl<M: Mailbox> Shard<M> {
    pub(super) fn receive(&mut self, batch: &mut RecvBatch) -> io::Result<()> {
        for index in 0..self.sockets.len() {
            match self.sockets[index].0.try_recv(batch) {
                Ok(_) => {}
                Err(error) if would_block(&error) => continue,
                Err(error) => return Err(error),
            }
            self.counters.recv_calls += 1;
            let now = self.now();
            let destination = self.sockets[index].0.local_addr();
            for datagram in batch.iter() {
                self.counters.datagrams_in += 1;
                self.counters.bytes_in += datagram.bytes.len() as u64;
                if datagram.bytes.is_empty() {
                    self.counters.drops.add(Drop::Oversized, 1);
                    continue;
                }
                let origin = Origin::udp(datagram.source);
                self.datagram(now, origin, destination, datagram.bytes, false);
            }
        }
        Ok(())
    }

    /// Hands a datagram to whom it is for.
    pub(super) fn datagram(
        &mut self,
        now: Instant,
        origin: Origin,
        destination: SocketAddr,
        bytes: &[u8],
        passed_on: bool,
    ) {
        match self.directory.route(origin, bytes, passed_on) {
            Route::Peer(key) => self.input(now, key, origin, destination, bytes),
            Route::IfSigned(key, message) => {
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
                    self.counters.drops.add(Drop::Stranger, 1);
                }
            }
            Route::Elsewhere(shard) => self.redirect(shard, origin, destination, bytes),
            Route::NamesElsewhere(ufrag, shard) => {
                self.directory.learn_elsewhere(&ufrag, shard, origin);
                self.redirect(shard, origin, destination, bytes);
            }
            Route::NamesUnknown(ufrag) => {
                // The lobby knows those who have been answered and not been heard of yet. Whoever
                // floods it loses the datagram; a peer asks again.
                let claim = LobbyMessage::Claim {
                    ufrag,
                    shard: self.here,
                    request: bytes.into(),
                };
                if self.lobby.sender.try_send_high(claim).is_err() {
                    self.counters.drops.add(Drop::Stranger, 1);
                }
            }
            Route::Stranger => self.counters.drops.add(Drop::Stranger, 1),
            Route::Malformed => self.counters.drops.add(Drop::Malformed, 1),
        }
    }

    fn redirect(&mut self, shard: ShardId, origin: Origin, destination: SocketAddr, bytes: &[u8]) {
        self.counters.redirected += 1;
        let bytes = bytes.into();
        self.shards[shard].media.push(Media::Datagram {
            origin,
            destination,
            bytes,
        });
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
            Some(Taken::Yes) => self.pump(now, key, false),
            Some(Taken::No) => self.counters.drops.add(Drop::Malformed, 1),
            Some(Taken::TooManySources) => self.counters.drops.add(Drop::Sources, 1),
            None => {}
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused
    )
}
