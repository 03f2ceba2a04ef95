//! A process that is killed at random moments, and the history that it leaves.
//!
//! The child is this test binary, which runs [`child_process`] only. It tells on a pipe what has a
//! receipt and what a handler gets. `LANEMESH_DURABLE_KILLS` is the number of kills, or
//! `LANEMESH_DURABLE_MINUTES` says how long.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use lanemesh_durable::{
    Delivered, Durable, DurableExt, QueueOptions, StoreOptions, offline::Offline,
};
use lanemesh_runtime::{
    builder,
    prelude::*,
    supervision::{Backoff, Supervision},
};

use crate::common::Num;

const DIRECTORY: &str = "LANEMESH_DURABLE_CHILD";
const BASE: &str = "LANEMESH_DURABLE_BASE";
/// Of each run; multiples of it apart.
const RUN: u64 = 1_000_000;
const ATTEMPTS: u32 = 4;

/// A message that kills the process.
fn is_poison(n: u64) -> bool {
    n % 50 == 37
}

/// A message whose handler fails twice.
fn fails(n: u64, attempt: u32) -> bool {
    n % 10 == 4 && attempt < 3
}

fn is_high(n: u64) -> bool {
    n % 2 == 1
}

fn tell(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    // One write a line: a kill does not tear it.
    let _ = out.write_all(format!("@{line}\n").as_bytes());
    let _ = out.flush();
}

struct Desk;

impl Desk {
    fn handle(&self, num: Delivered<Num>) -> ActorResult {
        tell(format_args!("handling {} {}", num.0, num.attempt));
        if is_poison(num.0) {
            std::process::abort();
        }
        if fails(num.0, num.attempt) {
            tell(format_args!("failed {}", num.0));
            return Err(ActorError::msg("by rule"));
        }
        Ok(())
    }
}

impl Actor for Desk {
    type HighPriorityMsg = Delivered<Num>;
    type LowPriorityMsg = Delivered<Num>;

    async fn on_high(&mut self, num: Delivered<Num>, _: &mut Context<Self>) -> ActorResult {
        self.handle(num)
    }

    async fn on_low(&mut self, num: Delivered<Num>, _: &mut Context<Self>) -> ActorResult {
        self.handle(num)
    }
}

/// Sends until it is killed; without a base, only handles what is queued.
#[test]
fn child_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let base: Option<u64> = std::env::var(BASE).ok().and_then(|base| base.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = StoreOptions::default()
            .segment_size(16 << 10)
            .max_in_flight(1024);
        let store = Durable::open_with(Path::new(&directory), &options).unwrap();
        let options = QueueOptions::default().max_attempts(ATTEMPTS);
        let supervision = Supervision::default()
            .intensity(1_000_000, Duration::from_secs(1))
            .backoff(Backoff::none());
        let desk = builder(|| Desk)
            .restart(Restart::Permanent)
            .supervision(supervision)
            .durable(&store, "desk")
            .queue_options(options);
        let (mut desk, child) = desk.spawn().await.unwrap();
        if let Some(base) = base {
            for n in base..base + RUN {
                let producer = if is_high(n) { desk.high() } else { desk.low() };
                producer.tell(Num(n)).await.unwrap();
                tell(format_args!("stored {n}"));
            }
        }
        drop(desk);
        child.await;
        store.close().await;
        tell(format_args!("drained"));
    });
}

fn spawn(directory: &Path, base: Option<u64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "kill::child_process",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIRECTORY, directory)
        .env_remove(BASE)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(base) = base {
        command.env(BASE, base.to_string());
    }
    command.spawn().unwrap()
}

#[derive(Default)]
struct History {
    stored: BTreeSet<u64>,
    /// How often each was begun.
    begun: BTreeMap<u64, u32>,
    acknowledged: BTreeSet<u64>,
    /// The last one of each class that was begun for the first time.
    last: HashMap<bool, u64>,
    handling: Option<u64>,
    is_drained: bool,
}

impl History {
    fn read(&mut self, line: &str) {
        let Some((_, line)) = line.split_once('@') else {
            return;
        };
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "stored" => drop(self.stored.insert(number(1))),
            "failed" => self.handling = None,
            "handling" => self.begin(number(1), number(2) as u32),
            _ => self.is_drained = true,
        }
    }

    fn begin(&mut self, n: u64, attempt: u32) {
        // The handler before has returned, so its message was acknowledged.
        self.acknowledged.extend(self.handling.replace(n));
        assert!(
            !self.acknowledged.contains(&n),
            "{n} came again after it was acknowledged"
        );
        let begun = self.begun.entry(n).or_default();
        assert!(
            attempt > *begun,
            "{n}: attempt {attempt} after it was begun {begun} times"
        );
        assert!(attempt <= ATTEMPTS);
        if *begun == 0 && attempt == 1 {
            let last = self.last.insert(is_high(n), n);
            assert!(last < Some(n), "{n} came after {last:?}");
        }
        *begun += 1;
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Promise 1, with real processes and a real disk.
#[test]
fn a_receipt_is_true_after_kill_9() {
    let minutes = variable("LANEMESH_DURABLE_MINUTES");
    let kills = variable("LANEMESH_DURABLE_KILLS").unwrap_or(match minutes {
        Some(_) => u64::MAX,
        None => 250,
    });
    let until = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let seed = variable("LANEMESH_DURABLE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("LANEMESH_DURABLE_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut history = History::default();
    let mut run = 0;
    while run < kills && until.is_none_or(|until| Instant::now() < until) {
        let mut child = spawn(directory.path(), Some(run * RUN));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..random.u32(..60) {
            match lines.next() {
                Some(line) => history.read(&line.unwrap()),
                None => break, // it has killed itself
            }
        }
        for _ in 0..random.u32(..20_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        for line in lines {
            history.read(&line.unwrap());
        }
        child.wait().unwrap();
        history.handling = None;
        run += 1;
    }
    println!("{run} kills, {} receipts", history.stored.len());
    // The rest, by processes that nobody kills but their messages.
    while !history.is_drained {
        let mut child = spawn(directory.path(), None);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            history.read(&line.unwrap());
        }
        child.wait().unwrap();
        history.handling = None;
    }
    let mut store = Offline::open(directory.path()).unwrap();
    let dead: BTreeSet<u64> = store
        .dead_letters(None)
        .iter()
        .map(|letter| {
            assert_eq!(letter.attempts, ATTEMPTS);
            let bytes = letter.payload.iter().rev();
            bytes.fold(0, |n, byte| n << 7 | u64::from(byte & 127))
        })
        .collect();
    assert!(history.stored.len() as u64 > run, "too little happened");
    for n in &history.stored {
        match is_poison(*n) {
            true => assert!(dead.contains(n), "{n} is no dead letter"),
            false => assert!(
                history.begun.contains_key(n) || dead.contains(n),
                "{n} had a receipt and is lost"
            ),
        }
    }
    for n in dead {
        // What was stored without its sender knowing is there, too. What had another attempt was in its handler.
        assert!(
            history.begun[&n] >= ATTEMPTS / 2,
            "{n} is a dead letter, and was hardly begun"
        );
    }
}
