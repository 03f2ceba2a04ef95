//! Real processes: one is killed and comes back, one stands still.
//!
//! The test runs itself again as the other process: [`other_process`] does nothing without its variable.
#![cfg(unix)]

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use lanemesh_net::{DownReason, Event, Node, PeerInfo};
use lanemesh_net_zenoh::{Names, NodeEvent, Nodes, Zenoh};
use lanemesh_runtime::{ActorHandle, AskError, ExitReason, spawn};
use tokio::sync::broadcast;

#[allow(dead_code, reason = "the other tests use all of it")]
#[path = "it/common.rs"]
mod common;

use common::{Command as Tell, Data, MINUTE, Recorder};

/// Where the first process listens.
const ENDPOINT: &str = "LANEMESH_ZENOH_TEST_ENDPOINT";

/// The other process, if it is told where the first is: has an actor with a name, and ends with its standard input.
#[test]
fn other_process() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (_nodes, names, _node) = joined("other", &[endpoint]).await;
        let (actor, _child) = spawn(Recorder::default());
        let _name = names.register("test", "recorder", &actor).await.unwrap();
        println!("\nis there");
        std::io::stdout().flush().unwrap();
        let end = || std::io::stdin().lock().read_line(&mut String::new());
        tokio::task::spawn_blocking(end).await.unwrap().unwrap();
    });
    std::process::exit(0);
}

async fn joined(name: &str, others: &[String]) -> (Nodes, Names, Node) {
    let zenoh = Zenoh::new(common::connected(others).await).await.unwrap();
    join(name, &zenoh).await
}

async fn join(name: &str, zenoh: &Zenoh) -> (Nodes, Names, Node) {
    let node = common::node(name, zenoh);
    let address = node.bind(&format!("zenoh:{name}")).await.unwrap();
    let nodes = Nodes::join(zenoh, &node, [address]).await.unwrap();
    let names = Names::join(&nodes);
    (nodes, names, node)
}

/// The other process, which is killed when this is dropped.
struct Other(Child);

impl Other {
    fn start(endpoint: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "other_process", "--nocapture"])
            .env(ENDPOINT, endpoint)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.unwrap());
        assert!(lines.any(|line| line == "is there"), "it does not start");
        Self(process)
    }

    fn signal(&self, signal: &str) {
        let process = self.0.id().to_string();
        let sent = Command::new("kill").args([signal, &process]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn up(events: &mut broadcast::Receiver<NodeEvent>) -> PeerInfo {
    loop {
        match events.recv().await.unwrap() {
            NodeEvent::Up(member) if &*member.node.name == "other" => return member.node,
            event => println!("{event:?}"),
        }
    }
}

async fn down(events: &mut broadcast::Receiver<NodeEvent>) -> PeerInfo {
    loop {
        match events.recv().await.unwrap() {
            NodeEvent::Down(member) => return member.node,
            event => println!("{event:?}"),
        }
    }
}

async fn recorder(names: &Names) -> ActorHandle<Recorder> {
    let found = names.lookup_within::<Recorder>("test", "recorder", MINUTE);
    found.await.unwrap()
}

async fn log_length(handle: &mut ActorHandle<Recorder>) -> usize {
    handle.ask(Tell::Log, MINUTE).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_process_is_noticed_at_once_and_found_again_as_another_incarnation() {
    let (session, endpoint) = common::first().await;
    let zenoh = Zenoh::new(session).await.unwrap();
    let (nodes, names, node) = join("this", &zenoh).await;
    let (mut seen, mut links) = (nodes.events(), node.events());
    let other = Other::start(&endpoint);
    let life = up(&mut seen).await;
    let mut handle = recorder(&names).await;
    for number in 0..1000 {
        handle.send_low(Data::Number(number)).await.unwrap();
    }
    handle.idle().await;
    while log_length(&mut handle).await < 1000 {}
    let mut asker = handle.clone();
    let ask = tokio::spawn(async move { asker.ask(Tell::Keep, MINUTE).await });
    while node.links()[0].asks == 0 {
        tokio::task::yield_now().await;
    }
    handle.send_high(Tell::Mark(1)).await.unwrap();
    handle.idle().await;
    // Sends until the handle is closed.
    let mut sender = handle.clone();
    let flood =
        tokio::spawn(
            async move { while sender.send_low(Data::Bytes(vec![1; 1200])).await.is_ok() {} },
        );
    drop(other); // kill -9
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    assert_eq!(ask.await.unwrap(), Err(AskError::Unknown));
    flood.await.unwrap();
    let why = loop {
        if let Event::LinkDown(down) = links.recv().await.unwrap() {
            break down.why;
        }
    };
    // Heartbeats would have noticed in an hour.
    assert!(matches!(why, DownReason::Lost(_)), "{why}");
    assert_eq!(down(&mut seen).await, life);
    let mut changes = names.changes();
    while names.holder("test", "recorder").is_some() {
        changes.changed().await.unwrap();
    }

    let _other = Other::start(&endpoint);
    let again = up(&mut seen).await;
    assert!(again.incarnation > life.incarnation);
    let mut handle = recorder(&names).await;
    handle.send_high(Tell::Mark(2)).await.unwrap();
    while log_length(&mut handle).await != 1 {}
    assert_eq!(names.holder("test", "recorder"), Some(again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_stands_still_is_down_at_the_end_of_its_lease_and_up_when_it_goes_on() {
    let (session, endpoint) = common::first().await;
    let zenoh = Zenoh::new(session).await.unwrap();
    let (nodes, names, _node) = join("this", &zenoh).await;
    let mut seen = nodes.events();
    let other = Other::start(&endpoint);
    let life = up(&mut seen).await;
    let mut handle = recorder(&names).await;
    handle.send_high(Tell::Mark(1)).await.unwrap();
    handle.idle().await;
    other.signal("-STOP");
    assert_eq!(down(&mut seen).await, life);
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    other.signal("-CONT");
    // The same incarnation, with what it had.
    assert_eq!(up(&mut seen).await, life);
    let mut handle = recorder(&names).await;
    while log_length(&mut handle).await != 1 {}
}
