//! Statistics that other threads read while messages are sent and received: `len`, `is_empty`,
//! `stats` and `sender_count` take `&self`, and handles are `Sync`.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use lanemesh::{Builder, MailboxBuilder, channel};

use crate::common;

const CAPACITY: usize = 8;
const ROUNDS: usize = if cfg!(miri) { 10 } else { 2_000 };

/// Nothing is received meanwhile, so the count can only grow, up to what the lanes hold.
#[test]
fn the_length_seen_by_several_observers_grows_as_messages_are_sent() {
    for round in 0..ROUNDS {
        let (tx, mut rx) = Builder::new(CAPACITY).first_ring(1).burst(2).build();
        if round % 2 == 0 {
            common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        }
        let mut senders = [tx.clone(), tx];
        // Some lanes are on the list, and one is the receiver's.
        senders[0].try_send_many(0..4).unwrap();
        assert_eq!(rx.try_recv(), Ok(0));
        thread::scope(|scope| {
            for sender in &mut senders {
                scope.spawn(|| while sender.try_send(1).is_ok() {});
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 3;
                    while last < 2 * CAPACITY {
                        let now = rx.len();
                        assert!((last..=2 * CAPACITY).contains(&now), "{last}, then {now}");
                        assert_eq!((rx.is_empty(), rx.sender_count()), (false, 2));
                        assert!(rx.stats().depth >= now);
                        last = now;
                        thread::yield_now();
                    }
                });
            }
        });
        assert_eq!(rx.try_iter().count(), 2 * CAPACITY);
    }
}

/// Nothing is sent meanwhile, so the count of the sender can only shrink.
#[test]
fn the_length_seen_at_a_sender_shrinks_as_messages_are_received() {
    for round in 0..ROUNDS {
        let (mut tx, mut rx) = Builder::new(CAPACITY).first_ring(1 + round % 8).build();
        if round % 2 == 0 {
            common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        }
        tx.try_send_many(0..CAPACITY).unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = CAPACITY;
                    while last > 0 {
                        let now = tx.len();
                        assert!(now <= last, "{last}, then {now}");
                        last = now;
                        thread::yield_now();
                    }
                    assert!(tx.is_empty());
                });
            }
            for n in 0..CAPACITY {
                assert_eq!(rx.try_recv(), Ok(n));
            }
        });
    }
}

/// Both ends at work, while others look: no value is ever out of bounds.
#[test]
fn figures_stay_within_bounds_while_both_ends_are_at_work() {
    let (tx, mut rx) = MailboxBuilder::new(2, CAPACITY).build::<usize, usize>();
    let shared = tx.clone().shared();
    let mut tx = tx;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..ROUNDS {
                tx.blocking_send_low(n).unwrap();
                tx.blocking_send_high(n).unwrap();
                assert!(tx.len() <= 2 + CAPACITY);
            }
        });
        scope.spawn(|| {
            for n in 0..ROUNDS {
                shared.low().blocking_send(n).unwrap();
            }
        });
        scope.spawn(|| {
            while !done.load(SeqCst) {
                assert!(shared.high().is_empty());
                assert!(shared.low().len() <= CAPACITY);
                thread::yield_now();
            }
        });
        let mut received = 0;
        while received < 3 * ROUNDS {
            if rx.blocking_recv().is_some() {
                received += 1;
            }
            let stats = rx.stats();
            assert!(stats.high.depth <= 2 && stats.low.depth <= 2 * CAPACITY);
            assert_eq!(stats.high.messages + stats.low.messages, received as u64);
            assert_eq!(rx.sender_count(), 2);
        }
        done.store(true, SeqCst);
    });
    assert!(rx.is_empty());
}

#[test]
fn the_count_of_senders_is_that_of_those_alive() {
    let (tx, rx) = channel::<u8>(1);
    let weak = tx.downgrade();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let one = tx.clone();
                    let other = weak.upgrade().unwrap().shared();
                    // Two of its own, up to three of each of the others, and the first.
                    assert!((3..=9).contains(&rx.sender_count()));
                    drop((one, other.clone(), other));
                }
            });
        }
    });
    assert_eq!(rx.sender_count(), 1);
    drop(tx);
    assert_eq!((rx.sender_count(), rx.is_closed()), (0, true));
    assert!(weak.upgrade().is_none());
}

/// What a sender did before does not matter, only what it sent.
#[test]
fn senders_that_sent_one_message_are_counted() {
    let (mut tx, mut rx) = lanemesh::channel(4);
    for n in 0..10 {
        let mut one = tx.clone();
        assert!(one.try_feed(n).is_ok() && one.flush().is_ok());
        drop(one);
        assert_eq!(rx.try_recv(), Ok(n));
        let mut many = tx.clone();
        assert_eq!(many.try_send_many([n, n]), Ok(2));
        drop(many);
        assert_eq!(rx.try_iter().count(), 2);
        // No lane at all.
        drop(tx.clone());
    }
    for n in 0..1023 {
        tx.try_send(n).unwrap();
        assert_eq!(rx.try_recv(), Ok(n));
    }
    assert_eq!(rx.stats().brief_lanes, 0, "each has had a ring");
    tx.clone().try_send(1).unwrap();
    assert_eq!(rx.stats().brief_lanes, 1);
    rx.close();
    drop(tx);
    assert_eq!(rx.stats().brief_lanes, 1);
}
