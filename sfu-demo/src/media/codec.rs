//! Codecs: what payload types stand for, and which packets start a keyframe.
//!
//! Only payload descriptors are read; nothing is decoded.

use std::collections::HashMap;

/// A codec that is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Name {
    /// Opus audio.
    Opus,
    /// VP8 video.
    Vp8,
    /// H.264 video.
    H264,
    /// VP9 video.
    Vp9,
    /// AV1 video.
    Av1,
}

impl Name {
    /// All codecs, sound first.
    pub const ALL: [Self; 5] = [Self::Opus, Self::Vp8, Self::H264, Self::Vp9, Self::Av1];

    /// What people call it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Opus => "Opus",
            Self::Vp8 => "VP8",
            Self::H264 => "H.264",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
        }
    }

    /// Ticks of the RTP timestamp in a second.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            _ => 90_000,
        }
    }
}

/// A set of codecs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Codecs(u8);

impl Codecs {
    /// Whether a codec is in the set.
    #[must_use]
    pub fn contains(self, name: Name) -> bool {
        self.0 & 1 << name as u8 != 0
    }

    /// The codecs that are in both sets.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The codecs of the set.
    pub fn iter(self) -> impl Iterator<Item = Name> {
        Name::ALL
            .into_iter()
            .filter(move |name| self.contains(*name))
    }
}

impl FromIterator<Name> for Codecs {
    fn from_iter<I: IntoIterator<Item = Name>>(names: I) -> Self {
        Self(names.into_iter().fold(0, |set, name| set | 1 << name as u8))
    }
}

/// A codec with the parameters that sender and receiver must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codec {
    /// The codec.
    pub name: Name,
    /// H.264: packetization mode and profile; VP9 and AV1: profile; otherwise 0.
    pub profile: u32,
}

/// The payload types that were negotiated for each media section.
#[derive(Debug, Clone, Default)]
pub struct PayloadTypes {
    by_mid: HashMap<String, Vec<(u8, Codec)>>,
}

impl PayloadTypes {
    /// Reads the media sections of a negotiated SDP. What was known of those sections is replaced.
    pub fn learn(&mut self, sdp: &str) {
        let mut section = Section::default();
        for line in sdp.lines().chain(["m=end"]) {
            if line.starts_with("m=") {
                let done = std::mem::take(&mut section);
                if let Some((mid, codecs)) = done.finish() {
                    self.by_mid.insert(mid, codecs);
                }
            } else {
                section.line(line);
            }
        }
    }

    /// The mids of the known sections.
    pub fn mids(&self) -> impl Iterator<Item = &str> {
        self.by_mid.keys().map(String::as_str)
    }

    /// The codec that payload type `pt` stands for in section `mid`.
    #[must_use]
    pub fn codec(&self, mid: &str, pt: u8) -> Option<Codec> {
        let codecs = self.by_mid.get(mid)?;
        codecs
            .iter()
            .find(|entry| entry.0 == pt)
            .map(|entry| entry.1)
    }

    /// The codecs of section `mid`.
    #[must_use]
    pub fn codecs(&self, mid: &str) -> Codecs {
        let entries = self.by_mid.get(mid).map(Vec::as_slice);
        let entries = entries.unwrap_or_default().iter();
        entries.map(|(_, codec)| codec.name).collect()
    }

    /// The payload type that carries `codec` in section `mid`: one of the same profile, or else any of the same
    /// codec.
    #[must_use]
    pub fn payload_type(&self, mid: &str, codec: Codec) -> Option<u8> {
        let codecs = self.by_mid.get(mid)?;
        codecs
            .iter()
            .find(|entry| entry.1 == codec)
            .or_else(|| codecs.iter().find(|entry| entry.1.name == codec.name))
            .map(|entry| entry.0)
    }
}

#[derive(Default)]
struct Section<'a> {
    mid: Option<&'a str>,
    names: Vec<(u8, Name)>,
    parameters: Vec<(u8, &'a str)>,
}

impl<'a> Section<'a> {
    fn line(&mut self, line: &'a str) {
        if let Some(mid) = line.strip_prefix("a=mid:") {
            self.mid = Some(mid.trim());
        } else if let Some(map) = line.strip_prefix("a=rtpmap:") {
            let Some((pt, name)) = map.split_once(' ') else {
                return;
            };
            let name = name
                .split('/')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            let name = match name.as_str() {
                "opus" => Name::Opus,
                "vp8" => Name::Vp8,
                "h264" => Name::H264,
                "vp9" => Name::Vp9,
                "av1" => Name::Av1,
                _ => return,
            };
            if let Ok(pt) = pt.parse() {
                self.names.push((pt, name));
            }
        } else if let Some(fmtp) = line.strip_prefix("a=fmtp:") {
            let Some((pt, parameters)) = fmtp.split_once(' ') else {
                return;
            };
            if let Ok(pt) = pt.parse() {
                self.parameters.push((pt, parameters));
            }
        }
    }

    fn finish(self) -> Option<(String, Vec<(u8, Codec)>)> {
        let mid = self.mid?;
        let codecs = self
            .names
            .iter()
            .map(|&(pt, name)| {
                let parameters = self
                    .parameters
                    .iter()
                    .find(|entry| entry.0 == pt)
                    .map_or("", |entry| entry.1);
                (
                    pt,
                    Codec {
                        name,
                        profile: profile(name, parameters),
                    },
                )
            })
            .collect();
        Some((mid.to_owned(), codecs))
    }
}

fn profile(name: Name, parameters: &str) -> u32 {
    let value = |key: &str| {
        parameters.split(';').find_map(|pair| {
            let (found, value) = pair.trim().split_once('=')?;
            found.eq_ignore_ascii_case(key).then(|| value.trim())
        })
    };
    match name {
        Name::Opus | Name::Vp8 => 0,
        Name::Vp9 => value("profile-id")
            .and_then(|v| v.parse().ok())
            .unwrap_or(0),
        Name::Av1 => value("profile").and_then(|v| v.parse().ok()).unwrap_or(0),
        Name::H264 => {
            let mode: u32 = value("packetization-mode")
                .and_then(|v| v.parse().ok())
                .unwrap_or(0)
                & 3;
            let level = value("profile-level-id").unwrap_or("42e01f");
            let profile = level.get(..2).and_then(|v| u32::from_str_radix(v, 16).ok());
            mode << 8 | profile.unwrap_or(0x42)
        }
    }
}

/// Whether a receiver can start decoding with this payload. Audio always can. A packet that is only padding has an
/// empty payload.
#[must_use]
pub fn starts_keyframe(name: Name, payload: &[u8]) -> bool {
    match name {
        Name::Opus => true,
        Name::Vp8 => vp8(payload).unwrap_or(false),
        Name::H264 => h264(payload).unwrap_or(false),
        Name::Vp9 => vp9(payload).unwrap_or(false),
        // The N bit of the aggregation header marks the start of a coded video sequence.
        Name::Av1 => payload.len() > 1 && payload[0] & 0b1000_1000 == 0b0000_1000,
    }
}

/// RFC 7741: the first packet of the first partition of a frame whose P bit is 0.
fn vp8(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    if first & 0x10 == 0 || first & 0x07 != 0 {
        return Some(false);
    }
    let mut at = 1;
    if first & 0x80 != 0 {
        let extension = *payload.get(at)?;
        at += 1;
        if extension & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(extension & 0x40 != 0);
        at += usize::from(extension & 0x30 != 0);
    }
    Some(payload.get(at)? & 1 == 0)
}

/// The number of pixels of the picture, if `payload` starts a keyframe that says it: in VP8, RFC 6386, 9.1.
#[must_use]
pub fn pixels(name: Name, payload: &[u8]) -> Option<u32> {
    if name != Name::Vp8 || !vp8(payload)? {
        return None;
    }
    // The frame tag, the start code, and both sizes with two bits of scaling each.
    let start = payload
        .windows(3)
        .position(|code| code == [0x9d, 0x01, 0x2a])?;
    let size = |at: usize| {
        let bytes = payload.get(start + at..start + at + 2)?;
        Some(u32::from(u16::from_le_bytes([bytes[0], bytes[1]]) & 0x3fff))
    };
    Some(size(3)? * size(5)?)
}

/// RFC 6184: a packet with, or at the start of, a parameter set or an IDR slice.
fn h264(payload: &[u8]) -> Option<bool> {
    let starts = |unit: u8| matches!(unit & 0x1f, 5 | 7);
    match payload.first()? & 0x1f {
        24 => {
            let mut rest = &payload[1..];
            while rest.len() > 2 {
                let size = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
                if starts(rest[2]) {
                    return Some(true);
                }
                rest = rest.get(2 + size..)?;
            }
            Some(false)
        }
        28 => {
            let header = *payload.get(1)?;
            Some(header & 0x80 != 0 && starts(header))
        }
        _ => Some(starts(payload[0])),
    }
}

/// RFC 9628: the start of a frame that is not inter-predicted, in the lowest spatial layer.
fn vp9(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let (has_id, predicted, layers, begins) = (
        first & 0x80 != 0,
        first & 0x40 != 0,
        first & 0x20 != 0,
        first & 0x08 != 0,
    );
    if predicted || !begins {
        return Some(false);
    }
    let mut at = 1;
    if has_id {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    let spatial = if layers {
        payload.get(at)? >> 1 & 0x07
    } else {
        0
    };
    Some(spatial == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_types_are_kept_by_section() {
        let sdp = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n\
                   m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 98\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n\
                   a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\n\
                   a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
                   a=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=2\r\n";
        let mut types = PayloadTypes::default();
        types.learn(sdp);
        let vp8 = Codec {
            name: Name::Vp8,
            profile: 0,
        };
        let h264 = Codec {
            name: Name::H264,
            profile: 0x142,
        };
        assert_eq!(
            types.codec("0", 111),
            Some(Codec {
                name: Name::Opus,
                profile: 0
            })
        );
        assert_eq!(types.codec("1", 96), Some(vp8));
        assert_eq!(
            types.codec("1", 97),
            None,
            "retransmissions are not a codec"
        );
        assert_eq!(types.codec("1", 102), Some(h264));
        assert_eq!(types.payload_type("1", h264), Some(102));
        let other_mode = Codec {
            profile: 0x42,
            ..h264
        };
        assert_eq!(
            types.payload_type("1", other_mode),
            Some(102),
            "the name will do"
        );
        assert_eq!(types.payload_type("0", vp8), None);
        assert_eq!(types.payload_type("7", vp8), None);
        types.learn("m=video 9 X 100\r\na=mid:1\r\na=rtpmap:100 VP8/90000\r\n");
        assert_eq!(
            types.payload_type("1", vp8),
            Some(100),
            "a later agreement replaces"
        );
        assert!(
            types.codec("0", 111).is_some(),
            "and leaves other sections alone"
        );
    }

    #[test]
    fn keyframes_start_where_the_formats_say() {
        assert!(starts_keyframe(Name::Vp8, &[0x10, 0x00]));
        assert!(!starts_keyframe(Name::Vp8, &[0x10, 0x01]), "an interframe");
        assert!(!starts_keyframe(Name::Vp8, &[0x00, 0x00]), "not the start");
        assert!(
            !starts_keyframe(Name::Vp8, &[0x11, 0x00]),
            "another partition"
        );
        assert!(
            starts_keyframe(Name::Vp8, &[0x90, 0x80, 0x81, 0x02, 0x00]),
            "long picture id"
        );
        assert!(starts_keyframe(Name::H264, &[0x67, 1, 2]));
        assert!(starts_keyframe(
            Name::H264,
            &[0x78, 0, 1, 0x09, 0, 2, 0x67, 0]
        ));
        assert!(
            !starts_keyframe(Name::H264, &[0x78, 0, 9, 0x09]),
            "a size beyond the end"
        );
        assert!(starts_keyframe(Name::H264, &[0x7c, 0x85, 0]));
        assert!(
            !starts_keyframe(Name::H264, &[0x7c, 0x05, 0]),
            "a later fragment"
        );
        assert!(!starts_keyframe(Name::H264, &[0x41, 0]));
        assert!(starts_keyframe(Name::Vp9, &[0x08]));
        assert!(starts_keyframe(Name::Vp9, &[0xa8, 0x80, 0x01, 0x00]));
        assert!(
            !starts_keyframe(Name::Vp9, &[0xa8, 0x80, 0x01, 0x02]),
            "a higher layer"
        );
        assert!(!starts_keyframe(Name::Vp9, &[0x48]));
        assert!(starts_keyframe(Name::Av1, &[0x08, 0x0a]));
        assert!(!starts_keyframe(Name::Av1, &[0x00, 0x0a]));
    }

    #[test]
    fn no_payload_is_too_short_or_too_odd() {
        let names = [Name::Opus, Name::Vp8, Name::H264, Name::Vp9, Name::Av1];
        for name in names {
            let _ = starts_keyframe(name, &[]);
            for first in 0..=255u8 {
                for second in 0..=255u8 {
                    let _ = starts_keyframe(name, &[first]);
                    let _ = starts_keyframe(name, &[first, second]);
                    let _ = starts_keyframe(name, &[first, second, 0xff, 0xff]);
                }
            }
        }
    }
}
