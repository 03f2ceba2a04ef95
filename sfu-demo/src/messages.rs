//! The messages between control, shards and HTTP.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::ids::{ParticipantId, ShardId, TrackId};
use crate::mailbox::Mailbox;
use crate::media::{Layer, MediaPacket, Source, TrackInfo};
use crate::net::origin::Origin;
use crate::net::tcp::Arrived;
use crate::session::build::Refusal;
use crate::session::{Patch, Patched, Role, Session, SourceOf};
use crate::stats::{RoomStats, ShardStats};

/// A message to a shard on its high lane.
#[derive(Debug)]
pub(crate) enum Control {
    /// The shard received the peer's first valid STUN message: it owns the session from now on.
    Adopt(Box<Session>),
    /// A TCP connection whose first frame names a peer of this shard.
    Connect(Box<Arrived>),
    /// The peer with this ICE user name is in another shard.
    Redirect(String, ShardId),
    /// The peer with this ICE user name has left its shard.
    Forget(String),
    /// Sends a participant a track whose publisher is in the given shard.
    AddTrack(ParticipantId, TrackInfo, ShardId),
    /// Stops sending a participant a track.
    RemoveTrack(ParticipantId, TrackId),
    /// Tells a participant's session who was heard last, the latest first.
    Heard(ParticipantId, Arc<[ParticipantId]>),
    /// Sends JSON to a participant's page over the data channel.
    Tell(ParticipantId, Arc<str>),
    /// Changes the ICE session of a participant.
    Patch(ParticipantId, Box<Patch>, oneshot::Sender<Option<Patched>>),
    /// Ends a participant's session.
    Disconnect(ParticipantId),
    /// The given shard wants packets of a track of this shard, or no longer does.
    Interest(TrackId, ShardId, bool),
    /// A subscriber in another shard needs a keyframe.
    Keyframe(TrackId, Layer),
    /// Asks for the shard's statistics.
    Observe(oneshot::Sender<ShardStats>),
    /// Ends every session, now and in the future; the shard stops when the last has ended.
    Drain,
}

/// A message to a shard on its low lane.
#[derive(Debug)]
pub(crate) enum Media {
    /// A media packet for subscribers of the shard.
    Packet(MediaPacket),
    /// A datagram that another shard received.
    Datagram {
        /// The sender's address and transport.
        origin: Origin,
        /// The local address that it was sent to.
        destination: SocketAddr,
        /// The datagram.
        bytes: Box<[u8]>,
    },
}

/// The sender of a shard's mailbox.
pub(crate) type ShardSender<M> = <M as Mailbox>::Sender<Control, Media>;
/// The receiver of a shard's mailbox.
pub(crate) type ShardReceiver<M> = <M as Mailbox>::Receiver<Control, Media>;
/// The sender of the mailbox of the rooms.
pub(crate) type RoomSender<M> = <M as Mailbox>::Sender<RoomMessage, Infallible>;
/// The sender of the mailbox of admission.
pub(crate) type AdmissionSender<M> = <M as Mailbox>::Sender<AdmissionMessage, Infallible>;

/// A message to the shard of this number.
pub(crate) type Out = (ShardId, Control);

/// A message to the rooms.
#[derive(Debug)]
pub(crate) enum RoomMessage {
    /// A participant's session is in a shard.
    Joined {
        /// The participant, under the identity that admission gave it.
        id: ParticipantId,
        /// The name of the room, which is made if this is its first member.
        room: Arc<str>,
        /// The participant's name, as others see it.
        name: Arc<str>,
        /// What the participant may do.
        role: Role,
        /// The shard that owns the participant's session.
        shard: ShardId,
    },
    /// A participant's data channel is open.
    Listens {
        /// The participant to whom the room's state can be sent from now on.
        participant: ParticipantId,
    },
    /// A participant publishes a track.
    Published {
        /// What subscribers are told of the track.
        track: TrackInfo,
        /// The publisher's shard, which is asked for the packets.
        shard: ShardId,
    },
    /// A participant no longer publishes a track.
    Unpublished {
        /// The publisher.
        participant: ParticipantId,
        /// The track that has ended.
        track: TrackId,
    },
    /// A participant's session has ended.
    Left {
        /// The participant whose session has ended.
        participant: ParticipantId,
    },
    /// The audio level of a participant.
    Level {
        /// The participant that is heard.
        participant: ParticipantId,
        /// The smoothed level in dBov, -127 (silent) to 0.
        level: i8,
    },
    /// A participant muted or unmuted a device.
    Muted {
        /// The owner of the device.
        participant: ParticipantId,
        /// The device: camera, microphone or screen.
        source: Source,
        /// Whether it is muted now.
        muted: bool,
    },
    /// A participant sends a chat message to its room.
    Chat {
        /// The sender.
        participant: ParticipantId,
        /// The text, as the sender typed it.
        text: String,
    },
    /// Asks for the statistics of all rooms.
    Observe(oneshot::Sender<Vec<RoomStats>>),
}

/// A message to admission.
#[derive(Debug)]
pub(crate) enum AdmissionMessage {
    /// Asks for a place in a room.
    Join(Box<Answered>, oneshot::Sender<Result<Joined, JoinError>>),
    /// A shard received a STUN message with an ICE user name that it does not know.
    Claim {
        /// The server's ICE user name in the request.
        ufrag: String,
        /// The shard that received the request, and becomes the owner of the session.
        shard: ShardId,
        /// The whole STUN message, to be handled by the session.
        request: Box<[u8]>,
    },
    /// The first frame of a TCP connection has this ICE user name.
    Connect {
        /// The server's ICE user name in the frame.
        ufrag: String,
        /// The connection, with the frame that was read.
        connection: Box<Arrived>,
    },
    /// Changes an ICE session.
    Patch {
        /// The secret name that the answer to the join gave.
        resource: String,
        /// The room that the session has to be in; `None` is any.
        room: Option<String>,
        /// What is to change.
        patch: Box<Patch>,
        /// The outcome; `None` if there is no such session.
        reply: oneshot::Sender<Option<Patched>>,
    },
    /// Ends a session by its resource.
    Leave {
        /// The secret name that the answer to the join gave.
        resource: String,
        /// The room that the session has to be in; `None` is any.
        room: Option<String>,
        /// Whether there was such a session.
        reply: oneshot::Sender<bool>,
    },
    /// A session has ended in its shard.
    Ended {
        /// The session's ICE user name.
        ufrag: String,
    },
    /// Refuses every join from now on.
    Drain,
}

/// A request to join a room.
#[derive(Debug)]
pub(crate) struct Join {
    /// The name of the room.
    pub room: Arc<str>,
    /// The name that other participants see.
    pub name: Arc<str>,
    /// What the participant may do.
    pub role: Role,
    /// The SDP offer.
    pub offer: String,
    /// The devices of the offer's media sections.
    pub sources: Vec<SourceOf>,
    /// The address or network that it comes from; `None` from within the process, to which no limit of addresses applies.
    pub address: Option<IpAddr>,
    /// Who it is, as far as that is known. When it has connected, an earlier session of the same principal in the
    /// same room and role ends.
    pub principal: Option<Principal>,
}

/// A [`Join`] whose offer was answered already, which is work for the thread of the request and not for admission.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The request.
    pub join: Join,
    /// The session, under the identity that the participant will have.
    pub session: Session,
    /// The SDP answer.
    pub answer: String,
}

/// Who joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principal {
    /// The subject of a room token.
    Subject(String),
    /// A secret that the client chose, or the token that it published with.
    Secret(String),
}

/// An accepted [`Join`].
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    /// The new participant.
    pub id: ParticipantId,
    /// The SDP answer.
    pub answer: String,
    /// The entity tag of the ICE session.
    pub tag: String,
    /// The secret name by which the session can be ended over HTTP.
    pub resource: String,
}

/// Why a join is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// The offer cannot be answered.
    Offer(Refusal),
    /// Too many participants come from the address.
    AddressFull,
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
            Self::AddressFull => f.write_str("too many participants come from this address"),
            Self::RoomFull => f.write_str("the room is full"),
            Self::ServerFull => f.write_str("the server is full"),
            Self::Draining => f.write_str("the server is about to stop"),
        }
    }
}

impl std::error::Error for JoinError {}
