//! The messages between control, shards and HTTP.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use lanemesh_runtime::handle::AnyRecipient;
use lanemesh_runtime::{ActorId, Reply};

use crate::ids::{ParticipantId, PersonId, ShardId, TrackId};
use crate::media::{Layer, MediaPacket, Source, TrackInfo};
use crate::net::origin::Origin;
use crate::net::tcp::Arrived;
use crate::session::build::Refusal;
use crate::session::{Patch, Patched, Role, Session, SourceOf};
use crate::stats::{RoomStats, ShardStats};

/// An incarnation of a shard. A shard that is restarted has lost its peers: what an earlier incarnation has said is
/// no longer believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShardTag {
    /// The shard's number.
    pub id: ShardId,
    /// Its incarnation, from 1.
    pub incarnation: u32,
}

/// An incarnation of a room's actor. A restarted one begins with what the shards announce to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoomTag {
    /// The actor; a room that was empty for a while is another.
    pub actor: ActorId,
    /// Its incarnation, from 1.
    pub incarnation: u32,
}

/// A message to a shard on its high lane.
#[derive(Debug)]
pub(crate) enum Control {
    /// The shard received the peer's first valid STUN message: it owns the session from now on.
    Adopt(Box<Adoption>),
    /// A TCP connection whose first frame names a peer of this shard.
    Connect(Box<Arrived>),
    /// The peer with this ICE user name is in another shard.
    Redirect(String, ShardId),
    /// The peer with this ICE user name has left its shard.
    Forget(String),
    /// News of a room.
    Room(RoomUpdate),
    /// Something from the page of a participant, over its WebSocket.
    Page(ParticipantId, FromSocket),
    /// Changes the ICE session of a participant.
    Patch(ParticipantId, Box<Patch>, Reply<Option<Patched>>),
    /// Ends a participant's session. If there is a reason, its page is told that instead of that the session is gone.
    Disconnect(ParticipantId, Option<&'static str>),
    /// The given shard wants packets of a track of this shard, or no longer does.
    Interest(TrackId, ShardTag, bool),
    /// A subscriber in another shard needs a keyframe.
    Keyframe(TrackId, Layer),
    /// A shard was restarted: it has forgotten its peers, and which tracks it wanted.
    Restarted(ShardTag),
    /// Admission was restarted, as this incarnation, and asks who is here.
    CountGuests(u32),
    /// Asks for the shard's statistics.
    Observe(Reply<ShardStats>),
    /// Asks for a sign of life.
    Ping(Reply<()>),
    /// Tests only: a fault in the shard's own code.
    #[cfg(test)]
    Fault(Fault),
}

/// What a shard adopts.
#[derive(Debug)]
pub(crate) struct Adoption {
    /// The session, which lives in the shard from now on.
    pub session: Session,
    /// What admission knows of the participant.
    pub guest: Arc<Guest>,
    /// The participant's page, if it has connected.
    pub page: Option<PageLink>,
    /// The incarnation of the shard that the session is for. Another one refuses it: admission has given the
    /// participant up.
    pub to: u32,
    /// The incarnation of admission that sent it.
    pub by: u32,
}

/// A participant as admission knows it.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The participant's number.
    pub id: ParticipantId,
    /// The ICE user name of its session.
    pub ufrag: String,
    /// The name of its room.
    pub room: Arc<str>,
    /// The address or network that it joined from; `None` from within the process.
    pub address: Option<IpAddr>,
    /// Who it is, as far as that is known.
    pub principal: Option<Principal>,
    /// What it may do.
    pub role: Role,
    /// The secret name by which the session can be ended over HTTP.
    pub resource: String,
}

/// Tests only: what happens to an actor.
#[cfg(test)]
#[derive(Debug)]
pub(crate) enum Fault {
    /// Its code panics.
    Panic,
    /// Its thread hangs until the sender is dropped.
    Hang(std::sync::mpsc::Receiver<()>),
}

/// The WebSocket of a participant's page.
#[derive(Debug)]
pub(crate) struct PageLink {
    /// The actor that owns it.
    pub id: ActorId,
    /// Its recipient. When the last one is gone, the page is told that its session is lost.
    pub to: AnyRecipient<ToSocket>,
}

/// A message to the actor of a WebSocket.
#[derive(Debug)]
pub(crate) enum ToSocket {
    /// It is the connection of this participant.
    Attached(ParticipantId),
    /// The session is in this shard: what the page says goes there from now on.
    In(ShardId),
    /// JSON for the page.
    Text(Arc<str>),
    /// The session has ended for this reason, and the page need not come back by itself.
    Ended(&'static str),
}

/// Something from the WebSocket of a page.
#[derive(Debug)]
pub(crate) enum FromSocket {
    /// The page has connected, perhaps again.
    Attached(PageLink),
    /// JSON from the page.
    Text(String),
    /// The connection of this actor is gone.
    Detached(ActorId),
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

/// News of a room for a shard that has members of it.
#[derive(Debug, Clone)]
pub(crate) struct RoomUpdate {
    /// The room's name.
    pub room: Arc<str>,
    /// Who says so.
    pub from: RoomTag,
    /// The news.
    pub news: News,
}

/// A track and the shard of its publisher.
pub(crate) type Located = (TrackInfo, ShardId);

/// What a room tells a shard, which passes it on to its members.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// The room does not know who is there: announce it.
    Announce,
    /// All tracks of the room, and who was heard last, the latest first. Whatever was said before is void.
    Everything(Arc<[Located]>, Arc<[ParticipantId]>),
    /// A participant publishes a track; the given shard is that of the publisher.
    Added(TrackInfo, ShardId),
    /// A track has ended.
    Removed(TrackId),
    /// Who was heard last, the latest first.
    Heard(Arc<[ParticipantId]>),
    /// JSON for all pages.
    Tell(Arc<str>),
    /// JSON for the page of one participant.
    TellOne(ParticipantId, Arc<str>),
}

/// A message to a room.
#[derive(Debug)]
pub(crate) enum RoomMessage {
    /// From a shard with members of the room, to the incarnation that it has announced them to.
    Shard(ShardTag, RoomTag, Change),
    /// A shard was restarted: its members are gone.
    Restarted(ShardTag),
    /// To itself: some shards have not heard everything.
    CatchUp,
    /// To itself: shards have had their time to announce who is there.
    Recovered,
    /// Asks for the room's statistics.
    Observe(Reply<RoomStats>),
    /// Tests only: a fault in the room's code.
    #[cfg(test)]
    Fault,
}

/// What has changed among the members of a room that are in one shard.
#[derive(Debug)]
pub(crate) enum Change {
    /// These are all, with what they publish.
    Announce(Vec<Member>),
    /// A participant's session is in the shard.
    Joined(Member),
    /// A participant's page can be told the room's state from now on.
    Listens(ParticipantId),
    /// A participant publishes a track.
    Published(TrackInfo),
    /// A participant no longer publishes a track.
    Unpublished(ParticipantId, TrackId),
    /// A participant's session has ended.
    Left(ParticipantId),
    /// The smoothed audio level of a participant in dBov, -127 (silent) to 0.
    Level(ParticipantId, i8),
    /// A participant muted (`true`) or unmuted a device.
    Muted(ParticipantId, Source, bool),
    /// A participant sends a chat message, as typed.
    Chat(ParticipantId, String),
}

/// A member of a room, as its shard knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The participant, under the identity that admission gave it.
    pub id: ParticipantId,
    /// Who that is, in this session and others.
    pub person: PersonId,
    /// The participant's name, as others see it.
    pub name: Arc<str>,
    /// What the participant may do.
    pub role: Role,
    /// The tracks that it publishes.
    pub tracks: Vec<TrackInfo>,
    /// The devices that it has muted.
    pub muted: Vec<Source>,
}

/// A room, as shards reach it. It ends when the last recipient is gone.
#[derive(Debug)]
pub(crate) struct RoomLink {
    /// Its incarnation, as far as is known.
    pub tag: RoomTag,
    /// Its recipient.
    pub to: AnyRecipient<RoomMessage>,
}

/// Where rooms are found.
pub(crate) trait Rooms: Send + Sync {
    /// The room of this name, which is started if necessary; `None` while the server stops.
    fn open(&self, name: &Arc<str>) -> Option<RoomLink>;

    /// The room of this name, if it exists.
    fn find(&self, name: &Arc<str>) -> Option<RoomLink>;

    /// All rooms.
    fn all(&self) -> Vec<RoomLink>;
}

/// A message to admission.
#[derive(Debug)]
pub(crate) enum AdmissionMessage {
    /// Asks for a place in a room.
    Join(Box<Answered>, Reply<Result<Joined, JoinError>>),
    /// The first frame of a TCP connection has this ICE user name.
    Connect {
        /// The server's ICE user name in the frame.
        ufrag: String,
        /// The connection, with the frame that was read.
        connection: Box<Arrived>,
    },
    /// Whether there is a session of this resource.
    Find(String, Reply<bool>),
    /// The page of the session of this resource has connected. Returns who it is.
    Attach(String, PageLink, Reply<Option<ParticipantId>>),
    /// Changes an ICE session.
    Patch {
        /// The secret name that the answer to the join gave.
        resource: String,
        /// The room that the session has to be in; `None` is any.
        room: Option<String>,
        /// What is to change.
        patch: Box<Patch>,
        /// The outcome; `None` if there is no such session.
        reply: Reply<Option<Patched>>,
    },
    /// Ends a session by its resource.
    Leave {
        /// The secret name that the answer to the join gave.
        resource: String,
        /// The room that the session has to be in; `None` is any.
        room: Option<String>,
        /// Whether there was such a session.
        reply: Reply<bool>,
    },
    /// A session has ended in its shard.
    Ended {
        /// The shard.
        shard: ShardTag,
        /// The session's ICE user name.
        ufrag: String,
    },
    /// A shard was restarted.
    Restarted(ShardTag),
    /// These are in a shard. It says so when admission was restarted.
    Guests(ShardTag, Vec<Arc<Guest>>),
    /// Refuses every join from now on. The reply comes when the last participant has left.
    Drain(Reply<()>),
    /// To itself: time has passed.
    Tick,
    /// To itself: whether a shard has answered in time.
    Pinged(ShardId, bool),
    /// Which shards hang, by their numbers.
    Hung(Reply<Vec<bool>>),
    /// Tests only: a fault in its code.
    #[cfg(test)]
    Fault,
}

/// A shard received a STUN message with an ICE user name that it does not know. It comes on admission's low lane: in a
/// flood claims are lost, and joins are not. A real peer sends another.
#[derive(Debug)]
pub(crate) struct Claim {
    /// The server's ICE user name in the request.
    pub ufrag: String,
    /// The shard that received the request, and becomes the owner of the session.
    pub shard: ShardTag,
    /// The whole STUN message, to be handled by the session.
    pub request: Box<[u8]>,
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
