//! What the page and its session say to each other over the data channel, as JSON.

use serde::{Deserialize, Serialize};

use super::{ParticipantId, TrackInfo};

/// From the page.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum FromPage {
    /// The page changed what it sends.
    Offer {
        /// The SDP.
        sdp: String,
        /// What each new media section is.
        #[serde(default)]
        sources: Vec<SourceOf>,
    },
    /// The page agrees to an offer.
    Answer {
        /// The SDP.
        sdp: String,
    },
    /// The page wants at most this layer of a track; none is as good as can be.
    Layer {
        /// Which track.
        track: String,
        /// 0 (small) to 2 (large).
        layer: Option<u8>,
    },
    /// A microphone or camera was switched.
    Mute {
        /// Of what.
        source: Source,
        /// Off or on.
        muted: bool,
    },
    /// A message to the room.
    Chat {
        /// What it says.
        text: String,
    },
    /// The page goes.
    Leave,
}

/// What a media section is.
#[derive(Debug, Clone, Deserialize)]
pub struct SourceOf {
    /// The section.
    pub mid: String,
    /// What it is.
    pub source: Source,
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

/// To the page.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ToPage<'a> {
    /// What the session sends has changed.
    Offer {
        /// The SDP.
        sdp: String,
        /// Which track each section carries.
        tracks: Vec<Carried<'a>>,
    },
    /// The session agrees to an offer.
    Answer {
        /// The SDP.
        sdp: String,
    },
    /// The layer of a track has changed.
    Layer {
        /// Which track.
        track: String,
        /// 0 (small) to 2 (large).
        layer: u8,
    },
    /// What the way to the page can carry, in bits a second.
    Bandwidth {
        /// The estimate.
        estimate: u64,
    },
}

/// A track in a media section.
#[derive(Debug, Clone, Serialize)]
pub struct Carried<'a> {
    /// The section.
    pub mid: String,
    /// The track.
    pub track: String,
    /// Whose.
    pub participant: ParticipantId,
    /// What it is.
    pub source: Source,
    /// The name of whose it is.
    pub name: &'a str,
}

impl<'a> Carried<'a> {
    /// Says that section `mid` carries `track`.
    #[must_use]
    pub fn new(mid: String, track: &'a TrackInfo) -> Self {
        Self {
            mid,
            track: track.id.to_string(),
            participant: track.participant,
            source: track.source,
            name: &track.name,
        }
    }
}
