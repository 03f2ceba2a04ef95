//! Which simulcast layers a publisher sends, and which of them an estimate affords.
//!
//! The choice for each viewer is made in [`super::subscriptions`].

use std::time::{Duration, Instant};

use crate::media::Layer;

/// How long a layer counts as being sent after its last packet.
pub(super) const LAYER_ALIVE: Duration = Duration::from_secs(2);
/// The bitrate of each layer in bits per second, small to large.
pub(super) const LAYER_RATES: [u64; 3] = [150_000, 500_000, 1_500_000];
/// Bits per second reserved for everything except video.
const RESERVE: u64 = 50_000;

/// When the last packet of each layer of a track was received.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LayersSeen([Option<Instant>; 3]);

impl LayersSeen {
    /// Records a packet. Returns whether the set of layers that are being sent has changed.
    pub(super) fn record(&mut self, now: Instant, layer: Layer) -> bool {
        let alive = |at: Option<Instant>| {
            at.is_some_and(|at| now.saturating_duration_since(at) < LAYER_ALIVE)
        };
        let index = usize::from(layer.0.min(2));
        let mut changed = !alive(self.0[index]);
        self.0[index] = Some(now);
        for at in &mut self.0 {
            if at.is_some() && !alive(*at) {
                *at = None;
                changed = true;
            }
        }
        changed
    }

    /// The largest layer up to `most` that is being sent, or else the smallest above it; `None` if no packet of
    /// the track was received yet.
    pub(super) fn best_up_to(&self, most: Layer) -> Option<Layer> {
        let sent = |layer: &u8| self.0[usize::from(*layer)].is_some();
        let below = (0..=most.0).rev().find(sent);
        below.or_else(|| (most.0..3).find(sent)).map(Layer)
    }
}

/// The estimated bandwidth to the peer.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    bits_per_second: Option<u64>,
    /// The value that the page was told last.
    reported: u64,
}

impl Estimate {
    /// Records an estimate. Returns whether the page has to be told: the value differs by more than a tenth from the
    /// last that it was told.
    pub(super) fn record(&mut self, bits_per_second: u64) -> bool {
        self.bits_per_second = Some(bits_per_second);
        let changed = bits_per_second.abs_diff(self.reported) > self.reported / 10;
        if changed {
            self.reported = bits_per_second;
        }
        changed
    }

    #[cfg(test)]
    pub(super) fn get(&self) -> Option<u64> {
        self.bits_per_second
    }

    /// Bits per second for each of `videos` if all get the same share. Without an estimate there is no limit.
    pub(super) fn share(&self, videos: u64) -> u64 {
        self.bits_per_second.map_or(u64::MAX, |rate| {
            rate.saturating_sub(RESERVE) / videos.max(1)
        })
    }
}

/// The largest layer that fits into `share` bits per second. A layer may exceed its share by a quarter.
pub(super) fn affordable(share: u64) -> Layer {
    let fits = |layer: &u8| share >= LAYER_RATES[usize::from(*layer)] * 4 / 5;
    Layer((1..3).rev().find(fits).unwrap_or(0))
}
