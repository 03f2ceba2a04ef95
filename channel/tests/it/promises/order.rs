//! Promise 1: messages of one producer and class arrive in the order in which they were sent.

use std::future::poll_fn;
use std::thread;

use lanemesh::{Builder, Message, channel, mailbox};

use crate::common::{self, now};

const MESSAGES: u64 = if cfg!(miri) { 60 } else { 20_000 };

#[test]
fn one_producer_keeps_its_order_by_every_way_to_send() {
    for first_ring in [1, 3, 64] {
        let (mut tx, mut rx) = Builder::new(64).first_ring(first_ring).build();
        tx.try_send(0).unwrap();
        tx.try_feed(1).unwrap();
        tx.try_feed(2).unwrap();
        tx.try_send(3).unwrap();
        assert_eq!(tx.try_send_many(4..10).unwrap(), 6);
        now(tx.send(10)).unwrap();
        let mut batch = (11..20).collect();
        tx.try_send_vec(&mut batch).unwrap();
        tx.blocking_send(20).unwrap();
        now(tx.reserve()).unwrap().send(21).unwrap();
        tx.try_feed(22).unwrap();
        now(tx.send_many(23..30)).unwrap();
        tx.try_feed(30).unwrap();
        now(tx.send_vec(&mut vec![31, 32])).unwrap();
        now(tx.feed(33)).unwrap();
        drop(tx);
        assert_eq!(rx.iter().collect::<Vec<_>>(), (0..=33).collect::<Vec<_>>());
    }
}

#[test]
fn the_message_that_wakes_comes_before_those_that_follow() {
    let (mut tx, mut rx) = channel(8);
    for round in 0..10 {
        common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        for n in 0..4 {
            tx.try_send((round, n)).unwrap();
        }
        let got: Vec<_> = rx.try_iter().collect();
        assert_eq!(got, (0..4).map(|n| (round, n)).collect::<Vec<_>>());
    }
}

#[test]
fn order_holds_while_the_receiver_sleeps_and_wakes() {
    let (tx, mut rx) = Builder::new(7).first_ring(1).burst(3).build();
    let producers = 3;
    thread::scope(|scope| {
        for producer in 0..producers {
            let mut tx = tx.clone();
            scope.spawn(move || {
                for n in 0..MESSAGES {
                    match n % 4 {
                        0 => tx.blocking_send((producer, n)).unwrap(),
                        1 => common::block_on(tx.send((producer, n))).unwrap(),
                        2 => common::block_on(tx.feed((producer, n))).unwrap(),
                        _ => drop(common::block_on(tx.send_many([(producer, n)])).unwrap()),
                    }
                }
            });
        }
        drop(tx);
        let mut next = [0; 3];
        while let Some((producer, n)) = common::block_on(rx.recv()) {
            assert_eq!(n, next[producer]);
            next[producer] += 1;
        }
        assert_eq!(next, [MESSAGES; 3]);
    });
}

#[test]
fn order_holds_within_each_class_of_a_mailbox() {
    let (mut tx, mut rx) = mailbox(16, 16);
    for n in 0..16 {
        tx.try_send_low(n).unwrap();
        tx.try_send_high(n).unwrap();
    }
    let got: Vec<_> = rx.try_iter().collect();
    let high = (0..16).map(Message::High);
    assert_eq!(
        got,
        high.chain((0..16).map(Message::Low)).collect::<Vec<_>>()
    );
}

#[test]
fn order_holds_across_growth_and_close() {
    let (mut tx, mut rx) = Builder::new(32).first_ring(1).build();
    for n in 0..20 {
        tx.try_send(n).unwrap();
        if n % 5 == 0 {
            assert_eq!(rx.try_recv(), Ok(n / 5));
        }
    }
    rx.close();
    assert_eq!(rx.iter().collect::<Vec<_>>(), (4..20).collect::<Vec<_>>());
}
