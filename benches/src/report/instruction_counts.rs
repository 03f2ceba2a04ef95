//! Instruction counts: reads the output of the bench `instructions` and compares it with a
//! baseline.
//!
//! A count depends on the compiler and on the versions in `Cargo.lock`, not on the load of the
//! machine. A difference is shown, but it fails nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

/// Number of instructions of each benchmark, keyed by group and function, joined by `::`.
pub type Counts = BTreeMap<String, u64>;

/// Reads the counts from all summaries below a directory.
///
/// # Errors
///
/// Those of the file system, and `InvalidData` if a summary has no count.
pub fn collect(directory: &Path) -> io::Result<Counts> {
    let mut counts = Counts::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.file_name().is_some_and(|name| name == "summary.json") {
                let text = fs::read_to_string(&path)?;
                let (name, count) = summary(&text).ok_or_else(|| {
                    let what = format!("no instruction count in {}", path.display());
                    io::Error::new(io::ErrorKind::InvalidData, what)
                })?;
                counts.insert(name, count);
            }
        }
    }
    Ok(counts)
}

/// The name and the count in a summary.
fn summary(text: &str) -> Option<(String, u64)> {
    let summary: Value = serde_json::from_str(text).ok()?;
    let (_, name) = summary["module_path"].as_str()?.split_once("::")?;
    let profiles = summary["profiles"].as_array()?;
    let callgrind = profiles
        .iter()
        .find(|profile| profile["tool"] == "Callgrind")?;
    let count = &callgrind["data"]["total"]["metrics"]["Ir"]["values"]["new"];
    Some((name.to_owned(), count.as_u64()?))
}

/// The text of a baseline, with one line for each benchmark.
pub fn to_text(counts: &Counts) -> String {
    counts
        .iter()
        .fold(String::new(), |mut text, (name, count)| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name} {count}");
            text
        })
}

/// Reads the text of a baseline.
///
/// # Errors
///
/// The first line that is not a name and a number.
pub fn from_text(text: &str) -> Result<Counts, String> {
    text.lines()
        .map(|line| {
            let (name, count) = line.split_once(' ').ok_or_else(|| line.to_owned())?;
            let count = count.trim().parse().map_err(|_| line.to_owned())?;
            Ok((name.to_owned(), count))
        })
        .collect()
}

/// A Markdown table of all changes. A benchmark that is on one side only is marked as new or gone.
pub fn difference(baseline: &Counts, now: &Counts) -> String {
    let mut text = String::from("| benchmark | baseline | now | change |\n|---|--:|--:|--:|\n");
    let mut names: Vec<&String> = baseline.keys().chain(now.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let line = match (baseline.get(name), now.get(name)) {
            (Some(old), Some(new)) => {
                let change = match old {
                    0 => "–".to_owned(),
                    _ => format!("{:+.2} %", (*new as f64 / *old as f64 - 1.0) * 100.0),
                };
                format!("| {name} | {old} | {new} | {change} |")
            }
            (None, Some(new)) => format!("| {name} | – | {new} | new |"),
            (Some(old), None) => format!("| {name} | {old} | – | gone |"),
            (None, None) => continue,
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn summary_gives_name_and_count() {
        let text = r#"{
            "module_path": "instructions::tokio_mpsc::tokio_send",
            "profiles": [
                { "tool": "DHAT", "data": {} },
                { "tool": "Callgrind",
                  "data": { "total": { "metrics": { "Ir": { "values": { "new": 80777 } } } } } }
            ]
        }"#;
        assert_eq!(
            summary(text),
            Some(("tokio_mpsc::tokio_send".to_owned(), 80_777))
        );
        assert_eq!(summary("{}"), None);
        assert_eq!(summary("no json"), None);
    }

    #[test]
    fn baseline_reads_back() {
        let counts = counts(&[("a::b", 10), ("a::c", 20)]);
        assert_eq!(from_text(&to_text(&counts)), Ok(counts));
        assert_eq!(from_text("a::b ten"), Err("a::b ten".to_owned()));
    }

    #[test]
    fn difference_shows_changes_new_and_gone() {
        let text = difference(
            &counts(&[("a", 100), ("b", 50)]),
            &counts(&[("a", 110), ("c", 7)]),
        );
        assert!(text.contains("| a | 100 | 110 | +10.00 % |"), "{text}");
        assert!(text.contains("| b | 50 | – | gone |"), "{text}");
        assert!(text.contains("| c | – | 7 | new |"), "{text}");
    }
}
