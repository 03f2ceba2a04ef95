//! What goes through streams and tracks.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A chunk of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its number among those of its sender, from 0 on. In a reliable stream none is missing while it is open;
    /// otherwise, a gap is what was passed over, or lost.
    pub sequence: u64,
    /// The content.
    pub payload: Bytes,
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

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}
