//! One lane's two ends: the idle handshake, growth, and the end of a lane.

use std::task::Waker;

use loom::{future::block_on, thread};

use crate::{lanes, model, payload, poll_recv_once};

/// The receiver gives the lane up between the messages, or finds the next one just in time.
#[test]
fn idle_handshake() {
    model(2, || {
        let (mut tx, mut rx) = lanes(4).first_ring(4).build();
        tx.try_send(payload(0)).unwrap();
        let producer = thread::spawn(move || {
            tx.try_send(payload(1)).unwrap();
            tx.try_send(payload(2)).unwrap();
            tx
        });
        for n in 0..=2 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        drop(producer.join().unwrap());
    });
}

/// A batch meets the receiver that is giving the lane up.
#[test]
fn batch_against_retire() {
    model(2, || {
        let (mut tx, mut rx) = lanes(4).first_ring(4).build();
        tx.try_send(payload(0)).unwrap();
        let producer = thread::spawn(move || {
            let mut batch = vec![payload(1), payload(2)];
            assert_eq!(tx.try_send_vec(&mut batch).unwrap(), 2);
        });
        for n in 0..=2 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        assert!(block_on(rx.recv()).is_none());
        producer.join().unwrap();
    });
}

#[test]
fn growth() {
    model(2, || {
        let (mut tx, mut rx) = lanes(4).first_ring(1).build();
        tx.try_send(payload(0)).unwrap();
        let producer = thread::spawn(move || {
            for n in 1..=3 {
                tx.try_send(payload(n)).unwrap();
            }
            tx
        });
        for n in 0..=3 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        drop(producer.join().unwrap());
    });
}

/// The producer is dropped while the receiver empties its lane and looks for the last time.
#[test]
fn sender_drop_against_retire() {
    model(3, || {
        let (mut tx, mut rx) = lanes(2).build();
        let keep = tx.clone();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || {
            tx.try_send(payload(2)).unwrap();
            drop(tx);
        });
        assert_eq!(block_on(rx.recv()).unwrap().0, 1);
        assert_eq!(block_on(rx.recv()).unwrap().0, 2);
        // Gives the lane up while the producer goes.
        assert!(poll_recv_once(&mut rx, Waker::noop()).is_pending());
        producer.join().unwrap();
        drop(keep);
        assert!(block_on(rx.recv()).is_none());
        assert_eq!(rx.stats().lanes_open, 0);
    });
}

/// A lane goes from one producer to the next while the receiver may still look at it.
#[test]
fn lane_recycled_against_a_late_look() {
    model(2, || {
        let (mut tx, mut rx) = lanes(1).build();
        let mut next = tx.clone();
        let producer = thread::spawn(move || {
            tx.try_send(payload(1)).unwrap();
            drop(tx);
            next.try_send(payload(2)).unwrap();
        });
        let sum = block_on(rx.recv()).unwrap().0 + block_on(rx.recv()).unwrap().0;
        assert_eq!(sum, 3);
        assert!(block_on(rx.recv()).is_none());
        producer.join().unwrap();
    });
}

/// The receiver alternates between two lanes, so it gives each up while the other has messages.
#[test]
fn two_lanes_taken_in_turn() {
    model(2, || {
        let (mut tx, mut rx) = lanes(2).burst(1).build();
        let mut other = tx.clone();
        tx.try_send(payload(1)).unwrap();
        tx.try_send(payload(2)).unwrap();
        let producer = thread::spawn(move || {
            other.try_send(payload(4)).unwrap();
            other.try_send(payload(8)).unwrap();
        });
        drop(tx);
        let mut sum = 0;
        while let Some(message) = block_on(rx.recv()) {
            sum += message.0;
        }
        assert_eq!(sum, 15);
        producer.join().unwrap();
    });
}
