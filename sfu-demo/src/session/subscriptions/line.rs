//! Packets of a video that wait for their turn, before they get numbers: what waits too long can be dropped without a gap, and without
//! telling the stack, which gives back nothing that it was given.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::media::{Layer, MediaPacket};

/// A picture: the packets of a layer that have one timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) struct Picture {
    layer: Layer,
    time: u32,
}

impl Picture {
    /// The picture that a packet belongs to.
    pub(in crate::session) fn of(packet: &MediaPacket) -> Self {
        let MediaPacket { layer, time, .. } = *packet;
        Self { layer, time }
    }

    pub(in crate::session) fn has(self, packet: &MediaPacket) -> bool {
        self == Self::of(packet)
    }
}

/// The packets that wait, in order.
#[derive(Debug, Default)]
pub(in crate::session) struct Line {
    packets: VecDeque<(Instant, MediaPacket)>,
    bytes: usize,
}

impl Line {
    pub(in crate::session) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Since when the first has waited.
    pub(in crate::session) fn since(&self) -> Option<Instant> {
        self.packets.front().map(|(at, _)| *at)
    }

    pub(in crate::session) fn push(&mut self, now: Instant, packet: MediaPacket) {
        self.bytes += packet.payload.len();
        self.packets.push_back((now, packet));
    }

    pub(in crate::session) fn pop(&mut self) -> Option<MediaPacket> {
        let (_, packet) = self.packets.pop_front()?;
        self.bytes -= packet.payload.len();
        Some(packet)
    }

    /// How long the next packet will wait, if what is before the line takes `before`: as long as the oldest has waited, or as the bytes
    /// take at `rate` bits per second, whichever is longer.
    pub(in crate::session) fn wait(&self, now: Instant, before: Duration, rate: u64) -> Duration {
        let micros = self.bytes as u64 * 8_000_000 / rate.max(1);
        let age = self
            .packets
            .front()
            .map(|(at, _)| now.saturating_duration_since(*at));
        age.unwrap_or_default()
            .max(before + Duration::from_micros(micros))
    }

    /// Drops all packets but those of one picture. Returns how many of a layer are dropped.
    pub(in crate::session) fn keep(
        &mut self,
        picture: Option<Picture>,
        layer: Option<Layer>,
    ) -> usize {
        let mut dropped = 0;
        let bytes = &mut self.bytes;
        self.packets.retain(|(_, packet)| {
            let is_kept = picture.is_some_and(|picture| picture.has(packet));
            if !is_kept {
                *bytes -= packet.payload.len();
                dropped += usize::from(Some(packet.layer) == layer);
            }
            is_kept
        });
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::{TRACKS, packet};

    #[test]
    fn wait_is_that_of_the_oldest_packet_or_of_the_bytes() {
        let (start, mut line) = (Instant::now(), Line::default());
        let at = |millis| start + Duration::from_millis(millis);
        let before = Duration::from_millis(10);
        assert_eq!(line.wait(at(0), before, 8000), before);
        let mut packet = packet(TRACKS[0], 1, start);
        packet.payload = vec![0; 100].into();
        line.push(at(0), packet.clone());
        line.push(at(50), packet);
        assert_eq!(line.wait(at(50), before, 8000), Duration::from_millis(210));
        assert_eq!(
            line.wait(at(90), before, u64::MAX),
            Duration::from_millis(90)
        );
        assert!(line.pop().is_some());
        assert_eq!(line.wait(at(90), before, 8000), Duration::from_millis(110));
        assert_eq!(line.keep(None, Some(Layer(0))), 0);
        assert!(line.is_empty() && line.pop().is_none());
        assert_eq!(line.wait(at(90), before, 8000), before);
    }

    #[test]
    fn one_picture_is_kept() {
        let (now, mut line) = (Instant::now(), Line::default());
        let mut first = packet(TRACKS[0], 1, now);
        first.payload = vec![0; 100].into();
        let mut next = first.clone();
        next.time += 3000;
        for packet in [&first, &first, &next, &next, &next] {
            line.push(now, packet.clone());
        }
        assert_eq!(line.keep(Some(Picture::of(&first)), Some(Layer(1))), 3);
        assert_eq!(line.wait(now, Duration::ZERO, 1600), Duration::from_secs(1));
        assert_eq!(line.pop().map(|packet| packet.time), Some(first.time));
        assert_eq!(line.keep(None, Some(Layer(1))), 1);
        assert!(line.is_empty());
    }
}
