//! Random schedules of a durable actor: producers, failures, stops, kills, restarts of the store; every
//! message is accounted for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_durable::{
    Delivered, Durable, DurableExt, DurableHandle, QueueOptions, disk::SimDisk,
};
use lanemesh_runtime::{
    Child, builder,
    prelude::*,
    supervision::{Backoff, Supervision},
};

use crate::common::{Num, open};

const ATTEMPTS: u32 = 4;

#[derive(Default)]
struct Book {
    stored: BTreeSet<u64>,
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
    async fn handle(&mut self, num: Delivered<Num>) -> ActorResult {
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
            if num.attempt == 1 {
                let last = book.last.insert(class_and_producer(n), n);
                assert!(last < Some(n), "{n} after {last:?}");
            }
        }
        for _ in 0..self.random.u8(..3) {
            tokio::task::yield_now().await;
        }
        match self.random.u8(..12) {
            0 => return Err(ActorError::msg("by chance")),
            1 => std::panic::resume_unwind(Box::new("by chance")),
            _ => {}
        }
        self.book.lock().unwrap().handled.insert(n);
        Ok(())
    }
}

impl Actor for Clerk {
    type HighPriorityMsg = Delivered<Num>;
    type LowPriorityMsg = Delivered<Num>;

    async fn on_high(&mut self, num: Delivered<Num>, _: &mut Context<Self>) -> ActorResult {
        self.handle(num).await
    }

    async fn on_low(&mut self, num: Delivered<Num>, _: &mut Context<Self>) -> ActorResult {
        self.handle(num).await
    }
}

async fn clerk(store: &Durable, book: &SharedBook, seed: u64) -> (DurableHandle<Clerk>, Child) {
    let (book, mut random) = (book.clone(), fastrand::Rng::with_seed(seed));
    let make = move || Clerk {
        book: book.clone(),
        random: random.fork(),
    };
    let supervision = Supervision::default()
        .intensity(1_000_000, Duration::from_secs(1))
        .backoff(Backoff::none());
    let clerk = builder(make)
        .restart(Restart::Permanent)
        .supervision(supervision);
    let options = QueueOptions::default().max_attempts(ATTEMPTS).in_flight(5);
    clerk
        .durable(store, "clerk")
        .queue_options(options)
        .spawn()
        .await
        .unwrap()
}

async fn send(mut handle: DurableHandle<Clerk>, book: SharedBook, producer: u64, count: u64) {
    let mut next = [producer * 1_000_000, producer * 1_000_000 + 1];
    let mut random = fastrand::Rng::with_seed(producer);
    for _ in 0..count {
        let is_low = random.bool();
        let n = next[usize::from(is_low)];
        next[usize::from(is_low)] += 2;
        let class = if is_low { handle.low() } else { handle.high() };
        class.tell(Num(n)).await.unwrap();
        book.lock().unwrap().stored.insert(n);
    }
}

async fn schedule(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = SimDisk::new();
    let book = SharedBook::default();
    let mut producer = 1;
    for _life in 0..3 {
        let store = open(&disk);
        for _actor in 0..2 {
            let (handle, child) = clerk(&store, &book, random.u64(..)).await;
            let mut sending = Vec::new();
            for _ in 0..3 {
                let count = random.u64(1..15);
                sending.push(tokio::spawn(send(
                    handle.clone(),
                    book.clone(),
                    producer,
                    count,
                )));
                producer += 1;
            }
            for _ in 0..random.u8(..60) {
                tokio::task::yield_now().await;
            }
            match random.u8(..3) {
                0 => drop(child.stop().await),
                1 => drop(child.kill().await),
                _ => {
                    for sending in sending.drain(..) {
                        sending.await.unwrap();
                    }
                    drop(child.stop().await);
                }
            }
            // They store what nobody handles now, too.
            for sending in sending {
                sending.await.unwrap();
            }
        }
        store.close().await;
    }
    // A last one, which handles all that is left, and ends.
    let store = open(&disk);
    let (handle, child) = clerk(&store, &book, random.u64(..)).await;
    drop(handle);
    child.await;
    let letters = store.dead_letters(None, 0, usize::MAX).await.unwrap();
    let stats = store.stats().await.unwrap();
    store.close().await;
    let queue = stats.queue("clerk").unwrap();
    assert_eq!((queue.high.ready, queue.low.ready), (0, 0));
    let dead: BTreeSet<u64> = letters
        .iter()
        .map(|letter| {
            assert_eq!(letter.attempts, ATTEMPTS);
            let mut n = 0;
            for byte in letter.payload.iter().rev() {
                n = n << 7 | u64::from(byte & 127);
            }
            n
        })
        .collect();
    let book = book.lock().unwrap();
    assert!(
        dead.is_disjoint(&book.handled),
        "{:?}",
        dead.intersection(&book.handled)
    );
    let accounted: BTreeSet<u64> = dead.union(&book.handled).copied().collect();
    assert_eq!(accounted, book.stored);
    for n in dead {
        assert_eq!(book.begun[&n], [1, 2, 3, 4]);
    }
}

#[tokio::test]
async fn every_message_of_a_durable_actor_is_accounted_for() {
    for seed in 0..40 {
        schedule(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_accounted_for_on_several_threads() {
    for seed in 100..130 {
        schedule(seed).await;
    }
}
