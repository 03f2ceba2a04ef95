//! A shard: sockets, and the sessions of the peers behind them, on one thread.
//!
//! Media goes from socket to socket here, or crosses to another shard on the low lane. Control comes on the high lane.
//! Nothing on the media path waits: what does not fit is dropped and counted.

// One thing: actor, links, mod, rooms: a shard is sent messages through handles of its own type.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanemesh_runtime::handle::Recipient;

use crate::cpu_time;
use crate::ids::{ParticipantId, PeerKey};
use crate::mailbox::{Mailbox, Message};
use crate::messages::{
    AdmissionMessage, Adoption, Control, FromSocket, Media, PageLink, ShardTag, ToSocket,
};
use crate::net::origin::Transport;
use crate::net::udp::RecvBatch;
use crate::session::{Session, SessionEvent};
use crate::stats::{Counters, DropReason, ShardStats};

mod actor;
pub mod demux;
mod egress;
mod ingress;
mod links;
mod meter;
mod outbox;
mod peers;
mod rooms;
mod router;
mod sockets;
mod streams;

use actor::Lent;
pub(crate) use actor::{Connect, Parts};
use demux::Directory;
use links::Links;
pub(crate) use links::Wiring;
use meter::Meter;
use peers::{Peers, Removed};
use rooms::LocalRooms;
use router::Router;
use sockets::Sockets;
use streams::Streams;

/// Media that has waited longer than this in the mailbox is dropped.
const MAX_AGE: Duration = Duration::from_millis(250);
/// Messages received before the mailbox is checked for control, and the sockets for datagrams, again. Control waits for
/// as long as these take to forward.
pub(crate) const MAILBOX_BURST: usize = 64;
/// Datagrams received from a socket at a time.
const SOCKET_BURST: usize = 64;

/// A shard.
pub(crate) struct Shard<M: Mailbox> {
    parts: Arc<Parts<M>>,
    here: ShardTag,
    feed: Lent<M>,
    batch: RecvBatch,
    sockets: Sockets,
    streams: Streams,
    links: Links<M>,
    rooms: LocalRooms,
    peers: Peers,
    directory: Directory,
    router: Router,
    /// The latest incarnation of admission that has asked who is here.
    admission: u32,
    /// The latest incarnations of the other shards.
    others: Vec<u32>,
    /// Empty between polls; kept for its allocation.
    events: Vec<SessionEvent>,
    meter: Meter,
    /// When the next turn is due; `None` is at once.
    wake_at: Option<Instant>,
    /// How far this clock is ahead of the system's: zero, except in tests.
    ahead: Duration,
}

impl<M: Mailbox> std::fmt::Debug for Shard<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("here", &self.here)
            .finish_non_exhaustive()
    }
}

impl<M: Mailbox> Shard<M> {
    /// An incarnation without peers, sockets and connections.
    pub(crate) fn new(parts: Arc<Parts<M>>) -> Self {
        let here = ShardTag {
            id: parts.here,
            incarnation: 0,
        };
        Self {
            here,
            feed: Lent::new(Arc::clone(&parts)),
            parts,
            batch: RecvBatch::new(SOCKET_BURST),
            sockets: Sockets::none(),
            streams: Streams::default(),
            links: Links::none(here),
            rooms: LocalRooms::none(here),
            peers: Peers::default(),
            directory: Directory::new(),
            router: Router::new(here.id),
            admission: 0,
            others: Vec::new(),
            events: Vec::new(),
            meter: Meter::default(),
            wake_at: None,
            ahead: Duration::ZERO,
        }
    }

    /// Begins as the given incarnation. Who believes in an earlier one is told that it is gone.
    fn begin(&mut self, incarnation: u32, wiring: Wiring<M>) {
        self.here.incarnation = incarnation;
        self.others = vec![0; wiring.shards.len()];
        self.links = Links::new(self.here, wiring.shards, wiring.admission, wiring.claims);
        self.rooms = LocalRooms::new(self.here, wiring.rooms);
        self.links.admission(AdmissionMessage::Restarted(self.here));
        if incarnation > 1 {
            tracing::warn!(
                shard = self.here.id,
                incarnation,
                "restarted, without peers"
            );
            self.links.restarted();
        }
    }

    /// Handles what the feed has brought.
    fn fed(&mut self) {
        let now = self.now();
        let mut messages = std::mem::take(&mut self.feed.messages);
        for message in messages.drain(..) {
            match message {
                Message::High(control) => self.control(now, control),
                Message::Low(media) => self.media(now, media),
            }
        }
        self.feed.messages = messages;
    }

    /// Handles datagrams and timeouts, and sends.
    ///
    /// # Errors
    ///
    /// If a socket fails.
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        let mut batch = std::mem::replace(&mut self.batch, RecvBatch::empty());
        let received = self.receive(&mut batch);
        self.batch = batch;
        received?;
        self.receive_streams(self.now());
        let now = self.now();
        self.peers.mark_due(now);
        self.catch_up(now);
        self.poll_marked()?;
        self.wake_at = Some(self.next_timeout(self.now()) - self.ahead);
        Ok(())
    }

    /// Closes all sessions, before the shard stops. Their WebSockets end, and tell the pages that the server stops.
    fn close_all(&mut self) -> io::Result<()> {
        for key in self.peers.keys() {
            if let Some(page) = self.peers.page(key) {
                *page = None;
            }
            self.isolated(key, Session::close);
        }
        self.poll_marked()
    }

    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    fn next_timeout(&self, now: Instant) -> Instant {
        let waits = self.links.waits() || self.sockets.waits();
        let latest = match (waits, self.rooms.waits()) {
            (true, _) => 2,
            (false, true) => 100,
            (false, false) => 1000,
        };
        self.peers.next_timeout(now + Duration::from_millis(latest))
    }

    fn media(&mut self, now: Instant, media: Media) {
        match media {
            Media::Packet(packet) => {
                if now.saturating_duration_since(packet.arrived) > MAX_AGE {
                    self.meter.counters.drops.add(DropReason::Aged, 1);
                } else {
                    self.deliver(now, &packet);
                }
            }
            Media::Datagram {
                origin,
                destination,
                bytes,
            } => {
                self.datagram(now, origin, destination, &bytes, true);
            }
        }
    }

    fn control(&mut self, now: Instant, control: Control) {
        match control {
            Control::Adopt(adoption) => self.adopt(*adoption),
            Control::Connect(arrived) => self.connect(now, *arrived),
            Control::Redirect(ufrag, shard) => {
                if shard != self.here.id {
                    self.directory.insert_elsewhere(&ufrag, shard);
                }
            }
            Control::Forget(ufrag) => {
                self.directory.remove_elsewhere(&ufrag);
            }
            Control::Room(update) => self.news(update),
            Control::Page(id, message) => self.page(now, id, message),
            Control::Patch(participant, patch, reply) => {
                let key = self.peers.key_of(participant);
                let patched = key.and_then(|key| self.isolated(key, |it| it.patch(now, &patch)));
                let _ = reply.send(patched);
            }
            Control::Disconnect(participant, why) => {
                if let Some(key) = self.peers.key_of(participant) {
                    self.say_ended(key, why);
                    self.isolated(key, Session::close);
                }
            }
            Control::Interest(track, shard, wanted) => {
                let is_latest = self.meet(shard);
                if is_latest && (!wanted || self.peers.publisher_of(track).is_some()) {
                    self.router.remote(track, shard.id, wanted);
                }
            }
            Control::Keyframe(track, layer) => self.keyframe(now, track, layer),
            Control::Restarted(shard) => _ = self.meet(shard),
            Control::CountGuests(admission) => {
                self.admission = self.admission.max(admission);
                let guests = self.peers.guests();
                let guests = AdmissionMessage::Guests(self.here, guests);
                self.links.admission(guests);
            }
            Control::Observe(reply) => {
                let _ = reply.send(self.stats());
            }
            Control::Ping(reply) => {
                let _ = reply.send(());
            }
            #[cfg(test)]
            Control::Fault(crate::messages::Fault::Panic) => panic!("a fault in a shard's code"),
            #[cfg(test)]
            Control::Fault(crate::messages::Fault::Hang(until)) => {
                let _ = until.recv();
            }
        }
    }

    /// Whether another shard's incarnation is the latest. What earlier ones wanted is forgotten.
    fn meet(&mut self, shard: ShardTag) -> bool {
        let Some(known) = self.others.get_mut(shard.id) else {
            return false;
        };
        let before = *known;
        if shard.incarnation > before {
            *known = shard.incarnation;
            if before > 0 || shard.incarnation > 1 {
                self.router.forget_shard(shard.id);
                self.directory.forget_shard(shard.id);
            }
        }
        shard.incarnation >= before
    }

    fn adopt(&mut self, adoption: Adoption) {
        let Adoption {
            session,
            guest,
            page,
            to,
            by,
        } = adoption;
        if to != self.here.incarnation {
            return; // Admission has given the guest up.
        }
        if by < self.admission {
            // Admission has been restarted since, and does not know the guest.
            let guests = vec![Arc::clone(&guest)];
            let guests = AdmissionMessage::Guests(self.here, guests);
            self.links.admission(guests);
        }
        let ufrag = session.ufrag().to_owned();
        let key = self.peers.insert(session, guest);
        self.directory.insert(&ufrag, key);
        self.enter(key);
        if let Some(page) = page {
            self.attach(key, page);
        }
    }

    /// Handles something from the WebSocket of a page.
    fn page(&mut self, now: Instant, id: ParticipantId, message: FromSocket) {
        let Some(key) = self.peers.key_of(id) else {
            return;
        };
        match message {
            FromSocket::Attached(page) => self.attach(key, page),
            FromSocket::Text(text) => {
                self.isolated(key, |session| session.page_text(now, &text));
            }
            FromSocket::Detached(connection) => {
                if let Some(page) = self.peers.page(key)
                    && page.as_ref().is_some_and(|page| page.id == connection)
                {
                    *page = None;
                    self.isolated(key, Session::detach_page);
                }
            }
        }
    }

    /// From now on the page hears over this WebSocket.
    fn attach(&mut self, key: PeerKey, mut page: PageLink) {
        if page.to.try_send(ToSocket::In(self.here.id)).is_err() {
            return; // It is gone already.
        }
        if let Some(place) = self.peers.page(key) {
            if let Some(mut before) = place.replace(page) {
                let _ = before.to.try_send(ToSocket::Ended("replaced"));
            }
            self.isolated(key, Session::attach_page);
        }
    }

    /// Sends a text to a page's WebSocket. One that is too slow is closed: the page connects again, and hears all anew.
    pub(super) fn send_to_socket(&mut self, key: PeerKey, text: Arc<str>) {
        let Some(page) = self.peers.page(key) else {
            return;
        };
        let sent = page
            .as_mut()
            .map(|page| page.to.try_send(ToSocket::Text(text)));
        if sent.is_none_or(|sent| sent.is_err()) {
            *page = None;
            self.isolated(key, Session::detach_page);
        }
    }

    /// Tells a page why its session ends, if there is a reason. Its WebSocket ends with that.
    fn say_ended(&mut self, key: PeerKey, why: Option<&'static str>) {
        let page = self.peers.page(key);
        if let (Some(why), Some(mut page)) = (why, page.and_then(Option::take)) {
            let _ = page.to.try_send(ToSocket::Ended(why));
        }
    }

    fn remove(&mut self, key: PeerKey, why: &'static str) {
        let Some(removed) = self.peers.remove(key) else {
            return;
        };
        let Removed {
            session,
            page,
            tracks,
        } = removed;
        if let Some(mut page) = page {
            let _ = page.to.try_send(ToSocket::Ended(why));
        }
        let (id, ufrag) = (session.id, session.ufrag());
        tracing::info!(participant = id.0, why, "gone");
        let now = self.now();
        for origin in self.directory.remove(ufrag, key) {
            if origin.transport == Transport::Tcp {
                self.streams.close(now, origin.address);
            }
        }
        for interest in self.router.remove_peer(key) {
            self.links.interest(Some(interest));
        }
        for track in tracks {
            self.router.remove_track(track);
        }
        self.links.admission(AdmissionMessage::Ended {
            shard: self.here,
            ufrag: ufrag.to_owned(),
        });
        self.leave(key, &session.room, id);
        self.links.forget(ufrag);
    }

    fn with_participant(&mut self, id: ParticipantId, job: impl FnOnce(&mut Session)) {
        if let Some(key) = self.peers.key_of(id) {
            self.isolated(key, job);
        }
    }

    /// Runs code of a session. A panic ends that session only.
    fn isolated<T>(&mut self, key: PeerKey, job: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let session = self.peers.session(key)?;
        match catch_unwind(AssertUnwindSafe(|| job(session))) {
            Ok(result) => {
                self.peers.mark(key);
                Some(result)
            }
            Err(_) => {
                self.meter.counters.panics += 1;
                self.remove(key, "internal error");
                None
            }
        }
    }

    fn stats(&self) -> ShardStats {
        let observed = self.feed.observe();
        ShardStats {
            shard: self.here.id,
            incarnation: self.here.incarnation,
            hangs: false,
            peers: self.peers.len(),
            tracks: self.router.len(),
            counters: Counters {
                room_drops: self.rooms.dropped,
                stale_news: self.rooms.stale,
                ..self.meter.counters
            },
            tcp: self.streams.counters(),
            latency: self.meter.latency.summary(),
            high_depth: observed.high_depth,
            low_depth: observed.low_depth,
            sleeps: observed.sleeps,
            cpu: cpu_time::of_thread(),
        }
    }
}

#[cfg(test)]
mod tests;
