//! What is measured: cells, each of which is one subject under one set of parameters.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::rig::fault::Fault;
use crate::rig::stats::Unit;
use crate::rivals::{Role, Subject};

/// A parameter's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number; numbers keep their order on a plot's axis.
    Number(u64),
    /// A name.
    Text(String),
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::Number(number as u64)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => f.write_str(text),
        }
    }
}

/// Named parameters, in order. The last one varies over the columns of a table.
pub type Params = Vec<(&'static str, Value)>;

/// Name of the parameter that holds the metric of a cell with several metrics.
pub const METRIC: &str = "metric";

/// How much to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Duration that one run of one cell aims at.
    pub target: Duration,
    /// Whether to use fewer parameters, so that a whole run takes less than a minute.
    pub quick: bool,
}

impl Effort {
    /// Full parameters, and runs long enough for stable figures.
    pub fn full() -> Effort {
        Effort {
            target: Duration::from_millis(80),
            quick: false,
        }
    }

    /// Few parameters and short runs: enough to see that every subject works.
    pub fn quick() -> Effort {
        Effort {
            target: Duration::from_millis(8),
            quick: true,
        }
    }

    /// Returns `quick` if this effort is quick, otherwise `full`.
    pub fn choose<'a, T>(&self, full: &'a [T], quick: &'a [T]) -> &'a [T] {
        if self.quick { quick } else { full }
    }
}

/// The duration of a run and how many messages it carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Messages received; close to the number requested.
    pub count: u64,
    /// Time from the first send to the last receive. A shape that opens many channels includes
    /// opening them.
    pub elapsed: Duration,
}

/// Sends about the requested number of messages.
pub type RateFn = dyn Fn(u64) -> Result<Timing, Fault> + Send + Sync;

/// Takes one reading of each metric.
pub type ReadingsFn = dyn Fn(Effort) -> Result<Vec<f64>, Fault> + Send + Sync;

/// One of several figures that a cell yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Value of the parameter [`METRIC`] in the results.
    pub name: &'static str,
    /// Unit of the figure.
    pub unit: Unit,
}

impl Metric {
    /// A metric with this name and unit.
    pub const fn new(name: &'static str, unit: Unit) -> Metric {
        Metric { name, unit }
    }
}

/// How a cell is measured.
#[derive(Clone)]
pub enum Work {
    /// By its message rate, over as many messages as fit the effort.
    Rate {
        /// Unit of the rate.
        unit: Unit,
        /// Messages of the warm-up run, which is not measured.
        first: u64,
        /// Sends the messages.
        run: Arc<RateFn>,
    },
    /// By readings that the cell's own code takes.
    Readings {
        /// One metric for each reading, in order.
        metrics: &'static [Metric],
        /// Takes the readings.
        run: Arc<ReadingsFn>,
    },
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Rate { unit, first, .. } => f
                .debug_struct("Rate")
                .field("unit", unit)
                .field("first", first)
                .finish(),
            Work::Readings { metrics, .. } => f
                .debug_struct("Readings")
                .field("metrics", metrics)
                .finish(),
        }
    }
}

/// One subject under one set of parameters.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Name of the shape.
    pub shape: &'static str,
    /// Parameters of the shape.
    pub params: Params,
    /// Name of the channel or runtime.
    pub subject: &'static str,
    /// Role of the subject in the comparison.
    pub role: Role,
    /// Name of the row that is measured without `register_membarrier`, if there is one.
    pub without_membarrier: Option<&'static str>,
    /// Whether the cell's runs happen in another process, whose memory is not counted.
    pub is_remote: bool,
    /// How the cell is measured.
    pub work: Work,
}

impl Cell {
    /// A cell that is measured by its message rate.
    pub fn rate<S: Subject>(
        shape: &'static str,
        params: Params,
        unit: Unit,
        first: u64,
        run: impl Fn(u64) -> Result<Timing, Fault> + Send + Sync + 'static,
    ) -> Cell {
        let work = Work::Rate {
            unit,
            first,
            run: Arc::new(run),
        };
        Cell {
            shape,
            params,
            subject: S::NAME,
            role: S::ROLE,
            without_membarrier: S::WITHOUT_MEMBARRIER,
            is_remote: false,
            work,
        }
    }

    /// A cell that takes its own readings.
    pub fn readings<S: Subject>(
        shape: &'static str,
        params: Params,
        metrics: &'static [Metric],
        run: impl Fn(Effort) -> Result<Vec<f64>, Fault> + Send + Sync + 'static,
    ) -> Cell {
        let work = Work::Readings {
            metrics,
            run: Arc::new(run),
        };
        Cell {
            shape,
            params,
            subject: S::NAME,
            role: S::ROLE,
            without_membarrier: S::WITHOUT_MEMBARRIER,
            is_remote: false,
            work,
        }
    }

    /// The cell, for a shape whose sends wait for room.
    pub fn waiting<S: Subject>(self) -> Cell {
        Cell {
            role: S::role_when_waiting(),
            ..self
        }
    }

    /// Whether a row of results with this name belongs to the cell.
    pub fn has_row(&self, subject: &str) -> bool {
        self.subject == subject || self.without_membarrier == Some(subject)
    }

    /// Whether both cells have the same shape and parameters, so that their subjects are compared.
    pub fn same_group(&self, other: &Cell) -> bool {
        self.shape == other.shape && self.params == other.params
    }
}

/// A traffic pattern.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Name in results and on the command line.
    pub name: &'static str,
    /// Description for the report, in Markdown.
    pub about: &'static str,
    /// Makes the cells of all subjects that take part.
    pub cells: fn(&Effort) -> Vec<Cell>,
}

/// An unknown name on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// Kind of the name: `shape` or `channel`.
    pub what: &'static str,
    /// The unknown name.
    pub name: String,
    /// All known names of this kind.
    pub known: Vec<&'static str>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown {} `{}`; expected one of {}",
            self.what,
            self.name,
            self.known.join(", ")
        )
    }
}

impl std::error::Error for UnknownName {}

/// The names from `known` that were requested, in the order of `known`; all of them if none was.
///
/// # Errors
///
/// [`UnknownName`] with the first requested name that is not in `known`.
pub fn select(
    what: &'static str,
    asked: &[String],
    known: &[&'static str],
) -> Result<Vec<&'static str>, UnknownName> {
    if let Some(name) = asked.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(unknown(what, name, known));
    }
    let chosen = known
        .iter()
        .filter(|name| asked.is_empty() || asked.iter().any(|asked| asked == *name));
    Ok(chosen.copied().collect())
}

/// Checks that every requested name chooses at least one of `known`, by the rule of [`is_chosen`].
///
/// # Errors
///
/// [`UnknownName`] with the first name that chooses nothing.
pub fn check_names(
    what: &'static str,
    asked: &[String],
    known: &[&'static str],
) -> Result<(), UnknownName> {
    for name in asked {
        let name = std::slice::from_ref(name);
        if !known.iter().any(|subject| is_chosen(subject, name)) {
            return Err(unknown(what, &name[0], known));
        }
    }
    Ok(())
}

fn unknown(what: &'static str, name: &str, known: &[&'static str]) -> UnknownName {
    UnknownName {
        what,
        name: name.to_owned(),
        known: known.to_vec(),
    }
}

/// Whether `names` chooses the subject: by its own name or, for a variant `name-variant`, by
/// `name`. An empty list chooses every subject.
pub fn is_chosen(subject: &str, names: &[String]) -> bool {
    names.is_empty()
        || names.iter().any(|name| {
            subject == name
                || subject
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with('-'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn nothing_asked_selects_all() {
        assert_eq!(select("shape", &[], &["a", "b"]), Ok(vec!["a", "b"]));
    }

    #[test]
    fn selection_keeps_the_known_order() {
        assert_eq!(
            select("shape", &strings(&["b", "a"]), &["a", "b", "c"]),
            Ok(vec!["a", "b"])
        );
    }

    #[test]
    fn unknown_name_is_refused_with_the_known_ones() {
        let error = select("shape", &strings(&["a", "x"]), &["a", "b"]).unwrap_err();
        assert_eq!(error.to_string(), "unknown shape `x`; expected one of a, b");
    }

    #[test]
    fn name_that_chooses_nothing_is_refused() {
        let subjects = ["rtrb-chunks", "tokio"];
        assert_eq!(
            check_names("channel", &strings(&["tokio", "rtrb"]), &subjects),
            Ok(())
        );
        for name in ["kanal", "tokio-pair", "", "rt"] {
            let error = check_names("channel", &strings(&["tokio", name]), &subjects).unwrap_err();
            assert_eq!((error.name.as_str(), error.known.len()), (name, 2));
        }
    }

    #[test]
    fn variant_is_chosen_by_the_name_before_the_dash() {
        assert!(is_chosen("rtrb-chunks", &strings(&["rtrb"])));
        assert!(is_chosen("rtrb-chunks", &strings(&["rtrb-chunks"])));
        assert!(!is_chosen("rtrb", &strings(&["rtrb-chunks"])));
        assert!(!is_chosen("tokio", &strings(&["to"])));
        assert!(is_chosen("tokio", &[]));
    }
}
