//! The JSON messages between the page and its session on the data channel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use str0m::change::SdpPendingOffer;
use str0m::channel::ChannelId;

use super::event::Role;
use crate::ids::{ParticipantId, PersonId};
use crate::media::{Source, TrackInfo};

/// How long a page may take to answer an offer.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest queue of texts for a page, in bytes.
const MAX_QUEUED: usize = 1 << 20;
/// The longest chat message, in bytes.
const MAX_CHAT: usize = 2000;
/// Why a message is not handled.
const TOO_MANY: &str = "too many messages within a short time";

/// The data channel to the page, and the state of negotiation on it.
#[derive(Debug)]
pub(super) struct Page {
    /// The channel, while the page has it open.
    pub(super) channel: Option<ChannelId>,
    /// Whether the page is connected by WebSocket. Then the channel is not used.
    socket: bool,
    /// The offer that the page has not answered yet.
    pub(super) pending: Option<SdpPendingOffer>,
    /// When the last offer was made, and its text. It is made again word for word: the page may have applied it, and its
    /// answer may be lost.
    offered_at: Instant,
    offer: Arc<str>,
    /// Texts that the channel had no room for yet, in order.
    queue: VecDeque<Arc<str>>,
    /// The bytes in `queue`.
    queued: usize,
    budget: Budget,
    chats: Budget,
}

impl Page {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            channel: None,
            socket: false,
            pending: None,
            offered_at: now,
            offer: Arc::from(""),
            queue: VecDeque::new(),
            queued: 0,
            budget: Budget::new(now, 40.0, 10.0),
            chats: Budget::new(now, 20.0, 2.0),
        }
    }

    /// Whether the page can be told something.
    pub(super) fn listens(&self) -> bool {
        self.socket || self.channel.is_some()
    }

    /// Whether the page is told by WebSocket.
    pub(super) fn by_socket(&self) -> bool {
        self.socket
    }

    /// The page has connected by WebSocket. What was said before may be lost.
    pub(super) fn attach(&mut self) {
        self.socket = true;
        self.queue.clear();
        self.queued = 0;
    }

    /// The WebSocket of the page is gone.
    pub(super) fn detach(&mut self) {
        self.socket = false;
    }

    /// Makes an offer.
    pub(super) fn offer(&mut self, now: Instant, pending: SdpPendingOffer, sdp: String) {
        self.offer = to_text(&ToPage::Offer { sdp });
        (self.pending, self.offered_at) = (Some(pending), now);
        self.queue(Arc::clone(&self.offer));
    }

    /// Makes the last offer again, if it has no answer.
    pub(super) fn offer_again(&mut self) {
        if self.pending.is_some() {
            self.queue(Arc::clone(&self.offer));
        }
    }

    /// Makes the last offer again, if the page has not answered it in time. Returns whether that is so.
    pub(super) fn offer_again_if_late(&mut self, now: Instant) -> bool {
        let is_late = self.late_at().is_some_and(|at| at <= now);
        if is_late {
            self.offered_at = now;
            self.offer_again();
        }
        is_late
    }

    /// When an answer that is waited for will be late.
    pub(super) fn late_at(&self) -> Option<Instant> {
        self.pending.as_ref().map(|_| self.offered_at + ANSWER)
    }

    /// Adds a text to those that wait for the channel. Returns whether there is room.
    pub(super) fn queue(&mut self, text: impl Into<Arc<str>>) -> bool {
        let text = text.into();
        let room = self.queued + text.len() <= MAX_QUEUED;
        if room {
            self.queued += text.len();
            self.queue.push_back(text);
        }
        room
    }

    /// Adds a message like [`Page::queue`].
    pub(super) fn say(&mut self, message: &ToPage<'_>) -> bool {
        self.queue(to_text(message))
    }

    /// Passes texts to `write` until it has no room.
    pub(super) fn flush(&mut self, mut write: impl FnMut(&Arc<str>) -> bool) {
        while self.queue.front().is_some_and(&mut write) {
            self.queued -= self.queue.pop_front().map_or(0, |text| text.len());
        }
    }

    /// Whether to handle a message of a participant of this role: it has the right to it, and the message is within the limits,
    /// or must always be handled.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        role: Role,
        message: &FromPage,
    ) -> Result<(), &'static str> {
        let expected = match message {
            FromPage::Answer { .. } => self.pending.is_some(),
            FromPage::Leave => true,
            _ => false,
        };
        if !expected && !self.spend(now) {
            return Err(TOO_MANY);
        }
        if !message.is_allowed(role) {
            return Err("no right to it");
        }
        let FromPage::Chat { text } = message else {
            return Ok(());
        };
        match text.trim() {
            "" => Err("empty"),
            _ if text.len() > MAX_CHAT => Err("too long"),
            _ if !self.chats.spend(now) => Err(TOO_MANY),
            _ => Ok(()),
        }
    }

    /// Uses up one of the messages that a page may send in a time. Returns `false` if none is left.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        self.budget.spend(now)
    }
}

fn to_text(message: &ToPage<'_>) -> Arc<str> {
    serde_json::to_string(message).expect("plain data").into()
}

/// The rate limit of a page's messages, each of which is passed on to others or costs a negotiation.
#[derive(Debug)]
struct Budget {
    /// Messages at once.
    burst: f64,
    /// Messages per second after that.
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Budget {
    fn new(now: Instant, burst: f64, per_second: f64) -> Self {
        Self {
            burst,
            per_second,
            left: burst,
            at: now,
        }
    }

    /// Uses up one message. Returns `false` if none is left.
    fn spend(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * self.per_second).min(self.burst);
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
        /// The track's identity, as `tracks` named it.
        track: String,
        /// 0 (small) to 2 (large); `None` is no limit.
        layer: Option<u8>,
    },
    /// The page wants these tracks and people, and no others, in any case.
    Pin {
        /// The identities of the tracks.
        #[serde(default)]
        tracks: Vec<String>,
        /// People, whether they have a track now or will have one, in this session of theirs or a later one.
        #[serde(default)]
        people: Vec<PictureOf>,
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

/// What a person shows.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct PictureOf {
    /// The person, as `tracks` and `roster` named it.
    pub person: PersonId,
    /// The device: camera or screen.
    pub source: Source,
}

impl FromPage {
    /// Whether a participant of a role has the right to this message. Only who may publish may offer media, mute it, and
    /// chat; only who may subscribe may answer an offer and choose layers.
    pub(super) fn is_allowed(&self, role: Role) -> bool {
        match self {
            Self::Offer { .. } | Self::Mute { .. } | Self::Chat { .. } => role != Role::Subscribe,
            Self::Answer { .. } | Self::Layer { .. } | Self::Pin { .. } => role != Role::Publish,
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
    /// The session offers more sections.
    Offer {
        /// The SDP offer.
        sdp: String,
    },
    /// The page's last offer changes nothing.
    Refused {
        /// Why.
        error: &'a str,
    },
    /// A chat message was not passed on.
    Unsaid {
        /// The message.
        text: &'a str,
        /// Why.
        error: &'a str,
    },
    /// What the media sections carry from now on. A section that is not named carries nothing.
    Tracks {
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
        /// The track's identity, as `tracks` named it.
        track: String,
        /// 0 (small) to 2 (large).
        layer: u8,
    },
    /// A video does not fit into the estimated bandwidth, or goes on.
    Paused {
        /// The track's identity, as `tracks` named it.
        track: String,
        /// Whether it is paused now.
        paused: bool,
    },
    /// A track is sent with a codec that the page lacks, or no longer is.
    Codec {
        /// The track's identity, as `tracks` named it.
        track: String,
        /// The codec that the page lacks.
        missing: Option<&'static str>,
        /// Codecs that both the page and the publisher have.
        instead: Vec<&'static str>,
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
    /// Who that is, in this session and others.
    pub person: PersonId,
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
            person: track.person,
            source: track.source,
            name: &track.name,
        }
    }
}
