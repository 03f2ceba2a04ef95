//! What each mechanism of the channel is worth: the channel relative to itself without it.

use std::fmt::Write as _;

use crate::report::ratio::{ratio, same_cell};
use crate::report::table::{range, short};
use crate::report::targets::cell;
use crate::rig::interval::{Estimate, Verdict};
use crate::rig::stats::geometric_mean;
use crate::rivals::Role;
use crate::runner::Entry;

/// The channel with all its mechanisms.
const WHOLE: &str = "lanemesh";
/// The row of the channel without membarrier, which is measured in every run.
const NO_MEMBARRIER: &str = "lanemesh-no-membarrier";

/// A Markdown table with a row for each mechanism and shape; an empty text if nothing was measured.
pub fn table(entries: &[Entry]) -> String {
    let mut text = String::new();
    for subject in subjects(entries) {
        let mut shapes: Vec<&str> = Vec::new();
        for entry in entries.iter().filter(|entry| entry.subject == subject) {
            if !shapes.contains(&entry.shape) {
                shapes.push(entry.shape);
            }
        }
        for shape in shapes {
            text.push_str(&row(subject, shape, entries).unwrap_or_default());
        }
    }
    if !text.is_empty() {
        text.insert_str(
            0,
            "| without | shape | cells | gains | loses | mean | best cell | worst cell |\n\
             |---|---|--:|--:|--:|--:|---|---|\n",
        );
    }
    text
}

/// The rows that lack a mechanism, in the order of the measurements.
fn subjects(entries: &[Entry]) -> Vec<&'static str> {
    let mut subjects = Vec::new();
    let lacking = entries
        .iter()
        .filter(|entry| entry.role == Role::Ablation || entry.subject == NO_MEMBARRIER);
    for entry in lacking {
        if !subjects.contains(&entry.subject) {
            subjects.push(entry.subject);
        }
    }
    subjects
}

fn row(subject: &str, shape: &str, entries: &[Entry]) -> Option<String> {
    let without = |entry: &&Entry| entry.subject == subject && entry.shape == shape;
    let mut cells: Vec<(&Entry, Estimate)> = entries
        .iter()
        .filter(without)
        .filter(|entry| entry.unit.is_compared())
        .filter_map(|entry| {
            let mut same_cell = entries.iter().filter(|other| same_cell(entry, other));
            let whole = same_cell.find(|other| other.subject == WHOLE)?;
            Some((entry, ratio(whole, entry)?))
        })
        .collect();
    cells.sort_by(|a, b| a.1.median.total_cmp(&b.1.median));
    let (worst, best) = (cells.first()?, cells.last()?);
    let count = |verdict| {
        let verdicts = cells.iter().map(|(_, ratio)| ratio.verdict());
        verdicts.filter(|found| *found == Some(verdict)).count()
    };
    let medians: Vec<f64> = cells.iter().map(|(_, ratio)| ratio.median).collect();
    let show = |(entry, ratio): &(&Entry, Estimate)| {
        let range = range(ratio).map(|range| format!(" ({range})"));
        format!(
            "{}×{}, {}",
            short(ratio.median),
            range.unwrap_or_default(),
            cell(entry)
        )
    };
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "| {} | {shape} | {} | {} | {} | {}× | {} | {} |",
        subject.strip_prefix("lanemesh-").unwrap_or(subject),
        cells.len(),
        count(Verdict::Ahead),
        count(Verdict::Behind),
        short(geometric_mean(&medians)?),
        show(best),
        show(worst),
    );
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::tests::entry;

    #[test]
    fn row_counts_the_cells_in_which_a_mechanism_helps_and_hurts() {
        let entries = [
            entry(WHOLE, Role::Ours, 1, 20.0),
            entry("no-express", Role::Ablation, 1, 10.0),
            entry(WHOLE, Role::Ours, 10, 20.0),
            entry("no-express", Role::Ablation, 10, 40.0),
            entry(WHOLE, Role::Ours, 100, 20.0),
            entry("no-express", Role::Ablation, 100, 20.0),
            entry(NO_MEMBARRIER, Role::Ours, 100, 10.0),
            entry("tokio", Role::Peer, 100, 1.0),
        ];
        let table = table(&entries);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert_eq!(
            lines[2],
            "| no-express | funnel | 3 | 1 | 1 | 1.00× | 2.00× (2.00–2.00), rigs 61, capacity 1 | \
             0.50× (0.50–0.50), rigs 61, capacity 10 |"
        );
        assert!(lines[3].starts_with("| no-membarrier | funnel | 1 | 1 | 0 | 2.00× |"));
    }

    #[test]
    fn nothing_measured_makes_no_table() {
        assert_eq!(table(&[entry(WHOLE, Role::Ours, 1, 20.0)]), "");
    }
}
