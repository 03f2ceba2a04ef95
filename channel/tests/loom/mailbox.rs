//! Two classes and one sleep.

use lanemesh::{Message, mailbox};
use loom::{
    future::block_on,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::model;

/// A high-priority message whose send has returned is the next to be received.
#[test]
fn high_against_low() {
    model(3, || {
        let (mut tx, mut rx) = mailbox::<u32, u32>(2, 2);
        let sent = Arc::new(AtomicBool::new(false));
        let producer = thread::spawn({
            let sent = sent.clone();
            move || {
                tx.try_send_low(1).unwrap();
                tx.try_send_high(2).unwrap();
                sent.store(true, Ordering::Release);
                tx
            }
        });
        let high_is_there = sent.load(Ordering::Acquire);
        let first = block_on(rx.recv()).unwrap();
        if high_is_there {
            assert_eq!(first, Message::High(2));
        }
        let second = block_on(rx.recv()).unwrap();
        assert_ne!(first, second);
        drop(producer.join().unwrap());
        assert_eq!(block_on(rx.recv()), None);
    });
}

/// Both classes wake the one sleeper.
#[test]
fn high_and_low_against_arm() {
    model(2, || {
        let (tx, mut rx) = mailbox::<u32, u32>(1, 1);
        let (mut high, mut low) = (tx.clone(), tx);
        let first = thread::spawn(move || {
            high.try_send_high(1).unwrap();
            high
        });
        let second = thread::spawn(move || {
            low.try_send_low(2).unwrap();
            low
        });
        let mut sum = 0;
        for _ in 0..2 {
            sum += match block_on(rx.recv()).unwrap() {
                Message::High(n) | Message::Low(n) => n,
            };
        }
        assert_eq!(sum, 3);
        drop((first.join().unwrap(), second.join().unwrap()));
    });
}

/// Each class hangs up on its own; the end comes after both.
#[test]
fn last_mailbox_sender_drop_against_arm() {
    model(3, || {
        let (mut tx, mut rx) = mailbox::<u32, u32>(1, 1);
        let producer = thread::spawn(move || {
            tx.try_send_low(1).unwrap();
        });
        assert_eq!(block_on(rx.recv()), Some(Message::Low(1)));
        assert_eq!(block_on(rx.recv()), None);
        producer.join().unwrap();
    });
}
