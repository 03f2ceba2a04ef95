//! The report as SVG: bar charts of throughput, latency and CPU time.

use std::fmt::Write as _;

use super::report::{Line, Report};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 110.0;
const ROW: f64 = 26.0;
const HEAD: f64 = 46.0;

/// A title, the value of a line, and whether the scale is logarithmic.
type Chart = (&'static str, fn(&Line) -> f64, bool);

/// Draws a report.
#[must_use]
pub fn svg(report: &Report) -> String {
    let charts: [Chart; 4] = [
        (
            "Packets a second (more is better)",
            |line| line.per_second,
            false,
        ),
        (
            "Media latency p99, µs, logarithmic (less is better)",
            |line| line.media.p99,
            true,
        ),
        (
            "Control latency p99, µs, logarithmic (less is better)",
            |line| line.control.p99,
            true,
        ),
        (
            "CPU µs a forwarded packet (less is better)",
            |line| line.cpu_micros,
            false,
        ),
    ];
    let charts: Vec<_> = charts
        .into_iter()
        .filter(|(_, read, _)| report.lines.iter().any(|line| read(line) > 0.0))
        .collect();
    let height = charts.len() as f64 * (HEAD + report.lines.len() as f64 * ROW) + 20.0;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    );
    let mut y = 0.0;
    for (title, read, logarithmic) in charts {
        y += HEAD;
        let _ = writeln!(
            text,
            "<text x=\"16\" y=\"{}\" font-weight=\"600\" fill=\"#1e2422\">{title}</text>",
            y - 12.0
        );
        let most = report.lines.iter().map(read).fold(0.0, f64::max);
        let scale = |value: f64| {
            let full = WIDTH - LEFT - 110.0;
            if value <= 0.0 || most <= 0.0 {
                0.0
            } else if logarithmic {
                full * ((value + 1.0).ln() / (most + 1.0).ln())
            } else {
                full * value / most
            }
        };
        for line in &report.lines {
            let value = read(line);
            let width = scale(value);
            let middle = y + 15.0;
            let digits = if value < 100.0 { 2 } else { 0 };
            let _ = writeln!(
                text,
                "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\" fill=\"#1e2422\">{}</text>\
                 <rect x=\"{LEFT}\" y=\"{}\" width=\"{width:.1}\" height=\"18\" rx=\"3\" \
                 fill=\"{}\"/><text x=\"{:.1}\" y=\"{middle}\" fill=\"#5d6864\">{value:.digits$}</text>",
                LEFT - 8.0,
                line.name,
                y + 1.0,
                if line.name == "mesh" {
                    "#2f6f5e"
                } else {
                    "#9fb8ae"
                },
                LEFT + width + 8.0,
            );
            y += ROW;
        }
    }
    text.push_str("</svg>\n");
    text
}
