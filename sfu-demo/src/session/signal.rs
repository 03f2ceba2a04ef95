//! The JSON messages between the page and its session on the data channel.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use str0m::change::SdpPendingOffer;
use str0m::channel::ChannelId;

use super::event::Role;
use crate::ids::ParticipantId;
use crate::media::{Source, TrackInfo};

/// The data channel to the page, and the state of negotiation on it.
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

    /// Whether to handle a message: it is within the rate limit, or must always be handled.
    pub(super) fn admit(&mut self, now: Instant, message: &FromPage) -> bool {
        let expected = match message {
            FromPage::Answer { .. } => self.pending.is_some(),
            FromPage::Leave => true,
            _ => false,
        };
        expected || self.budget.spend(now)
    }
}

/// The rate limit of a page's messages, each of which is passed on to others or costs a negotiation.
#[derive(Debug)]
struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    /// Messages at once.
    const BURST: u32 = 40;
    /// Messages per second after that.
    const PER_SECOND: f64 = 10.0;

    fn new(now: Instant) -> Self {
        Self {
            left: f64::from(Self::BURST),
            at: now,
        }
    }

    /// Uses up one message. Returns `false` if none is left.
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

/// A message from the page.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum FromPage {
    /// The page offers a change of what it sends.
    Offer {
        /// The SDP offer.
        sdp: String,
        /// The devices of the new media sections.
        #[serde(default)]
        sources: Vec<SourceOf>,
    },
    /// The page answers an offer.
    Answer {
        /// The SDP answer.
        sdp: String,
    },
    /// The page limits the layer of a track.
    Layer {
        /// The track's identity, as the offer named it.
        track: String,
        /// 0 (small) to 2 (large); `None` is no limit.
        layer: Option<u8>,
    },
    /// The page muted or unmuted a device.
    Mute {
        /// The device: camera, microphone or screen.
        source: Source,
        /// Whether it is muted now.
        muted: bool,
    },
    /// The page sends a chat message to its room.
    Chat {
        /// The text, as the sender typed it.
        text: String,
    },
    /// The page leaves.
    Leave,
}

impl FromPage {
    /// Whether a participant of a role has the right to this message. Only who may publish may offer media, mute it, and
    /// chat; only who may subscribe may answer an offer and choose layers.
    pub(super) fn is_allowed(&self, role: Role) -> bool {
        match self {
            Self::Offer { .. } | Self::Mute { .. } | Self::Chat { .. } => role != Role::Subscribe,
            Self::Answer { .. } | Self::Layer { .. } => role != Role::Publish,
            Self::Leave => true,
        }
    }
}

/// The device of a media section.
#[derive(Debug, Clone, Deserialize)]
pub struct SourceOf {
    /// The section's mid.
    pub mid: String,
    /// The device that the section carries.
    pub source: Source,
}

/// A message to the page.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum ToPage<'a> {
    /// The session offers a change of what it sends.
    Offer {
        /// The SDP offer.
        sdp: String,
        /// The tracks of the media sections.
        tracks: Vec<Carried<'a>>,
    },
    /// The session answers an offer.
    Answer {
        /// The SDP answer.
        sdp: String,
    },
    /// Another layer of a track is forwarded.
    Layer {
        /// The track's identity, as the offer named it.
        track: String,
        /// 0 (small) to 2 (large).
        layer: u8,
    },
    /// The bandwidth to the page was estimated.
    Bandwidth {
        /// Bits per second.
        estimate: u64,
    },
}

/// A track in a media section.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Carried<'a> {
    /// The section's mid.
    pub mid: String,
    /// The track's identity.
    pub track: String,
    /// The track's publisher.
    pub participant: ParticipantId,
    /// The device.
    pub source: Source,
    /// The publisher's name.
    pub name: &'a str,
}

impl<'a> Carried<'a> {
    /// Describes that section `mid` carries `track`.
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
