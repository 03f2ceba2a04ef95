//! What comes out: tables on the terminal, `results.json`, a Markdown report and SVG plots.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use crate::runner::Entry;

pub mod instruction_counts;
mod json;
pub mod machine;
mod markdown;
mod plot;
mod table;
pub mod targets;

pub use self::json::results;
pub use self::markdown::{Session, report};
pub use self::table::{Table, amount, heap_tables, tables};

/// Makes a directory for the files, and sees whether they can be written. What they hold stays.
///
/// # Errors
///
/// Those of the file system, with the path.
pub fn prepare(directory: &Path) -> io::Result<()> {
    let plots = directory.join("plots");
    fs::create_dir_all(&plots).map_err(|error| at(&plots, error))?;
    for name in ["results.json", "RESULTS.md"] {
        let path = directory.join(name);
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.map_err(|error| at(&path, error))?;
    }
    Ok(())
}

/// Writes all files into a directory, which is made when it is not there.
///
/// # Errors
///
/// Those of the file system, with the path, and of a plot that cannot be drawn.
pub fn write(directory: &Path, session: &Session<'_>, entries: &[Entry]) -> io::Result<()> {
    prepare(directory)?;
    save(&directory.join("results.json"), results(entries))?;
    let mut plots = Vec::new();
    for shape in session.shapes {
        for table in tables(shape.name, entries) {
            let name = plot::file_name(&table);
            let Some(svg) = plot::draw(&table).map_err(io::Error::other)? else {
                continue;
            };
            let name = format!("plots/{name}");
            save(&directory.join(&name), svg)?;
            plots.push((table.shape, table.fixed.clone(), name));
        }
    }
    let report = report(session, entries, &plots);
    save(&directory.join("RESULTS.md"), report)
}

fn save(path: &Path, text: String) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| at(directory, error))?;
    }
    fs::write(path, text).map_err(|error| at(path, error))
}

fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
