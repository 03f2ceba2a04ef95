//! Which layer of each video is sent to a viewer: the estimate is shared out, and a choice is not changed for a small gain.

use super::layers::Ladder;
use crate::media::Layer;

/// A layer that is sent already may exceed its share by this factor, in percent.
const STAY: u64 = 90;
/// A larger layer has to fit into its share with this factor, in percent.
const RISE: u64 = 115;

/// A video to be sent.
#[derive(Debug)]
pub(in crate::session) struct Demand {
    /// The layers to choose from.
    pub(in crate::session) ladder: Ladder,
    /// The layer that is sent or waited for.
    pub(in crate::session) wanted: Option<Layer>,
}

/// A choice for a [`Demand`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) struct Choice {
    pub(in crate::session) layer: Layer,
    /// Whether its share has room for the layer. The smallest is chosen even if not.
    pub(in crate::session) fits: bool,
}

/// Shares `budget` bits per second out among videos: all get the same, and what small ones leave goes to the others.
pub(in crate::session) fn share_out(demands: &[Demand], mut budget: u64) -> Vec<Option<Choice>> {
    let mut order: Vec<_> = (0..demands.len()).collect();
    order.sort_by_key(|at| demands[*at].ladder.most());
    let mut choices = vec![None; demands.len()];
    for (done, at) in order.into_iter().enumerate() {
        let share = budget / (demands.len() - done) as u64;
        let choice = demands[at].choose(share);
        let used = choice.and_then(|choice| demands[at].ladder.rate(choice.layer));
        budget = budget.saturating_sub(used.unwrap_or(0));
        choices[at] = choice;
    }
    choices
}

impl Demand {
    fn choose(&self, share: u64) -> Option<Choice> {
        let sent = self.wanted.and_then(|layer| self.ladder.rate(layer));
        let fits = |rate: u64| {
            let factor = match sent {
                Some(sent) if rate > sent => RISE,
                _ => STAY,
            };
            rate.saturating_mul(factor) / 100 <= share
        };
        let steps = self.ladder.steps();
        let fitting = steps.iter().rev().find(|step| fits(step.1));
        let (layer, rate) = *fitting.or_else(|| steps.first())?;
        // Among layers of about the same rate, the one that is sent stays.
        let stays = sent.is_some_and(|sent| rate > sent && rate * 100 < sent * RISE && fits(sent));
        Some(Choice {
            layer: self.wanted.filter(|_| stays).unwrap_or(layer),
            fits: fitting.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::media::Measure;
    use crate::session::subscriptions::layers::Layers;
    use crate::session::tests::{TRACKS, packet};

    const KBIT: u64 = 1000;

    fn ladder(rates: &[u32]) -> Ladder {
        let (now, mut layers) = (Instant::now(), Layers::default());
        for (layer, rate) in (0..).zip(rates) {
            let mut packet = packet(TRACKS[0], layer, now);
            packet.measure = Measure {
                rate: *rate * 1000,
                pixels: 0,
            };
            layers.record(&packet);
        }
        layers.ladder().clone()
    }

    fn demand(rates: &[u32], wanted: Option<u8>) -> Demand {
        Demand {
            ladder: ladder(rates),
            wanted: wanted.map(Layer),
        }
    }

    fn choose(demands: &[Demand], budget: u64) -> Vec<(u8, bool)> {
        let choices = share_out(demands, budget).into_iter();
        choices
            .map(|choice| choice.map(|it| (it.layer.0, it.fits)).unwrap())
            .collect()
    }

    #[test]
    fn layers_are_ordered_by_their_rates_whatever_their_numbers() {
        let unordered = [demand(&[1500, 150, 500], None)];
        assert_eq!(choose(&unordered, 2000 * KBIT), [(0, true)]);
        assert_eq!(choose(&unordered, 600 * KBIT), [(2, true)]);
        assert_eq!(choose(&unordered, 200 * KBIT), [(1, true)]);
        assert_eq!(choose(&unordered, 100 * KBIT), [(1, false)]);
        let ladder = ladder(&[1500, 150, 500]);
        assert_eq!([0, 1, 2].map(|layer| ladder.rank(Layer(layer))), [2, 0, 1]);
        let up_to = |limit| ladder.clone().up_to(limit).steps().len();
        assert_eq!([Some(0), Some(1), Some(2), None].map(up_to), [1, 2, 3, 3]);
    }

    #[test]
    fn what_small_videos_leave_goes_to_large_ones() {
        let videos = [demand(&[100], None), demand(&[150, 500, 1500], None)];
        assert_eq!(choose(&videos, 1700 * KBIT), [(0, true), (2, true)]);
        let equal = [
            demand(&[150, 500, 1500], None),
            demand(&[150, 500, 1500], None),
        ];
        assert_eq!(choose(&equal, 1100 * KBIT), [(1, true), (1, true)]);
        assert!(share_out(&[], 5).is_empty());
    }

    #[test]
    fn choice_does_not_go_to_and_fro_at_a_threshold() {
        let budget = |kbit: u64, wanted| {
            choose(&[demand(&[150, 500, 1500], Some(wanted))], kbit * KBIT)[0].0
        };
        assert_eq!([budget(1600, 1), budget(1800, 1)], [1, 2]);
        assert_eq!([budget(1400, 2), budget(1300, 2)], [2, 1]);
        // Layers of about the same rate.
        let same = [demand(&[500, 520], Some(0))];
        assert_eq!(choose(&same, 5000 * KBIT), [(0, true)]);
    }

    #[test]
    fn stopped_layer_is_left_within_a_third_of_a_second() {
        let (start, mut layers) = (Instant::now(), Layers::default());
        let send = |layers: &mut Layers, layer, at| {
            let mut packet = packet(TRACKS[0], layer, at);
            packet.measure.rate = 1000 * (u32::from(layer) + 1);
            layers.record(&packet)
        };
        let frame = Duration::from_millis(33);
        for count in 0..30 {
            for layer in 0..3 {
                send(&mut layers, layer, start + frame * count);
            }
        }
        assert_eq!(layers.ladder().steps().last().unwrap().0, Layer(2));
        let stopped = start + frame * 29;
        let mut at = stopped;
        while layers.ladder().steps().len() == 3 {
            at += frame;
            send(&mut layers, 0, at);
            send(&mut layers, 1, at);
        }
        assert!(
            at - stopped <= Duration::from_millis(300),
            "{:?}",
            at - stopped
        );
        assert_eq!(layers.ladder().steps().last().unwrap().0, Layer(1));
        // A slow layer is given more time: five frames a second.
        let mut slow = Layers::default();
        let frame = Duration::from_millis(200);
        for count in 0..20 {
            send(&mut slow, 0, start + frame * count);
            send(&mut slow, 1, start + frame * count);
        }
        send(&mut slow, 0, start + frame * 21);
        assert_eq!(slow.ladder().steps().len(), 2);
    }
}
