//! Runs the cells. The subjects of a group take turns, several times over and each time in another
//! random order, each under a watchdog.
//!
//! A subject that fails is reported and skipped from then on; the others continue. The threads of a
//! hung subject cannot be stopped and may keep a core busy, so do not trust figures taken after a
//! hang.

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::plan::{Cell, Effort, METRIC, Metric, Params, Timing, Value, Work};
use crate::rig::alloc;
use crate::rig::fault::Fault;
use crate::rig::stats::{Unit, median};
use crate::rivals::Role;

/// Upper limit for the messages of one run.
const MAX_COUNT: u64 = 50_000_000;

/// Settings of a whole run.
#[derive(Debug, Clone, Copy)]
pub struct RunConfig {
    /// Number of measured runs of every cell.
    pub runs: usize,
    /// Parameters to use, and the duration of each run.
    pub effort: Effort,
    /// Time after which a run counts as hung.
    pub watchdog: Duration,
    /// Start of the random numbers that decide the order of the subjects.
    pub seed: u64,
}

/// The figures of one metric of one cell.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Name of the shape.
    pub shape: &'static str,
    /// Parameters of the cell; if it has several metrics, [`METRIC`] stands before the last.
    pub params: Params,
    /// Name of the channel or runtime.
    pub subject: &'static str,
    /// Role of the subject in the comparison.
    pub role: Role,
    /// Unit of the figures.
    pub unit: Unit,
    /// One figure for each measured run.
    pub runs: Vec<f64>,
    /// Peak heap use of the warm-up run in bytes; only for cells measured by rate.
    pub bytes: Option<u64>,
    /// Why there are no figures, or fewer than requested.
    pub fault: Option<Fault>,
}

impl Entry {
    /// The median of the runs.
    pub fn median(&self) -> Option<f64> {
        median(&self.runs)
    }
}

/// Receives the progress of a run.
pub trait Progress {
    /// A run of this cell starts.
    fn start(&mut self, cell: &Cell);

    /// A run has ended.
    fn done(&mut self);

    /// A subject has failed; its remaining `left` runs are skipped.
    fn failed(&mut self, cell: &Cell, fault: &Fault, left: usize);
}

/// A cell and what its runs have measured so far.
struct CellState<'a> {
    cell: &'a Cell,
    count: u64,
    bytes: Option<u64>,
    runs: Vec<Vec<f64>>,
    fault: Option<Fault>,
}

/// The number of steps that [`run`] reports to its [`Progress`].
pub fn steps(cells: &[Cell], options: &RunConfig) -> usize {
    cells.len() * (options.runs + 1)
}

/// Measures all cells. Cells of the same group must be adjacent.
pub fn run(cells: &[Cell], options: &RunConfig, progress: &mut dyn Progress) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut random = Rng::with_seed(options.seed);
    for group in cells.chunk_by(Cell::same_group) {
        entries.extend(measure_group(group, options, &mut random, progress));
    }
    entries
}

fn measure_group(
    group: &[Cell],
    options: &RunConfig,
    random: &mut Rng,
    progress: &mut dyn Progress,
) -> Vec<Entry> {
    let mut states: Vec<CellState<'_>> = group
        .iter()
        .map(|cell| {
            progress.start(cell);
            let mut state = CellState {
                cell,
                count: 0,
                bytes: None,
                runs: Vec::new(),
                fault: None,
            };
            match prepare(cell, options) {
                Ok((count, bytes)) => (state.count, state.bytes) = (count, bytes),
                Err(fault) => {
                    progress.failed(cell, &fault, options.runs);
                    state.fault = Some(fault);
                }
            }
            progress.done();
            state
        })
        .collect();
    let mut order: Vec<usize> = (0..states.len()).collect();
    for run in 0..options.runs {
        random.shuffle(&mut order);
        for index in &order {
            let state = &mut states[*index];
            if state.fault.is_some() {
                continue;
            }
            progress.start(state.cell);
            match measure(state.cell, state.count, options) {
                Ok(figures) => state.runs.push(figures),
                Err(fault) => {
                    progress.failed(state.cell, &fault, options.runs - run - 1);
                    state.fault = Some(fault);
                }
            }
            progress.done();
        }
    }
    states.into_iter().flat_map(entries).collect()
}

/// Warms the cell up, counts its memory, and finds how many messages fit the effort.
fn prepare(cell: &Cell, options: &RunConfig) -> Result<(u64, Option<u64>), Fault> {
    match &cell.work {
        Work::Rate { first, run, .. } => {
            let (first, counted) = (*first, run.clone());
            let (timing, bytes) = with_watchdog(options.watchdog, move || {
                let (timing, heap) = alloc::measure(|| counted(first));
                timing.map(|timing| (timing, heap.peak.max(0) as u64))
            })?;
            let count = calibrate(first, timing, options.effort.target, |count| {
                let run = run.clone();
                with_watchdog(options.watchdog, move || run(count))
            })?;
            Ok((count, (!cell.is_remote).then_some(bytes)))
        }
        Work::Readings { run, .. } => {
            let (run, effort) = (
                run.clone(),
                Effort {
                    target: Duration::ZERO,
                    ..options.effort
                },
            );
            with_watchdog(options.watchdog, move || run(effort))?;
            Ok((0, None))
        }
    }
}

/// Finds the number of messages that take about `target`, by runs of growing length.
fn calibrate(
    first: u64,
    timing: Timing,
    target: Duration,
    mut run: impl FnMut(u64) -> Result<Timing, Fault>,
) -> Result<u64, Fault> {
    let (mut count, mut timing) = (first, timing);
    while timing.elapsed < target / 4 && count < MAX_COUNT {
        count = (count * 4).min(MAX_COUNT);
        timing = run(count)?;
    }
    let nanos = timing.elapsed.as_nanos().max(1) as f64;
    let fitting = timing.count as f64 * target.as_nanos() as f64 / nanos;
    Ok((fitting as u64).clamp(first, MAX_COUNT))
}

fn measure(cell: &Cell, count: u64, options: &RunConfig) -> Result<Vec<f64>, Fault> {
    match &cell.work {
        Work::Rate { unit, run, .. } => {
            let run = run.clone();
            let timing = with_watchdog(options.watchdog, move || run(count))?;
            Ok(vec![
                unit.rate(timing.count, timing.elapsed.as_nanos() as f64),
            ])
        }
        Work::Readings { metrics, run } => {
            let (run, effort) = (run.clone(), options.effort);
            let figures = with_watchdog(options.watchdog, move || run(effort))?;
            assert_eq!(figures.len(), metrics.len(), "one figure for each metric");
            Ok(figures)
        }
    }
}

/// Runs the work on a thread of its own. The thread is abandoned if it does not finish within
/// `limit`.
pub(crate) fn with_watchdog<R: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<R, Fault> + Send + 'static,
) -> Result<R, Fault> {
    let (done, outcome) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let result = panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| {
            let text = cause
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| cause.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned());
            Err(Fault::Panicked(text))
        });
        // Fails only after the watchdog has given up; the result is no longer needed then.
        let _ = done.send(result);
    });
    outcome.recv_timeout(limit).unwrap_or(Err(Fault::Hung))
}

fn entries(state: CellState<'_>) -> Vec<Entry> {
    let CellState {
        cell,
        bytes,
        runs,
        fault,
        ..
    } = state;
    let metrics: Vec<Metric> = match &cell.work {
        Work::Rate { unit, .. } => vec![Metric {
            name: "",
            unit: *unit,
        }],
        Work::Readings { metrics, .. } => metrics.to_vec(),
    };
    let several = metrics.len() > 1;
    let entry = |(index, metric): (usize, &Metric)| {
        let mut params = cell.params.clone();
        if several {
            let last = params.len().saturating_sub(1);
            params.insert(last, (METRIC, Value::from(metric.name)));
        }
        Entry {
            shape: cell.shape,
            params,
            subject: cell.subject,
            role: cell.role,
            unit: metric.unit,
            runs: runs.iter().map(|figures| figures[index]).collect(),
            bytes,
            fault: fault.clone(),
        }
    };
    // NaN means that the subject does not have what the metric measures.
    let absent =
        |entry: &Entry| !entry.runs.is_empty() && entry.runs.iter().all(|run| run.is_nan());
    metrics
        .iter()
        .enumerate()
        .map(entry)
        .filter(|entry| !absent(entry))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Condvar, Mutex};

    use super::*;

    #[derive(Default)]
    struct Log {
        order: Vec<&'static str>,
        done: usize,
        faults: Vec<(&'static str, Fault, usize)>,
    }

    impl Progress for Log {
        fn start(&mut self, cell: &Cell) {
            self.order.push(cell.subject);
        }

        fn done(&mut self) {
            self.done += 1;
        }

        fn failed(&mut self, cell: &Cell, fault: &Fault, left: usize) {
            self.faults.push((cell.subject, fault.clone(), left));
        }
    }

    fn cell(
        subject: &'static str,
        run: impl Fn(u64) -> Result<Timing, Fault> + Send + Sync + 'static,
    ) -> Cell {
        let unit = Unit::NanosPerMessage;
        let work = Work::Rate {
            unit,
            first: 10,
            run: Arc::new(run),
        };
        Cell {
            shape: "shape",
            params: vec![("n", Value::Number(1))],
            subject,
            role: Role::Peer,
            without_membarrier: None,
            is_remote: false,
            work,
        }
    }

    /// A subject that claims to take this many nanoseconds for each message.
    fn steady(subject: &'static str, nanos: u64) -> Cell {
        cell(subject, move |count| {
            Ok(Timing {
                count,
                elapsed: Duration::from_nanos(count * nanos),
            })
        })
    }

    fn options(runs: usize) -> RunConfig {
        RunConfig {
            runs,
            effort: Effort::quick(),
            watchdog: Duration::from_secs(60),
            seed: 1,
        }
    }

    #[test]
    fn rivals_take_turns_in_random_order() {
        let cells = [steady("a", 1), steady("b", 2)];
        let ordered = |seed| {
            let mut log = Log::default();
            let options = RunConfig {
                seed,
                ..options(20)
            };
            let entries = run(&cells, &options, &mut log);
            assert_eq!(log.done, steps(&cells, &options));
            (log.order, entries)
        };
        let (order, entries) = ordered(1);
        assert_eq!(order, ordered(1).0);
        assert_ne!(order, ordered(2).0);
        let firsts: Vec<&str> = order[2..].chunks(2).map(|pair| pair[0]).collect();
        assert!(firsts.contains(&"a") && firsts.contains(&"b"), "{order:?}");
        for pair in order.chunks(2) {
            assert_ne!(pair[0], pair[1]);
        }
        assert_eq!(entries[0].median(), Some(1.0));
        assert_eq!(entries[1].median(), Some(2.0));
        assert_eq!(entries[1].runs.len(), 20);
    }

    #[test]
    fn calibration_fits_the_target() {
        let target = Duration::from_micros(1_000);
        let timing = |count| Timing {
            count,
            elapsed: Duration::from_nanos(count * 10),
        };
        let count = calibrate(10, timing(10), target, |count| Ok(timing(count))).unwrap();
        assert_eq!(count, 100_000);
        let slow = Timing {
            count: 10,
            elapsed: Duration::from_secs(1),
        };
        assert_eq!(calibrate(10, slow, target, |_| Err(Fault::Hung)), Ok(10));
    }

    #[test]
    fn subject_that_fails_later_keeps_its_figures_and_stops() {
        let calls = AtomicU64::new(0);
        let failing = cell("b", move |count| {
            // ORDERING: relaxed; the calls are sequential.
            if calls.fetch_add(1, Ordering::Relaxed) == 2 {
                return Err(Fault::Lost {
                    sent: 2,
                    received: 1,
                });
            }
            Ok(Timing {
                count,
                elapsed: Duration::from_secs(1),
            })
        });
        let mut log = Log::default();
        let entries = run(&[steady("a", 1), failing], &options(4), &mut log);
        assert_eq!(entries[0].runs.len(), 4);
        assert_eq!(entries[1].runs.len(), 1);
        assert_eq!(
            entries[1].fault,
            Some(Fault::Lost {
                sent: 2,
                received: 1
            })
        );
        assert_eq!(
            log.faults,
            [(
                "b",
                Fault::Lost {
                    sent: 2,
                    received: 1
                },
                2
            )]
        );
    }

    #[test]
    fn panic_is_a_fault_with_its_message() {
        let result: Result<(), Fault> =
            with_watchdog(Duration::from_secs(60), || panic!("no luck"));
        assert_eq!(result, Err(Fault::Panicked("no luck".to_owned())));
    }

    #[test]
    fn watchdog_gives_up_on_work_that_does_not_end() {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let held = gate.clone();
        let result = with_watchdog(Duration::from_millis(1), move || {
            let mut open = held.0.lock().unwrap();
            while !*open {
                open = held.1.wait(open).unwrap();
            }
            Ok(())
        });
        assert_eq!(result, Err(Fault::Hung));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
    }

    #[test]
    fn metrics_become_entries_with_a_parameter() {
        const METRICS: &[Metric] = &[
            Metric::new("p50", Unit::Nanos),
            Metric::new("p99", Unit::Nanos),
        ];
        let run: Arc<crate::plan::ReadingsFn> = Arc::new(|_| Ok(vec![1.0, 2.0]));
        let cell = Cell {
            shape: "shape",
            params: vec![("flooders", Value::Number(8))],
            subject: "a",
            role: Role::Ours,
            without_membarrier: None,
            is_remote: false,
            work: Work::Readings {
                metrics: METRICS,
                run,
            },
        };
        let entries = super::run(&[cell], &options(3), &mut Log::default());
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1].params[0], ("metric", Value::from("p99")));
        assert_eq!(entries[1].params[1], ("flooders", Value::Number(8)));
        assert_eq!(entries[1].runs, [2.0, 2.0, 2.0]);
    }
}
