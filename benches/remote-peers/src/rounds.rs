//! Runs the measurements in rounds, each in two processes of its own, in a random order.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    failure::Failure,
    memory,
    peers::PEERS,
    reading::{Cell, Reading},
    report,
    shapes::SHAPES,
};

/// The longest that a measurement may take.
const LIMIT: Duration = Duration::from_secs(180);

struct Options<'a> {
    rounds: usize,
    scale: &'static str,
    only: Option<&'a str>,
}

fn options<'a>(arguments: &[&'a str]) -> Result<Options<'a>, Failure> {
    let mut options = Options {
        rounds: 5,
        scale: "1",
        only: None,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--quick" => (options.rounds, options.scale) = (1, "10"),
            "--rounds" => options.rounds = rest.next().ok_or("--rounds N")?.parse()?,
            "--only" => options.only = Some(rest.next().ok_or("--only NAME")?),
            _ => return Err("options: --quick, --rounds N, --only NAME".into()),
        }
    }
    Ok(options)
}

/// Measures all, and prints the tables.
///
/// # Errors
///
/// If an option is not understood, or ours fails or loses a message. What fails in a measurement of a peer is shown in its row.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    let options = options(arguments)?;
    let mut rows = Vec::new();
    for peer in PEERS {
        if options.only.is_some_and(|only| only != peer.name) {
            continue;
        }
        match (peer.is_here)() {
            Ok(()) => rows.push(peer),
            Err(why) => eprintln!("SKIPPED: {}: {why}", peer.name),
        }
    }
    let mut cells: Vec<_> = rows
        .iter()
        .flat_map(|peer| SHAPES.map(|shape| (*peer, shape, Cell::default())))
        .collect();
    for round in 1..=options.rounds {
        let mut order: Vec<_> = (0..cells.len()).collect();
        fastrand::shuffle(&mut order);
        for index in order {
            let (peer, shape, cell) = &mut cells[index];
            match measure(peer.name, shape, options.scale) {
                Ok(reading) => {
                    eprintln!("round {round}: {}: {shape}: {reading:?}", peer.name);
                    cell.readings.push(reading);
                }
                Err(error) => {
                    eprintln!("round {round}: {}: {shape}: {error}", peer.name);
                    cell.failures.push(error.to_string());
                }
            }
        }
    }
    report::print(&cells);
    // A peer that fails is a result; ours may not.
    let ours = PEERS[0].name;
    for (_, shape, cell) in cells.iter().filter(|(peer, ..)| peer.name == ours) {
        if let Some(failure) = cell.failures.first() {
            return Err(format!("{ours}: {shape}: {failure}").into());
        }
        let has_lost = |reading: &Reading| *shape == "tell" && reading.values[1] > 0.0;
        if cell.readings.iter().any(has_lost) {
            return Err(format!("{ours} has lost messages").into());
        }
    }
    Ok(())
}

/// A process that is killed when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // At the end of its input it tidies up, if it can.
        drop(self.0.stdin.take());
        for _ in 0..50 {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts this program again. Its output comes line by line.
fn start(arguments: &[&str]) -> Result<(Process, mpsc::Receiver<String>), Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (tx, lines) = mpsc::channel();
    let out = child.stdout.take().ok_or("there is no output")?;
    let err = child.stderr.take().ok_or("there is no output")?;
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if tx.send(line).is_err() {
                return;
            }
        }
        // There is no result: what it says of that is the last thing.
        let mut why = String::new();
        let _ = err.take(1 << 16).read_to_string(&mut why);
        let last = why.lines().last().unwrap_or("it has ended");
        let _ = tx.send(format!("failed {last}"));
    });
    Ok((Process(child), lines))
}

/// The rest of the line that begins with a word.
fn wait_for(lines: &mpsc::Receiver<String>, word: &str) -> Result<String, Failure> {
    loop {
        let line = lines.recv_timeout(LIMIT);
        let line = line.map_err(|_| format!("not done after {} s", LIMIT.as_secs()))?;
        if let Some(rest) = line.strip_prefix(word) {
            return Ok(rest.trim().to_owned());
        }
        if let Some(why) = line.strip_prefix("failed ") {
            return Err(why.to_owned().into());
        }
    }
}

fn measure(peer: &str, shape: &str, scale: &str) -> Result<Reading, Failure> {
    let (server, lines) = start(&["serve", peer])?;
    let address = wait_for(&lines, "ready")?;
    let (client, results) = start(&["measure", peer, shape, scale, &address])?;
    let measured = wait_for(&results, "measured")?;
    let numbers: Result<Vec<f64>, _> = measured.split(' ').map(str::parse).collect();
    let [first, second, memory] = numbers?[..] else {
        return Err(format!("not understood: {measured}").into());
    };
    let receiver = memory::peak(&server.0.id().to_string());
    drop(client);
    Ok(Reading {
        values: [first, second],
        memory: [memory, receiver.unwrap_or(f64::NAN)],
    })
}
