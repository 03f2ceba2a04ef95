//! The simulcast layers of a track as a viewer's session sees them, and the estimate of the way to the viewer.
//!
//! Layers are ordered by what is measured, never by their names: senders name them as they like. The choice for each
//! viewer is made in [`super::allocation`].

use std::time::{Duration, Instant};

use crate::media::{Layer, MAX_LAYERS, Measure, MediaPacket};

/// A layer whose packets usually come often has stopped after this time without one.
const STALL: Duration = Duration::from_millis(250);
/// A layer has stopped after this time without a packet in any case.
pub(in crate::session) const LAYER_ALIVE: Duration = Duration::from_secs(2);
/// How often layers are chosen anew, since their rates change.
const REVIEW: Duration = Duration::from_millis(500);
/// Bits per second reserved for everything except video.
const RESERVE: u64 = 50_000;

/// The layers of a track that packets come from.
#[derive(Debug, Clone, Default)]
pub(in crate::session) struct Layers {
    seen: [Option<Seen>; MAX_LAYERS],
    reviewed: Option<Instant>,
    /// Whether each layer was sent at the last review.
    alive: [bool; MAX_LAYERS],
    /// The layers as they were at the last review.
    ladder: Ladder,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    /// The smoothed time between packets that did not come together.
    gap: Duration,
    measure: Measure,
}

/// The layers that are being sent, small to large.
#[derive(Debug, Clone, Default)]
pub(in crate::session) struct Ladder {
    steps: [(Layer, u64); MAX_LAYERS],
    len: usize,
}

impl Seen {
    fn is_alive(&self, now: Instant) -> bool {
        let patience = STALL.max(self.gap * 3).min(LAYER_ALIVE);
        now.saturating_duration_since(self.at) < patience
    }
}

impl Layers {
    /// Records a packet. Returns whether the layer has to be chosen anew: the set of layers that are being sent has
    /// changed, or the last choice is old.
    pub(in crate::session) fn record(&mut self, packet: &MediaPacket) -> bool {
        let now = packet.arrived;
        let Some(seen) = self.seen.get_mut(usize::from(packet.layer.0)) else {
            return false;
        };
        let gap = match *seen {
            Some(before) => {
                let gap = now.saturating_duration_since(before.at);
                let together = gap < Duration::from_millis(2);
                if together {
                    before.gap
                } else {
                    (before.gap * 3 + gap) / 4
                }
            }
            None => Duration::ZERO,
        };
        *seen = Some(Seen {
            at: now,
            gap,
            measure: packet.measure,
        });
        let alive = self
            .seen
            .map(|seen| seen.is_some_and(|seen| seen.is_alive(now)));
        let old = |at| now.saturating_duration_since(at) >= REVIEW;
        let due = alive != self.alive || self.reviewed.is_none_or(old);
        if due {
            (self.alive, self.reviewed) = (alive, Some(now));
            self.ladder = self.sorted();
        }
        due
    }

    /// The layers that were being sent at the last review. If all had stopped, those that were sent last.
    pub(in crate::session) fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    fn sorted(&self) -> Ladder {
        let mut ladder = Ladder::default();
        let mut measured = [Measure::default(); MAX_LAYERS];
        let some_alive = self.alive.contains(&true);
        for (layer, seen) in (0..).zip(&self.seen) {
            let Some(seen) = seen else { continue };
            if some_alive && !self.alive[usize::from(layer)] {
                continue;
            }
            // A few elements: insertion keeps them sorted.
            let is_smaller = |other: &Measure| seen.measure.is_smaller_than(other);
            let at = measured[..ladder.len].iter().position(is_smaller);
            let at = at.unwrap_or(ladder.len);
            measured[at..=ladder.len].rotate_right(1);
            measured[at] = seen.measure;
            ladder.steps[at..=ladder.len].rotate_right(1);
            ladder.steps[at] = (Layer(layer), u64::from(seen.measure.rate));
            ladder.len += 1;
        }
        ladder
    }
}

impl Ladder {
    /// The layers and their bitrates in bits per second, small to large.
    pub(in crate::session) fn steps(&self) -> &[(Layer, u64)] {
        &self.steps[..self.len]
    }

    /// Without the layers above a limit: 0 leaves the smallest, 1 those up to the middle (of two: both), 2 all.
    #[must_use]
    pub(in crate::session) fn up_to(mut self, limit: Option<u8>) -> Self {
        if let Some(limit @ 0..2) = limit {
            let last = (usize::from(limit) * self.len.saturating_sub(1)).div_ceil(2);
            self.len = self.len.min(1 + last);
        }
        self
    }

    /// Where a layer stands: 0 (the smallest) to 2 (the largest, or the only one).
    pub(in crate::session) fn rank(&self, layer: Layer) -> u8 {
        let at = self.steps().iter().position(|step| step.0 == layer);
        match (at, self.len) {
            (Some(at), 2..) => (at * 2 / (self.len - 1)) as u8,
            _ => 2,
        }
    }

    /// The bitrate of a layer, in bits per second.
    pub(in crate::session) fn rate(&self, layer: Layer) -> Option<u64> {
        let step = self.steps().iter().find(|step| step.0 == layer);
        step.map(|step| step.1)
    }

    /// The bitrate of the largest layer, in bits per second.
    pub(in crate::session) fn most(&self) -> u64 {
        self.steps().last().map_or(0, |step| step.1)
    }
}

/// The estimated bandwidth to the peer.
#[derive(Debug, Default)]
pub(in crate::session) struct Estimate {
    bits_per_second: Option<u64>,
    /// The value that the page was told last.
    reported: u64,
}

impl Estimate {
    /// Records an estimate. Returns whether the page has to be told: the value differs by more than a tenth from the
    /// last that it was told.
    pub(in crate::session) fn record(&mut self, bits_per_second: u64) -> bool {
        self.bits_per_second = Some(bits_per_second);
        let changed = bits_per_second.abs_diff(self.reported) > self.reported / 10;
        if changed {
            self.reported = bits_per_second;
        }
        changed
    }

    #[cfg(test)]
    pub(in crate::session) fn get(&self) -> Option<u64> {
        self.bits_per_second
    }

    /// Bits per second for all videos. Without an estimate there is no limit.
    pub(in crate::session) fn for_videos(&self) -> u64 {
        let rate = self.bits_per_second;
        rate.map_or(u64::MAX, |rate| rate.saturating_sub(RESERVE))
    }
}
