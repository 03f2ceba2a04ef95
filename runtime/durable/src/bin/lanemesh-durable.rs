//! The command for stores that are not open: `lanemesh-durable inspect|verify|requeue|delete|export DIR`.

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use lanemesh_durable::offline::{self, Offline};
use lexopt::Arg;

const USAGE: &str = "\
Usage: lanemesh-durable COMMAND DIRECTORY [OPTIONS]

Works on a store that no process has open.

Commands:
  inspect   the queues, the dead letters, and the size of the log
  verify    reads the whole log, and says what is damaged
  requeue   makes dead letters messages again, with no attempts
  delete    deletes dead letters: --queue or --id says which
  export    writes messages and dead letters as lines of JSON

Options:
  --queue NAME   only this queue
  --id NUMBER    requeue, delete: only this dead letter
  --damaged      export: what is whole in a store that is damaged, and does not open
  --help         this text

verify and export --damaged change nothing, and work where nobody can write. The others open the store as a
program does: they cut off a torn write, and count what a killed process had in its hands.

Exit status: 0 if all is well, 1 if the store is damaged or open elsewhere, 2 for wrong arguments.
";

struct Arguments {
    command: String,
    directory: PathBuf,
    queue: Option<String>,
    id: Option<u64>,
    is_damaged: bool,
}

fn parse() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::ValueExt;
    let (mut command, mut directory, mut queue, mut id) = (None, None, None, None);
    let mut is_damaged = false;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("queue") => queue = Some(parser.value()?.string()?),
            Arg::Long("damaged") => is_damaged = true,
            Arg::Long("id") => id = Some(parser.value()?.parse()?),
            Arg::Value(value) if command.is_none() => command = Some(value.string()?),
            Arg::Value(value) if directory.is_none() => directory = Some(PathBuf::from(value)),
            other => return Err(other.unexpected()),
        }
    }
    let command = command.ok_or("a command is missing")?;
    let directory = directory.ok_or("a directory is missing")?;
    let options: &[&str] = match command.as_str() {
        "inspect" => &["--queue"],
        "verify" => &[],
        "requeue" | "delete" => &["--queue", "--id"],
        "export" => &["--queue", "--damaged"],
        _ => return Err(format!("there is no command {command}").into()),
    };
    let given = [
        ("--queue", queue.is_some()),
        ("--id", id.is_some()),
        ("--damaged", is_damaged),
    ];
    for (option, is_given) in given {
        if is_given && !options.contains(&option) {
            return Err(format!("{command} has no option {option}").into());
        }
    }
    if command == "delete" && queue.is_none() && id.is_none() {
        return Err("delete needs --queue or --id".into());
    }
    Ok(Some(Arguments {
        command,
        directory,
        queue,
        id,
        is_damaged,
    }))
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            let _ = std::io::stdout().write_all(USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("lanemesh-durable: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "lanemesh-durable: {}: {error}",
                arguments.directory.display()
            );
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.kind() == io::ErrorKind::BrokenPipe,
        None => error.source().is_some_and(is_broken_pipe),
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let queue = arguments.queue.as_deref();
    let mut out = io::BufWriter::new(io::stdout().lock());
    if arguments.command == "verify" {
        let report = offline::verify(&arguments.directory)?;
        writeln!(out, "{report}")?;
        return Ok(out.flush()?);
    }
    if arguments.is_damaged {
        let salvage = offline::salvage(&arguments.directory, queue, &mut out)?;
        out.flush()?;
        eprintln!("lanemesh-durable: {salvage}");
        return Ok(());
    }
    let mut store = Offline::open(&arguments.directory)?;
    match arguments.command.as_str() {
        "inspect" => out.write_all(store.inspect(queue).as_bytes())?,
        "requeue" => {
            let count = store.requeue(queue, arguments.id)?;
            writeln!(out, "{count} dead letters are messages again")?;
        }
        "delete" => {
            let count = store.delete(queue, arguments.id)?;
            writeln!(out, "{count} dead letters are deleted")?;
        }
        _ => store.export(queue, &mut out)?,
    }
    Ok(out.flush()?)
}
