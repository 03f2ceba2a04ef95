//! Plots: one line for each subject over the columns of a table, on a logarithmic scale. A vertical
//! bar through a point is the confidence interval of the median.

use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, PathElement, Text};
use plotters::series::LineSeries;
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, WHITE};

use crate::report::table::{Field, Row, Table, amount};
use crate::rig::interval::Estimate;
use crate::rig::stats::Better;
use crate::rivals::Role;

const SIZE: (u32, u32) = (930, 460);
/// Position of the first line of the legend.
const KEY: (i32, i32) = (738, 50);
const OURS: RGBColor = RGBColor(200, 30, 30);
/// Colours of variants of the project's own subject, the one with the shortest name first.
const OURS_TOO: [RGBColor; 2] = [RGBColor(240, 150, 150), RGBColor(200, 110, 170)];
/// Colours of the peers, the same in all plots.
const COLOURS: &[(&str, RGBColor)] = &[
    ("tokio", RGBColor(31, 119, 180)),
    ("tachyonix", RGBColor(44, 160, 44)),
    ("kanal", RGBColor(148, 103, 189)),
    ("flume", RGBColor(140, 86, 75)),
    ("crossfire", RGBColor(255, 127, 14)),
    ("async-channel", RGBColor(23, 190, 207)),
    ("fibre", RGBColor(0, 110, 90)),
    ("tachyonix-pair", RGBColor(44, 160, 44)),
    ("kanal-pair", RGBColor(148, 103, 189)),
    ("crossbeam-pair", RGBColor(60, 60, 110)),
    ("async-priority-channel", RGBColor(23, 190, 207)),
    ("thingbuf", RGBColor(127, 127, 127)),
    ("futures", RGBColor(188, 160, 34)),
    ("std", RGBColor(227, 119, 194)),
    ("crossbeam", RGBColor(60, 60, 110)),
    ("tokio-pair", RGBColor(0, 0, 0)),
    ("rtrb", RGBColor(0, 0, 0)),
    ("rtrb-chunks", RGBColor(127, 127, 127)),
    ("kameo", RGBColor(148, 103, 189)),
    ("ractor", RGBColor(255, 127, 14)),
    ("actix", RGBColor(44, 160, 44)),
    ("actix-arbiter", RGBColor(140, 86, 75)),
    ("bare-tokio", RGBColor(31, 119, 180)),
];
/// Colour of a subject that [`COLOURS`] does not name.
const OTHER: RGBColor = RGBColor(90, 90, 90);

/// The file for the plot of this table, relative to the directory of plots: `shape.svg`, or
/// `shape/parameters.svg` for a shape with several tables.
pub(super) fn file_name(table: &Table) -> String {
    let mut name = table.shape.to_owned();
    for (index, (_, value)) in table.fixed.iter().enumerate() {
        let value = value.to_string().to_lowercase();
        let plain = value
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
        name.push(if index == 0 { '/' } else { '-' });
        name.extend(plain);
    }
    name.push_str(".svg");
    name
}

/// Whether a subject is plotted. Rows without membarrier, or without another mechanism, would hide
/// the others; they are in the tables.
pub(super) fn is_plotted(subject: &str, role: Role) -> bool {
    role != Role::Ablation && !subject.ends_with("-no-membarrier")
}

fn plotted(table: &Table) -> impl Iterator<Item = &Row> + Clone {
    let rows = table.rows.iter();
    rows.filter(|row| is_plotted(row.subject, row.role))
}

/// The plot as SVG text; `None` if the table has fewer than two columns or no positive figure.
///
/// # Errors
///
/// The error of the drawing library.
pub(super) fn draw(table: &Table) -> Result<Option<String>, String> {
    let figures: Vec<f64> = plotted(table)
        .flat_map(points)
        .flat_map(|(_, figure)| {
            let (low, high) = ends(figure);
            [low, figure.median, high]
        })
        .collect();
    let low = figures
        .iter()
        .copied()
        .filter(|figure| *figure > 0.0)
        .reduce(f64::min);
    let high = figures.iter().copied().reduce(f64::max);
    let (Some(low), Some(high)) = (low, high) else {
        return Ok(None);
    };
    if table.columns.len() < 2 {
        return Ok(None);
    }
    let mut svg = String::new();
    paint(table, &ticks(low, high), &mut svg).map_err(|error| error.to_string())?;
    Ok(Some(svg))
}

fn points(row: &Row) -> impl Iterator<Item = (f64, Estimate)> + '_ {
    row.fields
        .iter()
        .enumerate()
        .filter_map(|(column, field)| match field {
            Field::Figure { figure, .. } if ends(*figure).0 > 0.0 => Some((column as f64, *figure)),
            _ => None,
        })
}

/// The ends of an estimate's interval; without one, the estimate itself.
fn ends(figure: Estimate) -> (f64, f64) {
    figure.interval.unwrap_or((figure.median, figure.median))
}

/// Round numbers from just below `low` to just above `high`; at least two.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let steps: &[f64] = if high / low < 1e3 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let all: Vec<f64> = (first..=last)
        .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
        .collect();
    let from = all.iter().rposition(|tick| *tick <= low).unwrap_or(0);
    let to = all
        .iter()
        .position(|tick| *tick >= high && *tick > all[from]);
    all[from..=to.unwrap_or(all.len() - 1)].to_vec()
}

/// The colour of one of the project's subjects: another for each variant, which has a longer name.
fn own(table: &Table, row: &Row) -> RGBColor {
    let rank = |row: &Row| (row.subject.len(), row.subject);
    let ours = plotted(table).filter(|other| other.role == Role::Ours);
    match ours.filter(|other| rank(other) < rank(row)).count() {
        0 => OURS,
        variant => OURS_TOO[(variant - 1) % OURS_TOO.len()],
    }
}

fn colour(subject: &str) -> RGBColor {
    let named = COLOURS.iter().find(|(name, _)| *name == subject);
    named.map_or(OTHER, |(_, colour)| *colour)
}

fn paint(table: &Table, ticks: &[f64], svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    use plotters::coord::combinators::{BindKeyPoints, IntoLogRange};

    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let last = (table.columns.len() - 1) as f64;
    let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
    // Extend the range a little, so that the outermost circles are not cut off.
    let heights = (low * 0.95..high * 1.05).log_scale();
    let mut chart = ChartBuilder::on(&area)
        .caption(table.title(), ("sans-serif", 18))
        .margin(12)
        .margin_right(200)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(-0.1..last + 0.1, heights.with_key_points(ticks.to_vec()))?;
    let better = match table.unit.better() {
        Better::Higher => "higher",
        Better::Lower => "lower",
    };
    let label = |at: &f64| {
        let column = at.round();
        let value = table.columns.get(column as usize);
        match value {
            Some(value) if (at - column).abs() < 1e-6 && column >= 0.0 => value.to_string(),
            _ => String::new(),
        }
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(table.columns.len() * 2)
        .x_label_formatter(&label)
        .y_label_formatter(&|figure| amount(*figure))
        .x_desc(table.axis)
        .y_desc(format!("{}, {better} is better", table.unit.name()))
        .draw()?;
    for (index, row) in plotted(table).enumerate() {
        let (colour, width) = match row.role {
            Role::Ours => (own(table, row), 3),
            _ => (colour(row.subject), 1),
        };
        let style: ShapeStyle = colour.stroke_width(width);
        let medians = || points(row).map(|(column, figure)| (column, figure.median));
        chart.draw_series(LineSeries::new(medians(), style))?;
        chart.draw_series(medians().map(|point| Circle::new(point, 3, colour.filled())))?;
        chart.draw_series(points(row).map(|(column, figure)| {
            let (low, high) = ends(figure);
            PathElement::new(vec![(column, low), (column, high)], colour.stroke_width(1))
        }))?;
        let y = KEY.1 + 18 * index as i32;
        area.draw(&PathElement::new(vec![(KEY.0, y), (KEY.0 + 20, y)], style))?;
        let text = ("sans-serif", 13).into_font();
        area.draw(&Text::new(row.subject, (KEY.0 + 26, y - 6), text))?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::tables;
    use crate::report::table::tests::entry;

    #[test]
    fn plot_names_every_subject() {
        let entries = [
            entry("tokio", Role::Peer, 1, 10.0),
            entry("lanemesh", Role::Ours, 1, 60.0),
            entry("tokio", Role::Peer, 10, 20.0),
            entry("lanemesh", Role::Ours, 10, 50.0),
        ];
        let table = &tables("funnel", &entries)[0];
        let svg = draw(table).unwrap().unwrap();
        assert!(svg.starts_with("<svg"));
        assert!(svg.contains("tokio") && svg.contains("lanemesh"));
        assert_eq!(file_name(table), "funnel/61.svg");
    }

    #[test]
    fn intervals_are_drawn() {
        let lines = |runs: [f64; 6]| {
            let mut entries = [
                entry("tokio", Role::Peer, 1, 10.0),
                entry("tokio", Role::Peer, 10, 20.0),
            ];
            entries[0].runs = runs.to_vec();
            let svg = draw(&tables("funnel", &entries)[0]).unwrap().unwrap();
            let blue = "stroke=\"#1F77B4\"";
            svg.lines()
                .filter(|line| line.contains(blue))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (narrow, wide) = (lines([10.0; 6]), lines([8.0, 9.0, 10.0, 10.0, 11.0, 12.0]));
        assert_eq!(narrow.len(), wide.len());
        assert_ne!(narrow, wide);
    }

    #[test]
    fn ticks_are_round_and_hold_all_figures() {
        assert_eq!(ticks(21.0, 45.0), [20.0, 50.0]);
        assert_eq!(
            ticks(3.4, 281.0),
            [2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
        );
        assert_eq!(ticks(0.6, 1e4), [0.1, 1.0, 10.0, 100.0, 1e3, 1e4]);
        assert_eq!(ticks(10.0, 10.0), [10.0, 20.0]);
    }

    #[test]
    fn colours_are_distinct_and_stay() {
        let entries = [
            entry("lanemesh-total", Role::Ours, 1, 70.0),
            entry("lanemesh-shared", Role::Ours, 1, 30.0),
            entry("lanemesh-no-membarrier", Role::Ours, 1, 55.0),
            entry("no-express", Role::Ablation, 1, 40.0),
            entry("lanemesh", Role::Ours, 1, 60.0),
            entry("kanal", Role::Peer, 1, 50.0),
        ];
        let table = &tables("funnel", &entries)[0];
        let row = |name| table.rows.iter().find(|row| row.subject == name).unwrap();
        assert_eq!(own(table, row("lanemesh")), OURS);
        assert_eq!(own(table, row("lanemesh-total")), OURS_TOO[0]);
        assert_eq!(own(table, row("lanemesh-shared")), OURS_TOO[1]);
        let names: Vec<&str> = plotted(table).map(|row| row.subject).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert_ne!(colour("kanal"), colour("tokio"));
        assert_eq!(colour("a newcomer"), OTHER);
    }

    #[test]
    fn single_column_or_no_figure_makes_no_plot() {
        let one = [entry("tokio", Role::Peer, 1, 10.0)];
        assert_eq!(draw(&tables("funnel", &one)[0]), Ok(None));
        let none = [
            entry("tokio", Role::Peer, 1, 0.0),
            entry("tokio", Role::Peer, 2, 0.0),
        ];
        assert_eq!(draw(&tables("funnel", &none)[0]), Ok(None));
    }
}
