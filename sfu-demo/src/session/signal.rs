//! What the page and its session say to each other over the data channel, as JSON.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use str0m::change::SdpPendingOffer;
use str0m::channel::ChannelId;

use crate::ids::ParticipantId;
use crate::media::{Source, TrackInfo};

/// The data channel to the page, and what is open on it.
#[derive(Debug)]
pub(super) struct Page {
    /// The channel, while the page has it open.
    pub(super) channel: Option<ChannelId>,
    /// The offer that the page has not answered yet.
    pub(super) pending: Option<SdpPendingOffer>,
    budget: Budget,
}

impl Page {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            channel: None,
            pending: None,
            budget: Budget::new(now),
        }
    }

    /// Whether a message is acted on: within the rate, or one that must never be refused.
    pub(super) fn admit(&mut self, now: Instant, message: &FromPage) -> bool {
        let expected = match message {
            FromPage::Answer { .. } => self.pending.is_some(),
            FromPage::Leave => true,
            _ => false,
        };
        expected || self.budget.spend(now)
    }
}

/// How often a page may ask for something: each request is told to others, or costs a negotiation.
#[derive(Debug)]
struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    /// Requests at once.
    const BURST: u32 = 40;
    /// Requests a second after that.
    const PER_SECOND: f64 = 10.0;

    fn new(now: Instant) -> Self {
        Self {
            left: f64::from(Self::BURST),
            at: now,
        }
    }

    /// Takes one request from the budget; `false` if it is used up.
    fn spend(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * Self::PER_SECOND).min(f64::from(Self::BURST));
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

/// From the page.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum FromPage {
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

/// To the page.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum ToPage<'a> {
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
pub(crate) struct Carried<'a> {
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
    pub(crate) fn new(mid: String, track: &'a TrackInfo) -> Self {
        Self {
            mid,
            track: track.id.to_string(),
            participant: track.participant,
            source: track.source,
            name: &track.name,
        }
    }
}
