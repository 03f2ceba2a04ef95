//! A shard: sockets, and the sessions of the peers behind them, on one thread.
//!
//! Media goes from socket to socket here, or crosses to another shard on the low lane. Control comes on the high lane.
//! Nothing on the media path waits: what does not fit is dropped and counted.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cpu_time;
use crate::ids::{ParticipantId, PeerKey, ShardId};
use crate::mailbox::{Mailbox, Message, Receiver};
use crate::messages::{AdmissionMessage, Control, Media, RoomMessage, ShardReceiver};
use crate::net::origin::Transport;
use crate::net::udp::RecvBatch;
use crate::session::{Session, SessionEvent};
use crate::stats::{DropReason, ShardStats};

mod actor;
pub mod demux;
mod egress;
mod ingress;
mod links;
mod meter;
mod outbox;
mod peers;
mod router;
mod sockets;
mod streams;

pub(crate) use actor::ShardActor;
use demux::Directory;
use links::Links;
pub(crate) use links::Wiring;
use meter::Meter;
use peers::Peers;
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
    here: ShardId,
    mailbox: ShardReceiver<M>,
    /// Received from the mailbox, and handled by the next turn.
    messages: Vec<Message<Control, Media>>,
    batch: RecvBatch,
    sockets: Sockets,
    streams: Streams,
    links: Links<M>,
    peers: Peers,
    directory: Directory,
    router: Router,
    /// Empty between polls; kept for its allocation.
    events: Vec<SessionEvent>,
    meter: Meter,
    draining: bool,
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
    /// A shard without peers, for the thread that it is created on.
    ///
    /// # Errors
    ///
    /// If the executor cannot register a socket.
    pub(crate) fn new(wiring: Wiring<M>, sockets: Vec<std::net::UdpSocket>) -> io::Result<Self> {
        Ok(Self {
            here: wiring.here,
            mailbox: wiring.mailbox,
            messages: Vec::with_capacity(MAILBOX_BURST),
            batch: RecvBatch::new(SOCKET_BURST),
            sockets: Sockets::new(sockets)?,
            streams: Streams::default(),
            links: Links::new(wiring.here, wiring.shards, wiring.room, wiring.admission),
            peers: Peers::default(),
            directory: Directory::new(),
            router: Router::new(wiring.here),
            events: Vec::new(),
            meter: Meter::default(),
            draining: false,
            ahead: Duration::ZERO,
        })
    }

    /// Waits until a turn has something to do. Returns `false` once every sender of the mailbox is gone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: messages received from the mailbox are kept for [`Shard::turn`].
    pub(crate) async fn ready(&mut self) -> bool {
        let wake_at = tokio::time::Instant::from_std(self.next_timeout(self.now()) - self.ahead);
        tokio::select! {
            biased;
            taken = self.mailbox.recv_many(&mut self.messages, MAILBOX_BURST) => taken > 0,
            () = self.sockets.readable() => true,
            () = self.streams.ready() => true,
            () = tokio::time::sleep_until(wake_at) => true,
        }
    }

    /// Handles messages, datagrams and timeouts, and sends. Returns `false` once the shard is drained.
    ///
    /// # Errors
    ///
    /// If a socket fails.
    pub(crate) fn turn(&mut self) -> io::Result<bool> {
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
        self.peers.mark_due(self.now());
        self.poll_marked()?;
        Ok(!self.draining || !self.peers.is_empty())
    }

    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    fn next_timeout(&self, now: Instant) -> Instant {
        let waits = self.links.waits() || self.sockets.waits();
        let latest = now + Duration::from_millis(if waits { 2 } else { 1000 });
        self.peers.next_timeout(latest)
    }

    fn message(&mut self, now: Instant, message: Message<Control, Media>) {
        match message {
            Message::High(control) => self.control(now, control),
            Message::Low(Media::Packet(packet)) => {
                if now.saturating_duration_since(packet.arrived) > MAX_AGE {
                    self.meter.counters.drops.add(DropReason::Aged, 1);
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
            Control::Heard(to, heard) => {
                self.with_participant(to, |session| session.set_heard(heard));
            }
            Control::Tell(to, text) => {
                self.with_participant(to, |session| {
                    session.send_text(&text);
                });
            }
            Control::Patch(participant, patch, reply) => {
                let key = self.peers.key_of(participant);
                let patched = key.and_then(|key| self.isolated(key, |it| it.patch(&patch)));
                let _ = reply.send(patched);
            }
            Control::Disconnect(participant) => {
                self.with_participant(participant, Session::close);
            }
            Control::Interest(track, shard, wanted) => {
                if !wanted || self.peers.publisher_of(track).is_some() {
                    self.router.remote(track, shard, wanted);
                }
            }
            Control::Keyframe(track, layer) => self.keyframe(now, track, layer),
            Control::Observe(reply) => {
                let _ = reply.send(self.stats());
            }
            Control::Drain => {
                self.draining = true;
                for key in self.peers.keys() {
                    self.isolated(key, Session::close);
                }
            }
        }
    }

    fn adopt(&mut self, session: Session) {
        let ufrag = session.ufrag().to_owned();
        self.links.room(RoomMessage::Joined {
            id: session.id,
            room: Arc::clone(&session.room),
            name: Arc::clone(&session.name),
            role: session.role,
            shard: self.here,
        });
        let key = self.peers.insert(session);
        self.directory.insert(&ufrag, key);
        if self.draining {
            self.isolated(key, Session::close);
        }
    }

    fn remove(&mut self, key: PeerKey, why: &'static str) {
        let Some((session, tracks)) = self.peers.remove(key) else {
            return;
        };
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
            ufrag: ufrag.to_owned(),
        });
        self.links.room(RoomMessage::Left { participant: id });
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
        let observed = self.mailbox.observe();
        ShardStats {
            shard: self.here,
            peers: self.peers.len(),
            tracks: self.router.len(),
            counters: self.meter.counters,
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
