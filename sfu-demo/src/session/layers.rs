//! Which layer of a simulcast a peer gets.

use std::time::{Duration, Instant};

use super::{Session, SessionEvent};
use crate::media::{Layer, MediaPacket, codec};

/// How long a layer counts as being sent after its last packet.
pub(super) const LAYER_ALIVE: Duration = Duration::from_secs(2);
/// What a layer takes, in bits a second, small to large.
pub(super) const LAYER_RATES: [u64; 3] = [150_000, 500_000, 1_500_000];

impl Session {
    pub(super) fn note_layer(&mut self, packet: &MediaPacket) {
        if packet.codec.name == codec::Name::Opus {
            return;
        }
        let index = usize::from(packet.layer.0.min(2));
        let now = packet.arrived;
        match self
            .layers_seen
            .iter_mut()
            .find(|seen| seen.0 == packet.track)
        {
            Some((_, seen)) => {
                let alive = |at: Option<Instant>| {
                    at.is_some_and(|at| now.saturating_duration_since(at) < LAYER_ALIVE)
                };
                let mut changed = !alive(seen[index]);
                seen[index] = Some(now);
                for at in seen.iter_mut() {
                    if at.is_some() && !alive(*at) {
                        *at = None;
                        changed = true;
                    }
                }
                if changed {
                    self.choose_layers(now);
                }
            }
            None => {
                let mut seen = [None; 3];
                seen[index] = Some(now);
                self.layers_seen.push((packet.track, seen));
                self.choose_layers(now);
            }
        }
    }

    /// Chooses each video's layer: as large as the way to the peer carries when all are treated
    /// alike, not above what the page asked for, and among those that are being sent.
    pub(super) fn choose_layers(&mut self, now: Instant) {
        let videos = self
            .downstreams
            .iter()
            .filter(|down| down.video)
            .count()
            .max(1) as u64;
        let share = self
            .estimate
            .map_or(u64::MAX, |rate| rate.saturating_sub(50_000) / videos);
        let affordable = if share >= LAYER_RATES[2] * 4 / 5 {
            Layer(2)
        } else if share >= LAYER_RATES[1] * 4 / 5 {
            Layer(1)
        } else {
            Layer(0)
        };
        for down in self.downstreams.iter_mut().filter(|down| down.video) {
            let Some((_, seen)) = self.layers_seen.iter().find(|seen| seen.0 == down.track) else {
                continue;
            };
            let cap = self.layer_caps.iter().find(|cap| cap.0 == down.track);
            let most = cap.map_or(affordable, |cap| cap.1.min(affordable));
            let sent = |layer: &u8| seen[usize::from(*layer)].is_some();
            let layer = (0..=most.0)
                .rev()
                .find(sent)
                .or_else(|| (most.0..3).find(sent));
            let Some(layer) = layer.map(Layer) else {
                continue;
            };
            let changed = down.want(layer);
            if changed {
                let (participant, track) = (self.id.0, down.track.0);
                tracing::debug!(participant, track, layer = layer.0, share, "layer chosen");
            }
            if changed && down.needs_keyframe(now) {
                self.events
                    .push(SessionEvent::NeedKeyframe(down.track, layer));
            }
        }
    }
}
