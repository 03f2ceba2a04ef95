//! What comes out: tables on the terminal, `results.json`, a Markdown report and SVG plots.

use std::fs;
use std::io;
use std::path::Path;

use crate::machine::Machine;
use crate::runner::Entry;
use crate::shapes::Shape;

mod json;
mod markdown;
mod plot;
mod table;

pub use self::json::results;
pub use self::markdown::report;
pub use self::table::{Table, amount, heap_tables, tables};

/// How the figures were taken, for the report.
#[derive(Debug, Clone)]
pub struct Session<'a> {
    /// What they were taken on.
    pub machine: &'a Machine,
    /// The shapes that were measured.
    pub shapes: &'a [Shape],
    /// The command's arguments.
    pub arguments: String,
    /// Measured runs of every cell.
    pub runs: usize,
    /// Milliseconds that a run aims at.
    pub target_ms: u128,
}

/// Writes all files into a directory, which is made when it is not there.
///
/// # Errors
///
/// Those of the file system, and of a plot that cannot be drawn.
pub fn write(directory: &Path, session: &Session<'_>, entries: &[Entry]) -> io::Result<()> {
    fs::create_dir_all(directory.join("plots"))?;
    fs::write(directory.join("results.json"), results(entries))?;
    let mut plots = Vec::new();
    for shape in session.shapes {
        for table in tables(shape.name, entries) {
            let name = plot::file_name(&table);
            let Some(svg) = plot::draw(&table).map_err(io::Error::other)? else {
                continue;
            };
            let name = format!("plots/{name}");
            fs::write(directory.join(&name), svg)?;
            plots.push((table.shape, table.fixed.clone(), name));
        }
    }
    fs::write(
        directory.join("RESULTS.md"),
        report(session, entries, &plots),
    )
}
