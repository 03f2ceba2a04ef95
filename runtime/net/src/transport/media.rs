//! Frames that go beside a connection by RTP: on sections, which the offer of a session has declared. A session is at the
//! one end of these channels, and the node at the other.
//!
//! Frames are dropped where there is no room for them; what the peer says about sections is not.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Frames, and requests for key frames, that wait in each direction.
const FRAMES: usize = 32;
/// Messages about sections that wait in each direction.
const MESSAGES: usize = 64;

/// What a section carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Audio,
    Video,
}

/// A section of an offer: the place of one track at a time.
pub(crate) struct Section {
    /// Its name in the offer.
    pub(crate) mid: String,
    pub(crate) kind: Kind,
    /// The peer sends on it, and else this end.
    pub(crate) is_inward: bool,
    /// The codecs that both ends know, as RTP names them.
    pub(crate) codecs: Vec<String>,
}

/// A whole frame.
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) codec: String,
    pub(crate) timestamp: u32,
    pub(crate) data: Bytes,
}

/// What comes on a section, which is known by its place among them.
pub(crate) enum Arrived {
    Frame(usize, Frame),
    /// The peer cannot show what follows without a key frame.
    KeyFrameWanted(usize),
}

/// What the node wants of a session.
#[derive(PartialEq, Eq)]
pub(crate) enum Order {
    /// A message to the peer.
    Say(Vec<u8>),
    /// There is a track on a section.
    Open(usize),
    Close(usize),
    /// A frame had no room: what needs it is worth nothing.
    Missed(usize),
    /// A key frame is wanted.
    WantKey(usize),
}

/// The node's end.
pub(crate) struct Media {
    pub(crate) sections: Vec<Section>,
    pub(crate) arrived: mpsc::Receiver<Arrived>,
    /// What the peer says of sections.
    pub(crate) said: mpsc::Receiver<Vec<u8>>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) frames: mpsc::Sender<(usize, Frame)>,
    pub(crate) counts: Arc<Counts>,
}

/// The session's end.
pub(crate) struct MediaEnd {
    pub(crate) arrived: mpsc::Sender<Arrived>,
    pub(crate) said: mpsc::Sender<Vec<u8>>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) frames: mpsc::Receiver<(usize, Frame)>,
    pub(crate) counts: Arc<Counts>,
}

impl Media {
    pub(crate) fn pair(sections: Vec<Section>) -> (Self, MediaEnd) {
        let (arriving, arrived) = mpsc::channel(FRAMES);
        let (sending, frames) = mpsc::channel(FRAMES);
        let (saying, said) = mpsc::channel(MESSAGES);
        let (ordering, orders) = mpsc::channel(MESSAGES);
        let counts = Arc::<Counts>::default();
        let near = Self {
            sections,
            arrived,
            said,
            orders: ordering,
            frames: sending,
            counts: counts.clone(),
        };
        let far = MediaEnd {
            arrived: arriving,
            said: saying,
            orders,
            frames,
            counts,
        };
        (near, far)
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media").finish_non_exhaustive()
    }
}

/// Counts of a link.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: Counter,
    pub(crate) passed_over: Counter,
    pub(crate) arrived: Counter,
    pub(crate) interrupted: Counter,
    pub(crate) useless: Counter,
    pub(crate) refused: Counter,
    pub(crate) key_frames_wanted: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        // ORDERING: Relaxed: a statistic.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        // ORDERING: Relaxed: a statistic.
        self.0.load(Ordering::Relaxed)
    }
}
