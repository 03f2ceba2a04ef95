//! Real processes over TCP: one is killed, one stands still, one comes back.
//!
//! The test runs itself again as the other process: [`other_process`] does nothing without its
//! variables.
#![cfg(unix)]

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use lanemesh_net::{Config, DownReason, Event, LinkDown, Node, Remote};
use lanemesh_runtime::{
    ActorHandle, ActorResult, AskError, Context, ExitReason, Handler, Reply, spawn,
};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

const SECRET: [u8; 16] = *b"only for a test!";
const ADDRESS: &str = "LANEMESH_NET_TEST_ADDRESS";
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
enum Msg {
    Add(u64),
    Sum(Reply<u64>),
    Keep(Reply<u64>),
}

#[derive(Default)]
struct Adder {
    sum: u64,
    kept: Vec<Reply<u64>>,
}

impl Handler for Adder {
    type Msg = Msg;

    async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Msg::Add(number) => self.sum += number,
            Msg::Sum(reply) => drop(reply.send(self.sum)),
            Msg::Keep(reply) => self.kept.push(reply),
        }
        Ok(())
    }
}

impl Remote for Adder {
    const TYPE: &'static str = "test/adder";
}

/// The other process, if its address is given: says where it listens, and ends with its standard input.
#[test]
fn other_process() {
    let Ok(address) = std::env::var(ADDRESS) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let node = Node::builder("other").secret(SECRET).config(patient());
        let node = node.build();
        let (adder, _child) = spawn(Adder::default());
        node.export("adder", &adder).unwrap();
        let bound = node.bind(&address).await.unwrap();
        println!("\nlistens at {bound}");
        std::io::stdout().flush().unwrap();
        let end = || std::io::stdin().lock().read_line(&mut String::new());
        tokio::task::spawn_blocking(end).await.unwrap().unwrap();
    });
    std::process::exit(0);
}

/// The other process, which is killed when this is dropped.
struct Other {
    process: Child,
    address: String,
}

impl Other {
    fn start(address: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "other_process", "--nocapture"])
            .env(ADDRESS, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.unwrap());
        let address = lines.find_map(|line| line.strip_prefix("listens at ").map(str::to_owned));
        let address = address.expect("it says where it listens");
        Self { process, address }
    }

    fn signal(&self, signal: &str) {
        let process = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &process]).status();
        assert!(sent.unwrap().success());
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Times that no busy machine exceeds.
fn patient() -> Config {
    Config {
        suspected_after: 60 * MINUTE,
        dead_after: 60 * MINUTE,
        handshake_timeout: MINUTE,
        lookup_timeout: MINUTE,
        ..Config::default()
    }
}

fn this_node(config: Config) -> Node {
    Node::builder("this").secret(SECRET).config(config).build()
}

async fn down(events: &mut broadcast::Receiver<Event>) -> LinkDown {
    loop {
        if let Event::LinkDown(down) = events.recv().await.unwrap() {
            return down;
        }
    }
}

async fn dead_letters(events: &mut broadcast::Receiver<Event>) -> u64 {
    loop {
        if let Event::LaneEnded { dead_letters, .. } = events.recv().await.unwrap() {
            return dead_letters;
        }
    }
}

async fn sum(handle: &mut ActorHandle<Adder>) -> u64 {
    handle.ask(Msg::Sum, MINUTE).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_process_is_noticed_accounted_for_and_linked_again_when_it_is_back() {
    let mut other = Other::start("tcp://127.0.0.1:0");
    let node = this_node(Config {
        dead_after: 60 * MINUTE, // it is the reset that is noticed
        ..patient()
    });
    let mut events = node.events();
    node.connect(&other.address).await.unwrap();
    let mut handle = node.lookup::<Adder>("adder").await.unwrap();
    for _ in 0..1000 {
        handle.tell(Msg::Add(1)).await.unwrap();
    }
    handle.idle().await;
    assert_eq!(sum(&mut handle).await, 1000);

    let mut asker = handle.clone();
    let ask = tokio::spawn(async move { asker.ask(Msg::Keep, MINUTE).await });
    while node.links()[0].asks == 0 {
        tokio::task::yield_now().await;
    }
    handle.idle().await;
    // Sends until the handle is closed. The rest of the account is the other process's, which is gone.
    let mut sender = handle.clone();
    let flood = tokio::spawn(async move {
        let mut sent = 0_u64;
        while sender.tell(Msg::Add(1)).await.is_ok() {
            sent += 1;
        }
        sent
    });
    other.kill();
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    assert_eq!(ask.await.unwrap(), Err(AskError::Unknown));
    let mut more_events = node.events();
    let down = down(&mut events).await;
    assert!(matches!(down.why, DownReason::Lost(_)), "{}", down.why);
    assert_eq!(down.asks, 1);
    let sent = flood.await.unwrap();
    let dead = dead_letters(&mut events).await;
    assert!(dead + down.unconfirmed <= sent, "{sent} {dead} {down:?}");

    let address = other.address.clone();
    let _other = Other::start(&address);
    while !matches!(more_events.recv().await.unwrap(), Event::LinkUp { .. }) {}
    let mut handle = node.lookup::<Adder>("adder").await.unwrap();
    handle.tell(Msg::Add(5)).await.unwrap();
    assert_eq!(sum(&mut handle).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_stands_still_is_dead_and_its_old_link_stays_dead() {
    let other = Other::start("tcp://127.0.0.1:0");
    let node = this_node(Config {
        heartbeat: Duration::from_millis(50),
        suspected_after: Duration::from_millis(200),
        dead_after: Duration::from_secs(6),
        ..patient()
    });
    let mut events = node.events();
    node.connect(&other.address).await.unwrap();
    let mut handle = node.lookup::<Adder>("adder").await.unwrap();
    handle.tell(Msg::Add(7)).await.unwrap();
    assert_eq!(sum(&mut handle).await, 7);
    handle.idle().await;
    other.signal("-STOP");
    let down = down(&mut events).await;
    assert_eq!((down.why, down.unconfirmed), (DownReason::Silent, 0));
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    other.signal("-CONT");
    while !matches!(events.recv().await.unwrap(), Event::LinkUp { .. }) {}
    // The same incarnation, with what it had.
    let mut handle = node.lookup::<Adder>("adder").await.unwrap();
    assert_eq!(sum(&mut handle).await, 7);
}
