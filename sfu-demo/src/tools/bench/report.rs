//! The report of a comparison, as a table and as JSON.
//!
//! Values are medians over the runs, so that a single disturbed run does not matter.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::load::{Load, Run};

/// Latencies in microseconds, each the median over the runs, except the maximum.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Tail {
    /// The number of measurements in all runs.
    pub count: u64,
    /// The 50th percentile.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99th percentile of the best and of the worst run.
    pub p99_range: (f64, f64),
    /// The 99.9th percentile.
    pub p999: f64,
    /// The maximum of all runs.
    pub max: f64,
}

impl Tail {
    fn of<'a>(runs: impl Iterator<Item = &'a Histogram<u64>> + Clone) -> Self {
        let micros = |nanos: u64| (nanos as f64 / 10.0).round() / 100.0;
        let each = |quantile| {
            let mut each: Vec<_> = runs
                .clone()
                .filter(|run| !run.is_empty())
                .map(|run| micros(run.value_at_quantile(quantile)))
                .collect();
            each.sort_by(f64::total_cmp);
            each
        };
        let p99 = each(0.99);
        Self {
            count: runs.clone().map(Histogram::len).sum(),
            p50: median(&each(0.5)),
            p99: median(&p99),
            p99_range: (
                p99.first().copied().unwrap_or(0.0),
                p99.last().copied().unwrap_or(0.0),
            ),
            p999: median(&each(0.999)),
            max: runs.map(|run| micros(run.max())).fold(0.0, f64::max),
        }
    }
}

/// The median of sorted values; of an even number, the lower of the middle ones.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len().saturating_sub(1) / 2;
    sorted.get(middle).copied().unwrap_or(0.0)
}

/// A line of the table: all runs of a mailbox.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// The name of the mailbox, or of what was run without one.
    pub name: &'static str,
    /// Packets delivered per second.
    pub per_second: f64,
    /// The fraction of the offered packets that was delivered.
    pub delivered: f64,
    /// CPU time of the forwarding threads in microseconds, for each delivered packet.
    pub cpu_micros: f64,
    /// The fraction of the time that a forwarding thread was busy.
    pub busy: f64,
    /// Media latency.
    pub media: Tail,
    /// Control latency.
    pub control: Tail,
    /// Drops by reason.
    pub drops: Vec<(&'static str, u64)>,
}

impl Line {
    pub(super) fn of(name: &'static str, runs: &[Run]) -> Self {
        let mut all = Run::new();
        for run in runs {
            all.offered += run.offered;
            all.delivered += run.delivered;
            for &(reason, count) in &run.drops {
                all.drop(reason, count);
            }
        }
        let each = |read: fn(&Run) -> f64| {
            let mut each: Vec<_> = runs.iter().map(read).collect();
            each.sort_by(f64::total_cmp);
            median(&each)
        };
        Self {
            name,
            per_second: each(|run| run.delivered as f64 / run.took.as_secs_f64().max(1e-9)),
            delivered: all.delivered as f64 / (all.offered.max(1)) as f64,
            cpu_micros: each(|run| run.cpu.as_secs_f64() * 1e6 / run.delivered.max(1) as f64),
            busy: each(Run::busy),
            media: Tail::of(runs.iter().map(|run| &run.media)),
            control: Tail::of(runs.iter().map(|run| &run.control)),
            drops: all.drops,
        }
    }
}

/// The results of a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The load.
    pub load: Load,
    /// Runs of each mailbox.
    pub rounds: usize,
    /// A line for each mailbox.
    pub lines: Vec<Line>,
}

impl Report {
    /// The report as a text table.
    #[must_use]
    pub fn table(&self) -> String {
        let load = &self.load;
        let mut text = String::new();
        let rate = match load.rate {
            0 => "as fast as possible".to_owned(),
            rate => format!("{rate} packets/s"),
        };
        let _ = writeln!(
            text,
            "{} of {}, each {rate} of {} bytes, and {}; {}{}; {} of {}, in turns\n\
             times in µs from the intended sending, medians of the runs; busy: of a forwarding thread's time",
            count(load.rooms, "room"),
            count(load.publishers, "publisher"),
            load.size,
            count(load.subscribers, "subscriber"),
            count(load.shards, "shard"),
            if load.paced { "; paced" } else { "" },
            count(self.rounds, "run"),
            seconds(load.duration),
        );
        let _ = writeln!(
            text,
            "{:<11} {:>11} {:>7} {:>8} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  drops",
            "mailbox",
            "packets/s",
            "arrived",
            "CPU µs",
            "busy",
            "media p50",
            "p99",
            "p99.9",
            "max",
            "ctrl p50",
            "p99",
            "p99.9",
            "max"
        );
        for line in &self.lines {
            let drops: Vec<_> = line
                .drops
                .iter()
                .map(|(reason, count)| format!("{reason} {count}"))
                .collect();
            let control = |value: f64| {
                if line.control.count == 0 {
                    "-".to_owned()
                } else {
                    format!("{value:.1}")
                }
            };
            let _ = writeln!(
                text,
                "{:<11} {:>11.0} {:>6.1}% {:>8.3} {:>5.0}% {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9} {:>9} {:>9} {:>9}  {}",
                line.name,
                line.per_second,
                line.delivered * 100.0,
                line.cpu_micros,
                line.busy * 100.0,
                line.media.p50,
                line.media.p99,
                line.media.p999,
                line.media.max,
                control(line.control.p50),
                control(line.control.p99),
                control(line.control.p999),
                control(line.control.max),
                drops.join(", "),
            );
        }
        text
    }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disturbed_run_does_not_decide() {
        let run = |latency: u64| {
            let mut run = Run::new();
            (run.offered, run.delivered, run.threads) = (10, 10, 1);
            run.took = Duration::from_secs(1);
            run.cpu = Duration::from_millis(latency);
            for _ in 0..10 {
                run.media.record(latency * 1000).unwrap();
            }
            run
        };
        let line = Line::of("mesh", &[run(5), run(900), run(7)]);
        assert!((line.media.p99 - 7.0).abs() < 0.1, "{line:?}");
        assert!((line.media.p99_range.1 - 900.0).abs() < 2.0, "{line:?}");
        assert!((line.media.max - 900.0).abs() < 2.0);
        assert!((line.busy - 0.007).abs() < 1e-6);
        assert!((line.cpu_micros - 700.0).abs() < 1e-6);
    }
}
