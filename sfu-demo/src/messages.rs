//! What control and shards say to each other.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::ids::{ParticipantId, ShardId, TrackId};
use crate::mailbox::Mailbox;
use crate::media::{Layer, MediaPacket, Source, TrackInfo};
use crate::net::origin::Origin;
use crate::net::tcp::Arrived;
use crate::session::build::Refusal;
use crate::session::{Role, Session, SourceOf};
use crate::stats::{RoomStats, ShardStats};

/// What a shard is told.
#[derive(Debug)]
pub(crate) enum Control {
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
pub(crate) enum Media {
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
pub(crate) type ShardSender<M> = <M as Mailbox>::Sender<Control, Media>;
/// A receiver of a shard's mailbox.
pub(crate) type ShardReceiver<M> = <M as Mailbox>::Receiver<Control, Media>;
/// A sender of the room's mailbox.
pub(crate) type RoomSender<M> = <M as Mailbox>::Sender<RoomMessage, Infallible>;
/// A sender of the mailbox of admission.
pub(crate) type AdmissionSender<M> = <M as Mailbox>::Sender<AdmissionMessage, Infallible>;

/// Control for a shard.
pub(crate) type Out = (ShardId, Control);

/// What the room is told.
#[derive(Debug)]
pub(crate) enum RoomMessage {
    /// A participant is in a shard.
    Joined {
        /// Who.
        id: ParticipantId,
        /// In which room.
        room: Arc<str>,
        /// By what name.
        name: Arc<str>,
        /// Doing what.
        role: Role,
        /// In which shard.
        shard: ShardId,
    },
    /// A participant can be told things.
    Listens {
        /// Who.
        participant: ParticipantId,
    },
    /// A participant sends a track.
    Published {
        /// Which.
        track: TrackInfo,
        /// In which shard.
        shard: ShardId,
    },
    /// A participant no longer sends a track.
    Unpublished {
        /// Who.
        participant: ParticipantId,
        /// Which.
        track: TrackId,
    },
    /// A participant is gone.
    Left {
        /// Who.
        participant: ParticipantId,
    },
    /// How loud a participant is.
    Level {
        /// Who.
        participant: ParticipantId,
        /// In dBov.
        level: i8,
    },
    /// A participant switched something off or on.
    Muted {
        /// Who.
        participant: ParticipantId,
        /// What.
        source: Source,
        /// Off or on.
        muted: bool,
    },
    /// A participant says something to the room.
    Chat {
        /// Who.
        participant: ParticipantId,
        /// What.
        text: String,
    },
    /// Somebody wants to know who is where.
    Observe(oneshot::Sender<Vec<RoomStats>>),
}

/// What admission is told.
#[derive(Debug)]
pub(crate) enum AdmissionMessage {
    /// Somebody wants to join.
    Join(Box<Join>, oneshot::Sender<Result<Joined, JoinError>>),
    /// A shard got a STUN message for a user name that it does not know.
    Claim {
        /// The user name.
        ufrag: String,
        /// The shard.
        shard: ShardId,
        /// The message.
        request: Box<[u8]>,
    },
    /// A TCP connection names this user in its first frame.
    Connect {
        /// The user name.
        ufrag: String,
        /// The connection.
        connection: Box<Arrived>,
    },
    /// Somebody who joined by HTTP leaves.
    Leave {
        /// The secret name of what joined.
        resource: String,
        /// Whether it was there.
        reply: oneshot::Sender<bool>,
    },
    /// A peer is gone from its shard.
    Ended {
        /// Its user name.
        ufrag: String,
    },
    /// Nobody may join any more.
    Drain,
}

/// Who wants to join what.
#[derive(Debug)]
pub(crate) struct Join {
    /// The room.
    pub room: Arc<str>,
    /// The name that others see.
    pub name: Arc<str>,
    /// What for.
    pub role: Role,
    /// The SDP offer.
    pub offer: String,
    /// What the offer's media sections are.
    pub sources: Vec<SourceOf>,
}

/// A place in a room.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    /// Who.
    pub id: ParticipantId,
    /// The SDP answer.
    pub answer: String,
    /// The secret name by which to leave.
    pub resource: String,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// The offer cannot be answered.
    Offer(Refusal),
    /// The room is full.
    RoomFull,
    /// The server is full.
    ServerFull,
    /// The server is about to stop.
    Draining,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offer(refusal) => refusal.fmt(f),
            Self::RoomFull => f.write_str("the room is full"),
            Self::ServerFull => f.write_str("the server is full"),
            Self::Draining => f.write_str("the server is about to stop"),
        }
    }
}

impl std::error::Error for JoinError {}
