//! Lanes whose producers send without a fence, until the receiver has made them pass one.

use std::task::Waker;

use lanemesh::Builder;
use loom::{future::block_on, thread};

use crate::{lanes, model, payload, poll_once};

/// Lanes that are polled from their second message on.
fn polled(capacity: usize) -> Builder {
    lanemesh::register_membarrier().unwrap();
    lanes(capacity)
        .first_ring(capacity)
        .burst(1)
        .polled_after(1)
}

/// The receiver polls the lane, gives it up to sleep, and is sent to meanwhile.
#[test]
fn polled_handshake() {
    model(2, || {
        let (mut tx, mut rx) = polled(4).build();
        tx.try_send(payload(0)).unwrap();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || {
            tx.try_send(payload(2)).unwrap();
            tx.try_send(payload(3)).unwrap();
            tx
        });
        for n in 0..=3 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        drop(producer.join().unwrap());
    });
}

/// The producer of a polled lane goes.
#[test]
fn polled_sender_drop() {
    model(2, || {
        let (mut tx, mut rx) = polled(4).build();
        tx.try_send(payload(0)).unwrap();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || {
            tx.try_send(payload(2)).unwrap();
        });
        for n in 0..=2 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        assert!(block_on(rx.recv()).is_none());
        producer.join().unwrap();
    });
}

/// The receiver closes while it polls: every message is received or given back.
#[test]
fn polled_close() {
    model(2, || {
        let (mut tx, mut rx) = polled(4).build();
        tx.try_send(payload(0)).unwrap();
        tx.try_send(payload(1)).unwrap();
        assert_eq!(rx.try_recv().unwrap().0, 0);
        let producer = thread::spawn(move || {
            let mut accepted = 0;
            for n in 2..=3 {
                match tx.try_send(payload(n)) {
                    Ok(()) => accepted += 1,
                    Err(error) => assert_eq!(error.into_inner().0, n),
                }
            }
            accepted
        });
        rx.close();
        let mut received = 0;
        while let Some(message) = block_on(rx.recv()) {
            received += 1;
            assert_eq!(message.0, received);
        }
        let accepted = producer.join().unwrap();
        while let Ok(message) = rx.try_recv() {
            received += 1;
            assert_eq!(message.0, received);
        }
        assert_eq!(received, 1 + accepted);
    });
}

/// Two producers, one of them polled in vain while the other sends: a message that was sent before a look is
/// found by it.
#[test]
fn polled_lanes_are_all_looked_at() {
    model(2, || {
        let (mut first, mut rx) = polled(4).build();
        let mut second = first.clone();
        for n in 0..2 {
            first.try_send(payload(n)).unwrap();
            second.try_send(payload(10 + n)).unwrap();
        }
        for _ in 0..4 {
            rx.try_recv().unwrap();
        }
        let producer = thread::spawn(move || {
            first.try_send(payload(2)).unwrap();
            first
        });
        second.try_send(payload(12)).unwrap();
        let mut got = vec![rx.try_recv().unwrap().0];
        let first = producer.join().unwrap();
        got.extend(rx.try_recv().map(|message| message.0));
        got.sort_unstable();
        assert_eq!(got, [2, 12]);
        assert!(poll_once(rx.recv(), &Waker::noop().clone()).is_pending());
        drop(first);
    });
}

/// A producer that waits for room in a polled lane is woken.
#[test]
fn polled_waiting() {
    model(2, || {
        let (mut tx, mut rx) = polled(2).build();
        tx.try_send(payload(0)).unwrap();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || {
            block_on(tx.send(payload(2))).unwrap();
        });
        for n in 0..=2 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        producer.join().unwrap();
    });
}
