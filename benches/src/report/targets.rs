//! The project's targets for its own figures: the bars.
//!
//! A missed target does not fail a run: the report lists every target with its figure and what the
//! figure's interval says.

use std::fmt::Write as _;

use crate::plan::Value;
use crate::report::ratio::{best_peer, ratios, same_cell};
use crate::report::table::{amount, range};
use crate::rig::interval::Estimate;
use crate::runner::Entry;

/// Parameters that a cell must have; an empty list selects all cells of the shape.
type Where = &'static [(&'static str, &'static str)];

/// A target of the project.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Target {
    /// Name of the shape whose cells are measured.
    shape: &'static str,
    /// Name of the project's subject in those cells.
    subject: &'static str,
    /// The cells that are measured.
    params: Where,
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
    /// The best of the pairs of channels with a biased select.
    BestPair,
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

/// The pairs of channels with a biased select.
const PAIRS: &[&str] = &[
    "tokio-pair",
    "tachyonix-pair",
    "kanal-pair",
    "crossbeam-pair",
];

/// Channels that keep control and data apart.
const SEPARATE: &[&str] = &[
    "tokio-pair",
    "tachyonix-pair",
    "kanal-pair",
    "crossbeam-pair",
    "async-priority-channel",
];

impl Bound {
    /// Whether the figure is on the right side of the limit; `None` if its interval holds the limit
    /// or there is none, so that the runs do not decide.
    fn is_met(self, figure: Estimate) -> Option<bool> {
        let (low, high) = figure.interval?;
        let (met, missed) = match self {
            Bound::AtLeast { limit, .. } => (low >= limit, high < limit),
            Bound::AtMost { limit, .. } => (high <= limit, low > limit),
        };
        (met || missed).then_some(met)
    }
}

/// A target for a channel's row.
const fn channel(
    shape: &'static str,
    subject: &'static str,
    params: Where,
    what: &'static str,
    measure: Measure,
    bound: Bound,
) -> Target {
    Target {
        shape,
        subject,
        params,
        what,
        measure,
        bound,
    }
}

/// A target for `lanemesh-runtime`; `metric` selects the cells.
const fn runtime(metric: Where, what: &'static str, measure: Measure, bound: Bound) -> Target {
    channel("runtime", "lanemesh-runtime", metric, what, measure, bound)
}

/// A target for `lanemesh-durable`; `metric` selects the cells.
const fn durable(metric: Where, what: &'static str, measure: Measure, bound: Bound) -> Target {
    channel("durable", "lanemesh-durable", metric, what, measure, bound)
}

/// All targets, in the order of the report.
#[rustfmt::skip]
const TARGETS: &[Target] = {
    use Measure::{Cost, Growth, Largest, Ratio};
    use Rival::{BestPair, BestPeer, BestPeerExcept, Subject};
    /// The channel with the same number as its peers, or with lanes of its own.
    const LANES: &str = "lanemesh";
    /// The channel with one bound for all lanes.
    const TOTAL: &str = "lanemesh-total";
    const SHARED: &str = "lanemesh-shared";
    const ONE_BY_ONE: Where = &[("batch", "1")];
    const BATCHES: Where = &[("batch", "32")];
    const TAIL: Where = &[("metric", "p99.9")];
    const TO_HANDLED: Where = &[("metric", "tell to handled, p50")];
    const STORED: Where = &[("metric", "64 producers")];
    &[
        channel("funnel", LANES, &[("capacity", "1")],
            "same number, 1", Ratio(BestPeer), at_least(1.0, Some(2.0))),
        channel("funnel", LANES, &[("capacity", "10")],
            "same number, 10", Ratio(BestPeer), at_least(1.3, Some(2.0))),
        channel("funnel", LANES, &[("capacity", "100")],
            "same number, 100", Ratio(BestPeer), at_least(1.5, Some(2.0))),
        channel("funnel", LANES, &[("capacity", "1000")],
            "same number, 1000", Ratio(BestPeer), at_least(1.5, Some(2.0))),
        channel("funnel", LANES, &[("capacity", "10000")],
            "same number, 10000", Ratio(BestPeer), at_least(1.3, Some(2.0))),
        channel("funnel", TOTAL, &[("capacity", "1")],
            "equal in all, 1", Ratio(BestPeer), at_least(0.9, Some(1.2))),
        channel("funnel", TOTAL, &[("capacity", "10")],
            "equal in all, 10", Ratio(BestPeer), at_least(0.9, Some(1.2))),
        channel("funnel", TOTAL, &[("capacity", "100")],
            "equal in all, 100", Ratio(BestPeer), at_least(1.2, Some(1.2))),
        channel("tasks", LANES, &[("tasks", "1")],
            "one sender", Ratio(BestPeer), at_least(1.2, Some(2.0))),
        channel("tasks", TOTAL, &[("slots", "channel(1024)"), ("tasks", "512")],
            "512 senders, 1024 slots in all", Ratio(BestPeer), at_least(1.0, None)),
        channel("tasks", SHARED, &[],
            "`SharedSender`, 1 to 64 senders: to tachyonix",
            Ratio(Subject("tachyonix")), at_least(0.85, Some(1.0))),
        channel("uncontended", SHARED, ONE_BY_ONE,
            "`SharedSender`, uncontended: to tachyonix",
            Ratio(Subject("tachyonix")), at_least(0.85, Some(1.0))),
        channel("pinball", LANES, &[], "every cell", Ratio(BestPeer), at_least(1.0, Some(1.2))),
        channel("idle_lanes", LANES, &[], "every cell", Ratio(BestPeer), at_least(1.0, None)),
        channel("idle_lanes", LANES, &[], "100,000 idle lanes: cost relative to one",
            Growth, at_most(1.1, None)),
        channel("latency", LANES, &[], "every cell", Ratio(BestPeer), at_least(1.0, None)),
        channel("threads", LANES, &[], "every cell", Ratio(BestPeer), at_least(1.0, Some(1.5))),
        channel("threads", LANES, &[("threads", "1")], "one producer: cost relative to bare rtrb",
            Cost(Subject("rtrb")), at_most(f64::NAN, Some(1.5))),
        channel("uncontended", LANES, ONE_BY_ONE, "cost relative to the best async peer",
            Cost(BestPeerExcept(&["std", "crossbeam"])), at_most(0.7, None)),
        channel("uncontended", LANES, BATCHES, "batches of 32: cost relative to rtrb, push and pop",
            Cost(Subject("rtrb")), at_most(3.0, Some(2.0))),
        channel("uncontended", LANES, BATCHES, "batches of 32: cost relative to rtrb, chunks",
            Cost(Subject("rtrb-chunks")), at_most(3.0, Some(2.0))),
        channel("priority", LANES, TAIL, "p99.9 of control: time relative to the best pair",
            Cost(BestPair), at_most(1.0, Some(0.5))),
        channel("priority", LANES, TAIL, "p99.9 of control: time relative to the best single queue",
            Cost(BestPeerExcept(SEPARATE)), at_most(0.01, None)),
        channel("memory", LANES, &[("metric", "channel")],
            "a channel, relative to the leanest peer", Cost(BestPeer), at_most(1.5, None)),
        channel("memory", LANES, &[("metric", "idle producer")],
            "an idle producer, in bytes", Largest, at_most(96.0, None)),
        channel("memory", LANES, &[("metric", "full producer")],
            "a full producer, relative to the leanest peer", Cost(BestPeer), at_most(2.0, None)),
        runtime(&[("metric", "tell")], "tell: ratio to the best actor peer",
            Ratio(BestPeer), at_least(2.0, None)),
        channel("runtime", "lanemesh-runtime-shared", &[("metric", "tell")],
            "tell through a shared handle: ratio to the best actor peer",
            Ratio(BestPeer), at_least(1.2, None)),
        runtime(&[("metric", "ask p50")], "ask: cost relative to bare tokio",
            Cost(Subject("bare-tokio")), at_most(1.3, None)),
        runtime(&[("metric", "spawn to first message")], "spawn: cost relative to bare tokio",
            Cost(Subject("bare-tokio")), at_most(1.5, None)),
        runtime(&[("metric", "stop of a tree of 10,001")], "stop of a tree: cost relative to bare tokio",
            Cost(Subject("bare-tokio")), at_most(1.5, None)),
        runtime(&[("metric", "an actor")], "bytes of an actor",
            Largest, at_most(2_048.0, None)),
        durable(TO_HANDLED, "tell to handled: cost relative to the raw log",
            Cost(Subject("raw log")), at_most(4.0, Some(2.0))),
        durable(TO_HANDLED, "tell to handled: to SQLite that is polled every 10 ms",
            Ratio(Subject("rusqlite, polled every 10 ms")), at_least(f64::NAN, Some(100.0))),
        durable(STORED, "64 producers: to fjall", Ratio(Subject("fjall")), at_least(1.5, None)),
        durable(STORED, "64 producers: to SQLite", Ratio(Subject("rusqlite")), at_least(2.0, None)),
        durable(STORED, "64 producers: to redb", Ratio(Subject("redb")), at_least(2.0, None)),
        durable(STORED, "64 producers: to the raw log",
            Ratio(Subject("raw log")), at_least(f64::NAN, Some(0.5))),
        durable(&[("metric", "start with 1 M queued")], "start with a million messages, in ms",
            Largest, at_most(2_000.0, None)),
    ]
};

/// A target and the figure that was measured for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    target: Target,
    /// The figure of the target's [`Measure`].
    measured: Estimate,
    /// Parameters of the cell that decided the figure.
    cell: String,
    /// The figure without `register_membarrier`.
    without_membarrier: Option<Estimate>,
}

impl Outcome {
    /// Whether the figure meets the target; `None` if the runs do not decide.
    pub fn is_met(&self) -> Option<bool> {
        self.target.bound.is_met(self.measured)
    }
}

/// The outcomes of all targets for which there are figures.
pub fn outcomes(entries: &[Entry]) -> Vec<Outcome> {
    TARGETS
        .iter()
        .filter_map(|target| {
            let (entry, measured) = target.measure(entries, target.subject)?;
            let other = format!("{}-no-membarrier", target.subject);
            Some(Outcome {
                target: *target,
                measured,
                cell: cell(entry),
                without_membarrier: target.measure(entries, &other).map(|(_, figure)| figure),
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
        "| shape | what | target | beyond | measured | met | without membarrier | cell |\n\
         |---|---|--:|--:|--:|---|--:|---|\n",
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
        let met = match outcome.is_met() {
            _ if limit.is_nan() => "–",
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "open",
        };
        let without = outcome.without_membarrier.map_or("–".to_owned(), figure);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {met} | {without} | {} |",
            target.shape,
            target.what,
            goal(limit),
            goal(stretch.unwrap_or(f64::NAN)),
            figure(outcome.measured),
            outcome.cell
        );
    }
    text
}

/// An estimate with its interval, as text for people.
fn figure(estimate: Estimate) -> String {
    match range(&estimate) {
        Some(range) => format!("{} ({range})", amount(estimate.median)),
        None => amount(estimate.median),
    }
}

/// The parameters of a cell, as text for people.
pub(super) fn cell(entry: &Entry) -> String {
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
    /// The figure of a subject and the cell that decided it; `None` if the cells were not measured.
    fn measure<'a>(&self, entries: &'a [Entry], subject: &str) -> Option<(&'a Entry, Estimate)> {
        let ours: Vec<&Entry> = entries
            .iter()
            .filter(|entry| entry.subject == subject && self.covers(entry))
            .collect();
        match self.measure {
            Measure::Ratio(rival) => lowest(&ours, rival, entries),
            Measure::Cost(rival) => {
                let (entry, ratio) = lowest(&ours, rival, entries)?;
                Some((entry, ratio.reciprocal()))
            }
            Measure::Growth => {
                let (first, last) = (ours.first()?, ours.last()?);
                // The first is so many times better, where lower is better.
                Some((last, Estimate::of(&ratios(first, last)?)?))
            }
            Measure::Largest => ours
                .iter()
                .filter_map(|entry| Some((*entry, Estimate::of(&entry.runs)?)))
                .max_by(|a, b| a.1.median.total_cmp(&b.1.median)),
        }
    }

    fn covers(&self, entry: &Entry) -> bool {
        let has = |(name, value): &(&str, &str)| {
            let same = |param: &(&str, Value)| param.0 == *name && param.1.to_string() == *value;
            entry.params.iter().any(same)
        };
        entry.shape == self.shape && self.params.iter().all(has)
    }
}

impl Rival {
    /// How many times better `ours` is than this rival in the same cell.
    fn ratio(self, ours: &Entry, entries: &[Entry]) -> Option<Estimate> {
        let subject = |name| {
            let mut same_cell = entries.iter().filter(|entry| same_cell(ours, entry));
            same_cell.find(|entry| entry.subject == name)
        };
        let theirs = match self {
            Rival::Subject(name) => subject(name),
            Rival::BestPeer => best_peer(ours, entries, |_| true),
            Rival::BestPeerExcept(names) => best_peer(ours, entries, |name| !names.contains(&name)),
            Rival::BestPair => best_peer(ours, entries, |name| PAIRS.contains(&name)),
        };
        Estimate::of(&ratios(ours, theirs?)?)
    }
}

/// The lowest ratio over all cells, with its cell.
fn lowest<'a>(
    ours: &[&'a Entry],
    rival: Rival,
    entries: &[Entry],
) -> Option<(&'a Entry, Estimate)> {
    ours.iter()
        .filter_map(|entry| Some((*entry, rival.ratio(entry, entries)?)))
        .min_by(|a, b| a.1.median.total_cmp(&b.1.median))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::stats::Unit;
    use crate::rivals::Role;

    fn entry(
        shape: &'static str,
        subject: &'static str,
        balls: u64,
        unit: Unit,
        runs: [f64; 6],
    ) -> Entry {
        let role = if subject.starts_with("lanemesh") {
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
            runs: runs.to_vec(),
            bytes: None,
            fault: None,
        }
    }

    fn pinball(subject: &'static str, balls: u64, runs: [f64; 6]) -> Entry {
        entry("pinball", subject, balls, Unit::MillionsPerSecond, runs)
    }

    #[test]
    fn worst_cell_counts() {
        let entries = [
            pinball("lanemesh", 1, [8.0; 6]),
            pinball("tachyonix", 1, [10.0; 6]),
            pinball("lanemesh", 41, [30.0; 6]),
            pinball("tachyonix", 41, [20.0; 6]),
            pinball("lanemesh-no-membarrier", 1, [7.0; 6]),
        ];
        let outcomes = outcomes(&entries);
        assert_eq!(outcomes.len(), 1);
        assert_eq!(
            (outcomes[0].measured.median, outcomes[0].cell.as_str()),
            (0.8, "balls 1")
        );
        assert_eq!(outcomes[0].is_met(), Some(false));
        let expected = "| ≥ 1 | ≥ 1.2 | 0.80 (0.80–0.80) | **no** | 0.70 (0.70–0.70) | balls 1 |";
        let text = table(&outcomes);
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn interval_decides_whether_a_target_is_met() {
        let met = |runs| {
            let entries = [
                pinball("lanemesh", 1, runs),
                pinball("tachyonix", 1, [10.0; 6]),
            ];
            outcomes(&entries)[0].is_met()
        };
        assert_eq!(met([10.0, 11.0, 11.0, 11.0, 11.0, 11.0]), Some(true));
        assert_eq!(met([9.0, 11.0, 11.0, 11.0, 11.0, 11.0]), None);
        assert_eq!(met([9.0; 6]), Some(false));
    }

    #[test]
    fn costs_are_multiples() {
        let idle = |producers, nanos| {
            let unit = Unit::NanosPerMessage;
            entry("idle_lanes", "lanemesh", producers, unit, [nanos; 6])
        };
        let outcomes = outcomes(&[idle(1, 10.0), idle(100_000, 10.5)]);
        assert_eq!(outcomes[0].measured.median, 1.05);
        assert_eq!(outcomes[0].is_met(), Some(true));
    }

    #[test]
    fn no_figures_no_outcomes() {
        assert_eq!(outcomes(&[]), []);
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn targets_are_about_cells_that_exist() {
        let cells: Vec<_> = crate::shapes::ALL
            .iter()
            .flat_map(|shape| (shape.cells)(&crate::plan::Effort::full()))
            .collect();
        for target in TARGETS {
            let found = cells.iter().any(|cell| {
                let param = |(name, value): &(&str, &str)| {
                    let known = cell.params.iter();
                    let mut known = known.filter(|(known, _)| known == name);
                    *name == "metric" || known.any(|(_, known)| known.to_string() == *value)
                };
                cell.shape == target.shape
                    && cell.subject == target.subject
                    && target.params.iter().all(param)
            });
            assert!(found, "{target:?}");
        }
    }
}
