//! The targets that the project has set itself, beside what was found. They judge no run: a target that is
//! missed is shown and that is all.

use std::fmt::Write as _;

use crate::plan::Value;
use crate::report::table::amount;
use crate::rig::stats::{best, geometric_mean, times_as_good};
use crate::rivals::Role;
use crate::runner::Entry;

/// What a target asks of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtLeast { target: f64, stretch: Option<f64> },
    AtMost { target: f64, stretch: Option<f64> },
}

/// A target and what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    shape: &'static str,
    what: &'static str,
    ask: Bound,
    found: f64,
    at: String,
}

/// The targets that the figures say something about.
pub fn targets(entries: &[Entry]) -> Vec<Target> {
    let all = Figures(entries);
    let least = |target, stretch| Bound::AtLeast { target, stretch };
    let most = |target, stretch| Bound::AtMost { target, stretch };
    let funnel = all.of("funnel", "lanemesh", &[]);
    let pinball = all.of("pinball", "lanemesh", &[]);
    let tasks = all.of("tasks", "lanemesh", &[("slots", "64 a lane")]);
    let threads = all.of("threads", "lanemesh", &[]);
    let one_thread = all.of("threads", "lanemesh", &[("threads", "1")]);
    let singly = all.of("uncontended", "lanemesh", &[("batch", "1")]);
    let batches = all.of("uncontended", "lanemesh", &[("batch", "32")]);
    let urgent = all.of("priority", "lanemesh", &[("metric", "p99.9")]);
    let latency = all.of("latency", "lanemesh", &[]);
    let told = all.of("runtime", "lanemesh-runtime", &[("metric", "tell")]);
    let asked = all.of("runtime", "lanemesh-runtime", &[("metric", "ask p50")]);
    let spawned = all.of(
        "runtime",
        "lanemesh-runtime",
        &[("metric", "spawn to first message")],
    );
    let actor = all.of("runtime", "lanemesh-runtime", &[("metric", "an actor")]);

    let queues = ["tokio-pair"];
    let blocking = ["std", "crossbeam"];
    let found = [
        (
            "every cell, to tachyonix",
            least(2.0, Some(3.0)),
            all.worst(&funnel, "tachyonix"),
        ),
        (
            "every cell, to the best peer",
            least(1.3, None),
            all.worst_to_best(&funnel, &[]),
        ),
        (
            "every cell, to tachyonix",
            least(0.9, Some(1.2)),
            all.worst(&pinball, "tachyonix"),
        ),
        (
            "every cell, to tokio",
            least(1.2, None),
            all.worst(&pinball, "tokio"),
        ),
        (
            "64 a lane, mean, to tokio",
            least(8.0, None),
            all.mean(&tasks, "tokio"),
        ),
        (
            "64 a lane, mean, to the best peer",
            least(1.2, None),
            all.mean_to_best(&tasks),
        ),
        (
            "64 a lane, every cell, to the best peer",
            least(0.9, Some(1.2)),
            all.worst_to_best(&tasks, &[]),
        ),
        (
            "every cell, to the best peer",
            least(1.0, Some(1.5)),
            all.worst_to_best(&threads, &[]),
        ),
        (
            "one producer, cost of raw rtrb",
            most(f64::NAN, Some(1.5)),
            all.cost(&one_thread, "rtrb"),
        ),
        (
            "singly, cost of the best async peer",
            most(0.7, None),
            all.cost_of_best(&singly, &blocking),
        ),
        (
            "batches of 32, cost of rtrb, push and pop",
            most(3.0, Some(2.0)),
            all.cost(&batches, "rtrb"),
        ),
        (
            "batches of 32, cost of rtrb, chunks",
            most(3.0, Some(2.0)),
            all.cost(&batches, "rtrb-chunks"),
        ),
        (
            "100,000 idle lanes, cost of one",
            most(1.1, None),
            all.growth(),
        ),
        (
            "p99.9, to two tokio channels",
            most(1.0, Some(0.5)),
            all.cost(&urgent, "tokio-pair"),
        ),
        (
            "p99.9, to the best single queue",
            most(0.01, None),
            all.cost_of_best(&urgent, &queues),
        ),
        (
            "every cell, to the best peer",
            least(1.0, None),
            all.worst_to_best(&latency, &[]),
        ),
        (
            "tell, to the best actor peer",
            least(2.0, None),
            all.worst_to_best(&told, &[]),
        ),
        (
            "ask, cost of bare tokio",
            most(1.3, None),
            all.cost(&asked, "bare-tokio"),
        ),
        (
            "spawn, cost of bare tokio",
            most(1.5, None),
            all.cost(&spawned, "bare-tokio"),
        ),
        ("bytes of an actor", most(2_048.0, None), largest(&actor)),
    ];
    found
        .into_iter()
        .filter_map(|(what, ask, found)| {
            let (entry, figure) = found?;
            Some(Target {
                shape: entry.shape,
                what,
                ask,
                found: figure,
                at: place(entry),
            })
        })
        .collect()
}

/// The targets as a Markdown table; empty when there are none.
pub fn table(targets: &[Target]) -> String {
    if targets.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "| shape | what | target | stretch | found | where |\n|---|---|--:|--:|--:|---|\n",
    );
    for target in targets {
        let (sign, asked, stretch) = match target.ask {
            Bound::AtLeast { target, stretch } => ("≥", target, stretch),
            Bound::AtMost { target, stretch } => ("≤", target, stretch),
        };
        let limit = |limit: f64| {
            if limit.is_nan() {
                "–".to_owned()
            } else {
                format!("{sign} {limit}")
            }
        };
        let stretch = stretch.map_or("–".to_owned(), limit);
        let mark = if target.missed() { "**" } else { "" };
        let found = amount(target.found);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {stretch} | {mark}{found}{mark} | {} |",
            target.shape,
            target.what,
            limit(asked),
            target.at
        );
    }
    text
}

impl Target {
    /// Whether the figure is on the wrong side.
    pub fn missed(&self) -> bool {
        match self.ask {
            Bound::AtLeast { target, .. } => self.found < target,
            Bound::AtMost { target, .. } => self.found > target,
        }
    }
}

fn place(entry: &Entry) -> String {
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

fn largest<'a>(ours: &[&'a Entry]) -> Option<(&'a Entry, f64)> {
    let medians = ours
        .iter()
        .filter_map(|entry| Some((*entry, entry.median()?)));
    medians.max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The figures of a run, and ratios between them.
struct Figures<'a>(&'a [Entry]);

impl<'a> Figures<'a> {
    /// The entries of a subject with these parameters among theirs.
    fn of(&self, shape: &str, subject: &str, with: &[(&str, &str)]) -> Vec<&'a Entry> {
        let fits = |entry: &&Entry| {
            let has = |(name, value): &(&str, &str)| {
                let same =
                    |param: &(&str, Value)| param.0 == *name && param.1.to_string() == *value;
                entry.params.iter().any(same)
            };
            entry.shape == shape && entry.subject == subject && with.iter().all(has)
        };
        self.0.iter().filter(fits).collect()
    }

    fn rivals(&self, ours: &Entry) -> impl Iterator<Item = &'a Entry> {
        let (shape, params) = (ours.shape, ours.params.clone());
        self.0
            .iter()
            .filter(move |entry| entry.shape == shape && entry.params == params)
    }

    /// How many times as good as the named subject.
    fn to(&self, ours: &Entry, subject: &str) -> Option<f64> {
        let rival = self.rivals(ours).find(|entry| entry.subject == subject)?;
        Some(times_as_good(
            ours.median()?,
            rival.median()?,
            ours.unit.better(),
        ))
    }

    /// How many times as good as the best peer but for these.
    fn to_best(&self, ours: &Entry, but: &[&str]) -> Option<f64> {
        let peers = self
            .rivals(ours)
            .filter(|entry| entry.role == Role::Peer && !but.contains(&entry.subject));
        let measure = best(peers.filter_map(Entry::median), ours.unit.better())?;
        Some(times_as_good(ours.median()?, measure, ours.unit.better()))
    }

    fn worst(&self, ours: &[&'a Entry], subject: &str) -> Option<(&'a Entry, f64)> {
        least(ours, |entry| self.to(entry, subject))
    }

    fn worst_to_best(&self, ours: &[&'a Entry], but: &[&str]) -> Option<(&'a Entry, f64)> {
        least(ours, |entry| self.to_best(entry, but))
    }

    fn cost(&self, ours: &[&'a Entry], subject: &str) -> Option<(&'a Entry, f64)> {
        self.worst(ours, subject)
            .map(|(entry, ratio)| (entry, 1.0 / ratio))
    }

    fn cost_of_best(&self, ours: &[&'a Entry], but: &[&str]) -> Option<(&'a Entry, f64)> {
        self.worst_to_best(ours, but)
            .map(|(entry, ratio)| (entry, 1.0 / ratio))
    }

    fn mean(&self, ours: &[&'a Entry], subject: &str) -> Option<(&'a Entry, f64)> {
        mean(ours, |entry| self.to(entry, subject))
    }

    fn mean_to_best(&self, ours: &[&'a Entry]) -> Option<(&'a Entry, f64)> {
        mean(ours, |entry| self.to_best(entry, &[]))
    }

    /// The cost of a receive with the most producers, as a multiple of that with one.
    fn growth(&self) -> Option<(&'a Entry, f64)> {
        let ours = self.of("idle_lanes", "lanemesh", &[]);
        let (one, many) = (ours.first()?, ours.last()?);
        Some((many, many.median()? / one.median()?))
    }
}

fn least<'a>(
    ours: &[&'a Entry],
    ratio: impl Fn(&Entry) -> Option<f64>,
) -> Option<(&'a Entry, f64)> {
    let ratios = ours
        .iter()
        .filter_map(|entry| Some((*entry, ratio(entry)?)));
    ratios.min_by(|a, b| a.1.total_cmp(&b.1))
}

/// The geometric mean over all cells, with the worst of them.
fn mean<'a>(ours: &[&'a Entry], ratio: impl Fn(&Entry) -> Option<f64>) -> Option<(&'a Entry, f64)> {
    let (worst, _) = least(ours, &ratio)?;
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
        let targets = targets(&entries);
        assert_eq!(targets.len(), 1);
        assert_eq!((targets[0].found, targets[0].at.as_str()), (0.8, "balls 1"));
        assert!(targets[0].missed());
        assert!(table(&targets).contains("| ≥ 0.9 | ≥ 1.2 | **0.80** | balls 1 |"));
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
        let targets = targets(&entries);
        assert_eq!(targets[0].found, 1.05);
        assert!(!targets[0].missed());
    }

    #[test]
    fn no_figures_no_targets() {
        assert_eq!(targets(&[]), []);
        assert_eq!(table(&[]), "");
    }
}
