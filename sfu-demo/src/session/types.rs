//! What is said of participants, tracks and packets, in a session and outside of it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use str0m::media::Rid;

use super::signal::Source;
use crate::media::codec::Codec;
use crate::shard::router::ShardId;

/// A participant of the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ParticipantId(pub u64);

/// A track of the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

impl TrackId {
    pub(super) fn new(participant: ParticipantId, index: u16) -> Self {
        Self(participant.0 << 16 | u64::from(index))
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl std::str::FromStr for TrackId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.strip_prefix('t').ok_or(())?;
        number.parse().map(Self).map_err(|_| ())
    }
}

/// A simulcast layer, 0 (small) to 2 (large); a track without layers has the largest alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Layer(pub u8);

impl Layer {
    /// The largest.
    pub const HIGHEST: Self = Self(2);

    /// The layer of a stream that is called `rid`: `q`, `h`, `f` or `0`, `1`, `2`.
    #[must_use]
    pub fn of(rid: Option<Rid>) -> Self {
        match rid.as_deref() {
            Some("q" | "l" | "lo" | "0") => Self(0),
            Some("h" | "m" | "mid" | "1") => Self(1),
            _ => Self::HIGHEST,
        }
    }
}

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

/// What others are told of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackInfo {
    /// Which.
    pub id: TrackId,
    /// Whose.
    pub participant: ParticipantId,
    /// The name of whose it is.
    pub name: Arc<str>,
    /// Whether it is video.
    pub video: bool,
    /// What it is.
    pub source: Source,
}

/// One RTP packet on its way through the server, as all subscribers share it.
#[derive(Debug, Clone)]
pub struct MediaPacket {
    /// Of which track.
    pub track: TrackId,
    /// Of which layer.
    pub layer: Layer,
    /// Of which source (SSRC): the numbers of another have nothing to do with it.
    pub ssrc: u32,
    /// What it is.
    pub codec: Codec,
    /// The sequence number, extended.
    pub sequence: u64,
    /// The RTP time.
    pub time: u32,
    /// The marker bit.
    pub marker: bool,
    /// Whether a receiver can start here.
    pub keyframe: bool,
    /// Audio: the level in dBov, 0 (loud) to -127.
    pub audio_level: Option<i8>,
    /// Audio: whether there is a voice.
    pub voice: Option<bool>,
    /// When it came in.
    pub arrived: Instant,
    /// The payload.
    pub payload: Arc<[u8]>,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was taken, if only to be thrown away for want of authenticity.
    Yes,
    /// It is not for the session.
    No,
    /// It is of one source more than a peer may have.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_tracks_makes_one_anothers() {
        let last = TrackId::new(ParticipantId(1), u16::MAX);
        assert!(last < TrackId::new(ParticipantId(2), 0));
        assert_eq!(last.to_string().parse(), Ok(last));
    }
}
