//! The role of a session, and what it reports.

use std::sync::Arc;

use crate::ids::{ShardId, TrackId};
use crate::media::{Layer, MediaPacket, Source, TrackInfo};
use crate::stats::DropReason;

/// What a participant may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The page: sends, receives, and has a data channel.
    Page,
    /// WHIP: only sends.
    Publish,
    /// WHEP: only receives.
    Subscribe,
}

/// The outcome of [`Session::receive`](super::Session::receive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It was passed to the stack, which may still discard it as not authentic.
    Accepted,
    /// It is not for this session.
    Rejected,
    /// Its source (SSRC) is one more than a peer may have at a time.
    TooManySources,
}

/// Something that a session reports.
#[derive(Debug)]
pub enum SessionEvent {
    /// ICE and DTLS are done.
    Connected,
    /// The peer sent a media packet.
    Media(MediaPacket),
    /// The peer publishes a track.
    Published(TrackInfo),
    /// The peer no longer publishes a track.
    Unpublished(TrackId),
    /// The peer can receive this track from now on. Its publisher is in the given shard.
    Subscribed(TrackId, ShardId),
    /// The peer no longer receives this track.
    Unsubscribed(TrackId),
    /// The peer needs a keyframe of a track that it receives.
    NeedKeyframe(TrackId, Layer),
    /// The peer was asked for a keyframe that it could not be asked for earlier.
    KeyframeRequested,
    /// The peer's smoothed audio level, in dBov.
    Level(i8),
    /// The page muted (`true`) or unmuted a device.
    Muted(Source, bool),
    /// A chat message for the room.
    Chat(String),
    /// A message of the page was not handled.
    MessageRefused,
    /// A packet for the peer was dropped.
    Dropped(DropReason),
    /// The page can be told the room's state from now on.
    ChannelOpen,
    /// JSON for the WebSocket of the page.
    Text(Arc<str>),
    /// The session has ended for this reason. Nothing follows.
    Closed(&'static str),
}
