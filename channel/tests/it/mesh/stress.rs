//! Threads that send and receive while receivers join and leave.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use lanemesh::mesh::{MeshBuilder, MeshReceiver};

use crate::common::block_on;

const SENDERS: u32 = if cfg!(miri) { 2 } else { 4 };
const MESSAGES: u32 = if cfg!(miri) { 60 } else { 20_000 };
const KEYS: u32 = 7;

/// (sender, number); the key is the number modulo `KEYS`.
type Numbered = (u32, u32);

/// Takes messages, and notes them as received, in their order: `log` is locked around each receive, so the order of the
/// log is an order in which they were received.
fn take(rx: &mut MeshReceiver<Numbered>, log: &Mutex<Vec<Numbered>>) -> bool {
    let mut log = log.lock().unwrap();
    match rx.try_recv() {
        Ok(message) => log.push(message),
        Err(_) => return false,
    }
    true
}

#[test]
fn each_message_is_received_once_and_each_key_in_order() {
    let (tx, root) = MeshBuilder::new(8)
        .by_key(|(_, n): &Numbered| Some(u64::from(n % KEYS)))
        .build();
    let log = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for id in 0..SENDERS {
            let mut tx = tx.clone();
            scope.spawn(move || {
                for n in 0..MESSAGES {
                    if id % 2 == 0 {
                        block_on(tx.send((id, n))).unwrap();
                    } else {
                        tx.blocking_send((id, n)).unwrap();
                    }
                }
            });
        }
        // Two that come and go, and one that stays.
        for id in 0..2 {
            let (root, log, over) = (root.weak_sender(), &log, &over);
            scope.spawn(move || {
                let mut rounds = 0_u32;
                while !over.load(Ordering::Relaxed) {
                    let Some(tx) = root.upgrade() else { break };
                    let mut rx = tx.add_receiver().unwrap();
                    drop(tx);
                    rounds += 1;
                    for _ in 0..(rounds * 13 + id) % 97 {
                        if !take(&mut rx, log) {
                            thread::yield_now();
                        }
                    }
                    if rounds.is_multiple_of(3) {
                        rx.close();
                        while take(&mut rx, log) {}
                    }
                }
            });
        }
        // A sender that stays until everything is received: without one, what a receiver leaves is not handed on.
        let mut root = root;
        loop {
            if take(&mut root, &log) {
                continue;
            }
            if log.lock().unwrap().len() == (SENDERS * MESSAGES) as usize {
                break;
            }
            thread::yield_now();
        }
        over.store(true, Ordering::Relaxed);
        drop(tx);
    });
    let mut last: HashMap<(u32, u32), u32> = HashMap::new();
    let log = log.into_inner().unwrap();
    assert_eq!(log.len(), (SENDERS * MESSAGES) as usize);
    for (sender, n) in log {
        if let Some(last) = last.insert((sender, n % KEYS), n) {
            assert_eq!(n, last + KEYS, "sender {sender}");
        } else {
            assert_eq!(n, n % KEYS);
        }
    }
}
