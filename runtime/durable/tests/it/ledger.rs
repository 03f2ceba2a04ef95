//! Random schedules of a durable actor: producers in every way there is, failures, panics, stops from within,
//! drains, shutdowns of its system, kills of the actor and of the process, stores that are closed under it,
//! requeued dead letters. Every message is accounted for.
//!
//! `LEDGER_SEEDS=5000` runs as many seeds, `LEDGER_SEED=7` only this one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_durable::{
    Delivered, Durable, DurableExt, DurableHandle, Producer, QueueOptions, Terms, disk::SimDisk,
};
use lanemesh_runtime::{
    Child, System, builder,
    prelude::*,
    supervision::{Backoff, Supervision},
    testing::simulate,
};

use tokio::time::Instant;

use crate::common::{Num, open};

const ATTEMPTS: u32 = 4;

#[derive(Default)]
struct Book {
    /// Sent, perhaps without a receipt.
    sent: BTreeSet<u64>,
    stored: BTreeSet<u64>,
    /// These come later than their places.
    delayed: BTreeSet<u64>,
    /// The attempts that were begun, in order.
    begun: BTreeMap<u64, Vec<u32>>,
    handled: BTreeSet<u64>,
    /// The last first attempt of each class and producer.
    last: BTreeMap<(bool, u64), u64>,
}

type SharedBook = Arc<Mutex<Book>>;

/// Fails at random, by an error or a panic, and yields so that it can be killed in a handler.
struct Clerk {
    book: SharedBook,
    random: fastrand::Rng,
}

/// Numbers say who sent them, and the class.
fn class_and_producer(n: u64) -> (bool, u64) {
    (n.is_multiple_of(2), n / 1_000_000)
}

impl Clerk {
    async fn handle(&mut self, num: Delivered<Num>, cx: &mut Context<Self>) -> ActorResult {
        let n = num.0;
        {
            let mut book = self.book.lock().unwrap();
            assert!(
                !book.handled.contains(&n),
                "{n} came again after it was handled"
            );
            let begun = book.begun.entry(n).or_default();
            assert!(
                begun.last().is_none_or(|last| *last < num.attempt),
                "{n}: {begun:?}"
            );
            begun.push(num.attempt);
            if num.attempt == 1 && !book.delayed.contains(&n) {
                let last = book.last.insert(class_and_producer(n), n);
                assert!(last < Some(n), "{n} after {last:?}");
            }
        }
        for _ in 0..self.random.u8(..3) {
            tokio::task::yield_now().await;
        }
        match self.random.u8(..24) {
            0 | 1 => return Err(ActorError::msg("by chance")),
            2 | 3 => std::panic::resume_unwind(Box::new("by chance")),
            4 => cx.stop(),
            _ => {}
        }
        self.book.lock().unwrap().handled.insert(n);
        Ok(())
    }
}

impl Actor for Clerk {
    type HighPriorityMsg = Delivered<Num>;
    type LowPriorityMsg = Delivered<Num>;

    async fn on_high(&mut self, num: Delivered<Num>, cx: &mut Context<Self>) -> ActorResult {
        self.handle(num, cx).await
    }

    async fn on_low(&mut self, num: Delivered<Num>, cx: &mut Context<Self>) -> ActorResult {
        self.handle(num, cx).await
    }
}

async fn clerk(
    store: &Durable,
    system: &System,
    book: &SharedBook,
    random: &mut fastrand::Rng,
) -> (DurableHandle<Clerk>, Child) {
    let (book, mut seeds) = (book.clone(), random.fork());
    let make = move || Clerk {
        book: book.clone(),
        random: seeds.fork(),
    };
    let supervision = Supervision::default()
        .intensity(1_000_000, Duration::from_secs(1))
        .backoff(Backoff::none());
    let clerk = builder(make)
        .restart(Restart::Permanent)
        .supervision(supervision);
    let options = QueueOptions::default()
        .max_attempts(ATTEMPTS)
        .in_flight(random.usize(1..7))
        .strict_order(random.u8(..4) == 0)
        .retry_after(Duration::from_millis(random.u64(..2)));
    let clerk = clerk.durable(store, "clerk").queue_options(options);
    clerk.spawn_by(|clerk| system.spawn(clerk)).await.unwrap()
}

/// Sends in every way there is, until the store takes no more.
async fn send(mut handle: DurableHandle<Clerk>, book: SharedBook, producer: u64, count: u64) {
    let mut next = [producer * 1_000_000, producer * 1_000_000 + 1];
    let mut random = fastrand::Rng::with_seed(producer);
    for _ in 0..count {
        let is_low = random.bool();
        let next = &mut next[usize::from(is_low)];
        let mut number = || {
            *next += 2;
            book.lock().unwrap().sent.insert(*next);
            *next
        };
        let class = if is_low { handle.low() } else { handle.high() };
        let stored = match random.u8(..4) {
            0 => tell_many(class, (0..3).map(|_| number()).collect()).await,
            1 => submit(class, (0..3).map(|_| number()).collect()).await,
            2 => {
                let n = number();
                book.lock().unwrap().delayed.insert(n);
                let terms = Terms::new().deliver_after(Duration::from_millis(1));
                let told = class.tell_with(Num(n), terms).await;
                told.map(|_| vec![n]).unwrap_or_default()
            }
            _ => {
                let n = number();
                class
                    .tell(Num(n))
                    .await
                    .map(|_| vec![n])
                    .unwrap_or_default()
            }
        };
        if stored.is_empty() {
            return;
        }
        book.lock().unwrap().stored.extend(stored);
    }
}

async fn tell_many(class: &mut Producer<Num>, numbers: Vec<u64>) -> Vec<u64> {
    match class
        .tell_many(numbers.iter().copied().map(Num).collect())
        .await
    {
        Ok(_) => numbers,
        Err(error) => numbers[..error.stored.len()].to_vec(),
    }
}

/// Waits for the receipts when all are sent; drops some of them.
async fn submit(class: &mut Producer<Num>, numbers: Vec<u64>) -> Vec<u64> {
    let mut receipts = Vec::new();
    for n in numbers {
        match class.submit(Num(n)).await {
            Ok(receipt) if n % 10 == 0 => drop(receipt),
            Ok(receipt) => receipts.push((n, receipt)),
            Err(_) => break,
        }
    }
    let mut stored = Vec::new();
    for (n, receipt) in receipts {
        if receipt.await.is_ok() {
            stored.push(n);
        }
    }
    stored
}

/// Ends an actor in one of many ways.
async fn end(
    random: &mut fastrand::Rng,
    handle: DurableHandle<Clerk>,
    child: Child,
    system: System,
) {
    let grace = Duration::from_secs(60);
    let began = Instant::now();
    let way = random.u8(..7);
    match way {
        0 => drop(child.stop().await),
        1 => drop(child.kill().await),
        2 => {
            handle.clone().actor().drain();
            child.await;
        }
        3 => {
            system.shutdown(grace).await;
            child.await;
        }
        4 => {
            system.drain(grace).await;
            child.await;
        }
        5 => {
            drop(system);
            child.await;
        }
        // It handles what is there, and ends when its queue is empty.
        _ => {
            drop(handle);
            child.await;
        }
    }
    // Nothing is left to a timer.
    assert!(
        began.elapsed() < grace,
        "way {way} took {:?}",
        began.elapsed()
    );
}

async fn schedule(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = SimDisk::new();
    let book = SharedBook::default();
    let mut producer = 1;
    for _life in 0..3 {
        let store = open(&disk);
        for _actor in 0..2 {
            let system = System::new("office");
            let (handle, child) = clerk(&store, &system, &book, &mut random).await;
            let mut sending = Vec::new();
            for _ in 0..3 {
                let sender = send(handle.clone(), book.clone(), producer, random.u64(1..8));
                sending.push(tokio::spawn(sender));
                producer += 1;
            }
            for _ in 0..random.u8(..60) {
                tokio::task::yield_now().await;
            }
            let is_patient = random.bool();
            if is_patient {
                for sending in sending.drain(..) {
                    sending.await.unwrap();
                }
            }
            let is_last = match random.u8(..8) {
                // The process is killed: nothing is written any more.
                0 => {
                    disk.cut_power_after(0);
                    true
                }
                // The store goes first.
                1 => {
                    store.clone().close().await;
                    true
                }
                _ => false,
            };
            if is_last {
                drop(handle);
                let _ = child.kill().await;
            } else {
                end(&mut random, handle, child, system).await;
            }
            // They store what nobody handles now, too.
            for sending in sending {
                sending.await.unwrap();
            }
            if is_last {
                break;
            }
            requeue_one(&mut random, &store, &book).await;
        }
        store.close().await;
        disk.kill();
    }
    account(&disk, &book, &mut random).await;
}

/// Makes a dead letter a message again.
async fn requeue_one(random: &mut fastrand::Rng, store: &Durable, book: &SharedBook) {
    let letters = store.dead_letters(None, 0, usize::MAX).await.unwrap();
    if letters.is_empty() {
        return;
    }
    let letter = &letters[random.usize(..letters.len())];
    // It begins anew, at its place.
    {
        let mut book = book.lock().unwrap();
        let n = number(&letter.payload);
        book.begun.remove(&n);
        book.delayed.insert(n);
    }
    assert_eq!(store.requeue(letter.id).await, Ok(true));
}

fn number(payload: &[u8]) -> u64 {
    let bytes = payload.iter().rev();
    bytes.fold(0, |n, byte| n << 7 | u64::from(byte & 127))
}

/// A last actor handles all that is left, and ends.
async fn account(disk: &SimDisk, book: &SharedBook, random: &mut fastrand::Rng) {
    let store = open(disk);
    loop {
        let system = System::new("office");
        let (handle, child) = clerk(&store, &system, book, random).await;
        drop(handle);
        child.await;
        let stats = store.stats().await.unwrap();
        let queue = stats.queue("clerk").unwrap();
        // Unless it has stopped by chance.
        let left =
            |class: &lanemesh_durable::ClassStats| class.ready + class.delayed + class.in_flight;
        if left(&queue.high) + left(&queue.low) == 0 {
            break;
        }
    }
    let letters = store.dead_letters(None, 0, usize::MAX).await.unwrap();
    store.close().await;
    let dead: BTreeSet<u64> = letters
        .iter()
        .map(|letter| {
            assert_eq!(letter.attempts, ATTEMPTS);
            number(&letter.payload)
        })
        .collect();
    let book = book.lock().unwrap();
    let twice: Vec<_> = dead.intersection(&book.handled).collect();
    assert!(twice.is_empty(), "{twice:?} are dead, and were handled");
    let accounted: BTreeSet<u64> = dead.union(&book.handled).copied().collect();
    let lost: Vec<_> = book.stored.difference(&accounted).collect();
    assert!(lost.is_empty(), "{lost:?} had receipts, and are lost");
    assert!(accounted.is_subset(&book.sent));
    for n in dead {
        assert_eq!(book.begun[&n], [1, 2, 3, 4], "{n}");
    }
}

fn seeds(from: u64, count: u64) -> std::ops::Range<u64> {
    let read = |name: &str| std::env::var(name).ok()?.parse().ok();
    match read("LEDGER_SEED") {
        Some(seed) => seed..seed + 1,
        None => from..from + read("LEDGER_SEEDS").unwrap_or(count),
    }
}

/// The order of the tasks is decided by the seed, that of the journal's thread is not.
#[test]
fn every_message_of_a_durable_actor_is_accounted_for() {
    for seed in seeds(0, 60) {
        println!("LEDGER_SEED={seed}");
        simulate(seed, schedule(seed)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_accounted_for_on_several_threads() {
    for seed in seeds(1_000_000, 10) {
        println!("LEDGER_SEED={seed}");
        schedule(seed).await;
    }
}
