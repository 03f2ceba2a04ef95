//! A second process that has not registered membarrier.
//!
//! The registration holds for a whole process and cannot be undone, so the figures without it come
//! from a worker: the same binary, which runs a cell whenever it is told to and waits otherwise. Its
//! runs take turns with those of this process.
//!
//! Both sides make the same list of cells, in which a request names its cell by position. Requests
//! and replies are lines of JSON on the worker's standard input and output.

use std::env;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::plan::{Cell, Effort, Timing, Work};
use crate::rig::fault::Fault;
use crate::runner::with_watchdog;

/// The worker process; it ends when this is dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    requests: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts this binary with these arguments, which must make it call [`serve`].
    ///
    /// # Errors
    ///
    /// Those of starting a process.
    pub fn start(arguments: &[&str]) -> io::Result<Worker> {
        let mut child = Command::new(env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let piped = || io::Error::other("the worker has no pipe");
        let requests = child.stdin.take().ok_or_else(piped)?;
        let replies = child.stdout.take().ok_or_else(piped)?;
        Ok(Worker {
            child,
            requests: Some(requests),
            replies: BufReader::new(replies),
        })
    }

    fn ask(&mut self, request: &Json) -> io::Result<Json> {
        let requests = self.requests.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(requests, "{request}")?;
        let mut reply = String::new();
        self.replies.read_line(&mut reply)?;
        Ok(serde_json::from_str(&reply)?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its input ends the worker, unless a subject hangs in it.
        self.requests = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds a cell after each of `cells` that has a row without membarrier. Its runs happen in the
/// worker, at the position that the cell has in `all`.
pub fn add_twins(cells: &[Cell], all: &[Cell], worker: Worker) -> Vec<Cell> {
    let worker = Arc::new(Mutex::new(worker));
    let twin = |cell: &Cell| {
        let index = all
            .iter()
            .position(|other| other.same_group(cell) && other.subject == cell.subject)?;
        Some(Cell {
            subject: cell.without_membarrier?,
            without_membarrier: None,
            is_remote: true,
            work: remote(&cell.work, index, worker.clone()),
            ..cell.clone()
        })
    };
    cells
        .iter()
        .flat_map(|cell| [Some(cell.clone()), twin(cell)])
        .flatten()
        .collect()
}

fn remote(work: &Work, cell: usize, worker: Arc<Mutex<Worker>>) -> Work {
    let ask = move |request: Json| {
        let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = worker.ask(&request).map_err(failed)?;
        match reply["fault"].as_str() {
            Some(fault) => Err(Fault::Failed(fault.to_owned())),
            None => Ok(reply),
        }
    };
    let malformed = || failed("the worker's reply is not understood");
    match work {
        Work::Rate { unit, first, .. } => Work::Rate {
            unit: *unit,
            first: *first,
            run: Arc::new(move |count| {
                let reply = ask(json!({ "cell": cell, "count": count }))?;
                let number = |name: &str| reply[name].as_u64().ok_or_else(malformed);
                Ok(Timing {
                    count: number("count")?,
                    elapsed: Duration::from_nanos(number("nanos")?),
                })
            }),
        },
        Work::Readings { metrics, .. } => Work::Readings {
            metrics,
            run: Arc::new(move |effort: Effort| {
                let target = effort.target.as_nanos() as u64;
                let reply = ask(json!({ "cell": cell, "target": target }))?;
                let readings = reply["readings"].as_array().ok_or_else(malformed)?;
                // JSON has no NaN.
                Ok(readings
                    .iter()
                    .map(|reading| reading.as_f64().unwrap_or(f64::NAN))
                    .collect())
            }),
        },
    }
}

fn failed(what: impl Display) -> Fault {
    Fault::Failed(what.to_string())
}

/// Runs the cells that the requests ask for, until there are no more requests.
///
/// # Errors
///
/// Those of reading and writing, and `InvalidData` for a request that makes no sense.
pub fn serve(
    cells: &[Cell],
    effort: Effort,
    watchdog: Duration,
    requests: impl BufRead,
    mut replies: impl Write,
) -> io::Result<()> {
    for request in requests.lines() {
        let request: Json = serde_json::from_str(&request?)?;
        let number = |name: &str| request[name].as_u64();
        let cell = number("cell").and_then(|index| cells.get(index as usize));
        let reply = match (
            cell.map(|cell| &cell.work),
            number("count"),
            number("target"),
        ) {
            (Some(Work::Rate { run, .. }), Some(count), _) => {
                let run = run.clone();
                with_watchdog(watchdog, move || run(count)).map(|timing| {
                    json!({ "count": timing.count, "nanos": timing.elapsed.as_nanos() as u64 })
                })
            }
            (Some(Work::Readings { run, .. }), _, Some(target)) => {
                let run = run.clone();
                let target = Duration::from_nanos(target);
                with_watchdog(watchdog, move || run(Effort { target, ..effort }))
                    .map(|readings| json!({ "readings": readings }))
            }
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    request.to_string(),
                ));
            }
        };
        let reply = reply.unwrap_or_else(|fault| json!({ "fault": fault.to_string() }));
        writeln!(replies, "{reply}")?;
        replies.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Metric, Value};
    use crate::rig::stats::Unit;
    use crate::rivals::Subject;

    struct Named;

    impl Subject for Named {
        const NAME: &'static str = "some";
    }

    const METRICS: &[Metric] = &[Metric::new("a", Unit::Nanos), Metric::new("b", Unit::Nanos)];

    fn cells() -> Vec<Cell> {
        let params = || vec![("n", Value::Number(1))];
        let rate = |count| {
            if count > 100 {
                return Err(Fault::Hung);
            }
            Ok(Timing {
                count: count + 1,
                elapsed: Duration::from_nanos(7),
            })
        };
        let readings = |effort: Effort| Ok(vec![effort.target.as_nanos() as f64, f64::NAN]);
        vec![
            Cell::rate::<Named>("rate", params(), Unit::NanosPerMessage, 10, rate),
            Cell::readings::<Named>("readings", params(), METRICS, readings),
        ]
    }

    fn replies(requests: &str) -> io::Result<String> {
        let mut replies = Vec::new();
        let watchdog = Duration::from_secs(60);
        serve(
            &cells(),
            Effort::quick(),
            watchdog,
            requests.as_bytes(),
            &mut replies,
        )?;
        Ok(String::from_utf8(replies).unwrap())
    }

    #[test]
    fn each_request_has_its_reply() {
        let requests =
            "{\"cell\":0,\"count\":5}\n{\"cell\":1,\"target\":9}\n{\"cell\":0,\"count\":101}\n";
        let expected =
            "{\"count\":6,\"nanos\":7}\n{\"readings\":[9.0,null]}\n{\"fault\":\"timed out\"}\n";
        assert_eq!(replies(requests).unwrap(), expected);
    }

    #[test]
    fn request_without_sense_is_refused() {
        for request in [
            "{\"cell\":2,\"count\":5}",
            "{\"cell\":0,\"target\":5}",
            "5",
            "x",
        ] {
            assert!(replies(request).is_err(), "{request}");
        }
    }
}
