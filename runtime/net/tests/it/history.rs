//! Histories over a simulated network: what was sent, what arrived in which order, and what became of the
//! rest. Each seed is another schedule of sends, delays, resets, cuts and crashes.
//!
//! Checked for every seed: order per handle and class; at most once; no answer to a question that did not arrive; and
//! the account: what was sent has arrived, or is a dead letter, or was unconfirmed when its link or its
//! actor ended, or was left in the mailbox of an actor that was killed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_net::{Config, Event, Node, Remote};
use lanemesh_runtime::{Actor, ActorHandle, ActorResult, Child, Context, Reply, Restart, builder};
use serde::{Deserialize, Serialize};
use tokio::{sync::broadcast::error::RecvError, task::JoinHandle, time::sleep};

use crate::simulation::{self, Network};

/// Who has sent a message, the how-manieth it is, and a question perhaps.
#[derive(Serialize, Deserialize)]
struct Note {
    sender: u32,
    number: u32,
    padding: String,
    reply: Option<Reply<u32>>,
}

/// What has arrived.
type Log = Arc<Mutex<Vec<Arrival>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arrival {
    is_high: bool,
    is_ask: bool,
    sender: u32,
    number: u32,
}

struct Clerk(Log, fastrand::Rng);

impl Clerk {
    async fn take(&mut self, is_high: bool, note: Note) -> ActorResult {
        if self.1.u8(..) < 8 {
            sleep(Duration::from_millis(self.1.u64(0..20))).await;
        }
        self.0.lock().unwrap().push(Arrival {
            is_high,
            is_ask: note.reply.is_some(),
            sender: note.sender,
            number: note.number,
        });
        if let Some(reply) = note.reply {
            drop(reply.send(note.number));
        }
        Ok(())
    }
}

impl Actor for Clerk {
    type HighPriorityMsg = Note;
    type LowPriorityMsg = Note;

    async fn on_high(&mut self, note: Note, _: &mut Context<Self>) -> ActorResult {
        self.take(true, note).await
    }

    async fn on_low(&mut self, note: Note, _: &mut Context<Self>) -> ActorResult {
        self.take(false, note).await
    }
}

impl Remote for Clerk {
    const TYPE: &'static str = "test/clerk";
}

/// Small limits, so that all of them are met.
fn config() -> Config {
    Config {
        high_messages: 3,
        high_bytes: 400,
        low_messages: 10,
        low_bytes: 1500,
        ..simulation::config()
    }
}

fn node(network: &Network, name: &str, incarnation: u64, seed: u64) -> Node {
    let node = Node::builder(name)
        .config(config())
        .incarnation(incarnation);
    node.transport("sim", network.of(name)).seed(seed).build()
}

/// The node with the actor; it can crash and come back.
struct Home {
    network: Network,
    seed: u64,
    log: Log,
    life: Option<(Node, ActorHandle<Clerk>, Child)>,
    lives: u64,
    /// Messages that were in the mailbox, or in the handler, of an actor that was killed.
    left: u64,
}

impl Home {
    async fn start(&mut self) {
        self.lives += 1;
        let node = node(&self.network, "home", self.lives, self.seed);
        let (log, seed) = (self.log.clone(), self.seed);
        let clerk = builder(move || Clerk(log.clone(), fastrand::Rng::with_seed(seed)));
        let (actor, child) = clerk
            .low_capacity(4)
            .high_capacity(2)
            .restart(Restart::Permanent)
            .spawn();
        node.export("clerk", &actor).unwrap();
        node.bind("sim:home").await.unwrap();
        self.life = Some((node, actor, child));
    }

    async fn crash(&mut self) {
        let (node, actor, child) = self.life.take().unwrap();
        self.network.crash("home");
        node.drop_links("away-0");
        node.drop_links("away-1");
        child.kill().await;
        let stats = actor.stats();
        self.left += stats.left + stats.interrupted + stats.expired;
        drop(node);
    }
}

/// What a node's events say became of messages.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    dead_letters: u64,
    unconfirmed: u64,
    refused: u64,
    links: u64,
    left: u64,
}

impl Account {
    fn add(&mut self, other: &Self) {
        self.dead_letters += other.dead_letters;
        self.unconfirmed += other.unconfirmed;
        self.refused += other.refused;
        self.links += other.links;
        self.left += other.left;
    }
}

/// A hundred seeds meet all that can happen.
fn is_eventful(total: &Account) {
    assert!(total.links > 300, "{total:?}");
    assert!(
        total.dead_letters > 0 && total.unconfirmed > 0 && total.left > 0,
        "{total:?}"
    );
}

fn keep_account(node: &Node) -> (Arc<Mutex<Account>>, JoinHandle<()>) {
    let account = Arc::<Mutex<Account>>::default();
    let mut events = node.events();
    let shared = account.clone();
    let task = tokio::spawn(async move {
        loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(count)) => panic!("{count} events were missed"),
            };
            let mut account = shared.lock().unwrap();
            match event {
                Event::LinkUp { .. } => account.links += 1,
                Event::LinkDown(down) => account.unconfirmed += down.unconfirmed,
                Event::LaneEnded {
                    dead_letters,
                    unconfirmed,
                    refused,
                    ..
                } => {
                    account.dead_letters += dead_letters;
                    account.unconfirmed += unconfirmed;
                    account.refused += refused;
                }
                _ => {}
            }
        }
    });
    (account, task)
}

/// What a sender knows to have been accepted by its handle.
#[derive(Default)]
struct Sent {
    messages: u64,
    answered: Vec<(bool, u32)>,
}

/// Sends `count` messages, through another handle whenever one has ended.
async fn send(node: Node, sender: u32, count: u32, seed: u64) -> Sent {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sent = Sent::default();
    let mut handle: Option<ActorHandle<Clerk>> = None;
    let mut number = 0;
    while number < count {
        let Some(open) = &mut handle else {
            let mut lookup = node
                .lookup::<Clerk>("clerk")
                .low_capacity(6)
                .high_capacity(2);
            if random.bool() {
                lookup = lookup.wait_for_link(Duration::from_millis(random.u64(1..2000)));
            }
            match lookup.await {
                Ok(found) => handle = Some(found),
                Err(_) => sleep(Duration::from_millis(random.u64(1..50))).await,
            }
            continue;
        };
        let is_high = random.u8(0..4) == 0;
        let padding = "x".repeat(random.usize(0..600));
        let note = |reply| Note {
            sender,
            number,
            padding,
            reply,
        };
        match random.u8(0..10) {
            0 => {
                let time = Duration::from_millis(random.u64(50..3000));
                let note = |reply| note(Some(reply));
                let answer = match is_high {
                    true => open.ask(note, time).await,
                    false => open.ask_low(note, time).await,
                };
                if let Ok(answer) = answer {
                    assert_eq!(answer, number);
                    sent.answered.push((is_high, number));
                }
                number += 1; // sent or not
            }
            _ => {
                let outcome = match is_high {
                    true => open.send_high(note(None)).await.map_err(drop),
                    false => open.send_low(note(None)).await.map_err(drop),
                };
                match outcome {
                    Ok(_) => {
                        sent.messages += 1;
                        number += 1;
                    }
                    Err(()) => handle = None, // the message is sent through the next one
                }
            }
        }
        if random.u8(0..8) == 0 {
            sleep(Duration::from_millis(random.u64(0..30))).await;
        }
    }
    if let Some(handle) = handle {
        handle.idle().await;
    }
    sent
}

/// What the network does while messages are sent.
async fn disturb(network: Network, home: &mut Home, seed: u64, times: u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..times {
        sleep(Duration::from_millis(random.u64(0..400))).await;
        let away = ["away-0", "away-1"][random.usize(0..2)];
        match random.u8(0..5) {
            0 | 1 => network.reset("home", away),
            2 | 3 => {
                network.cut("home", away);
                sleep(Duration::from_millis(random.u64(0..1500))).await;
                network.heal("home", away);
            }
            _ => {
                home.crash().await;
                sleep(Duration::from_millis(random.u64(0..500))).await;
                home.start().await;
            }
        }
    }
}

async fn run(seed: u64) -> Account {
    let mut random = fastrand::Rng::with_seed(seed);
    let max_delay = Duration::from_micros(random.u64(1..20_000));
    let network = Network::new(seed, max_delay);
    let log = Log::default();
    let mut home = Home {
        network: network.clone(),
        seed,
        log: log.clone(),
        life: None,
        lives: 0,
        left: 0,
    };
    home.start().await;
    let aways = [0, 1].map(|index| node(&network, &format!("away-{index}"), 1, seed + index));
    let accounts = aways.each_ref().map(keep_account);
    let mut senders = Vec::new();
    for (index, away) in aways.iter().enumerate() {
        while away.connect("sim:home").await.is_err() {}
        for part in 0..2 {
            let sender = (2 * index + part) as u32;
            let sending = send(away.clone(), sender, random.u32(20..60), random.u64(..));
            senders.push(tokio::spawn(sending));
        }
    }
    let times = [0, 1, 3, 6][random.usize(0..4)];
    disturb(network, &mut home, random.u64(..), times).await;

    let mut sent = Vec::new();
    for sender in senders {
        sent.push(sender.await.unwrap());
    }
    let (_, actor, _) = home.life.as_ref().unwrap();
    actor.idle().await;
    for away in &aways {
        assert!(away.shutdown(Duration::from_secs(10)).await);
    }
    drop(aways);
    let mut total = Account::default();
    for (account, task) in accounts {
        task.await.unwrap();
        let account = *account.lock().unwrap();
        total.add(&account);
    }
    total.left = home.left;
    check(&log.lock().unwrap(), &sent, &total, times == 0, seed);
    total
}

fn check(log: &[Arrival], sent: &[Sent], total: &Account, is_calm: bool, seed: u64) {
    // In order, and so at most once.
    let mut last: BTreeMap<(bool, u32), u32> = BTreeMap::new();
    for arrival in log {
        let Arrival { sender, number, .. } = *arrival;
        let before = last.insert((arrival.is_high, sender), number);
        assert!(
            before.is_none_or(|before| before < number),
            "seed {seed}: {number} of sender {sender} after {before:?}"
        );
    }
    for (sender, sent) in sent.iter().enumerate() {
        for &(is_high, number) in &sent.answered {
            let question = Arrival {
                is_high,
                is_ask: true,
                sender: sender as u32,
                number,
            };
            assert!(
                log.contains(&question),
                "seed {seed}: {question:?} was answered"
            );
        }
    }
    let tells: u64 = sent.iter().map(|sent| sent.messages).sum();
    let arrived = log.iter().filter(|arrival| !arrival.is_ask).count() as u64;
    assert_eq!(total.refused, 0, "seed {seed}");
    let missing = tells.checked_sub(arrived);
    let missing = missing.unwrap_or_else(|| panic!("seed {seed}: {arrived} of {tells} arrived"));
    let accounted = total.dead_letters + total.unconfirmed + total.left;
    assert!(
        missing <= accounted,
        "seed {seed}: of {tells} arrived {arrived}: {total:?}"
    );
    if is_calm {
        assert_eq!((missing, accounted, total.links), (0, 0, 2), "seed {seed}");
    }
}

fn seeds(range: std::ops::Range<u64>) -> Account {
    let mut all = Account::default();
    simulation::simulate(Duration::from_secs(600), range, async |seed| {
        all.add(&run(seed).await);
    });
    all
}

// Two tests, for two cores. `LANEMESH_SEEDS=first..last` runs others.

#[test]
fn account_balances_for_even_hundreds_of_seeds() {
    is_eventful(&seeds(0..100));
}

#[test]
fn account_balances_for_odd_hundreds_of_seeds() {
    is_eventful(&seeds(100..200));
}

#[test]
fn account_balances_for_the_seeds_of_the_environment() {
    if let Some(range) = simulation::seeds_of_environment() {
        println!("{:?}", seeds(range));
    }
}
