//! Random operations on a mailbox agree with a model, over restarts, kills and compaction.

use std::collections::{BTreeMap, BTreeSet};

use lanemesh_durable::{Durable, Mailbox, QueueOptions, Terms, disk::SimDisk};
use proptest::prelude::*;

use crate::common::small;

const ATTEMPTS: u32 = 3;

#[derive(Clone, Debug)]
enum Op {
    Enqueue {
        is_high: bool,
        bytes: usize,
        key: Option<u8>,
    },
    Dequeue(usize),
    /// Of those in flight, by turns.
    Ack(usize),
    Retry(usize),
    Reject(usize),
    Requeue(usize),
    Delete(usize),
    /// Closed in order, or killed with what is in flight.
    Reopen {
        is_killed: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (any::<bool>(), 0..1500_usize, proptest::option::weighted(0.3, 0..6_u8))
            .prop_map(|(is_high, bytes, key)| Op::Enqueue { is_high, bytes, key }),
        4 => (1..4_usize).prop_map(Op::Dequeue),
        4 => any::<usize>().prop_map(Op::Ack),
        2 => any::<usize>().prop_map(Op::Retry),
        1 => any::<usize>().prop_map(Op::Reject),
        1 => any::<usize>().prop_map(Op::Requeue),
        1 => any::<usize>().prop_map(Op::Delete),
        1 => any::<bool>().prop_map(|is_killed| Op::Reopen { is_killed }),
    ]
}

/// Identity, class, attempt, length and first byte.
type Shown = (u64, bool, u32, usize, Option<u8>);

#[derive(Debug, Default)]
struct Model {
    /// Class (high first) and identity; the payload and the attempts.
    ready: BTreeMap<(bool, u64), (Vec<u8>, u32)>,
    flying: BTreeMap<u64, (bool, Vec<u8>, u32)>,
    dead: BTreeMap<u64, (bool, Vec<u8>, u32)>,
    keys: BTreeMap<u8, u64>,
}

impl Model {
    fn failed(&mut self, id: u64) {
        let (is_low, payload, attempts) = self.flying.remove(&id).unwrap();
        match attempts + 1 {
            ATTEMPTS => drop(self.dead.insert(id, (is_low, payload, ATTEMPTS))),
            attempts => drop(self.ready.insert((is_low, id), (payload, attempts))),
        }
    }

    /// What a call may take: high first, in order. Those that were begun too often die on the way.
    fn take(&mut self, limit: usize) -> Vec<Shown> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(((is_low, id), (payload, attempts))) = self.ready.pop_first()
        {
            if attempts >= ATTEMPTS {
                self.dead.insert(id, (is_low, payload, attempts));
                continue;
            }
            taken.push((
                id,
                !is_low,
                attempts + 1,
                payload.len(),
                payload.first().copied(),
            ));
            self.flying.insert(id, (is_low, payload, attempts));
        }
        taken
    }

    fn killed(&mut self) {
        for (id, (is_low, payload, attempts)) in std::mem::take(&mut self.flying) {
            self.ready.insert((is_low, id), (payload, attempts + 1));
        }
    }
}

fn pick<V>(of: &BTreeMap<u64, V>, index: usize) -> Option<u64> {
    of.keys().nth(index.checked_rem(of.len())?).copied()
}

async fn open(disk: &SimDisk) -> (Durable, Mailbox) {
    let store = Durable::open_on(disk.clone(), &small()).unwrap();
    let options = QueueOptions::default().max_attempts(ATTEMPTS);
    let mailbox = store.mailbox("box", options).await.unwrap();
    (store, mailbox)
}

async fn run(ops: Vec<Op>) {
    let disk = SimDisk::new();
    let (mut store, mut mailbox) = open(&disk).await;
    let mut model = Model::default();
    let mut used = BTreeSet::new();
    for op in ops {
        match op {
            Op::Enqueue {
                is_high,
                bytes,
                key,
            } => {
                let payload = vec![used.len() as u8; bytes];
                let terms = key.map_or(Terms::new(), |key| Terms::new().key([key]));
                let stored = mailbox
                    .enqueue_with(payload.clone(), is_high, terms)
                    .await
                    .unwrap();
                match key.and_then(|key| model.keys.get(&key)) {
                    Some(id) => assert_eq!((stored.id, stored.is_duplicate), (*id, true)),
                    None => {
                        assert!(!stored.is_duplicate && used.insert(stored.id));
                        model.ready.insert((!is_high, stored.id), (payload, 0));
                        if let Some(key) = key {
                            model.keys.insert(key, stored.id);
                        }
                    }
                }
            }
            Op::Dequeue(limit) => {
                let expected = model.take(limit);
                if expected.is_empty() {
                    continue; // it would wait
                }
                let taken = mailbox.dequeue(limit).await.unwrap();
                let found = taken.into_iter().map(|m| {
                    (
                        m.id,
                        m.is_high,
                        m.attempt,
                        m.payload.len(),
                        m.payload.first().copied(),
                    )
                });
                assert_eq!(found.collect::<Vec<_>>(), expected);
            }
            Op::Ack(index) => {
                let Some(id) = pick(&model.flying, index) else {
                    continue;
                };
                model.flying.remove(&id);
                assert_eq!(mailbox.ack(&[id, id]).await, Ok(1));
            }
            Op::Retry(index) => {
                let Some(id) = pick(&model.flying, index) else {
                    continue;
                };
                model.failed(id);
                assert_eq!(mailbox.retry(id, None).await, Ok(true));
            }
            Op::Reject(index) => {
                let Some(id) = pick(&model.flying, index) else {
                    continue;
                };
                let dead = model.flying.remove(&id).unwrap();
                model.dead.insert(id, dead);
                assert_eq!(mailbox.reject(id).await, Ok(true));
            }
            Op::Requeue(index) => {
                let Some(id) = pick(&model.dead, index) else {
                    continue;
                };
                let Some((is_low, payload, _)) = model.dead.remove(&id) else {
                    continue;
                };
                // What died on the way of a call that found nothing is dead with the next call only.
                if store.requeue(id).await.unwrap() {
                    model.ready.insert((is_low, id), (payload, 0));
                } else {
                    model.ready.insert((is_low, id), (payload, ATTEMPTS));
                }
            }
            Op::Delete(index) => {
                let Some(id) = pick(&model.dead, index) else {
                    continue;
                };
                let Some((is_low, payload, _)) = model.dead.remove(&id) else {
                    continue;
                };
                if !store.delete_dead_letter(id).await.unwrap() {
                    model.ready.insert((is_low, id), (payload, ATTEMPTS));
                }
            }
            Op::Reopen { is_killed } => {
                if is_killed {
                    // The journal's thread can write nothing more.
                    disk.cut_power_after(0);
                }
                drop(mailbox);
                store.close().await;
                disk.kill();
                model.killed();
                (store, mailbox) = open(&disk).await;
            }
        }
    }
    // Nothing is missing and nothing is there that should not be.
    let expected = model.take(usize::MAX);
    let stats = mailbox.stats().await.unwrap();
    if stats.high.ready + stats.low.ready > 0 && !expected.is_empty() {
        let taken = mailbox.dequeue(usize::MAX).await.unwrap();
        let found = taken.into_iter().map(|m| {
            (
                m.id,
                m.is_high,
                m.attempt,
                m.payload.len(),
                m.payload.first().copied(),
            )
        });
        assert_eq!(found.collect::<Vec<_>>(), expected);
        let letters = store
            .dead_letters(Some("box"), 0, usize::MAX)
            .await
            .unwrap();
        let dead = letters
            .into_iter()
            .map(|letter| (letter.id, letter.payload.len()));
        let expected = model
            .dead
            .into_iter()
            .map(|(id, (_, payload, _))| (id, payload.len()));
        assert_eq!(dead.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
    store.close().await;
}

/// How many, unless `PROPTEST_CASES` says it.
fn cases() -> u32 {
    let cases = std::env::var("PROPTEST_CASES").ok();
    cases.and_then(|cases| cases.parse().ok()).unwrap_or(100)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mailbox_agrees_with_a_model(ops in proptest::collection::vec(op(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(ops));
    }
}
