//! `compare`: measures the channel, the runtime and their peers in one run.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use lanemesh_benches::plan::{self, Cell, Effort, Shape, UnknownName};
use lanemesh_benches::remote::{self, Worker};
use lanemesh_benches::report::machine::Machine;
use lanemesh_benches::report::{self, RunInfo};
use lanemesh_benches::report::{mechanisms, targets};
use lanemesh_benches::rig::fault::Fault;
use lanemesh_benches::rivals::{Role, channels};
use lanemesh_benches::runner::{self, Progress, RunConfig};
use lanemesh_benches::shapes;

/// Compares lanemesh with its peers.
///
/// Prints tables and writes results.json, run.json, RESULTS.md and plots. Fails if a subject
/// returns an error, loses a message or hangs, but never because of a figure.
#[derive(Debug, Parser)]
#[command(version, after_help = format!("Shapes: {}", shapes::names().join(", ")))]
struct Arguments {
    /// Shapes to run [default: all].
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    shapes: Vec<String>,

    /// Channels and runtimes to run [default: all]; a name includes its variants (`rtrb`:
    /// `rtrb-chunks`).
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    channels: Vec<String>,

    /// Also runs lanemesh with one mechanism switched off at a time, and compares it with itself.
    #[arg(long)]
    ablations: bool,

    /// Uses few parameters and short runs, to check in less than a minute that everything works.
    #[arg(long)]
    quick: bool,

    /// Measured runs of every cell [default: 9, or 1 with --quick]; fewer than 6 have no confidence
    /// intervals.
    #[arg(long, value_name = "N", value_parser = number::<1, 1_000>)]
    runs: Option<u64>,

    /// Does not register membarrier at all, so that sends of lanemesh execute a fence. Without this
    /// option, a second process measures the rows `-no-membarrier`.
    #[arg(long)]
    no_membarrier: bool,

    /// Runs the cells that requests on the standard input ask for.
    #[arg(long, hide = true)]
    worker: bool,

    /// Duration in milliseconds that one run of a cell aims at [default: 80, or 8 with --quick].
    #[arg(long, value_name = "MS", value_parser = number::<1, 60_000>)]
    target: Option<u64>,

    /// Start of the random numbers that decide the order of the subjects in each run [default: from
    /// the clock].
    #[arg(long, value_name = "N", value_parser = number::<0, { u32::MAX as u64 }>)]
    seed: Option<u64>,

    /// Seconds after which a run counts as hung.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = number::<0, 86_400>)]
    watchdog: u64,

    /// Directory for the results, the report and the plots.
    #[arg(long, value_name = "DIR", default_value = "target/compare")]
    out: PathBuf,

    /// Rewrites RESULTS.md and the plots in this directory from its results.json and run.json,
    /// without measuring.
    #[arg(long, value_name = "DIR", exclusive = true)]
    render: Option<PathBuf>,
}

/// Parses a number on the command line.
fn number<const FROM: u64, const TO: u64>(text: &str) -> Result<u64, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (FROM..=TO).contains(number))
        .ok_or_else(|| format!("not a number from {FROM} to {TO}"))
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(1) => {
            eprintln!("1 cell failed");
            ExitCode::FAILURE
        }
        Ok(failed) => {
            eprintln!("{failed} cells failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Measures, prints and writes; returns how many cells failed.
fn run(arguments: &Arguments) -> Result<usize, Box<dyn Error>> {
    if let Some(directory) = &arguments.render {
        report::render(directory, shapes::ALL)?;
        println!("RESULTS.md and the plots are in {}", directory.display());
        return Ok(0);
    }
    let begin = Instant::now();
    let options = options(arguments);
    if arguments.worker {
        channels::prepare(false);
        let cells = all_cells(&options.effort);
        let (requests, replies) = (io::stdin().lock(), io::stdout().lock());
        remote::serve(&cells, options.effort, options.watchdog, requests, replies)?;
        return Ok(0);
    }
    let (shapes, mut cells) = selection(arguments, &options.effort)?;
    // Find out before measuring whether the files can be written.
    report::prepare(&arguments.out)?;
    let machine = Machine::this();
    println!(
        "{}, {} cores, {}\n{}, commit {}\n{}\nseed {}\n",
        machine.cpu,
        machine.cores,
        machine.system,
        machine.compiler,
        machine.commit,
        machine.versions_line(),
        options.seed
    );
    if channels::prepare(!arguments.no_membarrier) {
        let watchdog = arguments.watchdog.to_string();
        let mut of_worker = vec!["--worker", "--watchdog", &watchdog];
        of_worker.extend(arguments.quick.then_some("--quick"));
        let all = all_cells(&options.effort);
        cells = remote::add_twins(&cells, &all, Worker::start(&of_worker)?);
    }

    let info = RunInfo {
        machine,
        arguments: env::args().skip(1).collect::<Vec<_>>().join(" "),
        runs: options.runs,
        seed: options.seed,
        target_ms: options.effort.target.as_millis() as u64,
    };
    let mut bar = Bar::new(runner::steps(&cells, &options));
    let mut entries = Vec::new();
    for (index, shape) in shapes.iter().enumerate() {
        let of_shape: Vec<Cell> = cells
            .iter()
            .filter(|cell| cell.shape == shape.name)
            .cloned()
            .collect();
        let found = runner::run(&of_shape, &options, &mut bar);
        for table in report::tables(shape.name, &found) {
            bar.print(&format!("{}\n{table}", table.title()));
        }
        entries.extend(found);
        // After each shape, so that a run that is ended early leaves what it has found.
        report::write(&arguments.out, &info, &shapes[..=index], &entries)?;
    }
    bar.bar.finish_and_clear();
    println!("{}", targets::table(&targets::outcomes(&entries)));
    println!("{}", mechanisms::table(&entries));
    println!(
        "{} cells in {:.0} s; the results, the report and the plots are in {}",
        cells.len(),
        begin.elapsed().as_secs_f64(),
        arguments.out.display()
    );
    Ok(bar.failed)
}

fn options(arguments: &Arguments) -> RunConfig {
    let mut effort = if arguments.quick {
        Effort::quick()
    } else {
        Effort::full()
    };
    if let Some(target) = arguments.target {
        effort.target = Duration::from_millis(target);
    }
    let runs = arguments
        .runs
        .unwrap_or(if arguments.quick { 1 } else { 9 });
    RunConfig {
        runs: runs as usize,
        effort,
        watchdog: Duration::from_secs(arguments.watchdog),
        seed: arguments.seed.unwrap_or_else(|| fastrand::u32(..).into()),
    }
}

/// The cells of every shape.
fn all_cells(effort: &Effort) -> Vec<Cell> {
    let cells = shapes::ALL.iter().flat_map(|shape| (shape.cells)(effort));
    cells.collect()
}

fn selection(
    arguments: &Arguments,
    effort: &Effort,
) -> Result<(Vec<Shape>, Vec<Cell>), UnknownName> {
    let names = plan::select("shape", &arguments.shapes, &shapes::names())?;
    let chosen = shapes::ALL
        .iter()
        .filter(|shape| names.contains(&shape.name));
    let shapes: Vec<Shape> = chosen.copied().collect();
    let mut cells: Vec<Cell> = shapes
        .iter()
        .flat_map(|shape| (shape.cells)(effort))
        .collect();
    let known: BTreeSet<&'static str> = cells.iter().map(|cell| cell.subject).collect();
    let known: Vec<&'static str> = known.into_iter().collect();
    plan::check_names("channel", &arguments.channels, &known)?;
    let is_wanted = |cell: &Cell| {
        cell.role != Role::Ablation || arguments.ablations || !arguments.channels.is_empty()
    };
    cells.retain(|cell| is_wanted(cell) && plan::is_chosen(cell.subject, &arguments.channels));
    Ok((shapes, cells))
}

/// The progress bar. Tables and failures are printed above it.
struct Bar {
    bar: ProgressBar,
    failed: usize,
}

impl Bar {
    fn new(steps: usize) -> Bar {
        let bar = ProgressBar::new(steps as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} left, {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Bar { bar, failed: 0 }
    }

    fn print(&self, text: &str) {
        self.bar.suspend(|| println!("{text}"));
    }
}

impl Progress for Bar {
    fn start(&mut self, cell: &Cell) {
        self.bar
            .set_message(format!("{} {}", cell.shape, cell.subject));
    }

    fn done(&mut self) {
        self.bar.inc(1);
    }

    fn failed(&mut self, cell: &Cell, fault: &Fault, left: usize) {
        let params: Vec<String> = cell
            .params
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let params = params.join(", ");
        let text = format!("FAILED {} ({params}) {}: {fault}", cell.shape, cell.subject);
        self.bar.suspend(|| eprintln!("{text}"));
        self.bar.inc(left as u64);
        self.failed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from([&["compare"], arguments].concat())
    }

    #[test]
    fn defaults_cover_every_shape() {
        let arguments = parse(&[]).unwrap();
        let (shapes, cells) = selection(&arguments, &Effort::full()).unwrap();
        assert_eq!(shapes.len(), shapes::ALL.len());
        for shape in &shapes {
            assert!(
                cells.iter().any(|cell| cell.shape == shape.name),
                "{}",
                shape.name
            );
        }
        assert_eq!(options(&arguments).runs, 9);
    }

    #[test]
    fn quick_takes_fewer_cells_and_one_run() {
        let arguments = parse(&["--quick"]).unwrap();
        let (_, quick) = selection(&arguments, &options(&arguments).effort).unwrap();
        let (_, full) = selection(&arguments, &Effort::full()).unwrap();
        assert!(quick.len() < full.len());
        assert_eq!(options(&arguments).runs, 1);
    }

    #[test]
    fn lists_are_split_at_commas() {
        let arguments = parse(&["--shapes", "funnel,tasks", "--channels", "tokio,kanal"]).unwrap();
        let (shapes, cells) = selection(&arguments, &Effort::full()).unwrap();
        assert_eq!(shapes.len(), 2);
        assert!(
            cells
                .iter()
                .all(|cell| ["tokio", "kanal"].contains(&cell.subject))
        );
    }

    #[test]
    fn ablations_run_only_when_asked_for() {
        let ablations = |arguments: &[&str]| {
            let arguments = parse(arguments).unwrap();
            let (_, cells) = selection(&arguments, &Effort::full()).unwrap();
            cells
                .iter()
                .filter(|cell| cell.role == Role::Ablation)
                .count()
        };
        assert_eq!(ablations(&[]), 0);
        assert!(ablations(&["--ablations"]) > 0);
        assert!(ablations(&["--channels", "lanemesh,no-express"]) > 0);
    }

    #[test]
    fn unknown_names_are_refused() {
        let arguments = parse(&["--shapes", "funel"]).unwrap();
        let error = selection(&arguments, &Effort::full()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("unknown shape `funel`; expected one of funnel")
        );
        let arguments = parse(&["--channels", "tokyo"]).unwrap();
        let error = selection(&arguments, &Effort::full()).unwrap_err();
        assert_eq!(error.what, "channel");
        assert!(error.known.contains(&"tokio"));
    }

    #[test]
    fn name_of_a_subject_selects_its_variants_in_any_shape() {
        let arguments = parse(&["--shapes", "runtime", "--channels", "lanemesh"]).unwrap();
        let (_, cells) = selection(&arguments, &Effort::full()).unwrap();
        assert!(!cells.is_empty());
        let subjects: BTreeSet<&str> = cells.iter().map(|cell| cell.subject).collect();
        let expected = ["lanemesh-runtime", "lanemesh-runtime-shared"];
        assert_eq!(subjects, BTreeSet::from(expected));
        let arguments = parse(&["--shapes", "pinball", "--channels", "std"]).unwrap();
        let error = selection(&arguments, &Effort::full()).unwrap_err();
        assert!(!error.known.contains(&"std"));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for runs in ["0", "1001", "many", ""] {
            let error = parse(&["--runs", runs]).unwrap_err().to_string();
            assert!(error.contains("not a number from 1 to 1000"), "{error}");
        }
        assert!(parse(&["--target", "0"]).is_err());
        assert!(parse(&["--seed", "-1"]).is_err());
        assert!(parse(&["--watchdog", "soon"]).is_err());
        let error = parse(&["--shape", "funnel"]).unwrap_err().to_string();
        assert!(error.contains("'--shapes'"), "{error}");
        let error = parse(&["--bogus"]).unwrap_err().to_string();
        assert!(error.contains("Usage: compare"), "{error}");
    }
}
