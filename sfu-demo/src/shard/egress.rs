//! From the sessions to the sockets, to other shards, and to the room: what a session has to say is
//! taken from it until all is quiet, and leaves in batches.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use str0m::net::{Protocol, Transmit};

use super::Shard;
use super::outbox::MAX_STAGED;
use crate::ids::{PeerKey, TrackId};
use crate::mailbox::Mailbox;
use crate::media::{Layer, MediaPacket};
use crate::messages::{Control, Media, RoomMessage};
use crate::net::origin::Origin;
use crate::net::udp::{SendBatch, Socket};
use crate::session::SessionEvent;
use crate::shard::router::Interest;
use crate::stats::{Counters, Drop};

impl<M: Mailbox> Shard<M> {
    /// Lets every session that has been touched say and send what it has, until all is quiet; then
    /// hands the datagrams to the sockets.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let now = self.now();
        while let Some(key) = self.dirty.pop_front() {
            let Some(peer) = self.peers[key].as_mut() else {
                continue;
            };
            peer.dirty = false;
            self.pump(now, key, true);
        }
        self.flush()
    }

    /// Lets one session say and send what it has; before that, drives its time if `tick`.
    pub(super) fn pump(&mut self, now: Instant, key: PeerKey, tick: bool) {
        let Some(peer) = self.peers[key].as_mut() else {
            return;
        };
        let mut events = std::mem::take(&mut self.events);
        let (sockets, streams) = (&mut self.sockets, &mut self.streams);
        let counters = &mut self.counters;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if tick {
                peer.session.tick(now);
            }
            let send = |transmit: Transmit| match transmit.proto {
                Protocol::Udp => pack(sockets, counters, &transmit),
                _ => streams.pack(now, counters, &transmit),
            };
            peer.session.poll(now, send, &mut events);
        }));
        if outcome.is_err() {
            self.counters.panics += 1;
            events.push(SessionEvent::Closed("internal fault"));
        }
        for event in events.drain(..) {
            self.event(now, key, event);
        }
        self.events = events;
    }

    fn flush(&mut self) -> io::Result<()> {
        for (socket, batch) in &mut self.sockets {
            if batch.is_empty() {
                continue;
            }
            let flushed = socket.try_send(batch)?;
            self.counters.datagrams_out += flushed.sent as u64;
            self.counters.send_calls += flushed.calls as u64;
            self.counters.drops.add(Drop::Refused, flushed.refused);
            if flushed.blocked && batch.len() > 4 * MAX_STAGED {
                self.counters.drops.add(Drop::Socket, batch.len());
                batch.clear();
            }
        }
        for remote in self.streams.flush(self.now(), &mut self.counters) {
            self.directory.unlearn(Origin::tcp(remote));
        }
        if !self.in_flight.is_empty() {
            let now = self.now();
            for arrived in self.in_flight.drain(..) {
                self.latency.record(arrived, now);
            }
        }
        for shard in &mut self.shards {
            let dropped = shard.flush();
            self.counters.drops.add(Drop::Lane, dropped);
        }
        self.room.flush_control();
        self.lobby.flush_control();
        Ok(())
    }

    fn event(&mut self, now: Instant, key: PeerKey, event: SessionEvent) {
        let Some(peer) = self.peers[key].as_ref() else {
            return;
        };
        let id = peer.session.id;
        match event {
            SessionEvent::Connected => tracing::info!(participant = id.0, "connected"),
            SessionEvent::Media(packet) => {
                self.counters.media_in += 1;
                self.cross(&packet);
                self.deliver(now, &packet);
            }
            SessionEvent::Published(track) => {
                self.by_track.insert(track.id, key);
                self.room.control(RoomMessage::Published {
                    track,
                    shard: self.here,
                });
            }
            SessionEvent::Unpublished(track) => {
                self.by_track.remove(&track);
                self.router.remove_track(track);
                self.room.control(RoomMessage::Unpublished {
                    participant: id,
                    track,
                });
            }
            SessionEvent::Subscribed(track, owner) => {
                let interest = self.router.subscribe(track, owner, key);
                self.tell_owner(interest);
            }
            SessionEvent::Unsubscribed(track) => {
                let interest = self.router.unsubscribe(track, key);
                self.tell_owner(interest);
            }
            SessionEvent::NeedKeyframe(track, layer) => self.keyframe(now, track, layer),
            SessionEvent::Level(level) => {
                self.room.control(RoomMessage::Level {
                    participant: id,
                    level,
                });
            }
            SessionEvent::Muted(source, muted) => {
                self.room.control(RoomMessage::Muted {
                    participant: id,
                    source,
                    muted,
                });
            }
            SessionEvent::Chat(text) => {
                self.room.control(RoomMessage::Chat {
                    participant: id,
                    text,
                });
            }
            SessionEvent::ChannelOpen => {
                self.room.control(RoomMessage::Listens { participant: id });
            }
            SessionEvent::Closed(why) => self.remove(key, why),
        }
    }

    /// A packet goes to each shard that wants it once, with a copy of its bytes: two cores that
    /// count references to one copy cost each other more than the copy.
    fn cross(&mut self, packet: &MediaPacket) {
        let (_, remote) = self.router.targets(packet.track);
        for &shard in remote {
            let mut copy = packet.clone();
            copy.payload = Arc::from(&*packet.payload);
            self.shards[shard].media.push(Media::Packet(copy));
            self.counters.media_crossed += 1;
        }
    }

    pub(super) fn deliver(&mut self, now: Instant, packet: &MediaPacket) {
        let mut at = 0;
        while let Some(&key) = self.router.targets(packet.track).0.get(at) {
            at += 1;
            if self.isolated(key, |session| session.deliver(now, packet)) == Some(true) {
                self.counters.media_out += 1;
                self.in_flight.push(packet.arrived);
            }
        }
    }

    pub(super) fn keyframe(&mut self, now: Instant, track: TrackId, layer: Layer) {
        if let Some(&key) = self.by_track.get(&track) {
            let asked = self.isolated(key, |session| session.request_keyframe(now, track, layer));
            self.counters.keyframes_asked += u64::from(asked == Some(true));
            return;
        }
        let owner = self.router.owner(track);
        if owner != self.here {
            self.shards[owner].control(Control::Keyframe(track, layer));
        }
    }

    pub(super) fn tell_owner(&mut self, interest: Option<Interest>) {
        if let Some(Interest {
            track,
            owner,
            wanted,
        }) = interest
        {
            self.shards[owner].control(Control::Interest(track, self.here, wanted));
        }
    }
}

/// Puts a datagram into the batch of the socket that it is to leave by.
fn pack(sockets: &mut [(Socket, SendBatch)], counters: &mut Counters, transmit: &Transmit) {
    let socket = sockets
        .iter_mut()
        .find(|(socket, _)| socket.local_addr() == transmit.source);
    if let Some((_, batch)) = socket {
        counters.bytes_out += transmit.contents.len() as u64;
        batch.push_copy(transmit.destination, &transmit.contents);
    }
}
