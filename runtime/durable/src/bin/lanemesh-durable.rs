//! The command for stores that are not open: `lanemesh-durable inspect|verify|requeue|export DIR`.

use std::{path::PathBuf, process::ExitCode};

use lanemesh_durable::offline::{self, Offline};
use lexopt::Arg;

const USAGE: &str = "\
Usage: lanemesh-durable COMMAND DIRECTORY [OPTIONS]

Works on a store that no process has open.

Commands:
  inspect   the queues, the dead letters, and the size of the log
  verify    reads the whole log, and says what is damaged; changes nothing
  requeue   makes dead letters messages again, with no attempts
  export    writes messages and dead letters as lines of JSON

Options:
  --queue NAME   only this queue
  --id NUMBER    requeue: only this dead letter
  --help         this text

Exit status: 0 if all is well, 1 if the store is damaged or open elsewhere, 2 for wrong arguments.
";

struct Arguments {
    command: String,
    directory: PathBuf,
    queue: Option<String>,
    id: Option<u64>,
}

fn parse() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::ValueExt;
    let (mut command, mut directory, mut queue, mut id) = (None, None, None, None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("queue") => queue = Some(parser.value()?.string()?),
            Arg::Long("id") => id = Some(parser.value()?.parse()?),
            Arg::Value(value) if command.is_none() => command = Some(value.string()?),
            Arg::Value(value) if directory.is_none() => directory = Some(PathBuf::from(value)),
            other => return Err(other.unexpected()),
        }
    }
    let command = command.ok_or("a command is missing")?;
    let directory = directory.ok_or("a directory is missing")?;
    if !["inspect", "verify", "requeue", "export"].contains(&command.as_str()) {
        return Err(format!("there is no command {command}").into());
    }
    Ok(Some(Arguments {
        command,
        directory,
        queue,
        id,
    }))
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("lanemesh-durable: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "lanemesh-durable: {}: {error}",
                arguments.directory.display()
            );
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let queue = arguments.queue.as_deref();
    if arguments.command == "verify" {
        let report = offline::verify(&arguments.directory)?;
        println!("{report}");
        return Ok(());
    }
    let mut store = Offline::open(&arguments.directory)?;
    match arguments.command.as_str() {
        "inspect" => print!("{}", store.inspect(queue)),
        "requeue" => {
            let count = store.requeue(queue, arguments.id)?;
            println!("{count} dead letters are messages again");
        }
        _ => store.export(queue, &mut std::io::stdout().lock())?,
    }
    Ok(())
}
