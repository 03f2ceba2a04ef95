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

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
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
