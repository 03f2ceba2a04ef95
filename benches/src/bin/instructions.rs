//! `instructions`: what the bench of the same name counted, beside the committed baseline.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use lanemesh_benches::report::instruction_counts;

/// Prints how the instruction counts differ from the baseline.
///
/// Run `cargo bench -p lanemesh-benches --features callgrind --bench instructions -- --save-summary=json` first. A
/// difference is no failure.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where the bench has left its summaries.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "target/gungraun/lanemesh-benches/instructions"
    )]
    summaries: PathBuf,

    /// The baseline.
    #[arg(long, value_name = "FILE", default_value = "benches/instructions.txt")]
    baseline: PathBuf,

    /// Makes the present counts the baseline.
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
        .map_err(|line| format!("not a name and a count: `{line}`"))?;
    print!("{}", instruction_counts::difference(&baseline, &now));
    Ok(())
}
