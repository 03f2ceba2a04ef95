//! The output: tables on the terminal, `results.json`, `run.json`, a Markdown report and SVG plots.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use crate::plan::{Cell, Effort, Shape};
use crate::runner::Entry;

pub mod instruction_counts;
mod json;
pub mod machine;
mod markdown;
pub mod mechanisms;
mod plot;
mod ratio;
mod readme_plot;
mod run_info;
mod table;
pub mod targets;

pub use self::json::results;
pub use self::markdown::report;
pub use self::run_info::RunInfo;
pub use self::table::{Table, amount, heap_tables, tables};

/// File with the figures.
const RESULTS: &str = "results.json";
/// File that says how the figures were taken.
const RUN: &str = "run.json";
/// File with the report.
const REPORT: &str = "RESULTS.md";

/// Creates a directory for the files and checks that they can be written, without changing them.
///
/// # Errors
///
/// Those of the file system, with the path.
pub fn prepare(directory: &Path) -> io::Result<()> {
    let plots = directory.join("plots");
    fs::create_dir_all(&plots).map_err(|error| at(&plots, error))?;
    for name in [RESULTS, RUN, REPORT] {
        let path = directory.join(name);
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.map_err(|error| at(&path, error))?;
    }
    Ok(())
}

/// Writes all files into a directory, which is created if necessary. `shapes` are those that were
/// measured.
///
/// # Errors
///
/// Those of the file system, with the path, and those of drawing a plot.
pub fn write(
    directory: &Path,
    info: &RunInfo,
    shapes: &[Shape],
    entries: &[Entry],
) -> io::Result<()> {
    prepare(directory)?;
    save(&directory.join(RESULTS), results(entries))?;
    save(&directory.join(RUN), info.to_json())?;
    write_report(directory, info, shapes, entries)
}

/// Rewrites the report and the plots of a directory from its `results.json` and `run.json`, without
/// measuring. `shapes` are all that may occur there.
///
/// # Errors
///
/// Those of the file system and of reading a file that [`write()`] did not write, with the path, and
/// those of drawing a plot.
pub fn render(directory: &Path, shapes: &[Shape]) -> io::Result<()> {
    let cells: Vec<Cell> = shapes
        .iter()
        .flat_map(|shape| (shape.cells)(&Effort::full()))
        .collect();
    let entries = load(&directory.join(RESULTS), |text| json::read(text, &cells))?;
    let info = load(&directory.join(RUN), RunInfo::from_json)?;
    let measured: Vec<Shape> = shapes
        .iter()
        .filter(|shape| entries.iter().any(|entry| entry.shape == shape.name))
        .copied()
        .collect();
    write_report(directory, &info, &measured, &entries)
}

/// Writes the report and the plots that it shows.
fn write_report(
    directory: &Path,
    info: &RunInfo,
    shapes: &[Shape],
    entries: &[Entry],
) -> io::Result<()> {
    let mut plots = Vec::new();
    for shape in shapes {
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
    if let Some(svg) = readme_plot::draw(info, entries) {
        let path = directory.join("plots").join(readme_plot::FILE_NAME);
        save(&path, svg)?;
    }
    let report = report(info, shapes, entries, &plots);
    remove_plots_of_old_report(directory, &report)?;
    save(&directory.join(REPORT), report)
}

/// Removes the plots that the report in this directory shows and the new one does not.
fn remove_plots_of_old_report(directory: &Path, new: &str) -> io::Result<()> {
    let path = directory.join(REPORT);
    let old = match fs::read_to_string(&path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(&path, error)),
    };
    for link in old.split("](plots/").skip(1) {
        let Some((name, _)) = link.split_once(')') else {
            continue;
        };
        let is_plain = name.ends_with(".svg") && !name.contains("..");
        if is_plain && !new.contains(&format!("](plots/{name})")) {
            let path = directory.join("plots").join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&path, error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn load<R>(path: &Path, read: impl FnOnce(&str) -> Result<R, String>) -> io::Result<R> {
    let text = fs::read_to_string(path).map_err(|error| at(path, error))?;
    read(&text).map_err(|what| {
        let error = io::Error::new(io::ErrorKind::InvalidData, what);
        at(path, error)
    })
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
