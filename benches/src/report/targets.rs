//! The project's targets for its own figures.
//!
//! A missed target does not fail a run: the report lists every target with its figure and marks
//! misses.

use std::fmt::Write as _;

use crate::plan::Value;
use crate::report::table::amount;
use crate::rig::stats::{best, geometric_mean, times_as_good};
use crate::rivals::Role;
use crate::runner::Entry;

/// A target of the project.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Target {
    /// Name of the shape whose cells are measured.
    shape: &'static str,
    /// Name of the project's subject in those cells.
    subject: &'static str,
    /// Parameters that a cell must have; an empty list selects all cells of the shape.
    params: &'static [(&'static str, &'static str)],
    /// Description for the report.
    what: &'static str,
    /// How one figure is computed from the cells.
    measure: Measure,
    /// Limit of the figure.
    bound: Bound,
}

/// How one figure is computed from the cells of a target.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Measure {
    /// How many times better than the rival, in the worst cell.
    Ratio(Rival),
    /// How many times better than the rival, as the geometric mean over the cells.
    MeanRatio(Rival),
    /// Cost as a multiple of the rival's, in the worst cell: the reciprocal of [`Measure::Ratio`].
    Cost(Rival),
    /// Figure of the last cell as a multiple of the first cell's.
    Growth,
    /// The largest figure of all cells.
    Largest,
}

/// What a ratio is relative to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rival {
    /// The subject with this name.
    Subject(&'static str),
    /// The best peer of each cell.
    BestPeer,
    /// The best peer of each cell, except for these.
    BestPeerExcept(&'static [&'static str]),
}

/// Limit of a figure. NaN means that there is only a stretch goal.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtLeast { limit: f64, stretch: Option<f64> },
    AtMost { limit: f64, stretch: Option<f64> },
}

const fn at_least(limit: f64, stretch: Option<f64>) -> Bound {
    Bound::AtLeast { limit, stretch }
}

const fn at_most(limit: f64, stretch: Option<f64>) -> Bound {
    Bound::AtMost { limit, stretch }
}

/// A target for `lanemesh`.
const fn channel(
    shape: &'static str,
    params: &'static [(&'static str, &'static str)],
    what: &'static str,
    measure: Measure,
    bound: Bound,
) -> Target {
    Target {
        shape,
        subject: "lanemesh",
        params,
        what,
        measure,
        bound,
    }
}

/// A target for `lanemesh-runtime`; `metric` selects the cells.
const fn runtime(
    metric: &'static [(&'static str, &'static str)],
    what: &'static str,
    measure: Measure,
    bound: Bound,
) -> Target {
    Target {
        shape: "runtime",
        subject: "lanemesh-runtime",
        params: metric,
        what,
        measure,
        bound,
    }
}

/// All targets, in the order of the report.
#[rustfmt::skip]
const TARGETS: &[Target] = {
    use Measure::{Cost, Growth, Largest, MeanRatio, Ratio};
    use Rival::{BestPeer, BestPeerExcept, Subject};
    const LANES_OF_64: &[(&str, &str)] = &[("slots", "64 a lane")];
    const ONE_BY_ONE: &[(&str, &str)] = &[("batch", "1")];
    const BATCHES: &[(&str, &str)] = &[("batch", "32")];
    const TAIL: &[(&str, &str)] = &[("metric", "p99.9")];
    &[
        channel("funnel", &[], "every cell: ratio to tachyonix",
            Ratio(Subject("tachyonix")), at_least(2.0, Some(3.0))),
        channel("funnel", &[], "every cell: ratio to the best peer",
            Ratio(BestPeer), at_least(1.3, None)),
        channel("pinball", &[], "every cell: ratio to tachyonix",
            Ratio(Subject("tachyonix")), at_least(0.9, Some(1.2))),
        channel("pinball", &[], "every cell: ratio to tokio",
            Ratio(Subject("tokio")), at_least(1.2, None)),
        channel("tasks", LANES_OF_64, "64 a lane, mean: ratio to tokio",
            MeanRatio(Subject("tokio")), at_least(8.0, None)),
        channel("tasks", LANES_OF_64, "64 a lane, mean: ratio to the best peer",
            MeanRatio(BestPeer), at_least(1.2, None)),
        channel("tasks", LANES_OF_64, "64 a lane, every cell: ratio to the best peer",
            Ratio(BestPeer), at_least(0.9, Some(1.2))),
        channel("threads", &[], "every cell: ratio to the best peer",
            Ratio(BestPeer), at_least(1.0, Some(1.5))),
        channel("threads", &[("threads", "1")], "one producer: cost relative to bare rtrb",
            Cost(Subject("rtrb")), at_most(f64::NAN, Some(1.5))),
        channel("uncontended", ONE_BY_ONE, "one by one: cost relative to the best async peer",
            Cost(BestPeerExcept(&["std", "crossbeam"])), at_most(0.7, None)),
        channel("uncontended", BATCHES, "batches of 32: cost relative to rtrb, push and pop",
            Cost(Subject("rtrb")), at_most(3.0, Some(2.0))),
        channel("uncontended", BATCHES, "batches of 32: cost relative to rtrb, chunks",
            Cost(Subject("rtrb-chunks")), at_most(3.0, Some(2.0))),
        channel("idle_lanes", &[], "100,000 idle lanes: cost relative to one",
            Growth, at_most(1.1, None)),
        channel("priority", TAIL, "p99.9: relative to two tokio channels",
            Cost(Subject("tokio-pair")), at_most(1.0, Some(0.5))),
        channel("priority", TAIL, "p99.9: relative to the best single queue",
            Cost(BestPeerExcept(&["tokio-pair"])), at_most(0.01, None)),
        channel("latency", &[], "every cell: ratio to the best peer",
            Ratio(BestPeer), at_least(1.0, None)),
        runtime(&[("metric", "tell")], "tell: ratio to the best actor peer",
            Ratio(BestPeer), at_least(2.0, None)),
        runtime(&[("metric", "ask p50")], "ask: cost relative to bare tokio",
            Cost(Subject("bare-tokio")), at_most(1.3, None)),
        runtime(&[("metric", "spawn to first message")], "spawn: cost relative to bare tokio",
            Cost(Subject("bare-tokio")), at_most(1.5, None)),
        runtime(&[("metric", "an actor")], "bytes of an actor",
            Largest, at_most(2_048.0, None)),
    ]
};

/// A target and the figure that was measured for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    target: Target,
    /// The figure of the target's [`Measure`].
    measured: f64,
    /// Parameters of the cell that decided the figure.
    cell: String,
}

impl Outcome {
    /// Whether the figure misses the target.
    pub fn missed(&self) -> bool {
        match self.target.bound {
            Bound::AtLeast { limit, .. } => self.measured < limit,
            Bound::AtMost { limit, .. } => self.measured > limit,
        }
    }
}

/// The outcomes of all targets for which there are figures.
pub fn outcomes(entries: &[Entry]) -> Vec<Outcome> {
    TARGETS
        .iter()
        .filter_map(|target| {
            let (entry, measured) = target.measure(entries)?;
            Some(Outcome {
                target: *target,
                measured,
                cell: cell(entry),
            })
        })
        .collect()
}

/// The outcomes as a Markdown table; an empty text if there are none.
pub fn table(outcomes: &[Outcome]) -> String {
    if outcomes.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "| shape | what | target | stretch | measured | cell |\n|---|---|--:|--:|--:|---|\n",
    );
    for outcome in outcomes {
        let target = outcome.target;
        let (sign, limit, stretch) = match target.bound {
            Bound::AtLeast { limit, stretch } => ("≥", limit, stretch),
            Bound::AtMost { limit, stretch } => ("≤", limit, stretch),
        };
        let goal = |value: f64| {
            if value.is_nan() {
                "–".to_owned()
            } else {
                format!("{sign} {value}")
            }
        };
        let mark = if outcome.missed() { "**" } else { "" };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {mark}{}{mark} | {} |",
            target.shape,
            target.what,
            goal(limit),
            goal(stretch.unwrap_or(f64::NAN)),
            amount(outcome.measured),
            outcome.cell
        );
    }
    text
}

/// The parameters of a cell, as text for people.
fn cell(entry: &Entry) -> String {
    let params: Vec<String> = entry
        .params
        .iter()
        .map(|(name, value)| match value {
            Value::Number(number) => format!("{name} {number}"),
            Value::Text(text) => text.clone(),
        })
        .collect();
    params.join(", ")
}

impl Target {
    /// The figure and the cell that decided it; `None` if the cells were not measured.
    fn measure<'a>(&self, entries: &'a [Entry]) -> Option<(&'a Entry, f64)> {
        let ours: Vec<&Entry> = entries.iter().filter(|entry| self.covers(entry)).collect();
        match self.measure {
            Measure::Ratio(rival) => lowest(&ours, |entry| rival.ratio(entry, entries)),
            Measure::Cost(rival) => {
                let (entry, ratio) = lowest(&ours, |entry| rival.ratio(entry, entries))?;
                Some((entry, 1.0 / ratio))
            }
            Measure::MeanRatio(rival) => mean(&ours, |entry| rival.ratio(entry, entries)),
            Measure::Growth => {
                let (first, last) = (ours.first()?, ours.last()?);
                Some((last, last.median()? / first.median()?))
            }
            Measure::Largest => ours
                .iter()
                .filter_map(|entry| Some((*entry, entry.median()?)))
                .max_by(|a, b| a.1.total_cmp(&b.1)),
        }
    }

    fn covers(&self, entry: &Entry) -> bool {
        let has = |(name, value): &(&str, &str)| {
            let same = |param: &(&str, Value)| param.0 == *name && param.1.to_string() == *value;
            entry.params.iter().any(same)
        };
        entry.shape == self.shape && entry.subject == self.subject && self.params.iter().all(has)
    }
}

impl Rival {
    /// How many times better `ours` is than this rival in the same cell.
    fn ratio(self, ours: &Entry, entries: &[Entry]) -> Option<f64> {
        let better = ours.unit.better();
        let same_cell = entries
            .iter()
            .filter(|entry| entry.shape == ours.shape && entry.params == ours.params);
        let best_peer = |except: &[&str]| {
            let peers = same_cell
                .clone()
                .filter(|entry| entry.role == Role::Peer && !except.contains(&entry.subject));
            best(peers.filter_map(Entry::median), better)
        };
        let theirs = match self {
            Rival::Subject(name) => same_cell
                .clone()
                .find(|entry| entry.subject == name)?
                .median(),
            Rival::BestPeer => best_peer(&[]),
            Rival::BestPeerExcept(names) => best_peer(names),
        };
        Some(times_as_good(ours.median()?, theirs?, better))
    }
}

/// The lowest ratio over all cells, with its cell.
fn lowest<'a>(
    ours: &[&'a Entry],
    ratio: impl Fn(&Entry) -> Option<f64>,
) -> Option<(&'a Entry, f64)> {
    ours.iter()
        .filter_map(|entry| Some((*entry, ratio(entry)?)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
}

/// The geometric mean over all cells, with the cell that has the lowest ratio.
fn mean<'a>(ours: &[&'a Entry], ratio: impl Fn(&Entry) -> Option<f64>) -> Option<(&'a Entry, f64)> {
    let (worst, _) = lowest(ours, &ratio)?;
    let ratios: Vec<f64> = ours.iter().filter_map(|entry| ratio(entry)).collect();
    Some((worst, geometric_mean(&ratios)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::stats::Unit;

    fn entry(
        shape: &'static str,
        subject: &'static str,
        balls: u64,
        unit: Unit,
        run: f64,
    ) -> Entry {
        let role = if subject == "lanemesh" {
            Role::Ours
        } else {
            Role::Peer
        };
        Entry {
            shape,
            params: vec![("balls", Value::Number(balls))],
            subject,
            role,
            unit,
            runs: vec![run],
            bytes: None,
            fault: None,
        }
    }

    #[test]
    fn worst_cell_counts() {
        let rate = Unit::MillionsPerSecond;
        let entries = [
            entry("pinball", "lanemesh", 1, rate, 8.0),
            entry("pinball", "tachyonix", 1, rate, 10.0),
            entry("pinball", "lanemesh", 41, rate, 30.0),
            entry("pinball", "tachyonix", 41, rate, 20.0),
        ];
        let outcomes = outcomes(&entries);
        assert_eq!(outcomes.len(), 1);
        assert_eq!(
            (outcomes[0].measured, outcomes[0].cell.as_str()),
            (0.8, "balls 1")
        );
        assert!(outcomes[0].missed());
        assert!(table(&outcomes).contains("| ≥ 0.9 | ≥ 1.2 | **0.80** | balls 1 |"));
    }

    #[test]
    fn costs_are_multiples() {
        let entries = [
            entry("idle_lanes", "lanemesh", 1, Unit::NanosPerMessage, 10.0),
            entry(
                "idle_lanes",
                "lanemesh",
                100_000,
                Unit::NanosPerMessage,
                10.5,
            ),
        ];
        let outcomes = outcomes(&entries);
        assert_eq!(outcomes[0].measured, 1.05);
        assert!(!outcomes[0].missed());
    }

    #[test]
    fn no_figures_no_outcomes() {
        assert_eq!(outcomes(&[]), []);
        assert_eq!(table(&[]), "");
    }
}
