//! Tables in Markdown.

use crate::{
    peers::Peer,
    reading::{Cell, Reading},
    shapes::SHAPES,
};

/// How a number of a reading is shown.
struct Column {
    title: &'static str,
    of: fn(&Reading) -> f64,
    digits: usize,
    has_ratio: bool,
}

const fn column(title: &'static str, of: fn(&Reading) -> f64, digits: usize) -> Column {
    Column {
        title,
        of,
        digits,
        has_ratio: false,
    }
}

const fn with_ratio(mut column: Column) -> Column {
    column.has_ratio = true;
    column
}

/// Title and columns of a shape.
fn layout(shape: &str) -> (&'static str, Vec<Column>) {
    match shape {
        "ask" => (
            "ask, 64 B",
            vec![
                with_ratio(column("p50 µs", |reading| reading.values[0], 1)),
                column("p99 µs", |reading| reading.values[1], 1),
            ],
        ),
        "tell" => (
            "tell, 1200 B",
            vec![
                with_ratio(column("thousands a second", |reading| reading.values[0], 1)),
                column("lost %", |reading| reading.values[1], 1),
            ],
        ),
        _ => (
            "ask behind tells of 1200 B",
            vec![
                with_ratio(column("answer after ms", |reading| reading.values[0], 2)),
                column("told after ms", |reading| reading.values[1], 0),
                column("sender MiB", |reading| reading.memory[0], 0),
                column("receiver MiB", |reading| reading.memory[1], 0),
            ],
        ),
    }
}

/// The least, the median and the greatest.
fn spread(cell: &Cell, of: fn(&Reading) -> f64) -> Option<[f64; 3]> {
    let mut values: Vec<f64> = cell.readings.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some([values[0], values[last / 2], values[last]])
}

pub(crate) fn print(cells: &[(&Peer, &str, Cell)]) {
    for shape in SHAPES {
        let (title, columns) = layout(shape);
        let rows: Vec<_> = cells.iter().filter(|(_, of, _)| *of == shape).collect();
        print!("\n| {title} |");
        for column in &columns {
            print!(" {} |", column.title);
            if column.has_ratio {
                print!(" ratio |");
            }
        }
        print!("\n|---|");
        for column in &columns {
            print!("{}", if column.has_ratio { "---|---|" } else { "---|" });
        }
        println!();
        let ours = rows.first().map(|(_, _, cell)| cell);
        for (peer, _, cell) in &rows {
            print!("| {} |", peer.name);
            for column in &columns {
                let Some([least, median, greatest]) = spread(cell, column.of) else {
                    print!(" failed |{}", if column.has_ratio { " – |" } else { "" });
                    continue;
                };
                let digits = column.digits;
                print!(" {median:.digits$} ({least:.digits$}–{greatest:.digits$}) |");
                if column.has_ratio {
                    match ours.and_then(|ours| spread(ours, column.of)) {
                        Some([_, ours, _]) => print!(" {:.2} |", median / ours),
                        None => print!(" – |"),
                    }
                }
            }
            println!();
        }
        for (peer, _, cell) in &rows {
            if let Some(first) = cell.failures.first() {
                let count = cell.failures.len();
                println!(
                    "\n{}: {count} of {} failed: {first}",
                    peer.name,
                    count + cell.readings.len()
                );
            }
        }
    }
}
