//! Tables: one row for each subject, one column for each value of the last parameter. Every field
//! has the median and its ratio to the best peer of the column.

use std::fmt;

use crate::plan::{METRIC, Params, Value};
use crate::rig::stats::{Unit, best, geometric_mean, times_as_good};
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
        /// The median of the runs.
        median: f64,
        /// How many times better the median is than the best peer's; `None` if the column has no
        /// peer.
        ratio: Option<f64>,
    },
}

impl Row {
    /// The geometric mean of the row's ratios; `None` if it has none.
    pub fn mean_ratio(&self) -> Option<f64> {
        let ratios: Vec<f64> = self
            .fields
            .iter()
            .filter_map(|field| match field {
                Field::Figure { ratio, .. } => *ratio,
                _ => None,
            })
            .collect();
        geometric_mean(&ratios)
    }
}

/// The tables of a shape, in the order of the measurements.
pub fn tables(shape: &str, entries: &[Entry]) -> Vec<Table> {
    build(shape, entries, |entry| (entry.unit, entry.median()))
}

/// The same tables with the peak heap use of each cell, for cells where it was counted.
pub fn heap_tables(shape: &str, entries: &[Entry]) -> Vec<Table> {
    let counted: Vec<Entry> = entries
        .iter()
        .filter(|entry| entry.bytes.is_some())
        .cloned()
        .collect();
    build(shape, &counted, |entry| {
        (Unit::Bytes, entry.bytes.map(|bytes| bytes as f64))
    })
}

fn build(
    shape: &str,
    entries: &[Entry],
    figure: impl Fn(&Entry) -> (Unit, Option<f64>),
) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.shape == shape) {
        let Some(((axis, column), fixed)) = entry.params.split_last() else {
            continue;
        };
        let (unit, median) = figure(entry);
        let known = tables
            .iter()
            .position(|table| table.fixed == fixed && table.unit == unit);
        let table = match known {
            Some(index) => &mut tables[index],
            None => {
                tables.push(Table {
                    shape: entry.shape,
                    fixed: fixed.to_vec(),
                    unit,
                    axis,
                    columns: Vec::new(),
                    rows: Vec::new(),
                });
                tables
                    .last_mut()
                    .unwrap_or_else(|| unreachable!("one was pushed"))
            }
        };
        let field = match median {
            Some(median) if entry.fault.is_none() => Field::Figure {
                median,
                ratio: None,
            },
            _ => Field::Failed,
        };
        table.put(entry.subject, entry.role, column, field);
    }
    for table in &mut tables {
        table.compare();
    }
    tables
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

    /// The best median of a peer in a column.
    pub fn best_peer(&self, column: usize) -> Option<f64> {
        let peers = self.rows.iter().filter(|row| row.role == Role::Peer);
        let medians = peers.filter_map(|row| match row.fields[column] {
            Field::Figure { median, .. } => Some(median),
            _ => None,
        });
        best(medians, self.unit.better())
    }

    fn compare(&mut self) {
        for column in 0..self.columns.len() {
            let Some(measure) = self.best_peer(column) else {
                continue;
            };
            let better = self.unit.better();
            for row in &mut self.rows {
                if let Field::Figure { median, ratio } = &mut row.fields[column] {
                    *ratio = Some(times_as_good(*median, measure, better));
                }
            }
        }
        self.rows.sort_by(|a, b| {
            let key = |row: &Row| row.mean_ratio().unwrap_or(0.0);
            key(b).total_cmp(&key(a))
        });
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
                Role::Ours => format!("**{}**", row.subject),
                Role::Peer => row.subject.to_owned(),
                Role::Floor => format!("*{}*", row.subject),
            };
            let mut line = vec![name];
            line.extend(row.fields.iter().map(Field::to_string));
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

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::None => f.write_str("–"),
            Field::Failed => f.write_str("failed"),
            Field::Figure {
                median,
                ratio: None,
            } => f.write_str(&amount(*median)),
            Field::Figure {
                median,
                ratio: Some(ratio),
            } => {
                write!(
                    f,
                    "{} {:>6}",
                    amount(*median),
                    format!("{}×", short(*ratio))
                )
            }
        }
    }
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

fn short(value: f64) -> String {
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
            runs: vec![median],
            bytes: Some(1_024),
            fault: None,
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
        assert_eq!(
            ours.fields[0],
            Field::Figure {
                median: 60.0,
                ratio: Some(2.0)
            }
        );
        assert_eq!(
            ours.fields[1],
            Field::Figure {
                median: 5.0,
                ratio: Some(0.5)
            }
        );
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
        assert_eq!(
            table.rows[0].fields[0],
            Field::Figure {
                median: 10.0,
                ratio: Some(2.0)
            }
        );
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
        assert_eq!(
            ours.fields[0],
            Field::Figure {
                median: 60.0,
                ratio: Some(6.0)
            }
        );
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
