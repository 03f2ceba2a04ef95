//! Real processes over TCP: one is killed, one stands still, one comes back; and members that find each other.
//!
//! The test runs itself again as the other process: [`other_process`] and [`member_process`] do nothing
//! without their variables.
#![cfg(unix)]

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use lanemesh_net::{
    Config, DownReason, Event, LinkDown, Node, Remote,
    members::{DownCause, MemberEvent, MemberOptions, Membership},
    names::{Names, SingletonOptions, rendezvous},
};
use lanemesh_runtime::{
    ActorHandle, ActorResult, AskError, Context, ExitReason, Handler, Reply, spawn,
};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

const SECRET: [u8; 16] = *b"only for a test!";
const ADDRESS: &str = "LANEMESH_NET_TEST_ADDRESS";
/// Name and seed of a member.
const MEMBER: &str = "LANEMESH_NET_TEST_MEMBER";
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

/// A member, if its name and the address of another one are given: joins, and offers to run a singleton.
#[test]
fn member_process() {
    let Ok(member) = std::env::var(MEMBER) else {
        return;
    };
    let (name, seed) = member.split_once(' ').unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let node = Node::builder(name).secret(SECRET).config(patient()).build();
        let names = join(&node).await;
        let _seed = node.discover(vec![seed.to_owned()]);
        let options = SingletonOptions::new().settle(Duration::from_millis(500));
        let _offer = names.singleton("site", "only", options, || spawn(Adder::default()));
        println!("\nlistens at nothing that is told");
        std::io::stdout().flush().unwrap();
        let end = || std::io::stdin().lock().read_line(&mut String::new());
        tokio::task::spawn_blocking(end).await.unwrap().unwrap();
    });
    std::process::exit(0);
}

async fn join(node: &Node) -> Names {
    let address = node.bind("tcp://127.0.0.1:0").await.unwrap();
    let options = MemberOptions::new([address]).down_after(Duration::from_secs(1));
    Names::join(&Membership::join(node, options).unwrap()).unwrap()
}

/// The other process, which is killed when this is dropped.
struct Other {
    process: Child,
    address: String,
}

impl Other {
    fn start(address: &str) -> Self {
        Self::run("other_process", ADDRESS, address)
    }

    fn member(name: &str, seed: &str) -> Self {
        Self::run("member_process", MEMBER, &format!("{name} {seed}"))
    }

    fn run(test: &str, variable: &str, value: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(variable, value)
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_with_one_seed_find_each_other_and_a_singleton_moves_when_its_process_is_killed() {
    let node = this_node(patient());
    let names = join(&node).await;
    let seed = names.membership().me().addresses[0].to_string();
    let mut events = names.membership().events();
    let mut processes: Vec<_> = ["one", "two"]
        .map(|name| (name, Other::member(name, &seed)))
        .into();
    // In the end it is where the hash says, of those two: they have been told of each other.
    let holder_is = |wanted: &str| {
        let wanted = wanted.to_owned();
        let (names, mut changes) = (names.clone(), names.changes());
        async move {
            let holder = || names.holder("site", "only").map(|holder| holder.name);
            let found = changes.wait_for(|_| holder().as_deref() == Some(&*wanted));
            tokio::time::timeout(5 * MINUTE, found)
                .await
                .unwrap()
                .unwrap();
        }
    };
    let chosen = rendezvous(b"site\0only", ["one", "two"]).unwrap();
    let other = if chosen == "one" { "two" } else { "one" };
    holder_is(chosen).await;
    let index = processes
        .iter()
        .position(|(name, _)| *name == chosen)
        .unwrap();
    let (_, mut killed) = processes.remove(index);
    killed.kill();
    let life = loop {
        match events.recv().await.unwrap() {
            MemberEvent::Down(member, cause) => {
                assert_eq!(
                    (&*member.node.name, cause),
                    (chosen, DownCause::Unreachable)
                );
                break member.node.incarnation;
            }
            event => println!("{event:?}"),
        }
    };
    holder_is(other).await;
    let mut only = names
        .lookup_within::<Adder>("site", "only", MINUTE)
        .await
        .unwrap();
    assert_eq!(sum(&mut only).await, 0);

    let _again = Other::member(chosen, &seed);
    loop {
        match events.recv().await.unwrap() {
            MemberEvent::Up(member) if &*member.node.name == chosen => {
                assert!(member.node.incarnation > life);
                break;
            }
            event => println!("{event:?}"),
        }
    }
    holder_is(chosen).await;
    // Drained, and not killed.
    assert!(!matches!(only.monitor().await, ExitReason::Unreachable));
}
