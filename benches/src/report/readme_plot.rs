//! `plots/readme.svg`: the plot that the repository's README shows.
//!
//! The upper panel shows the throughput of a fan-in relative to tokio's channel, the lower one the
//! 99th percentile of the latency of control while data fills the channel. The plot has a
//! background of its own, so that it is readable on light and dark pages.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};

use crate::plan::{METRIC, Value};
use crate::report::plot::is_plotted;
use crate::report::run_info::RunInfo;
use crate::rig::interval::{Estimate, paired_ratios};
use crate::rig::stats::geometric_mean;
use crate::rivals::Role;
use crate::runner::Entry;

/// Name of the file in the directory of plots.
pub(super) const FILE_NAME: &str = "readme.svg";

const WIDTH: f64 = 880.0;
const MARGIN: f64 = 28.0;
/// Right end of the subjects' names.
const NAMES: f64 = 166.0;
/// Left edge of the plotting area.
const LEFT: f64 = 178.0;
/// Right edge of the plotting area.
const RIGHT: f64 = WIDTH - MARGIN;
/// Height of one subject's row.
const ROW: f64 = 22.0;
/// Space between the two columns of bars.
const GUTTER: f64 = 36.0;
/// Width that the figure at the end of a bar needs.
const FIGURE: f64 = 48.0;

/// The subject that throughput is relative to.
const REFERENCE: &str = "tokio";
/// The cells of `tasks` that are shown.
const SLOTS: &str = "channel(64)";
/// The messages of `tasks`, one column for each, and their titles.
const MESSAGES: [(&str, &str); 2] = [("u64", "8-byte messages"), ("1200 B", "1200-byte packets")];
/// The metric of `priority` that is shown.
const PERCENTILE: &str = "p99";

const STYLE: &str = "\
text { font-family: system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Helvetica, Arial, sans-serif; \
fill: #1f2328; font-size: 13px }
.title { font-size: 17px; font-weight: 600 }
.note, .tick, .axis { fill: #59636e }
.note, .axis { font-size: 12.5px }
.tick, .figure { font-size: 12px }
.column { font-weight: 600 }
.ours { fill: #cf222e }
text.ours { font-weight: 700 }
.peer { fill: #afb8c1 }
.reference { fill: #6e7781 }
text.peer, text.reference { fill: #1f2328 }
.card { fill: #ffffff; stroke: #d1d9e0 }
.grid { stroke: #eaeef2 }
.interval { stroke: #1f2328 }
.base { stroke: #6e7781; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
text, text.peer, text.reference { fill: #e6edf3 }
.note, .tick, .axis { fill: #9198a1 }
.ours, text.ours { fill: #ff7b72 }
.peer { fill: #4b535d }
.reference { fill: #8b949e }
.card { fill: #0d1117; stroke: #3d444d }
.grid { stroke: #21262d }
.interval { stroke: #e6edf3 }
.base { stroke: #8b949e }
}
";

/// The plot as SVG text; `None` if one of the two shapes was not measured.
pub(super) fn draw(info: &RunInfo, entries: &[Entry]) -> Option<String> {
    let throughput = throughput(entries)?;
    let latency = latency(entries)?;
    let mut svg = Svg::default();
    let mut y = 46.0;
    y = draw_throughput(&mut svg, y, &throughput, &parameters(entries, "tasks"));
    y = draw_latency(
        &mut svg,
        y + 46.0,
        &latency,
        &parameters(entries, "priority"),
    );
    let machine = &info.machine;
    let source = format!(
        "{}, {} cores, {}; medians of {} runs. All figures: benches/RESULTS.md",
        machine.cpu, machine.cores, machine.system, info.runs
    );
    y += 40.0;
    svg.text(MARGIN, y, "note", Anchor::Start, source);
    Some(svg.finish(y + 22.0))
}

/// The row of a subject in a panel.
#[derive(Debug, PartialEq)]
struct Row {
    subject: &'static str,
    role: Role,
    /// Upper panel: a ratio for each of [`MESSAGES`]. Lower panel: a latency in nanoseconds for
    /// each number of flooding producers.
    figures: Vec<Estimate>,
}

impl Row {
    fn class(&self) -> &'static str {
        match self.role {
            Role::Ours => "ours",
            _ if self.subject == REFERENCE => "reference",
            _ => "peer",
        }
    }

    fn mean(&self) -> f64 {
        geometric_mean(&self.medians().collect::<Vec<f64>>()).unwrap_or(0.0)
    }

    fn medians(&self) -> impl Iterator<Item = f64> + '_ {
        self.figures.iter().map(|figure| figure.median)
    }
}

/// How many times better each subject is than the reference: the geometric mean over the numbers of
/// tasks, best subject first.
fn throughput(entries: &[Entry]) -> Option<Vec<Row>> {
    let cells = |message: &'static str| {
        entries.iter().filter(move |entry| {
            entry.shape == "tasks"
                && has(entry, "message", message)
                && has(entry, "slots", SLOTS)
                && is_plotted(entry.subject, entry.role)
        })
    };
    let ratios = |entry: &Entry, message| {
        let mut cells = cells(message);
        let reference =
            cells.find(|other| other.subject == REFERENCE && other.params == entry.params)?;
        paired_ratios(&entry.runs, &reference.runs, entry.unit.better())
    };
    let mut rows: Vec<Row> = Vec::new();
    for (message, _) in MESSAGES {
        for entry in cells(message) {
            if rows.iter().all(|row| row.subject != entry.subject) {
                rows.push(Row {
                    subject: entry.subject,
                    role: entry.role,
                    figures: Vec::new(),
                });
            }
        }
    }
    for row in &mut rows {
        for (message, _) in MESSAGES {
            let of_cells: Vec<Vec<f64>> = cells(message)
                .filter(|entry| entry.subject == row.subject)
                .map(|entry| ratios(entry, message))
                .collect::<Option<_>>()?;
            let runs = of_cells.iter().map(Vec::len).min()?;
            let means: Vec<f64> = (0..runs)
                .map(|run| {
                    geometric_mean(&of_cells.iter().map(|cell| cell[run]).collect::<Vec<_>>())
                })
                .collect::<Option<_>>()?;
            row.figures.push(Estimate::of(&means)?);
        }
    }
    rows.sort_by(|a, b| b.mean().total_cmp(&a.mean()));
    (!rows.is_empty()).then_some(rows)
}

/// The latencies of control of each subject, lowest first.
fn latency(entries: &[Entry]) -> Option<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let cells = entries.iter().filter(|entry| {
        entry.shape == "priority"
            && has(entry, METRIC, PERCENTILE)
            && is_plotted(entry.subject, entry.role)
    });
    for entry in cells {
        let nanos = Estimate::of(&entry.runs)?;
        match rows.iter_mut().find(|row| row.subject == entry.subject) {
            Some(row) => row.figures.push(nanos),
            None => rows.push(Row {
                subject: entry.subject,
                role: entry.role,
                figures: vec![nanos],
            }),
        }
    }
    rows.sort_by(|a, b| a.mean().total_cmp(&b.mean()));
    (!rows.is_empty()).then_some(rows)
}

fn has(entry: &Entry, name: &str, value: &str) -> bool {
    let mut params = entry.params.iter();
    params.any(|(known, text)| *known == name && text.to_string() == value)
}

/// The values of the last parameter of a shape, as a list for people.
fn parameters(entries: &[Entry], shape: &str) -> String {
    let numbers: BTreeSet<u64> = entries
        .iter()
        .filter(|entry| entry.shape == shape)
        .filter_map(|entry| match entry.params.last()? {
            (_, Value::Number(number)) => Some(*number),
            _ => None,
        })
        .collect();
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    match numbers.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Draws the upper panel below `y`, the base line of its title; returns its lower end.
fn draw_throughput(svg: &mut Svg, y: f64, rows: &[Row], tasks: &str) -> f64 {
    svg.text(
        MARGIN,
        y,
        "title",
        Anchor::Start,
        "Throughput, relative to tokio’s mpsc channel",
    );
    let note = format!(
        "One receiving task; geometric mean over {tasks} sending tasks, every channel opened with 64 slots. Higher is \
         better."
    );
    svg.text(MARGIN, y + 21.0, "note", Anchor::Start, note);

    let columns = MESSAGES.len() as f64;
    let width = (RIGHT - LEFT - GUTTER * (columns - 1.0)) / columns;
    let best = rows.iter().flat_map(|row| &row.figures);
    let best = best.map(|ratio| ends(*ratio).1).fold(1.0, f64::max);
    let (step, last) = linear_ticks(best);
    let scale = (width - FIGURE) / best;
    let top = y + 58.0;
    let bottom = top + ROW * rows.len() as f64;
    for (column, (_, name)) in MESSAGES.iter().enumerate() {
        let left = LEFT + (width + GUTTER) * column as f64;
        svg.text(left, top - 10.0, "column", Anchor::Start, name);
        for tick in 0..=last {
            let x = left + tick as f64 * step * scale;
            svg.line(x, top, x, bottom, "grid");
            let label = format!("{}×", tick as f64 * step);
            svg.text(x, bottom + 16.0, "tick", Anchor::Middle, label);
        }
        svg.line(left + scale, top, left + scale, bottom, "base");
        for (index, row) in rows.iter().enumerate() {
            let at = top + ROW * index as f64;
            let (low, high) = ends(row.figures[column]);
            let ratio = row.figures[column].median;
            svg.bar(left, at + 4.0, ratio * scale, ROW - 8.0, row.class());
            let middle = at + ROW / 2.0;
            svg.line(
                left + low * scale,
                middle,
                left + high * scale,
                middle,
                "interval",
            );
            let class = if row.role == Role::Ours {
                "figure ours"
            } else {
                "figure"
            };
            let figure = format!("{ratio:.1}×");
            svg.text(
                left + high * scale + 6.0,
                at + 15.5,
                class,
                Anchor::Start,
                figure,
            );
        }
    }
    for (index, row) in rows.iter().enumerate() {
        let at = top + ROW * index as f64 + 15.5;
        svg.text(NAMES, at, row.class(), Anchor::End, row.subject);
    }
    let axis = "multiple of tokio’s throughput";
    svg.text(LEFT, bottom + 36.0, "axis", Anchor::Start, axis);
    bottom + 36.0
}

/// Draws the lower panel below `y`, the base line of its title; returns its lower end.
fn draw_latency(svg: &mut Svg, y: f64, rows: &[Row], flooders: &str) -> f64 {
    let title = "Latency of a control message while data fills the channel, 99th percentile";
    svg.text(MARGIN, y, "title", Anchor::Start, title);
    let note = format!("A dot for each number of flooding producers: {flooders}. Lower is better.");
    svg.text(MARGIN, y + 21.0, "note", Anchor::Start, note);
    let note = "“2 channels”: one for each class, and a biased select; the other peers have one queue. \
                Thin lines: 95 % confidence.";
    svg.text(MARGIN, y + 38.0, "note", Anchor::Start, note);

    let figures = || rows.iter().flat_map(|row| &row.figures).copied();
    let highest = figures().map(|figure| ends(figure).1).fold(1.0, f64::max);
    let lowest = figures()
        .map(|figure| ends(figure).0)
        .fold(f64::MAX, f64::min);
    let first = lowest.log10().floor();
    // Leave room for the text to the right of the slowest subject's dots.
    let decades = highest.log10() + 0.5 - first;
    let x = |nanos: f64| LEFT + (RIGHT - LEFT) * (nanos.log10() - first) / decades;
    let top = y + 56.0;
    let bottom = top + ROW * rows.len() as f64;
    for power in first as i32..=highest.log10() as i32 {
        let nanos = 10_f64.powi(power);
        svg.line(x(nanos), top, x(nanos), bottom, "grid");
        svg.text(x(nanos), bottom + 16.0, "tick", Anchor::Middle, time(nanos));
    }
    for (index, row) in rows.iter().enumerate() {
        let at = top + ROW * index as f64;
        let name = match (row.role, row.subject) {
            (Role::Ours, subject) => format!("{subject} mailbox"),
            (_, subject) => match subject.strip_suffix("-pair") {
                Some(channel) => format!("{channel}, 2 channels"),
                None => subject.to_owned(),
            },
        };
        svg.text(NAMES, at + 15.5, row.class(), Anchor::End, name);
        let lowest = row.medians().fold(f64::MAX, f64::min);
        let highest = row.medians().fold(0.0, f64::max);
        svg.line(LEFT, at + ROW / 2.0, x(lowest), at + ROW / 2.0, "grid");
        let mut end = x(highest);
        for nanos in &row.figures {
            let (low, high) = ends(*nanos);
            svg.line(x(low), at + ROW / 2.0, x(high), at + ROW / 2.0, "interval");
            svg.dot(x(nanos.median), at + ROW / 2.0, row.class());
            end = end.max(x(high));
        }
        let class = if row.role == Role::Ours {
            "figure ours"
        } else {
            "figure"
        };
        let figure = span(lowest, highest);
        svg.text(end + 12.0, at + 15.5, class, Anchor::Start, figure);
    }
    let axis = "latency, logarithmic scale";
    svg.text(LEFT, bottom + 36.0, "axis", Anchor::Start, axis);
    bottom + 36.0
}

/// The ends of an estimate's interval; without one, the estimate itself.
fn ends(figure: Estimate) -> (f64, f64) {
    figure.interval.unwrap_or((figure.median, figure.median))
}

/// The distance between ticks from 0 to `high`, and the number of ticks after 0.
fn linear_ticks(high: f64) -> (f64, usize) {
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
    let fits = |step: &f64| high / step < 5.0;
    let step = steps.into_iter().find(fits).unwrap_or(high);
    (step, (high / step) as usize)
}

/// The unit for a time, and its length in nanoseconds.
fn time_unit(nanos: f64) -> (&'static str, f64) {
    match nanos {
        nanos if nanos < 1e3 => ("ns", 1.0),
        nanos if nanos < 1e6 => ("µs", 1e3),
        nanos if nanos < 1e9 => ("ms", 1e6),
        _ => ("s", 1e9),
    }
}

fn time(nanos: f64) -> String {
    let (unit, size) = time_unit(nanos * 1.000_001);
    format!("{:.0} {unit}", nanos / size)
}

/// A range of times; a single time if both ends round to the same.
fn span(lowest: f64, highest: f64) -> String {
    let (unit, size) = time_unit(highest);
    let (low, high) = (
        format!("{:.1}", lowest / size),
        format!("{:.1}", highest / size),
    );
    if low == high {
        format!("{high} {unit}")
    } else {
        format!("{low}–{high} {unit}")
    }
}

/// The part of a text that is at its position.
#[derive(Debug, Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// SVG elements, in drawing order.
#[derive(Debug, Default)]
struct Svg(String);

impl Svg {
    fn text(&mut self, x: f64, y: f64, class: &str, anchor: Anchor, text: impl Display) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.to_string().replace('&', "&amp;").replace('<', "&lt;");
        self.push(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" class="{class}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    fn line(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, class: &str) {
        self.push(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#
        ));
    }

    fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        self.push(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2" class="{class}"/>"#
        ));
    }

    fn dot(&mut self, x: f64, y: f64, class: &str) {
        self.push(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="5" fill-opacity="0.8" class="{class}"/>"#
        ));
    }

    fn push(&mut self, element: impl Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{element}");
    }

    /// Returns the document, with a background of this height.
    fn finish(self, height: f64) -> String {
        let (width, inner_width, inner_height) = (WIDTH, WIDTH - 1.0, height - 1.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width} {height:.0}\" role=\"img\">\n\
             <title>lanemesh beside its peers: throughput and latency of control</title>\n\
             <style>\n{STYLE}</style>\n\
             <rect x=\"0.5\" y=\"0.5\" width=\"{inner_width}\" height=\"{inner_height:.0}\" rx=\"8\" \
             class=\"card\"/>\n{}</svg>\n",
            self.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::run_info::tests::run_info;
    use crate::rig::stats::Unit;

    fn entry(
        shape: &'static str,
        params: &[(&'static str, Value)],
        subject: &'static str,
        nanos: f64,
    ) -> Entry {
        let role = match subject {
            "lanemesh" => Role::Ours,
            _ => Role::Peer,
        };
        Entry {
            shape,
            params: params.to_vec(),
            subject,
            role,
            unit: Unit::NanosPerMessage,
            runs: vec![nanos],
            bytes: None,
            fault: None,
        }
    }

    fn tasks(subject: &'static str, message: &'static str, tasks: u64, nanos: f64) -> Entry {
        let params = [
            ("message", Value::from(message)),
            ("slots", Value::from(SLOTS)),
            ("tasks", Value::Number(tasks)),
        ];
        entry("tasks", &params, subject, nanos)
    }

    fn control(subject: &'static str, flooders: u64, nanos: f64) -> Entry {
        let params = [
            (METRIC, Value::from(PERCENTILE)),
            ("flooders", Value::Number(flooders)),
        ];
        entry("priority", &params, subject, nanos)
    }

    fn sample() -> Vec<Entry> {
        vec![
            tasks("tokio", "u64", 1, 80.0),
            tasks("tokio", "u64", 8, 80.0),
            tasks("lanemesh", "u64", 1, 40.0),
            tasks("lanemesh", "u64", 8, 10.0),
            tasks("tokio", "1200 B", 1, 90.0),
            tasks("lanemesh", "1200 B", 1, 30.0),
            control("tokio", 1, 1_200_000.0),
            control("tokio", 4, 1_300_000.0),
            control("lanemesh", 1, 1_310.0),
            control("lanemesh", 4, 1_320.0),
        ]
    }

    #[test]
    fn throughput_is_a_mean_relative_to_tokio() {
        let rows = throughput(&sample()).unwrap();
        assert_eq!((rows[0].subject, rows[1].subject), ("lanemesh", "tokio"));
        assert!((rows[0].figures[0].median - 4.0).abs() < 1e-9);
        assert!((rows[0].figures[1].median - 3.0).abs() < 1e-9);
    }

    #[test]
    fn plot_shows_both_panels_and_their_parameters() {
        let svg = draw(&run_info(), &sample()).unwrap();
        for text in [
            "4.0×",
            "1.2–1.3 ms",
            "1.3 µs",
            "1 and 8 sending",
            "Some CPU",
        ] {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!(draw(&run_info(), &sample()[..6]), None);
        assert_eq!(draw(&run_info(), &sample()[6..]), None);
    }

    #[test]
    fn ticks_and_times_are_round() {
        assert_eq!(linear_ticks(12.4), (5.0, 2));
        assert_eq!(linear_ticks(4.0), (1.0, 4));
        assert_eq!(time(1e3), "1 µs");
        assert_eq!(span(1_318.0, 1_748.0), "1.3–1.7 µs");
    }
}
