//! Tracks and their packets, as every part of the server sees them.

use std::sync::Arc;
use std::time::Instant;

use crate::ids::{ParticipantId, PersonId, TrackId};
use serde::{Deserialize, Serialize};
use str0m::rtp::VideoOrientation;

pub mod codec;

use codec::{Codec, Codecs};

/// How many simulcast layers a track may have.
pub const MAX_LAYERS: usize = 8;

/// A simulcast layer of a track: its number, in the order in which their packets came first. Which is larger is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Layer(pub u8);

impl Layer {
    /// Whichever layer there is.
    pub const ANY: Self = Self(u8::MAX);
}

/// What is measured of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measure {
    /// Bits per second; 0 for audio.
    pub rate: u32,
    /// Width times height of the picture; 0 if it is not known.
    pub pixels: u32,
}

impl Measure {
    /// Whether a layer is smaller than another: by the size of the picture, or by the rate if that is not known.
    #[must_use]
    pub fn is_smaller_than(&self, other: &Self) -> bool {
        let by_size = self.pixels != 0 && other.pixels != 0 && self.pixels != other.pixels;
        if by_size {
            self.pixels < other.pixels
        } else {
            self.rate < other.rate
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
    /// Who that is, in this session and others.
    pub person: PersonId,
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
    /// What the layer measures.
    pub measure: Measure,
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
    /// Video: how the picture is rotated, if the packet says so.
    pub orientation: Option<VideoOrientation>,
    /// The codecs that the publisher could send the track with.
    pub possible: Codecs,
    /// When it was received.
    pub arrived: Instant,
    /// When it was captured, by the publisher's sender reports, once there was one.
    pub captured: Option<Instant>,
    /// The RTP payload, without header and extensions.
    pub payload: Arc<[u8]>,
}
