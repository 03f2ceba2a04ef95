//! One track for one subscriber: the layer that is forwarded, with sequence numbers and timestamps that continue across
//! switches.
//!
//! It holds no packets.

use std::time::{Duration, Instant};

use str0m::media::Mid;
use str0m::rtp::Vp8Descriptor;

use super::congestion::Congestion;
use crate::media::codec::Name;
use crate::media::{Layer, MediaPacket};

/// How long a layer switch waits for a keyframe before it is requested again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A track that is forwarded to one subscriber.
#[derive(Debug)]
pub struct Downstream {
    /// The media section that carries it.
    pub mid: Mid,
    /// Whether it is video rather than audio.
    pub video: bool,
    /// The source (SSRC) that packets are sent from, once one was.
    pub(in crate::session) source: Option<u32>,
    pub(in crate::session) congestion: Congestion,
    /// Whether the estimate has room for the layer.
    pub(in crate::session) fits: bool,
    wanted: Option<Layer>,
    current: Option<Layer>,
    ssrc: u32,
    /// The source's sequence number at the last switch. Older packets are dropped: their numbers may have been sent.
    floor: u64,
    asked: Option<Instant>,
    sequence: Rewriter<u64>,
    time: Rewriter<u32>,
    picture: Rewriter<u16>,
    base_picture: Rewriter<u8>,
    /// When the last packet arrived, and was captured if that is known.
    last_sent: Option<(Instant, Option<Instant>)>,
    clock_rate: u32,
    /// Packets forwarded so far.
    pub packets: u64,
}

/// The numbers of a forwarded packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// The RTP sequence number, extended to 64 bits.
    pub sequence: u64,
    /// The RTP timestamp.
    pub time: u32,
    /// VP8: picture ID and TL0PICIDX, as far as the packet has them.
    pub vp8: Option<(Option<u16>, Option<u8>)>,
}

/// Adds an offset to numbers. A switch changes the offset, so that the next number continues the sequence.
#[derive(Debug, Clone, Copy, Default)]
struct Rewriter<N> {
    offset: N,
    highest: N,
}

macro_rules! rewriter {
    ($number:ty) => {
        impl Rewriter<$number> {
            fn switch(&mut self, first: $number, step: $number) {
                self.offset = self.highest.wrapping_add(step).wrapping_sub(first);
            }

            fn rewrite(&mut self, number: $number) -> $number {
                let number = number.wrapping_add(self.offset);
                if number.wrapping_sub(self.highest) < <$number>::MAX / 2 {
                    self.highest = number;
                }
                number
            }
        }
    };
}
rewriter!(u64);
rewriter!(u32);
rewriter!(u16);
rewriter!(u8);

impl Downstream {
    /// Waits for a keyframe of the layer that is chosen.
    #[must_use]
    pub fn new(mid: Mid, video: bool) -> Self {
        Self {
            mid,
            video,
            source: None,
            congestion: Congestion::default(),
            fits: true,
            wanted: None,
            current: None,
            ssrc: 0,
            floor: 0,
            asked: None,
            sequence: Rewriter::default(),
            time: Rewriter::default(),
            picture: Rewriter::default(),
            base_picture: Rewriter::default(),
            last_sent: None,
            clock_rate: if video { 90_000 } else { 48_000 },
            packets: 0,
        }
    }

    /// The same section for another track, which continues its numbers.
    #[must_use]
    pub(in crate::session) fn restarted(self) -> Self {
        Self {
            current: None,
            asked: None,
            wanted: None,
            congestion: Congestion::default(),
            fits: true,
            ..self
        }
    }

    /// The layer that is being forwarded.
    #[must_use]
    pub fn current(&self) -> Option<Layer> {
        self.current
    }

    /// The layer to forward from its next keyframe on.
    #[must_use]
    pub fn wanted(&self) -> Option<Layer> {
        self.wanted
    }

    /// The layer to ask for a keyframe of.
    #[must_use]
    pub(in crate::session) fn asks_for(&self) -> Layer {
        self.wanted.unwrap_or(Layer::ANY)
    }

    /// Chooses the layer to forward from its next keyframe on. Returns whether it is another than before.
    pub fn want(&mut self, layer: Layer) -> bool {
        if self.wanted == Some(layer) {
            return false;
        }
        self.wanted = Some(layer);
        self.asked = None;
        true
    }

    /// Whether a keyframe of the wanted layer has to be requested now. The caller must request it: the next request is
    /// due after half a second.
    pub fn needs_keyframe(&mut self, now: Instant) -> bool {
        if !self.video || self.current.is_some() && self.current == self.wanted {
            return false;
        }
        let due = self
            .asked
            .is_none_or(|asked| now.duration_since(asked) >= ASK_AGAIN);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// Goes on with the next keyframe only.
    pub(in crate::session) fn skip(&mut self) {
        (self.current, self.asked) = (None, None);
    }

    /// The numbers to forward a packet with; `None` if it is not forwarded.
    pub fn rewrite(&mut self, packet: &MediaPacket) -> Option<Rewritten> {
        if self.current == Some(packet.layer) && self.ssrc != packet.ssrc {
            // The sender has restarted with another source.
            self.current = None;
        }
        if self.current != Some(packet.layer) {
            let switches = if self.video {
                Some(packet.layer) == self.wanted && packet.keyframe
            } else {
                true
            };
            if !switches {
                return None;
            }
            self.switch(packet);
        }
        if packet.sequence < self.floor {
            return None;
        }
        let sequence = self.sequence.rewrite(packet.sequence);
        self.last_sent = Some((packet.arrived, packet.captured));
        self.packets += 1;
        Some(Rewritten {
            sequence,
            time: self.time.rewrite(packet.time),
            vp8: self.vp8(packet),
        })
    }

    fn switch(&mut self, packet: &MediaPacket) {
        self.current = Some(packet.layer);
        self.ssrc = packet.ssrc;
        self.floor = packet.sequence;
        let Some(last) = self.last_sent else {
            self.sequence.highest = first_sequence(packet.sequence);
            self.sequence.switch(packet.sequence, 0);
            self.time.highest = packet.time;
            if let Some((picture, base)) = vp8_numbers(packet) {
                self.picture.highest = picture.unwrap_or(0) << 1;
                self.base_picture.highest = base.unwrap_or(0);
            }
            return;
        };
        // The clocks of layers are unrelated, so the gap is measured in real time: at the publisher if it sends reports, so
        // that jitter does not move the picture against the sound.
        let gap = match (packet.captured, last.1) {
            (Some(captured), Some(last)) => captured.saturating_duration_since(last),
            _ => packet.arrived.saturating_duration_since(last.0),
        };
        let ticks = gap.as_micros() * u128::from(self.clock_rate) / 1_000_000;
        self.sequence.switch(packet.sequence, 1);
        self.time.switch(
            packet.time,
            u32::try_from(ticks).unwrap_or(u32::MAX / 4).max(1),
        );
        if let Some((picture, base)) = vp8_numbers(packet) {
            self.picture.switch(picture.unwrap_or(0) << 1, 2);
            self.base_picture.switch(base.unwrap_or(0), 1);
        }
    }

    fn vp8(&mut self, packet: &MediaPacket) -> Option<(Option<u16>, Option<u8>)> {
        let (picture, base) = vp8_numbers(packet)?;
        // A picture ID has 15 bits. Shifted up by one, it wraps together with the 16 bits that hold it.
        let picture = picture.map(|picture| self.picture.rewrite(picture << 1) >> 1);
        let base = base.map(|base| self.base_picture.rewrite(base));
        Some((picture, base))
    }
}

/// The first sequence number of a track: small, because a receiver may take a large one for a rollover.
fn first_sequence(sequence: u64) -> u64 {
    (sequence & 0x3fff) + 0x400
}

fn vp8_numbers(packet: &MediaPacket) -> Option<(Option<u16>, Option<u8>)> {
    if packet.codec.name != Name::Vp8 {
        return None;
    }
    let descriptor = Vp8Descriptor::parse(&packet.payload).ok()?;
    Some((descriptor.picture_id(), descriptor.tl0_pic_idx()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ids::TrackId;
    use crate::media::codec::Codec;

    fn packet(layer: u8, sequence: u64, time: u32, keyframe: bool, at: Instant) -> MediaPacket {
        MediaPacket {
            track: TrackId(1),
            layer: Layer(layer),
            measure: Default::default(),
            ssrc: u32::from(layer),
            codec: Codec {
                name: Name::H264,
                profile: 0x142,
            },
            sequence,
            time,
            marker: false,
            keyframe,
            audio_level: None,
            voice: None,
            orientation: None,
            possible: Default::default(),
            captured: None,
            arrived: at,
            payload: Arc::from([0u8; 4]),
        }
    }

    #[test]
    fn nothing_goes_out_before_a_keyframe() {
        let now = Instant::now();
        let mut down = Downstream::new("v".into(), true);
        down.want(Layer(2));
        assert!(down.needs_keyframe(now));
        assert!(!down.needs_keyframe(now), "it was asked for");
        assert!(down.needs_keyframe(now + ASK_AGAIN));
        assert_eq!(down.rewrite(&packet(2, 10, 100, false, now)), None);
        assert_eq!(
            down.rewrite(&packet(1, 10, 100, true, now)),
            None,
            "another layer"
        );
        assert!(down.rewrite(&packet(2, 11, 100, true, now)).is_some());
        assert!(down.rewrite(&packet(2, 12, 100, false, now)).is_some());
        assert!(!down.needs_keyframe(now + 4 * ASK_AGAIN));
    }

    #[test]
    fn layer_switch_leaves_no_gap_in_the_numbers() {
        let now = Instant::now();
        let mut down = Downstream::new("v".into(), true);
        down.want(Layer(0));
        let first = down
            .rewrite(&packet(0, 65_530, 4_000_000_000, true, now))
            .unwrap();
        let second = down
            .rewrite(&packet(0, 65_531, 4_000_003_000, false, now))
            .unwrap();
        assert!(first.sequence < 65_536);
        assert_eq!(second.sequence, first.sequence + 1);
        assert_eq!(second.time, first.time.wrapping_add(3000));

        assert!(down.want(Layer(2)));
        assert!(!down.want(Layer(2)));
        assert_eq!(down.rewrite(&packet(2, 7, 55, false, now)), None);
        let later = now + Duration::from_millis(100);
        let third = down.rewrite(&packet(2, 8, 55, true, later)).unwrap();
        assert_eq!(third.sequence, second.sequence + 1);
        assert_eq!(third.time, second.time.wrapping_add(9000));
        assert_eq!(
            down.rewrite(&packet(0, 65_532, 4_000_006_000, false, later)),
            None
        );
        let late = down.rewrite(&packet(2, 6, 50, false, later));
        assert_eq!(late, None, "older than the keyframe");
        let next = down.rewrite(&packet(2, 10, 3055, false, later)).unwrap();
        assert_eq!(next.sequence, third.sequence + 2);
        let late = down.rewrite(&packet(2, 9, 3055, false, later)).unwrap();
        assert_eq!(
            late.sequence,
            third.sequence + 1,
            "a late packet keeps its place"
        );
    }

    #[test]
    fn sender_that_begins_anew_leaves_no_gap_and_starts_with_a_keyframe() {
        let now = Instant::now();
        let mut down = Downstream::new("v".into(), true);
        down.want(Layer(2));
        let first = down.rewrite(&packet(2, 60_000, 9000, true, now)).unwrap();
        let of_another = |sequence, keyframe| {
            let mut packet = packet(2, sequence, 55, keyframe, now);
            packet.ssrc = 99;
            packet
        };
        assert!(!down.needs_keyframe(now));
        assert_eq!(down.rewrite(&of_another(7, false)), None);
        assert!(down.needs_keyframe(now), "it is asked for");
        let second = down.rewrite(&of_another(8, true)).unwrap();
        assert_eq!(second.sequence, first.sequence + 1);
        let third = down.rewrite(&of_another(9, false)).unwrap();
        assert_eq!(third.sequence, first.sequence + 2);
    }

    #[test]
    fn audio_starts_at_once() {
        let now = Instant::now();
        let mut down = Downstream::new("a".into(), false);
        let mut audio = packet(0, 90_000, 1, true, now);
        audio.codec = Codec {
            name: Name::Opus,
            profile: 0,
        };
        assert!(!down.needs_keyframe(now));
        assert_eq!(
            down.rewrite(&audio).unwrap().sequence,
            first_sequence(90_000)
        );
    }
}
