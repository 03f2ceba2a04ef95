//! A shard: sockets, and all the WebRTC state of the peers behind them, on one thread.
//!
//! Media goes from socket to socket here, or crosses to another shard on the low lane; control comes
//! on the high lane. Nothing on the media path waits: what does not fit is dropped and counted.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use str0m::ice::StunMessage;
use str0m::net::Transmit;
use tokio::sync::oneshot;

use crate::cpu;
use crate::lobby::LobbyMessage;
use crate::mailbox::{Mailbox, Message, Receiver, Refused, Sender};
use crate::room::RoomMessage;
use crate::router::{Interest, PeerKey, Router, ShardId};
use crate::session::{
    Layer, MediaPacket, ParticipantId, Session, SessionEvent, TrackId, TrackInfo,
};
use crate::stats::{Counters, Drop, Latency, ShardStats};
use crate::udp::{RecvBatch, SendBatch, Socket};

/// Media that has waited longer than this is of no use to anybody.
const MAX_AGE: Duration = Duration::from_millis(250);
/// Media that may wait for a full lane; the oldest goes first.
const MAX_STAGED: usize = 512;
/// Messages taken from the mailbox before the sockets are looked at again.
const MAILBOX_BURST: usize = 256;
/// How many datagrams a look at a socket takes.
const SOCKET_BURST: usize = 64;
/// How many addresses of peers elsewhere are remembered.
const MAX_REDIRECTS: usize = 4096;

/// What a shard is told.
#[derive(Debug)]
pub enum Control {
    /// A peer's first valid STUN came here: it lives here from now on.
    Adopt(Box<Session>),
    /// The peer with this user name lives in another shard.
    Redirect(String, ShardId),
    /// The peer with this user name is gone.
    Forget(String),
    /// A participant is to be sent a track of a shard.
    AddTrack(ParticipantId, TrackInfo, ShardId),
    /// A participant is no longer sent a track.
    RemoveTrack(ParticipantId, TrackId),
    /// A participant's page is to be told something.
    Tell(ParticipantId, Arc<str>),
    /// A participant has to go.
    Disconnect(ParticipantId),
    /// A shard wants a track of this one, or no longer does.
    Interest(TrackId, ShardId, bool),
    /// Somebody in another shard needs a keyframe.
    Keyframe(TrackId, Layer),
    /// Somebody wants to know how it goes.
    Observe(oneshot::Sender<ShardStats>),
    /// Every peer is to be told goodbye.
    Drain,
}

/// What crosses shards on the low lane.
#[derive(Debug)]
pub enum Media {
    /// A packet that subscribers of the shard want.
    Packet(MediaPacket),
    /// A datagram that came in elsewhere.
    Datagram {
        /// Who sent it.
        source: SocketAddr,
        /// Where it came in.
        destination: SocketAddr,
        /// Its bytes.
        bytes: Box<[u8]>,
    },
}

/// A sender of a shard's mailbox.
pub type ShardSender<M> = <M as Mailbox>::Sender<Control, Media>;
/// A receiver of a shard's mailbox.
pub type ShardReceiver<M> = <M as Mailbox>::Receiver<Control, Media>;
/// A sender of the room's mailbox.
pub type RoomSender<M> = <M as Mailbox>::Sender<RoomMessage, std::convert::Infallible>;
/// A sender of the lobby's mailbox.
pub type LobbySender<M> = <M as Mailbox>::Sender<LobbyMessage, std::convert::Infallible>;

/// What a shard is connected to.
pub struct Wiring<M: Mailbox> {
    /// Its number.
    pub here: ShardId,
    /// Its own mailbox.
    pub mailbox: ShardReceiver<M>,
    /// Every shard's mailbox, its own among them.
    pub shards: Vec<ShardSender<M>>,
    /// The room's.
    pub room: RoomSender<M>,
    /// The lobby's.
    pub lobby: LobbySender<M>,
}

impl<M: Mailbox> std::fmt::Debug for Wiring<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wiring")
            .field("here", &self.here)
            .finish_non_exhaustive()
    }
}

struct Peer {
    session: Session,
    addresses: Vec<SocketAddr>,
    dirty: bool,
}

/// What could not be sent at once to one destination.
struct Outbox<H, L, S: Sender<H, L>> {
    sender: S,
    control: VecDeque<H>,
    media: Vec<L>,
}

impl<H, L, S: Sender<H, L>> Outbox<H, L, S> {
    /// Control that waits for a mailbox that does not move; beyond it the other side is lost.
    const MAX_CONTROL: usize = 1 << 16;

    fn new(sender: S) -> Self {
        Self {
            sender,
            control: VecDeque::new(),
            media: Vec::new(),
        }
    }

    fn control(&mut self, message: H) {
        if self.control.len() < Self::MAX_CONTROL {
            self.control.push_back(message);
            self.flush_control();
        }
    }

    fn flush_control(&mut self) {
        while let Some(message) = self.control.pop_front() {
            match self.sender.try_send_high(message) {
                Ok(()) => {}
                Err(Refused::Full(message)) => {
                    self.control.push_front(message);
                    return;
                }
                Err(Refused::Closed(_)) => return,
            }
        }
    }

    /// Sends what is staged; drops the oldest of what is too much, and says how many.
    fn flush(&mut self) -> usize {
        self.flush_control();
        if self.media.is_empty() {
            return 0;
        }
        if self.sender.try_send_low_many(&mut self.media).is_err() {
            self.media.clear();
        }
        let excess = self.media.len().saturating_sub(MAX_STAGED);
        self.media.drain(..excess);
        excess
    }

    fn waits(&self) -> bool {
        !self.control.is_empty() || !self.media.is_empty()
    }
}

/// A shard.
pub struct Shard<M: Mailbox> {
    here: ShardId,
    mailbox: ShardReceiver<M>,
    messages: Vec<Message<Control, Media>>,
    batch: RecvBatch,
    shards: Vec<Outbox<Control, Media, ShardSender<M>>>,
    room: Outbox<RoomMessage, std::convert::Infallible, RoomSender<M>>,
    lobby: Outbox<LobbyMessage, std::convert::Infallible, LobbySender<M>>,
    sockets: Vec<(Socket, SendBatch)>,
    peers: Vec<Option<Peer>>,
    free: Vec<PeerKey>,
    by_ufrag: HashMap<String, PeerKey>,
    by_address: HashMap<SocketAddr, PeerKey>,
    by_participant: HashMap<ParticipantId, PeerKey>,
    by_track: HashMap<TrackId, PeerKey>,
    elsewhere: HashMap<Arc<str>, ShardId>,
    elsewhere_by_address: HashMap<SocketAddr, (Arc<str>, ShardId)>,
    owners: HashMap<TrackId, ShardId>,
    router: Router,
    dirty: VecDeque<PeerKey>,
    events: Vec<SessionEvent>,
    in_flight: Vec<Instant>,
    counters: Counters,
    latency: Latency,
    draining: bool,
}

impl<M: Mailbox> std::fmt::Debug for Shard<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("here", &self.here)
            .finish_non_exhaustive()
    }
}

impl<M: Mailbox> Shard<M> {
    /// A shard without peers. To be made on the thread that is to run it.
    ///
    /// # Errors
    ///
    /// If the executor cannot watch a socket.
    pub fn new(wiring: Wiring<M>, sockets: Vec<std::net::UdpSocket>) -> io::Result<Self> {
        let sockets = sockets
            .into_iter()
            .map(|socket| Ok((Socket::new(socket)?, SendBatch::new())))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            here: wiring.here,
            mailbox: wiring.mailbox,
            messages: Vec::with_capacity(MAILBOX_BURST),
            batch: RecvBatch::new(SOCKET_BURST),
            shards: wiring.shards.into_iter().map(Outbox::new).collect(),
            room: Outbox::new(wiring.room),
            lobby: Outbox::new(wiring.lobby),
            sockets,
            peers: Vec::new(),
            free: Vec::new(),
            by_ufrag: HashMap::new(),
            by_address: HashMap::new(),
            by_participant: HashMap::new(),
            by_track: HashMap::new(),
            elsewhere: HashMap::new(),
            elsewhere_by_address: HashMap::new(),
            owners: HashMap::new(),
            router: Router::new(wiring.here),
            dirty: VecDeque::new(),
            events: Vec::new(),
            in_flight: Vec::new(),
            counters: Counters::default(),
            latency: Latency::new(),
            draining: false,
        })
    }

    /// Waits until there is something to do; says whether anybody can still tell it anything.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what was taken from the mailbox waits for [`Shard::turn`].
    pub async fn ready(&mut self) -> bool {
        let wake_at = tokio::time::Instant::from_std(self.next_timeout(Instant::now()));
        tokio::select! {
            biased;
            taken = self.mailbox.recv_many(&mut self.messages, MAILBOX_BURST) => taken > 0,
            () = readable(&self.sockets) => true,
            () = tokio::time::sleep_until(wake_at) => true,
        }
    }

    /// Does what there is to do; says whether there can be more, which there cannot once it has been
    /// drained.
    ///
    /// # Errors
    ///
    /// If a socket breaks.
    pub fn turn(&mut self) -> io::Result<bool> {
        let now = Instant::now();
        let mut messages = std::mem::take(&mut self.messages);
        for message in messages.drain(..) {
            self.message(now, message);
        }
        self.messages = messages;
        let mut batch = std::mem::replace(&mut self.batch, RecvBatch::empty());
        let received = self.receive(&mut batch);
        self.batch = batch;
        received?;
        self.due(Instant::now());
        self.settle()?;
        Ok(!self.draining || !self.by_participant.is_empty())
    }

    fn next_timeout(&self, now: Instant) -> Instant {
        let waits = self.room.waits()
            || self.lobby.waits()
            || self.shards.iter().any(Outbox::waits)
            || self.sockets.iter().any(|(_, batch)| !batch.is_empty());
        let latest = now + Duration::from_millis(if waits { 2 } else { 1000 });
        let timeouts = self
            .peers
            .iter()
            .flatten()
            .map(|peer| peer.session.timeout());
        timeouts.fold(latest, Instant::min)
    }

    fn message(&mut self, now: Instant, message: Message<Control, Media>) {
        match message {
            Message::High(control) => self.control(now, control),
            Message::Low(Media::Packet(packet)) => {
                if now.saturating_duration_since(packet.arrived) > MAX_AGE {
                    self.counters.drops.add(Drop::Aged, 1);
                } else {
                    self.deliver(now, &packet);
                }
            }
            Message::Low(Media::Datagram {
                source,
                destination,
                bytes,
            }) => {
                self.datagram(now, source, destination, &bytes, true);
            }
        }
    }

    fn control(&mut self, now: Instant, control: Control) {
        match control {
            Control::Adopt(session) => self.adopt(*session),
            Control::Redirect(ufrag, shard) => {
                if self.elsewhere.len() < MAX_REDIRECTS && shard != self.here {
                    self.elsewhere.insert(ufrag.into(), shard);
                }
            }
            Control::Forget(ufrag) => {
                if self.elsewhere.remove(&*ufrag).is_some() {
                    self.elsewhere_by_address
                        .retain(|_, known| *known.0 != *ufrag);
                }
            }
            Control::AddTrack(to, track, owner) => {
                let id = track.id;
                if self.with_participant(to, |session| session.add_track(track)) {
                    self.owners.insert(id, owner);
                }
            }
            Control::RemoveTrack(to, track) => {
                self.with_participant(to, |session| session.remove_track(track));
            }
            Control::Tell(to, text) => {
                self.with_participant(to, |session| {
                    session.send_text(&text);
                });
            }
            Control::Disconnect(participant) => {
                self.with_participant(participant, Session::close);
            }
            Control::Interest(track, shard, wanted) => {
                if !wanted || self.by_track.contains_key(&track) {
                    self.router.remote(track, shard, wanted);
                }
            }
            Control::Keyframe(track, layer) => self.keyframe(now, track, layer),
            Control::Observe(reply) => {
                let _ = reply.send(self.stats());
            }
            Control::Drain => {
                self.draining = true;
                for key in 0..self.peers.len() {
                    self.isolated(key, Session::close);
                }
            }
        }
    }

    fn adopt(&mut self, session: Session) {
        let key = self.free.pop().unwrap_or_else(|| {
            self.peers.push(None);
            self.peers.len() - 1
        });
        self.by_ufrag.insert(session.ufrag().to_owned(), key);
        self.by_participant.insert(session.id, key);
        self.room.control(RoomMessage::Joined {
            id: session.id,
            room: Arc::clone(&session.room),
            name: Arc::clone(&session.name),
            role: session.role,
            shard: self.here,
        });
        self.peers[key] = Some(Peer {
            session,
            addresses: Vec::new(),
            dirty: false,
        });
        self.mark(key);
        if self.draining {
            self.isolated(key, Session::close);
        }
    }

    fn receive(&mut self, batch: &mut RecvBatch) -> io::Result<()> {
        for index in 0..self.sockets.len() {
            match self.sockets[index].0.try_recv(batch) {
                Ok(_) => {}
                Err(error) if would_block(&error) => continue,
                Err(error) => return Err(error),
            }
            self.counters.recv_calls += 1;
            let now = Instant::now();
            let destination = self.sockets[index].0.local_addr();
            for datagram in batch.iter() {
                self.counters.datagrams_in += 1;
                self.counters.bytes_in += datagram.bytes.len() as u64;
                if datagram.bytes.is_empty() {
                    self.counters.drops.add(Drop::Oversized, 1);
                    continue;
                }
                let source = datagram.source;
                self.datagram(now, source, destination, datagram.bytes, false);
            }
        }
        Ok(())
    }

    /// Finds whose a datagram is. An address counts as a peer's only after a STUN message from it
    /// has shown the peer's password.
    fn datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        redirected: bool,
    ) {
        // RFC 7983: STUN starts with 0 to 3.
        if bytes[0] <= 3 {
            self.stun(now, source, destination, bytes, redirected);
            return;
        }
        if let Some(&key) = self.by_address.get(&source) {
            self.input(now, key, source, destination, bytes);
        } else if let Some(&(_, shard)) = self.elsewhere_by_address.get(&source)
            && !redirected
        {
            self.redirect(shard, source, destination, bytes);
        } else {
            self.counters.drops.add(Drop::Stranger, 1);
        }
    }

    fn stun(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        redirected: bool,
    ) {
        let Ok(message) = StunMessage::parse(bytes) else {
            self.counters.drops.add(Drop::Malformed, 1);
            return;
        };
        let Some((ufrag, _)) = message.split_username() else {
            self.counters.drops.add(Drop::Stranger, 1);
            return;
        };
        if let Some(&key) = self.by_ufrag.get(ufrag) {
            let valid = self.isolated(key, |session| {
                let valid = session.verifies(&message);
                if valid {
                    session.consent(now);
                }
                valid
            });
            if valid != Some(true) {
                self.counters.drops.add(Drop::Stranger, 1);
                return;
            }
            self.learn_address(key, source);
            self.input(now, key, source, destination, bytes);
        } else if redirected {
            self.counters.drops.add(Drop::Stranger, 1);
        } else if let Some((ufrag, &shard)) = self.elsewhere.get_key_value(ufrag) {
            if self.elsewhere_by_address.len() < MAX_REDIRECTS {
                self.elsewhere_by_address
                    .insert(source, (Arc::clone(ufrag), shard));
            }
            self.redirect(shard, source, destination, bytes);
        } else {
            // The lobby knows those who have been answered and not been heard of yet. Whoever
            // floods it loses the datagram; a peer asks again.
            let claim = LobbyMessage::Claim {
                ufrag: ufrag.to_owned(),
                shard: self.here,
                request: bytes.into(),
            };
            if self.lobby.sender.try_send_high(claim).is_err() {
                self.counters.drops.add(Drop::Stranger, 1);
            }
        }
    }

    fn learn_address(&mut self, key: PeerKey, source: SocketAddr) {
        const MAX_ADDRESSES: usize = 32;
        if self.by_address.get(&source) == Some(&key) {
            return;
        }
        let Some(peer) = self.peers[key].as_mut() else {
            return;
        };
        if peer.addresses.len() >= MAX_ADDRESSES {
            let oldest = peer.addresses.remove(0);
            self.by_address.remove(&oldest);
        }
        peer.addresses.push(source);
        if let Some(before) = self.by_address.insert(source, key)
            && let Some(other) = self.peers[before].as_mut()
        {
            other.addresses.retain(|address| *address != source);
        }
    }

    fn redirect(
        &mut self,
        shard: ShardId,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
    ) {
        self.counters.redirected += 1;
        let bytes = bytes.into();
        self.shards[shard].media.push(Media::Datagram {
            source,
            destination,
            bytes,
        });
    }

    fn input(
        &mut self,
        now: Instant,
        key: PeerKey,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
    ) {
        let taken = self.isolated(key, |session| {
            session.receive(now, source, destination, bytes)
        });
        match taken {
            Some(true) => self.pump(now, key, false),
            Some(false) => self.counters.drops.add(Drop::Malformed, 1),
            None => {}
        }
    }

    fn due(&mut self, now: Instant) {
        for key in 0..self.peers.len() {
            let due = self.peers[key]
                .as_ref()
                .is_some_and(|peer| peer.session.timeout() <= now);
            if due {
                self.mark(key);
            }
        }
    }

    /// Lets every session that has been touched say and send what it has, until all is quiet; then
    /// hands the datagrams to the sockets.
    fn settle(&mut self) -> io::Result<()> {
        let now = Instant::now();
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
    fn pump(&mut self, now: Instant, key: PeerKey, tick: bool) {
        let Some(peer) = self.peers[key].as_mut() else {
            return;
        };
        let mut events = std::mem::take(&mut self.events);
        let sockets = &mut self.sockets;
        let counters = &mut self.counters;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if tick {
                peer.session.tick(now);
            }
            let send = |transmit| pack(sockets, counters, transmit);
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
        if !self.in_flight.is_empty() {
            let now = Instant::now();
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
            SessionEvent::Subscribed(track) => {
                let owner = self.owners.get(&track).copied().unwrap_or(self.here);
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

    fn deliver(&mut self, now: Instant, packet: &MediaPacket) {
        let mut at = 0;
        while let Some(&key) = self.router.targets(packet.track).0.get(at) {
            at += 1;
            if self.isolated(key, |session| session.deliver(now, packet)) == Some(true) {
                self.counters.media_out += 1;
                self.in_flight.push(packet.arrived);
            }
        }
    }

    fn keyframe(&mut self, now: Instant, track: TrackId, layer: Layer) {
        if let Some(&key) = self.by_track.get(&track) {
            let asked = self.isolated(key, |session| session.request_keyframe(now, track, layer));
            self.counters.keyframes_asked += u64::from(asked == Some(true));
            return;
        }
        let owner = self.owners.get(&track).copied().unwrap_or(self.here);
        if owner != self.here {
            self.shards[owner].control(Control::Keyframe(track, layer));
        }
    }

    fn tell_owner(&mut self, interest: Option<Interest>) {
        if let Some(Interest {
            track,
            owner,
            wanted,
        }) = interest
        {
            if !wanted {
                self.owners.remove(&track);
            }
            self.shards[owner].control(Control::Interest(track, self.here, wanted));
        }
    }

    fn remove(&mut self, key: PeerKey, why: &'static str) {
        let Some(peer) = self.peers[key].take() else {
            return;
        };
        let id = peer.session.id;
        tracing::info!(participant = id.0, why, "gone");
        self.free.push(key);
        self.by_ufrag.remove(peer.session.ufrag());
        self.by_participant.remove(&id);
        for address in &peer.addresses {
            self.by_address.remove(address);
        }
        for interest in self.router.remove_peer(key) {
            self.tell_owner(Some(interest));
        }
        let tracks: Vec<_> = self
            .by_track
            .iter()
            .filter(|entry| *entry.1 == key)
            .map(|entry| *entry.0)
            .collect();
        for track in tracks {
            self.by_track.remove(&track);
            self.router.remove_track(track);
        }
        self.lobby.control(LobbyMessage::Ended {
            ufrag: peer.session.ufrag().to_owned(),
        });
        self.room.control(RoomMessage::Left { participant: id });
        for shard in (0..self.shards.len()).filter(|shard| *shard != self.here) {
            let ufrag = peer.session.ufrag().to_owned();
            self.shards[shard].control(Control::Forget(ufrag));
        }
    }

    fn with_participant(&mut self, id: ParticipantId, job: impl FnOnce(&mut Session)) -> bool {
        let Some(&key) = self.by_participant.get(&id) else {
            return false;
        };
        self.isolated(key, job).is_some()
    }

    /// Runs a session's code so that a fault in it ends that session alone.
    fn isolated<T>(&mut self, key: PeerKey, job: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let peer = self.peers[key].as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| job(&mut peer.session))) {
            Ok(result) => {
                self.mark(key);
                Some(result)
            }
            Err(_) => {
                self.counters.panics += 1;
                self.remove(key, "internal fault");
                None
            }
        }
    }

    fn mark(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers[key].as_mut()
            && !peer.dirty
        {
            peer.dirty = true;
            self.dirty.push_back(key);
        }
    }

    fn stats(&self) -> ShardStats {
        let observed = self.mailbox.observe();
        ShardStats {
            shard: self.here,
            peers: self.by_participant.len(),
            tracks: self.router.len(),
            counters: self.counters,
            latency: self.latency.summary(),
            high_depth: observed.high_depth,
            low_depth: observed.low_depth,
            sleeps: observed.sleeps,
            cpu: cpu::of_thread(),
        }
    }
}

/// Puts a datagram into the batch of the socket that it is to leave by.
fn pack(sockets: &mut [(Socket, SendBatch)], counters: &mut Counters, transmit: Transmit) {
    let socket = sockets
        .iter_mut()
        .find(|(socket, _)| socket.local_addr() == transmit.source);
    if let Some((_, batch)) = socket {
        counters.bytes_out += transmit.contents.len() as u64;
        batch.push_copy(transmit.destination, &transmit.contents);
    }
}

/// Waits until one of the sockets may have something.
async fn readable(sockets: &[(Socket, SendBatch)]) {
    poll_fn(|cx| {
        for (socket, _) in sockets {
            if socket.poll_readable(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    })
    .await;
}

fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused
    )
}
