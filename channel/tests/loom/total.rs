//! One bound for all lanes: slots that are borrowed, held, reclaimed and waited for.

use std::task::Waker;

use lanemesh::{Builder, Receiver, Sender};
use loom::{future::block_on, thread};

use crate::{Payload, model, payload, poll_once};

fn bounded(total: usize) -> (Sender<Payload>, Receiver<Payload>) {
    Builder::new(1).total_capacity(total).build()
}

/// All messages go by lanes, which borrow all that is free when they are busy.
fn lanes_only(total: usize) -> (Sender<Payload>, Receiver<Payload>) {
    Builder::new(1)
        .total_capacity(total)
        .first_ring(total)
        .shared_slots(0)
        .build()
}

/// Nothing is queued, and no slot is lost or there twice.
fn assert_all_free(tx: &Sender<Payload>, rx: &mut Receiver<Payload>) {
    assert!(rx.try_recv().is_err());
    assert_eq!(tx.remaining_capacity(), tx.capacity());
}

/// The receiver gives the lane up, and reclaims what it holds, as the producer takes it.
#[test]
fn total_borrowed_ahead_against_retire() {
    model(3, || {
        let (mut tx, mut rx) = lanes_only(3);
        tx.try_send(payload(0)).unwrap();
        let producer = thread::spawn(move || {
            // This borrows for the next.
            tx.try_send(payload(1)).unwrap();
            let sent = tx.try_send(payload(2)).is_ok();
            (tx, sent)
        });
        for n in 0..=1 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        // Refused only while the slot that the lane held is on its way back to the pool.
        let (tx, sent) = producer.join().unwrap();
        assert_eq!(rx.try_recv().is_ok(), sent);
        assert_all_free(&tx, &mut rx);
    });
}

/// What a lane holds when its sender goes is given back once, by the sender or by the receiver.
#[test]
fn total_sender_drop_against_retire() {
    model(2, || {
        let (tx, mut rx) = lanes_only(3);
        let mut other = tx.clone();
        other.try_send(payload(0)).unwrap();
        let producer = thread::spawn(move || other.try_send(payload(1)).unwrap());
        for n in 0..=1 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        producer.join().unwrap();
        assert_all_free(&tx, &mut rx);
    });
}

/// Another sender waits for what a lane holds.
#[test]
fn total_wait_against_reclaim() {
    model(2, || {
        let (mut tx, mut rx) = lanes_only(3);
        let mut other = tx.clone();
        tx.try_send(payload(0)).unwrap();
        tx.try_send(payload(1)).unwrap();
        assert_eq!(tx.remaining_capacity(), 0, "the lane holds the third");
        let waiting = thread::spawn(move || block_on(other.send(payload(2))).unwrap());
        for _ in 0..=2 {
            block_on(rx.recv()).unwrap();
        }
        waiting.join().unwrap();
        assert_all_free(&tx, &mut rx);
    });
}

/// Fewer than half of the slots are given back, and the receiver finds nothing more: it serves those who wait.
#[test]
fn total_wait_against_sleep() {
    model(2, || {
        let (mut tx, mut rx) = bounded(3);
        let mut other = tx.clone();
        let mut holder = tx.clone();
        tx.try_send(payload(1)).unwrap();
        let permits = holder.try_reserve_many(2).unwrap();
        let waiting = thread::spawn(move || block_on(other.send(payload(2))).unwrap());
        for n in 1..=2 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        waiting.join().unwrap();
        drop(permits);
        assert_all_free(&tx, &mut rx);
    });
}

#[test]
fn total_of_two_producers() {
    model(1, || {
        let (tx, mut rx) = bounded(1);
        let producers: Vec<_> = (1..=2)
            .map(|n| {
                let mut tx = tx.clone();
                thread::spawn(move || block_on(tx.send(payload(n))).unwrap())
            })
            .collect();
        let sum = block_on(rx.recv()).unwrap().0 + block_on(rx.recv()).unwrap().0;
        assert_eq!(sum, 3);
        for producer in producers {
            producer.join().unwrap();
        }
        assert_all_free(&tx, &mut rx);
    });
}

#[test]
fn total_refuses_all_but_one() {
    model(3, || {
        let (mut tx, mut rx) = bounded(1);
        let mut other = tx.clone();
        let producer = thread::spawn(move || other.try_send(payload(1)).is_ok());
        let here = tx.try_send(payload(2)).is_ok();
        let there = producer.join().unwrap();
        assert!(here != there);
        assert!(rx.try_recv().is_ok());
        assert_all_free(&tx, &mut rx);
    });
}

fn wait_against_give_back(open: fn(usize) -> (Sender<Payload>, Receiver<Payload>)) {
    model(3, move || {
        let (mut tx, mut rx) = open(1);
        let mut other = tx.clone();
        tx.try_send(payload(1)).unwrap();
        let waiting = thread::spawn(move || block_on(other.send(payload(2))).unwrap());
        assert_eq!(rx.try_recv().unwrap().0, 1);
        waiting.join().unwrap();
        assert_eq!(rx.try_recv().unwrap().0, 2);
        assert_all_free(&tx, &mut rx);
    });
}

#[test]
fn total_wait_against_give_back_of_a_shared_slot() {
    wait_against_give_back(bounded);
}

#[test]
fn total_wait_against_give_back_of_a_lane() {
    wait_against_give_back(lanes_only);
}

#[test]
fn total_close_against_wait() {
    model(3, || {
        let (mut tx, mut rx) = bounded(1);
        tx.try_send(payload(1)).unwrap();
        let waiting = thread::spawn(move || assert!(block_on(tx.send(payload(2))).is_err()));
        rx.close();
        waiting.join().unwrap();
        assert_eq!(rx.try_recv().unwrap().0, 1);
    });
}

#[test]
fn total_cancelled_wait_against_give_back() {
    model(2, || {
        let (mut tx, mut rx) = bounded(1);
        let mut other = tx.clone();
        tx.try_send(payload(1)).unwrap();
        let cancelled = thread::spawn(move || {
            let sent = poll_once(other.send(payload(2)), Waker::noop()).is_ready();
            (other, sent)
        });
        assert_eq!(rx.try_recv().unwrap().0, 1);
        let (_other, sent) = cancelled.join().unwrap();
        assert_eq!(rx.try_recv().is_ok(), sent);
        assert_all_free(&tx, &mut rx);
    });
}
