//! Tables: one row for each subject, one column for each value of the last parameter. Every field
//! has the median of the runs, its ratio to the best peer of the column, and what that ratio says.

use std::fmt;

use crate::plan::{METRIC, Params, Value};
use crate::report::ratio::{best_peer, ratio};
use crate::rig::interval::Estimate;
use crate::rig::stats::{Unit, geometric_mean};
use crate::rivals::Role;
use crate::runner::Entry;

/// The figures of one shape that differ only in subject and last parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Name of the shape.
    pub shape: &'static str,
    /// The parameters that all figures have in common.
    pub fixed: Params,
    /// Unit of the figures.
    pub unit: Unit,
    /// Name of the last parameter, which varies over the columns.
    pub axis: &'static str,
    /// The values of the last parameter.
    pub columns: Vec<Value>,
    /// The subjects, best first.
    pub rows: Vec<Row>,
}

/// One subject's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the channel or runtime.
    pub subject: &'static str,
    /// Role of the subject in the comparison.
    pub role: Role,
    /// One field for each column.
    pub fields: Vec<Field>,
}

/// One field of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field {
    /// The subject takes no part in this column.
    None,
    /// The subject failed.
    Failed,
    /// The subject was measured.
    Figure {
        /// The figure.
        figure: Estimate,
        /// How many times better it is than the best peer's; `None` if the column has no peer.
        ratio: Option<Estimate>,
    },
}

impl Row {
    /// The geometric mean of the row's ratios; `None` if it has none.
    pub fn mean_ratio(&self) -> Option<f64> {
        let ratios: Vec<f64> = self
            .fields
            .iter()
            .filter_map(|field| match field {
                Field::Figure { ratio, .. } => Some((*ratio)?.median),
                _ => None,
            })
            .collect();
        geometric_mean(&ratios)
    }
}

/// The tables of a shape, in the order of the measurements.
pub fn tables(shape: &str, entries: &[Entry]) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.shape == shape) {
        let Some(((axis, column), fixed)) = entry.params.split_last() else {
            continue;
        };
        let known = tables
            .iter()
            .position(|table| table.fixed == fixed && table.unit == entry.unit);
        let table = match known {
            Some(index) => &mut tables[index],
            None => {
                tables.push(Table {
                    shape: entry.shape,
                    fixed: fixed.to_vec(),
                    unit: entry.unit,
                    axis,
                    columns: Vec::new(),
                    rows: Vec::new(),
                });
                tables
                    .last_mut()
                    .unwrap_or_else(|| unreachable!("one was pushed"))
            }
        };
        let field = match Estimate::of(&entry.runs) {
            Some(figure) if entry.fault.is_none() => Field::Figure {
                figure,
                ratio: best_peer(entry, entries, |_| true).and_then(|peer| ratio(entry, peer)),
            },
            _ => Field::Failed,
        };
        table.put(entry.subject, entry.role, column, field);
    }
    for table in &mut tables {
        table.rows.sort_by(|a, b| {
            let key = |row: &Row| row.mean_ratio().unwrap_or(0.0);
            key(b).total_cmp(&key(a))
        });
    }
    tables
}

/// The same tables with the peak heap use of each cell, for cells where it was counted.
pub fn heap_tables(shape: &str, entries: &[Entry]) -> Vec<Table> {
    let heap: Vec<Entry> = entries
        .iter()
        .filter_map(|entry| {
            Some(Entry {
                unit: Unit::Bytes,
                runs: vec![entry.bytes? as f64],
                ..entry.clone()
            })
        })
        .collect();
    tables(shape, &heap)
}

impl Table {
    fn put(&mut self, subject: &'static str, role: Role, column: &Value, field: Field) {
        let at = self
            .columns
            .iter()
            .position(|known| known == column)
            .unwrap_or_else(|| {
                self.columns.push(column.clone());
                for row in &mut self.rows {
                    row.fields.push(Field::None);
                }
                self.columns.len() - 1
            });
        let row = self
            .rows
            .iter()
            .position(|row| row.subject == subject)
            .unwrap_or_else(|| {
                let fields = vec![Field::None; self.columns.len()];
                self.rows.push(Row {
                    subject,
                    role,
                    fields,
                });
                self.rows.len() - 1
            });
        self.rows[row].fields[at] = field;
    }

    /// A title for people.
    pub fn title(&self) -> String {
        let mut title = format!("{}, {}", self.shape, self.unit.name());
        for (name, value) in &self.fixed {
            title.push_str(&match (*name, value) {
                (METRIC, value) => format!(", {value}"),
                (name, Value::Number(number)) => format!(", {name} {number}"),
                (_, Value::Text(text)) => format!(", {text}"),
            });
        }
        title
    }
}

impl fmt::Display for Table {
    /// Formats a Markdown table, padded so that it is readable on a terminal too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![vec![self.axis.to_owned()]];
        lines[0].extend(self.columns.iter().map(Value::to_string));
        for row in &self.rows {
            let name = match row.role {
                Role::Ours | Role::Ablation => format!("**{}**", row.subject),
                Role::Peer => row.subject.to_owned(),
                Role::Marked => format!("{} †", row.subject),
                Role::Floor => format!("*{}*", row.subject),
            };
            let mut line = vec![name];
            let with_interval = matches!(row.role, Role::Ours | Role::Ablation);
            line.extend(row.fields.iter().map(|field| field.text(with_interval)));
            lines.push(line);
        }
        let widths: Vec<usize> = (0..=self.columns.len())
            .map(|column| {
                lines
                    .iter()
                    .map(|line| line[column].chars().count())
                    .max()
                    .unwrap_or(0)
                    .max(3)
            })
            .collect();
        for (index, line) in lines.iter().enumerate() {
            for (column, (text, width)) in line.iter().zip(&widths).enumerate() {
                if column == 0 {
                    write!(f, "| {text:<width$} |")?;
                } else {
                    write!(f, " {text:>width$} |")?;
                }
            }
            writeln!(f)?;
            if index == 0 {
                for (column, width) in widths.iter().enumerate() {
                    if column == 0 {
                        write!(f, "|{}|", "-".repeat(width + 2))?;
                    } else {
                        write!(f, "{}:|", "-".repeat(width + 1))?;
                    }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl Field {
    /// The field's text, with or without the interval of its ratio.
    fn text(&self, with_interval: bool) -> String {
        let (figure, ratio) = match self {
            Field::None => return "–".to_owned(),
            Field::Failed => return "failed".to_owned(),
            Field::Figure { figure, ratio } => (amount(figure.median), ratio),
        };
        let Some(ratio) = ratio else {
            return figure;
        };
        let mut text = format!("{figure} {:>6}", format!("{}×", short(ratio.median)));
        if with_interval && let Some(range) = range(ratio) {
            text.push_str(&format!(" ({range})"));
        }
        if let Some(verdict) = ratio.verdict() {
            text.push_str(&format!(" {}", verdict.mark()));
        }
        text
    }
}

/// The interval of an estimate, as text for people; `None` if it has none.
pub(super) fn range(estimate: &Estimate) -> Option<String> {
    let (low, high) = estimate.interval?;
    Some(format!("{}–{}", short(low), short(high)))
}

/// Formats a figure with about three significant digits, and with commas between thousands.
pub fn amount(value: f64) -> String {
    if value.abs() < 100.0 {
        return short(value);
    }
    let digits = format!("{value:.0}");
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits.as_str()),
    };
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a figure with about three significant digits.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        small if small < 0.01 && small > 0.0 => format!("{value:.4}"),
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rig::fault::Fault;

    pub(in crate::report) fn entry(
        subject: &'static str,
        role: Role,
        column: u64,
        median: f64,
    ) -> Entry {
        Entry {
            shape: "funnel",
            params: vec![
                ("rigs", Value::Number(61)),
                ("capacity", Value::Number(column)),
            ],
            subject,
            role,
            unit: Unit::MillionsPerSecond,
            runs: vec![median; 6],
            bytes: Some(1_024),
            fault: None,
        }
    }

    /// A field whose runs all had the same figures.
    fn figure(figure: f64, ratio: f64) -> Field {
        let steady = |value| Estimate {
            median: value,
            interval: Some((value, value)),
        };
        Field::Figure {
            figure: steady(figure),
            ratio: Some(steady(ratio)),
        }
    }

    fn sample() -> Vec<Entry> {
        vec![
            entry("tokio", Role::Peer, 1, 10.0),
            entry("tachyonix", Role::Peer, 1, 30.0),
            entry("lanemesh", Role::Ours, 1, 60.0),
            entry("floor", Role::Floor, 1, 900.0),
            entry("tokio", Role::Peer, 10, 10.0),
            entry("lanemesh", Role::Ours, 10, 5.0),
        ]
    }

    #[test]
    fn ratios_are_to_the_best_peer_of_the_column() {
        let table = &tables("funnel", &sample())[0];
        assert_eq!(table.columns, [Value::Number(1), Value::Number(10)]);
        let ours = table
            .rows
            .iter()
            .find(|row| row.subject == "lanemesh")
            .unwrap();
        assert_eq!(ours.fields[0], figure(60.0, 2.0));
        assert_eq!(ours.fields[1], figure(5.0, 0.5));
        assert_eq!(ours.mean_ratio(), Some(1.0));
    }

    #[test]
    fn rows_are_sorted_and_absences_shown() {
        let table = &tables("funnel", &sample())[0];
        let order: Vec<_> = table.rows.iter().map(|row| row.subject).collect();
        assert_eq!(order[0], "floor");
        let absent = table
            .rows
            .iter()
            .find(|row| row.subject == "tachyonix")
            .unwrap();
        assert_eq!(absent.fields[1], Field::None);
        let text = table.to_string();
        assert!(text.contains("**lanemesh**"), "{text}");
        assert!(text.contains("*floor*"), "{text}");
        assert!(text.contains('–'), "{text}");
    }

    #[test]
    fn field_says_what_the_runs_show() {
        let mut entries = sample();
        entries[2].runs = vec![33.0, 60.0, 60.0, 60.0, 66.0, 66.0];
        let table = |entries: &[Entry]| tables("funnel", entries)[0].to_string();
        assert!(table(&entries).contains("60.0  2.00× (1.10–2.20) ▲"));
        entries[2].runs[0] = 15.0;
        assert!(table(&entries).contains("60.0  2.00× (0.50–2.20) ="));
        // The other rows show what they are worth, without the interval.
        assert!(table(&entries).contains("10.0  0.33× ▼"));
        for entry in &mut entries {
            entry.runs.truncate(5);
        }
        assert!(table(&entries).contains("60.0  2.00× |"));
    }

    #[test]
    fn marked_peer_is_shown_and_no_ratio_is_relative_to_it() {
        let mut entries = sample();
        entries.push(entry("kanal", Role::Marked, 1, 120.0));
        let table = &tables("funnel", &entries)[0];
        assert!(table.to_string().contains("kanal †"));
        let row = |name| table.rows.iter().find(|row| row.subject == name).unwrap();
        assert_eq!(row("kanal").fields[0], figure(120.0, 4.0));
        assert_eq!(row("lanemesh").fields[0], figure(60.0, 2.0));
    }

    #[test]
    fn count_is_not_compared() {
        let mut entries = sample();
        for entry in &mut entries {
            entry.unit = Unit::Count;
        }
        assert!(!tables("funnel", &entries)[0].to_string().contains('×'));
    }

    #[test]
    fn lower_is_better_for_costs() {
        let cost = |mut entry: Entry| {
            entry.unit = Unit::NanosPerMessage;
            entry
        };
        let entries = [
            cost(entry("tokio", Role::Peer, 1, 50.0)),
            cost(entry("kanal", Role::Peer, 1, 20.0)),
            cost(entry("lanemesh", Role::Ours, 1, 10.0)),
        ];
        let table = &tables("funnel", &entries)[0];
        assert_eq!(table.rows[0].fields[0], figure(10.0, 2.0));
        assert_eq!(table.rows[1].subject, "kanal");
    }

    #[test]
    fn failed_subject_has_no_figure() {
        let mut entries = sample();
        entries[1].fault = Some(Fault::Hung);
        let table = &tables("funnel", &entries)[0];
        let failed = table
            .rows
            .iter()
            .find(|row| row.subject == "tachyonix")
            .unwrap();
        assert_eq!(failed.fields[0], Field::Failed);
        let ours = table
            .rows
            .iter()
            .find(|row| row.subject == "lanemesh")
            .unwrap();
        assert_eq!(ours.fields[0], figure(60.0, 6.0));
    }

    #[test]
    fn tables_part_by_the_other_parameters() {
        let mut entries = sample();
        entries[0].params[0].1 = Value::Number(1);
        let tables = tables("funnel", &entries);
        assert_eq!(tables.len(), 2);
        assert_eq!(tables[0].title(), "funnel, M msg/s, rigs 1");
    }

    #[test]
    fn amounts_have_about_three_digits() {
        let texts = [0.0021, 1.234, 12.34, 123.4, 1_234.5, 1_234_567.0].map(amount);
        assert_eq!(
            texts,
            ["0.0021", "1.23", "12.3", "123", "1,234", "1,234,567"]
        );
    }

    #[test]
    fn lines_of_a_table_are_equally_wide() {
        let text = tables("funnel", &sample())[0].to_string();
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }
}
