//! Lanes whose producers send without a fence, until the receiver's heavy fence.

use std::task::Waker;

use lanemesh::{Builder, Receiver, Sender};
use loom::{future::block_on, thread};

use crate::{Payload, lanes, model, payload, poll_once, poll_recv_once};

/// Lanes that are unfenced from their second message on.
fn unfenced(capacity: usize) -> Builder {
    lanemesh::register_membarrier().unwrap();
    lanes(capacity)
        .first_ring(capacity)
        .burst(1)
        .unfenced_after(1)
}

/// The same with two messages sent, so that the lane is unfenced at the next look.
fn begun(capacity: usize) -> (Sender<Payload>, Receiver<Payload>) {
    let (mut tx, rx) = unfenced(capacity).build();
    for n in 0..2 {
        tx.try_send(payload(n)).unwrap();
    }
    (tx, rx)
}

/// Receives the messages in order, from the first to `last`.
fn receive_to(rx: &mut Receiver<Payload>, last: u32) {
    for n in 0..=last {
        assert_eq!(block_on(rx.recv()).unwrap().0, n);
    }
}

/// The receiver gives the unfenced lane up and goes to sleep, while the producer sends.
#[test]
fn unfenced_handshake() {
    model(2, || {
        let (mut tx, mut rx) = begun(4);
        let producer = thread::spawn(move || {
            tx.try_send(payload(2)).unwrap();
            tx.try_send(payload(3)).unwrap();
            tx
        });
        receive_to(&mut rx, 3);
        drop(producer.join().unwrap());
    });
}

/// The producer of an unfenced lane is dropped.
#[test]
fn unfenced_sender_drop() {
    model(2, || {
        let (mut tx, mut rx) = begun(4);
        let producer = thread::spawn(move || {
            tx.try_send(payload(2)).unwrap();
        });
        receive_to(&mut rx, 2);
        assert!(block_on(rx.recv()).is_none());
        producer.join().unwrap();
    });
}

/// The receiver closes while its lane is unfenced: every message is received or returned.
#[test]
fn unfenced_close() {
    model(2, || {
        let (mut tx, mut rx) = begun(4);
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

/// Two producers with unfenced lanes, one of them idle while the other sends: a look finds a
/// message that was sent before it.
#[test]
fn unfenced_lanes_are_all_looked_at() {
    model(2, || {
        let (mut first, mut rx) = unfenced(4).build();
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
        assert!(poll_recv_once(&mut rx, &Waker::noop().clone()).is_pending());
        drop(first);
    });
}

/// A producer that waits for room in an unfenced lane is woken.
#[test]
fn unfenced_waiting() {
    model(2, || {
        let (mut tx, mut rx) = begun(2);
        let producer = thread::spawn(move || {
            block_on(tx.send(payload(2))).unwrap();
            tx
        });
        receive_to(&mut rx, 2);
        drop(producer.join().unwrap());
    });
}

/// The first producer that ever waits wants the whole lane, which a receiver empties that does not sleep and does not
/// look again.
#[test]
fn unfenced_first_wait() {
    model(2, || {
        let (mut tx, mut rx) = polled_without_a_fence();
        let producer = thread::spawn(move || {
            drop(block_on(tx.reserve_many(4)).unwrap());
            tx
        });
        assert_eq!(rx.try_recv().unwrap().0, 2);
        assert!(rx.try_recv().is_err());
        drop(producer.join().unwrap());
    });
}

/// The same with two that wait: the second may not rely on a fence that the first has not passed yet.
#[test]
fn unfenced_first_waits_of_two() {
    model(2, || {
        let (mut tx, mut rx) = polled_without_a_fence();
        let mut other = tx.clone();
        for n in 3..7 {
            other.try_send(payload(n)).unwrap();
        }
        let producer = thread::spawn(move || {
            block_on(other.send(payload(7))).unwrap();
            other
        });
        let _ = poll_once(tx.reserve_many(4), Waker::noop());
        for n in 2..7 {
            assert_eq!(rx.try_recv().unwrap().0, n);
        }
        drop(producer.join().unwrap());
    });
}

/// A channel whose receiver has found it empty without a fence, and a message in its one lane.
fn polled_without_a_fence() -> (Sender<Payload>, Receiver<Payload>) {
    lanemesh::register_membarrier().unwrap();
    let (mut tx, mut rx) = lanes(4).first_ring(4).unfenced_after(1).build();
    for n in 0..2 {
        tx.try_send(payload(n)).unwrap();
    }
    for n in 0..2 {
        assert_eq!(rx.try_recv().unwrap().0, n);
    }
    assert!(rx.try_recv().is_err());
    tx.try_send(payload(2)).unwrap();
    (tx, rx)
}
