//! A shard: sockets, and all the WebRTC state of the peers behind them, on one thread.
//!
//! Media goes from socket to socket here, or crosses to another shard on the low lane; control comes
//! on the high lane. Nothing on the media path waits: what does not fit is dropped and counted.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::cpu_time;
use crate::ids::{ParticipantId, PeerKey, ShardId, TrackId};
use crate::mailbox::{Mailbox, Message, Receiver};
use crate::messages::{
    Control, LobbyMessage, LobbySender, Media, RoomMessage, RoomSender, ShardReceiver, ShardSender,
};
use crate::net::origin::Transport;
use crate::net::udp::{RecvBatch, SendBatch, Socket};
use crate::session::{Session, SessionEvent};
use crate::shard::demux::Directory;
use crate::shard::router::Router;
use crate::stats::{Counters, Drop, Latency, ShardStats};

pub mod demux;
mod egress;
mod ingress;
mod outbox;
pub mod router;
mod streams;

use outbox::Outbox;
use streams::Streams;

/// Media that has waited longer than this is of no use to anybody.
const MAX_AGE: Duration = Duration::from_millis(250);
/// Messages taken from the mailbox before it is looked at for control again, and the sockets are: what
/// they take to forward is what control waits for.
pub(crate) const MAILBOX_BURST: usize = 64;
/// How many datagrams a look at a socket takes.
const SOCKET_BURST: usize = 64;

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
    dirty: bool,
}

/// A shard.
pub struct Shard<M: Mailbox> {
    here: ShardId,
    mailbox: ShardReceiver<M>,
    messages: Vec<Message<Control, Media>>,
    batch: RecvBatch,
    shards: Vec<Outbox<Control, Media, ShardSender<M>>>,
    room: Outbox<RoomMessage, Infallible, RoomSender<M>>,
    lobby: Outbox<LobbyMessage, Infallible, LobbySender<M>>,
    sockets: Vec<(Socket, SendBatch)>,
    streams: Streams,
    peers: Vec<Option<Peer>>,
    free: Vec<PeerKey>,
    directory: Directory,
    by_participant: HashMap<ParticipantId, PeerKey>,
    by_track: HashMap<TrackId, PeerKey>,
    router: Router,
    dirty: VecDeque<PeerKey>,
    events: Vec<SessionEvent>,
    in_flight: Vec<Instant>,
    counters: Counters,
    latency: Latency,
    draining: bool,
    /// How far this clock is ahead of the system's: not at all, but in tests.
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
            streams: Streams::default(),
            peers: Vec::new(),
            free: Vec::new(),
            directory: Directory::new(),
            by_participant: HashMap::new(),
            by_track: HashMap::new(),
            router: Router::new(wiring.here),
            dirty: VecDeque::new(),
            events: Vec::new(),
            in_flight: Vec::new(),
            counters: Counters::default(),
            latency: Latency::new(),
            draining: false,
            ahead: Duration::ZERO,
        })
    }

    /// Waits until there is something to do; says whether anybody can still tell it anything.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what was taken from the mailbox waits for [`Shard::turn`].
    pub async fn ready(&mut self) -> bool {
        let wake_at = tokio::time::Instant::from_std(self.next_timeout(self.now()) - self.ahead);
        tokio::select! {
            biased;
            taken = self.mailbox.recv_many(&mut self.messages, MAILBOX_BURST) => taken > 0,
            () = readable(&self.sockets) => true,
            () = self.streams.ready() => true,
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
        let now = self.now();
        let mut messages = std::mem::take(&mut self.messages);
        for message in messages.drain(..) {
            self.message(now, message);
        }
        self.messages = messages;
        let mut batch = std::mem::replace(&mut self.batch, RecvBatch::empty());
        let received = self.receive(&mut batch);
        self.batch = batch;
        received?;
        self.receive_streams(self.now());
        self.due(self.now());
        self.settle()?;
        Ok(!self.draining || !self.by_participant.is_empty())
    }

    fn now(&self) -> Instant {
        Instant::now() + self.ahead
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
                origin,
                destination,
                bytes,
            }) => {
                self.datagram(now, origin, destination, &bytes, true);
            }
        }
    }

    fn control(&mut self, now: Instant, control: Control) {
        match control {
            Control::Adopt(session) => self.adopt(*session),
            Control::Connect(arrived) => self.connect(now, *arrived),
            Control::Redirect(ufrag, shard) => {
                if shard != self.here {
                    self.directory.insert_elsewhere(&ufrag, shard);
                }
            }
            Control::Forget(ufrag) => {
                self.directory.remove_elsewhere(&ufrag);
            }
            Control::AddTrack(to, track, owner) => {
                self.with_participant(to, |session| session.add_track(track, owner));
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
        self.directory.insert(session.ufrag(), key);
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
            dirty: false,
        });
        self.mark(key);
        if self.draining {
            self.isolated(key, Session::close);
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

    fn remove(&mut self, key: PeerKey, why: &'static str) {
        let Some(peer) = self.peers[key].take() else {
            return;
        };
        let id = peer.session.id;
        tracing::info!(participant = id.0, why, "gone");
        self.free.push(key);
        let now = self.now();
        for origin in self.directory.remove(peer.session.ufrag(), key) {
            if origin.transport == Transport::Tcp {
                self.streams.close(now, origin.address);
            }
        }
        self.by_participant.remove(&id);
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

    fn with_participant(&mut self, id: ParticipantId, job: impl FnOnce(&mut Session)) {
        if let Some(&key) = self.by_participant.get(&id) {
            self.isolated(key, job);
        }
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
            tcp: self.streams.counters(),
            latency: self.latency.summary(),
            high_depth: observed.high_depth,
            low_depth: observed.low_depth,
            sleeps: observed.sleeps,
            cpu: cpu_time::of_thread(),
        }
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

#[cfg(test)]
mod tests;
