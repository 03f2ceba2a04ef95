//! Which layer of a simulcast a subscriber gets: what the estimate allows, what the page asked for, and what is
//! being sent.
//!
//! It decides; [`super::subscriptions`] keeps the state and carries the decision out.

use std::time::{Duration, Instant};

use crate::media::Layer;

/// How long a layer counts as being sent after its last packet.
pub(super) const LAYER_ALIVE: Duration = Duration::from_secs(2);
/// Bits a second that each layer takes, small to large.
pub(super) const LAYER_RATES: [u64; 3] = [150_000, 500_000, 1_500_000];
/// Bits a second that are kept for everything but video.
const RESERVE: u64 = 50_000;

/// When the last packet of each layer of one track came.
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
    /// the track has come yet.
    pub(super) fn best_up_to(&self, most: Layer) -> Option<Layer> {
        let sent = |layer: &u8| self.0[usize::from(*layer)].is_some();
        let below = (0..=most.0).rev().find(sent);
        below.or_else(|| (most.0..3).find(sent)).map(Layer)
    }
}

/// What the network to the peer carries, as far as it has been estimated.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    bits_per_second: Option<u64>,
    /// What the page was told last.
    reported: u64,
}

impl Estimate {
    /// Records an estimate. Returns whether it differs by more than a tenth from what the page was told, which
    /// it is told then.
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

    /// Bits a second for each of `videos` when all get the same share; without an estimate there is no limit.
    pub(super) fn share(&self, videos: u64) -> u64 {
        self.bits_per_second.map_or(u64::MAX, |rate| {
            rate.saturating_sub(RESERVE) / videos.max(1)
        })
    }
}

/// The largest layer that `share` bits a second carry. A layer may take a quarter more than its share.
pub(super) fn affordable(share: u64) -> Layer {
    let fits = |layer: &u8| share >= LAYER_RATES[usize::from(*layer)] * 4 / 5;
    Layer((1..3).rev().find(fits).unwrap_or(0))
}
