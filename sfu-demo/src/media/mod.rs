//! Tracks and their packets, as every part of the server sees them.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use str0m::media::Rid;

use crate::ids::{ParticipantId, TrackId};

pub mod codec;

use codec::Codec;

/// A simulcast layer, 0 (small) to 2 (large). A track without simulcast has only the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Layer(pub u8);

impl Layer {
    /// The largest layer.
    pub const HIGHEST: Self = Self(2);

    /// The layer of a stream with the RID `rid`: `q`, `h`, `f` or `0`, `1`, `2`.
    #[must_use]
    pub fn of(rid: Option<Rid>) -> Self {
        match rid.as_deref() {
            Some("q" | "l" | "lo" | "0") => Self(0),
            Some("h" | "m" | "mid" | "1") => Self(1),
            _ => Self::HIGHEST,
        }
    }
}

/// The device that a track comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A microphone.
    Microphone,
    /// A camera.
    Camera,
    /// A shared screen.
    Screen,
}

/// The description of a track that subscribers get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackInfo {
    /// Unique within the process.
    pub id: TrackId,
    /// The track's publisher.
    pub participant: ParticipantId,
    /// The publisher's name.
    pub name: Arc<str>,
    /// Whether it is video rather than audio.
    pub video: bool,
    /// The device that it comes from.
    pub source: Source,
}

/// An RTP packet on its way through the server, in the form that all subscribers share.
#[derive(Debug, Clone)]
pub struct MediaPacket {
    /// The track that it belongs to.
    pub track: TrackId,
    /// The simulcast layer that it belongs to.
    pub layer: Layer,
    /// The RTP source (SSRC). Sequence numbers of different sources are unrelated.
    pub ssrc: u32,
    /// The codec of the payload.
    pub codec: Codec,
    /// The RTP sequence number, extended to 64 bits.
    pub sequence: u64,
    /// The RTP timestamp.
    pub time: u32,
    /// The RTP marker bit.
    pub marker: bool,
    /// Whether a receiver can start decoding here.
    pub keyframe: bool,
    /// Audio: the level in dBov, 0 (loud) to -127.
    pub audio_level: Option<i8>,
    /// Audio: whether voice was detected.
    pub voice: Option<bool>,
    /// When it was received.
    pub arrived: Instant,
    /// The RTP payload, without header and extensions.
    pub payload: Arc<[u8]>,
}
