//! `instructions`: compares the counts of the bench of the same name with the committed baseline.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use lanemesh_benches::report::instruction_counts;

/// Compares instruction counts with the baseline.
///
/// Takes the counts first with `cargo bench -p lanemesh-benches --features callgrind --bench
/// instructions -- --save-summary=json`. A difference is not a failure.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Directory in which the bench wrote its summaries.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "target/gungraun/lanemesh-benches/instructions"
    )]
    summaries: PathBuf,

    /// File with the baseline.
    #[arg(long, value_name = "FILE", default_value = "benches/instructions.txt")]
    baseline: PathBuf,

    /// Replaces the baseline by the current counts.
    #[arg(long)]
    write: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let now = instruction_counts::collect(&arguments.summaries)
        .map_err(|error| format!("{}: {error}", arguments.summaries.display()))?;
    if arguments.write {
        fs::write(&arguments.baseline, instruction_counts::to_text(&now))?;
        println!(
            "{} counts written to {}",
            now.len(),
            arguments.baseline.display()
        );
        return Ok(());
    }
    let text = fs::read_to_string(&arguments.baseline)
        .map_err(|error| format!("{}: {error}", arguments.baseline.display()))?;
    let baseline = instruction_counts::from_text(&text)
        .map_err(|line| format!("expected a name and a count: `{line}`"))?;
    print!("{}", instruction_counts::difference(&baseline, &now));
    Ok(())
}
