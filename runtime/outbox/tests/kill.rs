//! Two processes that are killed at random moments, a link that is cut, and the history that they leave.
//!
//! The processes are this test binary, which runs [`near_process`] or [`far_process`] only. They tell on a pipe what was
//! accepted and what a handler gets. `LANEMESH_OUTBOX_KILLS` is the number of kills.
#![cfg(unix)]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use lanemesh_durable::{Delivered, Durable, DurableExt, DurableMessage, StoreOptions};
use lanemesh_net::{Config, ExportOptions, Node};
use lanemesh_outbox::{Inbox, OutboxOptions, Outboxes, export_durable};
use lanemesh_runtime::{builder, prelude::*};
use serde::{Deserialize, Serialize};

const DIRECTORY: &str = "LANEMESH_OUTBOX_DIRECTORY";
const ADDRESS: &str = "LANEMESH_OUTBOX_ADDRESS";
const BASE: &str = "LANEMESH_OUTBOX_BASE";
/// Of each run of the near process; multiples of it apart.
const RUN: u64 = 1_000_000;

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Num(u64);

impl DurableMessage for Num {
    const NAME: &'static str = "num";
}

fn is_high(n: u64) -> bool {
    n % 3 == 1
}

fn tell(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    // One write a line: a kill does not tear it.
    let _ = out.write_all(format!("@{line}\n").as_bytes());
    let _ = out.flush();
}

struct Desk;

impl Desk {
    fn take(&self, num: Delivered<Num>) -> ActorResult {
        tell(format_args!(
            "handling {} {} {}",
            num.0, num.id, num.attempt
        ));
        Ok(())
    }
}

impl Actor for Desk {
    type HighPriorityMsg = Delivered<Num>;
    type LowPriorityMsg = Delivered<Num>;

    async fn on_high(&mut self, num: Delivered<Num>, _: &mut Context<Self>) -> ActorResult {
        self.take(num)
    }

    async fn on_low(&mut self, num: Delivered<Num>, _: &mut Context<Self>) -> ActorResult {
        self.take(num)
    }
}

/// Times that no busy machine exceeds: what is killed resets its connections.
fn node(name: &str) -> Node {
    let hour = Duration::from_secs(3600);
    let config = Config {
        suspected_after: hour,
        dead_after: hour,
        handshake_timeout: hour,
        lookup_timeout: hour,
        backoff: Duration::from_millis(5),
        max_backoff: Duration::from_millis(50),
        ..Config::default()
    };
    Node::builder(name)
        .secret(*b"only for a test!")
        .config(config)
        .build()
}

fn open() -> Option<(Durable, String)> {
    let directory = std::env::var_os(DIRECTORY)?;
    let options = StoreOptions::default()
        .segment_size(64 << 10)
        .max_in_flight(1024);
    let store = Durable::open_with(Path::new(&directory), &options).unwrap();
    Some((store, std::env::var(ADDRESS).unwrap()))
}

fn run(process: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all();
    runtime.build().unwrap().block_on(process);
}

async fn end_of_input() {
    let end = || std::io::stdin().lock().read_line(&mut String::new());
    tokio::task::spawn_blocking(end).await.unwrap().unwrap();
}

/// Takes what comes until it is killed, or its standard input ends.
#[test]
fn far_process() {
    if std::env::var_os(BASE).is_some() {
        return;
    }
    run(async {
        let Some((store, address)) = open() else {
            return;
        };
        let (mut desk, child) = builder(|| Desk)
            .durable(&store, "desk")
            .spawn()
            .await
            .unwrap();
        let node = node("far");
        let export = |name: &str, producer| -> Inbox {
            export_durable(&node, name, producer, ExportOptions::new()).unwrap()
        };
        let high = export("high", desk.high().clone());
        let low = export("low", desk.low().clone());
        let address = node.bind(&address).await.unwrap();
        tell(format_args!("listens {address}"));
        end_of_input().await;
        drop((high, low));
        node.shutdown(Duration::from_secs(60)).await;
        drop((desk, node));
        child.await; // what is stored is handled
        store.close().await;
        tell(format_args!("ended"));
    });
}

/// Sends until it is killed; without numbers, only what is stored, until everything is confirmed.
#[test]
fn near_process() {
    let Some(base) = std::env::var(BASE).ok() else {
        return;
    };
    let base: Option<u64> = base.parse().ok();
    run(async {
        let (store, address) = open().unwrap();
        let node = node("near");
        let _far = node.discover(vec![address]);
        let options = OutboxOptions {
            backoff: Duration::from_millis(2),
            max_backoff: Duration::from_millis(50),
            timeout: Duration::from_secs(3600),
            batch: 16,
            ..OutboxOptions::default()
        };
        let outboxes = Outboxes::open_with(&store, &node, options).await.unwrap();
        let mut high = outboxes.to::<Num>("far", "high").await.unwrap();
        let mut low = outboxes.to::<Num>("far", "low").await.unwrap();
        tell(format_args!("sends"));
        if let Some(base) = base {
            for n in base..base + RUN {
                // The classes of an outbox, and two outboxes of a store.
                let accepted = match (is_high(n), n % 2) {
                    (true, 0) => high.tell_high(Num(n)).await,
                    (true, _) => high.tell(Num(n)).await,
                    (false, 0) => low.tell_high(Num(n)).await,
                    (false, _) => low.tell(Num(n)).await,
                };
                accepted.unwrap();
                tell(format_args!("accepted {n}"));
                if fastrand::u32(..60) == 0 {
                    node.drop_links("far");
                }
            }
        }
        high.sent().await.unwrap();
        low.sent().await.unwrap();
        tell(format_args!("sent"));
        end_of_input().await;
    });
}

/// A process, whose lines go to a channel.
struct Process {
    process: Child,
    _input: ChildStdin,
}

impl Process {
    fn start(
        test: &str,
        variables: [(&str, &str); 3],
        who: Who,
        lines: &Sender<(Who, String)>,
    ) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
        for (name, value) in variables {
            match value {
                "" => command.env_remove(name),
                _ => command.env(name, value),
            };
        }
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = process.stderr(Stdio::null()).spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let lines = lines.clone();
        std::thread::spawn(move || {
            for line in output.lines() {
                let line = line.unwrap();
                if let Some((_, line)) = line.split_once('@') {
                    lines.send((who, line.to_owned())).unwrap();
                }
            }
            lines.send((who, "gone".to_owned())).unwrap();
        });
        Self {
            process,
            _input: input,
        }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends its input, and waits until it has ended.
    fn end(self) {
        let Self {
            mut process,
            _input,
        } = self;
        drop(_input);
        assert!(process.wait().unwrap().success());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    Near,
    Far,
}

/// Which one is sent how: an outbox and a class.
type Way = (bool, u64);

#[derive(Default)]
struct History {
    accepted: BTreeSet<u64>,
    /// The identity of each in the far store, and how often it was begun.
    handled: BTreeMap<u64, (u64, u32)>,
    /// The last one of each way that was handled for the first time.
    last: HashMap<Way, u64>,
}

impl History {
    fn read(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "accepted" => drop(self.accepted.insert(number(1))),
            "handling" => {
                let (n, id) = (number(1), number(2));
                let (known, begun) = self.handled.entry(n).or_insert((id, 0));
                assert_eq!(*known, id, "{n} was stored twice");
                *begun += 1;
                if *begun == 1 {
                    let last = self.last.insert((is_high(n), n % 2), n);
                    assert!(last < Some(n), "{n} came after {last:?}");
                }
            }
            _ => {}
        }
    }

    /// Reads until a line begins like this.
    fn read_until(&mut self, lines: &Receiver<(Who, String)>, from: Who, wanted: &str) -> String {
        loop {
            let (who, line) = lines.recv_timeout(Duration::from_secs(600)).unwrap();
            if who == from && line.starts_with(wanted) {
                return line;
            }
            assert!(who != from || line != "gone", "{who:?} has ended");
            self.read(&line);
        }
    }
}

#[test]
fn what_was_accepted_arrives_once_although_both_ends_are_killed() {
    let kills = std::env::var("LANEMESH_OUTBOX_KILLS");
    let kills = kills.map_or(40, |kills| kills.parse().unwrap());
    let seed = std::env::var("LANEMESH_OUTBOX_SEED");
    let seed = seed.map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("LANEMESH_OUTBOX_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [near_directory, far_directory] = directories
        .each_ref()
        .map(|directory| directory.path().to_str().unwrap());
    let (tx, lines) = channel();
    let mut history = History::default();
    let mut address = "tcp://127.0.0.1:0".to_owned();
    let start_far = |address: &mut String, history: &mut History| {
        let variables = [
            (DIRECTORY, far_directory),
            (ADDRESS, &**address),
            (BASE, ""),
        ];
        let far = Process::start("far_process", variables, Who::Far, &tx);
        let line = history.read_until(&lines, Who::Far, "listens");
        *address = line.split(' ').nth(1).unwrap().to_owned();
        far
    };
    let start_near = |address: &str, base: &str| {
        let variables = [
            (DIRECTORY, near_directory),
            (ADDRESS, address),
            (BASE, base),
        ];
        Process::start("near_process", variables, Who::Near, &tx)
    };
    let mut far = start_far(&mut address, &mut history);
    let mut near = start_near(&address, "0");
    for run in 1..=kills {
        // By lines, not by time: it takes as long as it takes.
        let enough = history.accepted.len() + random.usize(1..80);
        while history.accepted.len() < enough {
            let (who, line) = lines.recv_timeout(Duration::from_secs(600)).unwrap();
            assert_ne!(line, "gone", "{who:?}");
            history.read(&line);
        }
        let kinds = random.u8(0..3);
        if kinds != 0 {
            far.kill();
            history.read_until(&lines, Who::Far, "gone");
        }
        if kinds != 1 {
            near.kill();
            history.read_until(&lines, Who::Near, "gone");
            near = start_near(&address, &(run * RUN).to_string());
        }
        if kinds != 0 {
            far = start_far(&mut address, &mut history);
        }
    }
    near.kill();
    history.read_until(&lines, Who::Near, "gone");
    let near = start_near(&address, "nothing");
    history.read_until(&lines, Who::Near, "sent");
    near.end();
    far.end();
    history.read_until(&lines, Who::Far, "ended");
    println!(
        "{kills} kills, {} accepted, {} handled",
        history.accepted.len(),
        history.handled.len()
    );
    assert!(history.accepted.len() as u64 > kills);
    for n in &history.accepted {
        assert!(
            history.handled.contains_key(n),
            "{n} was accepted and is lost"
        );
    }
}
