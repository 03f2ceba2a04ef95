//! Tracks and their packets, as every part of the server sees them.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use str0m::media::Rid;

use crate::ids::{ParticipantId, TrackId};

pub mod codec;

use codec::Codec;

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

/// Where a track comes from.
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
