//! Frames that go beside a connection by RTP: on sections, which the offer of a session has declared. A session is at the
//! one end of these channels, and the node at the other.
//!
//! Frames are dropped where there is no room for them; what the peer says about sections is not.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::counter::Counter;

/// Frames, and requests for key frames, that wait in each direction.
const FRAMES: usize = 32;
/// Messages about sections that wait in each direction.
const MESSAGES: usize = 64;

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// A frame of a track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaFrame {
    /// What it is.
    pub kind: MediaKind,
    /// How it is encoded: the name in the way of RTP payload formats, such as `VP8` or `opus`.
    pub codec: String,
    /// When it was captured, in units of the codec's clock.
    pub timestamp: u32,
    /// The encoded frame.
    pub data: Bytes,
}

impl MediaFrame {
    /// Whether it can be decoded without others, as far as its first bytes tell: of VP8, VP9 and H.264 (with start codes, as by
    /// RTP). Any frame of audio can; of other codecs it is not known.
    pub fn is_key_frame(&self) -> Option<bool> {
        let is = |name: &str| self.codec.eq_ignore_ascii_case(name);
        match self.kind {
            MediaKind::Audio => Some(true),
            MediaKind::Video if is("VP8") => {
                Some(self.data.first().is_some_and(|bits| bits & 1 == 0))
            }
            MediaKind::Video if is("VP9") => Some(self.data.first().copied().is_some_and(vp9_key)),
            MediaKind::Video if is("H264") => Some(h264_key(&self.data)),
            MediaKind::Video => None,
        }
    }
}

/// The uncompressed header begins with its marker, the two bits of the profile, in which 3 has one more bit, whether a frame is
/// shown again, and whether it is no key frame.
fn vp9_key(bits: u8) -> bool {
    let rest = match bits {
        _ if bits >> 6 != 2 => return false,
        0b1011_0000..=0b1011_1111 => bits << 1,
        _ => bits,
    };
    rest & 0b0000_1100 == 0
}

/// One of the units is a picture that refreshes the decoder.
fn h264_key(mut data: &[u8]) -> bool {
    while let Some(at) = data.windows(3).position(|start| start == [0, 0, 1]) {
        data = &data[at + 3..];
        if data.first().is_some_and(|head| head & 31 == 5) {
            return true;
        }
    }
    false
}

/// A section of an offer: the place of one track at a time.
pub(crate) struct Section {
    /// Its name in the offer.
    pub(crate) mid: String,
    pub(crate) kind: MediaKind,
    /// The peer sends on it, and else this end.
    pub(crate) is_inward: bool,
    /// The codecs that both ends know, as RTP names them.
    pub(crate) codecs: Vec<String>,
}

/// What comes on a section, which is known by its place among them.
pub(crate) enum Arrived {
    Frame(usize, MediaFrame),
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
    pub(crate) frames: mpsc::Sender<(usize, MediaFrame)>,
    pub(crate) counts: Arc<Counts>,
}

/// The session's end.
pub(crate) struct MediaEnd {
    pub(crate) arrived: mpsc::Sender<Arrived>,
    pub(crate) said: mpsc::Sender<Vec<u8>>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) frames: mpsc::Receiver<(usize, MediaFrame)>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_are_known_by_their_first_bytes() {
        let is_key = |kind, codec: &str, data: &[u8]| {
            let frame = MediaFrame {
                kind,
                codec: codec.into(),
                timestamp: 0,
                data: Bytes::copy_from_slice(data),
            };
            frame.is_key_frame()
        };
        for (codec, data, expected) in [
            ("VP8", &[0x50, 0x42][..], Some(true)),
            ("vp8", &[0x51, 0x42], Some(false)),
            ("VP8", &[], Some(false)),
            ("VP9", &[0x82, 0x49], Some(true)),
            ("VP9", &[0x86], Some(false)),
            ("VP9", &[0x88], Some(false)),
            ("VP9", &[0xb1, 0x24], Some(true)),
            ("VP9", &[0xb3], Some(false)),
            ("VP9", &[0x02], Some(false)),
            ("H264", &[0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 7], Some(true)),
            ("H264", &[0, 0, 0, 1, 0x41, 0x65], Some(false)),
            ("H264", &[0, 0, 1], Some(false)),
            ("depth", &[0], None),
        ] {
            assert_eq!(
                is_key(MediaKind::Video, codec, data),
                expected,
                "{codec} {data:?}"
            );
        }
        assert_eq!(is_key(MediaKind::Audio, "any", &[]), Some(true));
    }
}
