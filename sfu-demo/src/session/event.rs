//! What a session is told to be, and what it reports.

use crate::ids::{ShardId, TrackId};
use crate::media::{Layer, MediaPacket, Source, TrackInfo};

/// What a participant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The page: sends, receives, and speaks over a data channel.
    Page,
    /// WHIP: sends.
    Publish,
    /// WHEP: receives.
    Subscribe,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// The stack got it. Whether it was authentic is not known here.
    Accepted,
    /// It is not for this session.
    Rejected,
    /// Its source (SSRC) is one more than a peer may have at a time.
    TooManySources,
}

/// What a session has to say.
#[derive(Debug)]
pub enum SessionEvent {
    /// ICE and DTLS are done.
    Connected,
    /// The peer sent a packet.
    Media(MediaPacket),
    /// The peer sends a track.
    Published(TrackInfo),
    /// The peer no longer sends a track.
    Unpublished(TrackId),
    /// The peer is now sent this track, which this shard has.
    Subscribed(TrackId, ShardId),
    /// The peer is no longer sent this track.
    Unsubscribed(TrackId),
    /// A keyframe of another's track is needed.
    NeedKeyframe(TrackId, Layer),
    /// How loud the peer is.
    Level(i8),
    /// The peer switched something off or on.
    Muted(Source, bool),
    /// A message for the room.
    Chat(String),
    /// The page can be told things.
    ChannelOpen,
    /// It is over; nothing follows.
    Closed(&'static str),
}
