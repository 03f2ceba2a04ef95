//! From the sessions to the sockets, to other shards and to control: sessions are polled until none has anything left,
//! and what they send leaves in batches.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use str0m::net::{Protocol, Transmit};

use super::Shard;
use crate::ids::{PeerKey, TrackId};
use crate::mailbox::Mailbox;
use crate::media::{Layer, MediaPacket};
use crate::messages::{Change, Media};
use crate::net::origin::Origin;
use crate::session::SessionEvent;

impl<M: Mailbox> Shard<M> {
    /// Polls every marked session until none is left, then flushes what they sent.
    pub(super) fn poll_marked(&mut self) -> io::Result<()> {
        let now = self.now();
        while let Some(key) = self.peers.next_marked() {
            self.poll_session(now, key, true);
        }
        self.flush()
    }

    /// Polls one session, and handles its events. If `tick`, time is advanced first.
    pub(super) fn poll_session(&mut self, now: Instant, key: PeerKey, tick: bool) {
        let Some(session) = self.peers.session(key) else {
            return;
        };
        let mut events = std::mem::take(&mut self.events);
        let (sockets, streams) = (&mut self.sockets, &mut self.streams);
        let counters = &mut self.meter.counters;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if tick {
                session.tick(now);
            }
            let send = |transmit: Transmit| match transmit.proto {
                Protocol::Udp => sockets.push(counters, &transmit),
                _ => streams.push(now, counters, &transmit),
            };
            session.poll(now, send, &mut events);
        }));
        self.peers.polled(key);
        if outcome.is_err() {
            self.meter.counters.panics += 1;
            events.push(SessionEvent::Closed("internal error"));
        }
        for event in events.drain(..) {
            self.event(now, key, event);
        }
        self.events = events;
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sockets.flush(&mut self.meter.counters)?;
        for remote in self.streams.flush(self.now(), &mut self.meter.counters) {
            self.directory.unlearn(Origin::tcp(remote));
        }
        let ahead = self.ahead;
        self.meter.flushed(|| Instant::now() + ahead);
        self.links.flush(&mut self.meter.counters);
        Ok(())
    }

    fn event(&mut self, now: Instant, key: PeerKey, event: SessionEvent) {
        let Some(session) = self.peers.session(key) else {
            return;
        };
        let id = session.id;
        match event {
            SessionEvent::Connected => tracing::info!(participant = id.0, "connected"),
            SessionEvent::Media(packet) => {
                self.meter.counters.media_in += 1;
                self.cross(&packet);
                self.deliver(now, &packet);
            }
            SessionEvent::Published(track) => {
                self.peers.publish(&track, key);
                self.tell_room(key, Change::Published(track));
            }
            SessionEvent::Unpublished(track) => {
                self.peers.unpublish(track);
                self.router.remove_track(track);
                self.tell_room(key, Change::Unpublished(id, track));
            }
            SessionEvent::Subscribed(track, owner) => {
                let interest = self.router.subscribe(track, owner, key);
                self.links.interest(interest);
            }
            SessionEvent::Unsubscribed(track) => {
                let interest = self.router.unsubscribe(track, key);
                self.links.interest(interest);
            }
            SessionEvent::NeedKeyframe(track, layer) => self.keyframe(now, track, layer),
            SessionEvent::Level(level) => self.tell_room(key, Change::Level(id, level)),
            SessionEvent::Muted(source, muted) => {
                self.peers.mute(key, source, muted);
                self.tell_room(key, Change::Muted(id, source, muted));
            }
            SessionEvent::Chat(text) => self.tell_room(key, Change::Chat(id, text)),
            SessionEvent::KeyframeRequested => self.meter.counters.keyframes_asked += 1,
            SessionEvent::MessageRefused => self.meter.counters.messages_refused += 1,
            SessionEvent::Dropped(reason) => self.meter.counters.drops.add(reason, 1),
            SessionEvent::ChannelOpen => self.tell_room(key, Change::Listens(id)),
            SessionEvent::Text(text) => self.send_to_socket(key, text),
            SessionEvent::Closed(why) => self.remove(key, why),
        }
    }

    /// Passes a packet to each shard that wants it, once, with a copy of the payload: sharing one reference count between
    /// cores costs more than the copy.
    fn cross(&mut self, packet: &MediaPacket) {
        let (_, remote) = self.router.targets(packet.track);
        for &shard in remote {
            let mut copy = packet.clone();
            copy.payload = Arc::from(&*packet.payload);
            self.links.media(shard, Media::Packet(copy));
            self.meter.counters.media_crossed += 1;
        }
    }

    pub(super) fn deliver(&mut self, now: Instant, packet: &MediaPacket) {
        let mut at = 0;
        while let Some(&key) = self.router.targets(packet.track).0.get(at) {
            at += 1;
            if self.isolated(key, |session| session.deliver(now, packet)) == Some(true) {
                self.meter.forwarded(packet.arrived);
            }
        }
    }

    pub(super) fn keyframe(&mut self, now: Instant, track: TrackId, layer: Layer) {
        if let Some(key) = self.peers.publisher_of(track) {
            let asked = self.isolated(key, |session| session.request_keyframe(now, track, layer));
            self.meter.counters.keyframes_asked += u64::from(asked == Some(true));
            return;
        }
        let owner = self.router.owner(track);
        self.links.keyframe(owner, track, layer);
    }
}
