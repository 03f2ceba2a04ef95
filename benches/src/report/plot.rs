//! Plots: a line for each subject, the columns of a table from left to right, figures on a
//! logarithmic scale.

use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, PathElement, Text};
use plotters::series::LineSeries;
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, WHITE};

use crate::channels::Role;
use crate::report::table::{Field, Row, Table, amount};

const SIZE: (u32, u32) = (880, 460);
/// Where the first line of the key is.
const KEY: (i32, i32) = (738, 50);
const OURS: RGBColor = RGBColor(200, 30, 30);
const COLOURS: &[RGBColor] = &[
    RGBColor(31, 119, 180),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(255, 127, 14),
    RGBColor(23, 150, 170),
    RGBColor(127, 127, 127),
    RGBColor(188, 160, 34),
    RGBColor(227, 119, 194),
    RGBColor(60, 60, 110),
    RGBColor(0, 0, 0),
];

/// A name for the plot of this table.
pub(super) fn file_name(table: &Table) -> String {
    let mut name = table.shape.to_owned();
    for (_, value) in &table.fixed {
        let value = value.to_string().to_lowercase();
        let plain = value
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
        name.push('-');
        name.extend(plain);
    }
    name.push_str(".svg");
    name
}

/// The plot as SVG text; `None` when a table has fewer than two columns or no figures.
///
/// # Errors
///
/// What the drawing library says.
pub(super) fn draw(table: &Table) -> Result<Option<String>, String> {
    let figures: Vec<f64> = table
        .rows
        .iter()
        .flat_map(points)
        .map(|(_, figure)| figure)
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
    paint(table, low * 0.8, high * 1.25, &mut svg).map_err(|error| error.to_string())?;
    Ok(Some(svg))
}

fn points(row: &Row) -> impl Iterator<Item = (f64, f64)> + '_ {
    row.fields
        .iter()
        .enumerate()
        .filter_map(|(column, field)| match field {
            Field::Figure { median, .. } if *median > 0.0 => Some((column as f64, *median)),
            _ => None,
        })
}

fn paint(
    table: &Table,
    low: f64,
    high: f64,
    svg: &mut String,
) -> Result<(), Box<dyn std::error::Error>> {
    use plotters::coord::combinators::IntoLogRange;

    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let last = (table.columns.len() - 1) as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption(table.title(), ("sans-serif", 18))
        .margin(12)
        .margin_right(150)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(-0.1..last + 0.1, (low..high).log_scale())?;
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
        .light_line_style(RGBColor(240, 240, 240))
        .x_labels(table.columns.len() * 2)
        .x_label_formatter(&label)
        .y_label_formatter(&|figure| amount(*figure))
        .x_desc(table.axis)
        .y_desc(table.unit.name())
        .draw()?;
    let mut others = COLOURS.iter().cycle();
    for (index, row) in table.rows.iter().enumerate() {
        let (colour, width) = match row.role {
            Role::Ours => (OURS, 3),
            _ => (*others.next().unwrap_or(&OURS), 1),
        };
        let style: ShapeStyle = colour.stroke_width(width);
        chart.draw_series(LineSeries::new(points(row), style))?;
        chart.draw_series(points(row).map(|point| Circle::new(point, 3, colour.filled())))?;
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
        assert_eq!(file_name(table), "funnel-61.svg");
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
