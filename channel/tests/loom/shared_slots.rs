//! The shared slots: who claims them, when they are emptied, and when they are used again.

use std::task::Waker;

use lanemesh::{Builder, channel};
use loom::{future::block_on, thread};

use crate::{model, payload, poll_recv_once};

/// Two producers claim slots of one set, in any order, and fill them in any order.
#[test]
fn shared_slots_of_two_producers() {
    model(2, || {
        let (mut tx, mut rx) = channel(2);
        let mut other = tx.clone();
        let first = thread::spawn(move || {
            tx.try_send(1).unwrap();
            tx
        });
        let second = thread::spawn(move || {
            other.try_send(2).unwrap();
            other
        });
        let sum: u32 = block_on(rx.recv()).unwrap() + block_on(rx.recv()).unwrap();
        assert_eq!(sum, 3);
        assert!(poll_recv_once(&mut rx, Waker::noop()).is_pending());
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// Each set has one slot, so it is claimed again once it has been emptied; a message that finds
/// none free takes the lane.
#[test]
fn shared_slots_are_used_again() {
    model(2, || {
        let (mut tx, mut rx) = Builder::new(3).first_ring(4).shared_slots(1).build();
        let producer = thread::spawn(move || {
            for n in 1..=3 {
                tx.try_send(payload(n)).unwrap();
            }
        });
        for n in 1..=3 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        assert!(block_on(rx.recv()).is_none());
        producer.join().unwrap();
    });
}

/// A slot is claimed again when its set is opened again, by a receiver that never sleeps in
/// between.
#[test]
fn shared_slot_given_out_again() {
    model(3, || {
        let (mut tx, mut rx) = Builder::new(8).shared_slots(1).build();
        tx.try_send(1).unwrap();
        let producer = thread::spawn(move || {
            for n in 2..=3 {
                tx.try_send(n).unwrap();
                thread::yield_now();
            }
            tx
        });
        let mut sum: u32 = 0;
        for _ in 0..2 {
            sum += rx.try_recv().unwrap_or(0);
            thread::yield_now();
        }
        let tx = producer.join().unwrap();
        sum += rx.try_iter().sum::<u32>();
        assert_eq!(sum, 6);
        drop(tx);
    });
}

/// A producer that is slow to fill its slot delays nobody else, and keeps its set from being
/// opened.
#[test]
fn shared_slot_that_is_filled_late() {
    model(1, || {
        let (mut tx, mut rx) = Builder::new(4).first_ring(4).shared_slots(1).build();
        let mut other = tx.clone();
        let slow = thread::spawn(move || {
            tx.try_send(payload(10)).unwrap();
            tx
        });
        let producer = thread::spawn(move || {
            for n in 1..=2 {
                other.try_send(payload(n)).unwrap();
            }
            other
        });
        let (mut sum, mut last) = (0, 0);
        for _ in 0..3 {
            let message = block_on(rx.recv()).unwrap();
            sum += message.0;
            if message.0 < 10 {
                assert_eq!(message.0, last + 1);
                last = message.0;
            }
        }
        assert_eq!(sum, 13);
        drop((slow.join().unwrap(), producer.join().unwrap()));
        assert!(block_on(rx.recv()).is_none());
    });
}

/// The receiver takes what is there, goes to sleep, and takes again, while a producer uses the
/// slots.
#[test]
fn shared_slot_against_sleep() {
    model(3, || {
        let (mut tx, mut rx) = Builder::new(4).shared_slots(1).build();
        tx.try_send(payload(1)).unwrap();
        assert_eq!(rx.try_recv().unwrap().0, 1);
        let producer = thread::spawn(move || {
            tx.try_send(payload(2)).unwrap();
            tx
        });
        let found = poll_recv_once(&mut rx, Waker::noop());
        let mut tx = producer.join().unwrap();
        if let std::task::Poll::Ready(message) = found {
            assert_eq!(message.unwrap().0, 2);
        } else {
            assert_eq!(rx.try_recv().unwrap().0, 2);
        }
        tx.try_send(payload(3)).unwrap();
        drop(tx);
        assert_eq!(block_on(rx.recv()).unwrap().0, 3);
        assert!(block_on(rx.recv()).is_none());
    });
}
