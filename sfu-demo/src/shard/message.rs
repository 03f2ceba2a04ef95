//! What shards are told, what crosses between them, and what a shard is connected to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::control::admission::LobbyMessage;
use crate::control::rooms::RoomMessage;
use crate::mailbox::Mailbox;
use crate::net::tcp::Arrived;
use crate::session::{Layer, MediaPacket, ParticipantId, Session, TrackId, TrackInfo};
use crate::shard::demux::Origin;
use crate::shard::router::ShardId;
use crate::stats::ShardStats;

/// What a shard is told.
#[derive(Debug)]
pub enum Control {
    /// A peer's first valid STUN came here: it lives here from now on.
    Adopt(Box<Session>),
    /// A TCP connection whose first frame names a peer of this shard.
    Connect(Box<Arrived>),
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
        /// Who sent it, and by what.
        origin: Origin,
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
pub type RoomSender<M> = <M as Mailbox>::Sender<RoomMessage, Infallible>;
/// A sender of the lobby's mailbox.
pub type LobbySender<M> = <M as Mailbox>::Sender<LobbyMessage, Infallible>;

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
