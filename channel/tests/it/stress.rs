//! Many producers at once, on threads and on tokio: every message arrives once, in its producer's
//! order.

use std::{collections::HashMap, thread};

use lanemesh::{Builder, Message, Receiver, channel, mailbox};

const MESSAGES: u64 = if cfg!(miri) { 50 } else { 20_000 };

/// Checks order and completeness of `(producer, n)` messages.
#[derive(Default)]
struct Ledger(HashMap<u64, u64>);

impl Ledger {
    fn enter(&mut self, (producer, n): (u64, u64)) {
        let next = self.0.entry(producer).or_default();
        assert_eq!(n, *next, "producer {producer}");
        *next += 1;
    }

    fn close(self, producers: u64, messages: u64) {
        assert_eq!(self.0.len() as u64, producers);
        assert!(self.0.values().all(|&count| count == messages));
    }
}

fn receive_all(mut rx: Receiver<(u64, u64)>) -> Ledger {
    let mut ledger = Ledger::default();
    while let Some(message) = rx.blocking_recv() {
        ledger.enter(message);
    }
    ledger
}

#[test]
fn threads_keep_order_per_producer() {
    for (producers, capacity) in [(1, 1), (2, 1), (4, 2), (4, 64), (8, 7)] {
        let (tx, rx) = Builder::new(capacity).first_ring(2).burst(5).build();
        let ledger = thread::scope(|scope| {
            for producer in 0..producers {
                let mut tx = tx.clone();
                scope.spawn(move || {
                    for n in 0..MESSAGES {
                        tx.blocking_send((producer, n)).unwrap();
                    }
                });
            }
            drop(tx);
            receive_all(rx)
        });
        ledger.close(producers, MESSAGES);
    }
}

#[test]
fn tasks_keep_order_per_producer() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    for (producers, capacity) in [(1, 1), (3, 1), (13, 2), (13, 10), (40, 100)] {
        runtime.block_on(async move {
            let (tx, mut rx) = channel(capacity);
            for producer in 0..producers {
                let mut tx = tx.clone();
                tokio::spawn(async move {
                    for n in 0..MESSAGES / 10 {
                        tx.send((producer, n)).await.unwrap();
                        if n % 17 == producer {
                            tokio::task::yield_now().await;
                        }
                    }
                });
            }
            drop(tx);
            let mut ledger = Ledger::default();
            while let Some(message) = rx.recv().await {
                ledger.enter(message);
            }
            ledger.close(producers, MESSAGES / 10);
        });
    }
}

#[test]
fn ping_pong_between_tasks_loses_no_wake_up() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        for capacity in [1, 2, 5] {
            let (mut tx, mut echo_rx) = channel(capacity);
            let (mut echo_tx, mut rx) = channel(capacity);
            let echo = tokio::spawn(async move {
                while let Some(n) = echo_rx.recv().await {
                    echo_tx.send(n).await.unwrap();
                }
            });
            for n in 0..MESSAGES {
                tx.send(n).await.unwrap();
                assert_eq!(rx.recv().await, Some(n));
            }
            drop(tx);
            echo.await.unwrap();
        }
    });
}

#[test]
fn mailbox_keeps_order_per_class() {
    let (tx, mut rx) = mailbox::<(u64, u64), (u64, u64)>(4, 8);
    let producers = 4;
    thread::scope(|scope| {
        for producer in 0..producers {
            let mut tx = tx.clone();
            scope.spawn(move || {
                for n in 0..MESSAGES {
                    tx.blocking_send_low((producer, n)).unwrap();
                    if n % 10 == 0 {
                        tx.blocking_send_high((producer, n / 10)).unwrap();
                    }
                }
            });
        }
        drop(tx);
        let (mut high, mut low) = (Ledger::default(), Ledger::default());
        while let Some(message) = rx.blocking_recv() {
            match message {
                Message::High(message) => high.enter(message),
                Message::Low(message) => low.enter(message),
            }
        }
        high.close(producers, MESSAGES / 10);
        low.close(producers, MESSAGES);
    });
}

#[test]
fn senders_come_and_go() {
    let (tx, mut rx) = channel(3);
    let rounds = MESSAGES / 10;
    thread::scope(|scope| {
        for _ in 0..3 {
            let tx = tx.clone();
            scope.spawn(move || {
                for n in 0..rounds {
                    let mut tx = tx.clone();
                    for part in 0..n % 5 {
                        tx.blocking_send(part).unwrap();
                    }
                }
            });
        }
        drop(tx);
        let mut count = 0;
        while rx.blocking_recv().is_some() {
            count += 1;
        }
        assert_eq!(count, 3 * (0..rounds).map(|n| n % 5).sum::<u64>());
    });
    assert_eq!(rx.stats().lanes_open, 0);
}
