//! What is to be measured: cells, each one subject under one set of parameters.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::rig::fault::Fault;
use crate::rig::stats::Unit;
use crate::rivals::{Role, Subject};

/// A parameter's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number, in order on a plot's axis.
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

/// Named parameters in order. The last is the one that a table's columns run over.
pub type Params = Vec<(&'static str, Value)>;

/// The parameter that names the metric, where a cell has several.
pub const METRIC: &str = "metric";

/// How much to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// How long one run of one cell should take.
    pub target: Duration,
    /// Whether to take fewer parameters, so that all of it stays below a minute.
    pub quick: bool,
}

impl Effort {
    /// Enough for figures.
    pub fn full() -> Effort {
        Effort {
            target: Duration::from_millis(80),
            quick: false,
        }
    }

    /// Enough to see that every subject works.
    pub fn quick() -> Effort {
        Effort {
            target: Duration::from_millis(8),
            quick: true,
        }
    }

    /// The first list, or the second when quick.
    pub fn choose<'a, T>(&self, full: &'a [T], quick: &'a [T]) -> &'a [T] {
        if self.quick { quick } else { full }
    }
}

/// How long a number of messages took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Messages that went through; close to the number asked for.
    pub count: u64,
    /// From the first send to the last receive; where a shape opens many channels, from opening them on.
    pub elapsed: Duration,
}

/// Sends about as many messages as asked for.
pub type RateFn = dyn Fn(u64) -> Result<Timing, Fault> + Send + Sync;

/// Takes one reading of each metric.
pub type ReadingsFn = dyn Fn(Effort) -> Result<Vec<f64>, Fault> + Send + Sync;

/// A figure of a cell that has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name, as in the parameter `metric` of the results.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
}

/// How a cell is measured.
#[derive(Clone)]
pub enum Work {
    /// By the rate of messages, as many as fit the effort.
    Rate {
        /// What the figure counts.
        unit: Unit,
        /// Messages of the first, unmeasured run.
        first: u64,
        /// The work.
        run: Arc<RateFn>,
    },
    /// By readings that the work takes of itself.
    Readings {
        /// What is read.
        metrics: &'static [Metric],
        /// The work.
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
    /// Shape of traffic.
    pub shape: &'static str,
    /// Parameters.
    pub params: Params,
    /// Who is measured.
    pub subject: &'static str,
    /// Its part in the comparison.
    pub role: Role,
    /// How.
    pub work: Work,
}

impl Cell {
    /// A cell measured by its rate.
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
            work,
        }
    }

    /// A cell measured by its readings.
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
            work,
        }
    }

    /// Whether the other cell differs from this one in its subject at most.
    pub fn same_group(&self, other: &Cell) -> bool {
        self.shape == other.shape && self.params == other.params
    }
}

/// A shape: its name, what it is, and its cells.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Name in results and on the command line.
    pub name: &'static str,
    /// What happens in it, for the report.
    pub about: &'static str,
    /// Its cells.
    pub cells: fn(&Effort) -> Vec<Cell>,
}

/// A name on the command line that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// What kind of thing was named.
    pub what: &'static str,
    /// The name.
    pub name: String,
    /// The names that are known.
    pub known: Vec<&'static str>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown {} `{}`; known are {}",
            self.what,
            self.name,
            self.known.join(", ")
        )
    }
}

impl std::error::Error for UnknownName {}

/// The known ones among the names asked for, in the order of `known`; all when none is asked for.
///
/// # Errors
///
/// [`UnknownName`] with the first name that is not among the known.
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

/// Passes when every name asked for chooses something, as [`is_chosen`] has it.
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

/// Whether a subject is chosen: by its own name or, for a variant `name-variant`, by `name`.
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
        assert_eq!(error.to_string(), "unknown shape `x`; known are a, b");
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
