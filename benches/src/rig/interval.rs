//! Medians with confidence intervals.
//!
//! The interval is that of the sign test: its ends are two of the sorted values, so that it assumes
//! nothing about the noise, and one run during which the machine was busy does not move it. It does
//! not say how far the figure would differ on another machine.

use crate::rig::stats::{Better, median, times_as_good};

/// The probability, at least, with which an interval holds the true median.
pub const CONFIDENCE: f64 = 0.95;

/// Fewest values that have an interval.
pub const MIN_VALUES: usize = 6;

/// A median and its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// Lower and upper end; `None` for fewer than [`MIN_VALUES`] values.
    pub interval: Option<(f64, f64)>,
}

/// What a ratio to a peer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval is above 1.
    Ahead,
    /// The interval holds 1: the runs do not show which of the two is better.
    Even,
    /// The whole interval is below 1.
    Behind,
}

impl Verdict {
    /// Name in `results.json`.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Ahead => "ahead",
            Verdict::Even => "even",
            Verdict::Behind => "behind",
        }
    }

    /// Mark in tables.
    pub fn mark(self) -> char {
        match self {
            Verdict::Ahead => '▲',
            Verdict::Even => '=',
            Verdict::Behind => '▼',
        }
    }
}

impl Estimate {
    /// The estimate from independent values; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Estimate> {
        let median = median(values)?;
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let interval =
            rank(sorted.len()).map(|rank| (sorted[rank], sorted[sorted.len() - 1 - rank]));
        Some(Estimate { median, interval })
    }

    /// The estimate of `1 / x` from that of `x`, which must be positive.
    pub fn reciprocal(self) -> Estimate {
        Estimate {
            median: 1.0 / self.median,
            interval: self.interval.map(|(low, high)| (1.0 / high, 1.0 / low)),
        }
    }

    /// What the estimate says about a ratio; `None` without an interval.
    pub fn verdict(self) -> Option<Verdict> {
        let (low, high) = self.interval?;
        Some(match () {
            () if low > 1.0 => Verdict::Ahead,
            () if high < 1.0 => Verdict::Behind,
            () => Verdict::Even,
        })
    }
}

/// How many times better each of `ours` is than the one of `theirs` that was measured shortly before
/// or after it, at the same index. `None` if the lengths differ.
pub fn paired_ratios(ours: &[f64], theirs: &[f64], better: Better) -> Option<Vec<f64>> {
    let pairs = ours.iter().zip(theirs);
    (ours.len() == theirs.len()).then(|| {
        pairs
            .map(|(ours, theirs)| times_as_good(*ours, *theirs, better))
            .collect()
    })
}

/// The index of the interval's lower end among `count` sorted values, and of its upper end counted
/// from the last; `None` if even the whole range is too narrow.
///
/// Each value is below the true median with probability 1/2. The interval from index `r` misses it
/// below if at most `r` values are, and above likewise.
fn rank(count: usize) -> Option<usize> {
    let mut one_more = 0.5_f64.powi(count as i32);
    let mut missed = 0.0;
    let mut below = 0_usize;
    loop {
        missed += one_more;
        if 2.0 * missed > 1.0 - CONFIDENCE {
            return below.checked_sub(1);
        }
        one_more *= (count - below) as f64 / (below + 1) as f64;
        below += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_sign_test() {
        let ranks = [1, 5, 6, 8, 9, 11, 12, 20, 100].map(rank);
        let expected = [
            None,
            None,
            Some(0),
            Some(0),
            Some(1),
            Some(1),
            Some(2),
            Some(5),
            Some(39),
        ];
        assert_eq!(ranks, expected);
        assert_eq!(rank(MIN_VALUES - 1), None);
        assert!(rank(1_000).is_some_and(|rank| (460..480).contains(&rank)));
    }

    #[test]
    fn interval_holds_the_median_as_often_as_it_says() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in [6, 9, 12] {
            let rounds = 20_000;
            let hits = (0..rounds)
                .filter(|_| {
                    // A skewed distribution with median ln 2.
                    let values: Vec<f64> = (0..count).map(|_| -(1.0 - random.f64()).ln()).collect();
                    let (low, high) = Estimate::of(&values).unwrap().interval.unwrap();
                    (low..=high).contains(&2.0_f64.ln())
                })
                .count();
            assert!(
                hits as f64 >= (CONFIDENCE - 0.005) * f64::from(rounds),
                "{count}: {hits}"
            );
        }
    }

    #[test]
    fn one_disturbed_run_does_not_move_the_interval() {
        let mut values = vec![1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8];
        let calm = Estimate::of(&values).unwrap();
        assert_eq!(calm.interval, Some((1.1, 1.7)));
        values[8] = 100.0;
        assert_eq!(Estimate::of(&values), Some(calm));
    }

    #[test]
    fn verdict_needs_an_interval_on_one_side() {
        let verdict = |ours: &[f64]| {
            let ratios = paired_ratios(ours, &[10.0; 6], Better::Higher)?;
            Estimate::of(&ratios)?.verdict()
        };
        assert_eq!(
            verdict(&[11.0, 12.0, 11.0, 15.0, 12.0, 11.0]),
            Some(Verdict::Ahead)
        );
        assert_eq!(
            verdict(&[9.0, 8.0, 9.0, 7.0, 8.0, 9.0]),
            Some(Verdict::Behind)
        );
        assert_eq!(
            verdict(&[9.0, 12.0, 12.0, 12.0, 12.0, 12.0]),
            Some(Verdict::Even)
        );
        let few = Estimate::of(&[2.0; 5]).unwrap();
        assert_eq!((few.median, few.verdict()), (2.0, None));
        assert_eq!(paired_ratios(&[1.0], &[], Better::Higher), None);
    }

    #[test]
    fn reciprocal_swaps_the_ends() {
        let estimate = Estimate {
            median: 2.0,
            interval: Some((1.0, 4.0)),
        };
        let expected = Estimate {
            median: 0.5,
            interval: Some((0.25, 1.0)),
        };
        assert_eq!(estimate.reciprocal(), expected);
    }
}
