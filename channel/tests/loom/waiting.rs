//! A full lane: the producer waits, the receiver makes room.

use std::task::{Context, Waker};

use lanemesh::{Receiver, Sender, TrySendError, channel};
use loom::{future::block_on, thread};

use crate::{Payload, lanes, model, payload, poll_once};

#[test]
fn full_lane_against_wake() {
    model(3, || {
        let (mut tx, mut rx) = lanes(1).build();
        let producer = thread::spawn(move || {
            block_on(async {
                tx.send(payload(1)).await.unwrap();
                tx.send(payload(2)).await.unwrap();
            });
            tx
        });
        assert_eq!(block_on(rx.recv()).unwrap().0, 1);
        assert_eq!(block_on(rx.recv()).unwrap().0, 2);
        drop(producer.join().unwrap());
    });
}

/// The lane has a ring, and room appears message by message.
#[test]
fn full_ring_against_wake() {
    model(3, || {
        let (mut tx, mut rx) = lanes(2).first_ring(2).build();
        tx.try_send(payload(1)).unwrap();
        tx.try_send(payload(2)).unwrap();
        let producer = thread::spawn(move || {
            block_on(tx.send(payload(3))).unwrap();
            tx
        });
        for n in 1..=3 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        drop(producer.join().unwrap());
    });
}

type Ends = (Sender<Payload>, Receiver<Payload>);

/// The receiver takes one message, and looks again only after the producer has moved on.
fn full_against_try_recv(open: fn() -> Ends) {
    model(3, move || {
        let (mut tx, mut rx) = open();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || {
            block_on(tx.send(payload(2))).unwrap();
            tx
        });
        assert_eq!(rx.try_recv().unwrap().0, 1);
        let tx = producer.join().unwrap();
        assert_eq!(rx.try_recv().unwrap().0, 2);
        drop(tx);
    });
}

#[test]
fn full_lane_against_try_recv() {
    full_against_try_recv(|| lanes(1).build());
}

#[test]
fn full_slots_against_try_recv() {
    full_against_try_recv(|| channel(1));
}

fn cancelled_against_room(open: fn() -> Ends) {
    model(2, move || {
        let (mut tx, mut rx) = open();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || {
            let sent = poll_once(tx.send(payload(2)), Waker::noop()).is_ready();
            // The cancelled wait must not consume the wake-up of the next one.
            block_on(tx.reserve()).unwrap().send(payload(3)).unwrap();
            (sent, tx)
        });
        let (mut sum, mut last) = (0, 0);
        while last < 3 {
            last = block_on(rx.recv()).unwrap().0;
            sum += last;
        }
        let (sent, tx) = producer.join().unwrap();
        assert_eq!(sum, if sent { 6 } else { 4 });
        drop(tx);
        assert!(block_on(rx.recv()).is_none());
    });
}

/// A wait that is cancelled while the receiver wakes it leaves no waker behind.
#[test]
fn cancelled_wait_against_wake_leaves_no_waker() {
    model(3, || {
        let (mut tx, mut rx) = lanes(1).build();
        tx.try_send(payload(1)).unwrap();
        let count = std::sync::Arc::new(crate::Count::default());
        let waker = Waker::from(count.clone());
        let producer = thread::spawn(move || {
            let _ = poll_once(tx.reserve(), &waker).is_ready();
            drop(waker);
            tx
        });
        assert_eq!(block_on(rx.recv()).unwrap().0, 1);
        assert!(rx.try_recv().is_err());
        let tx = producer.join().unwrap();
        assert_eq!(
            std::sync::Arc::strong_count(&count),
            1,
            "the waker was kept"
        );
        drop(tx);
    });
}

#[test]
fn cancelled_send_against_room() {
    cancelled_against_room(|| lanes(1).build());
}

#[test]
fn cancelled_send_against_shared_slot_room() {
    cancelled_against_room(|| channel(1));
}

#[test]
fn sender_waker_changed_against_wake() {
    model(3, || {
        let (mut tx, mut rx) = lanes(1).build();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || {
            for _ in 0..2 {
                let waker = Waker::from(std::sync::Arc::new(crate::Count::default()));
                let _ = tx.poll_reserve(&mut Context::from_waker(&waker));
            }
            block_on(tx.reserve()).unwrap().send(payload(2)).unwrap();
            tx
        });
        assert_eq!(block_on(rx.recv()).unwrap().0, 1);
        assert_eq!(block_on(rx.recv()).unwrap().0, 2);
        drop(producer.join().unwrap());
    });
}

#[test]
fn room_is_exact_while_the_receiver_takes() {
    model(3, || {
        let (mut tx, mut rx) = lanes(2).first_ring(1).build();
        tx.try_send(payload(1)).unwrap();
        tx.try_send(payload(2)).unwrap();
        let producer = thread::spawn(move || match tx.try_send(payload(3)) {
            Ok(()) => (3, tx),
            Err(TrySendError::Full(back)) => {
                assert_eq!(back.0, 3);
                (2, tx)
            }
            Err(TrySendError::Closed(_)) => unreachable!("nobody closes"),
        });
        for n in 1..=2 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        let (count, tx) = producer.join().unwrap();
        assert_eq!(rx.try_recv().is_ok(), count == 3);
        drop(tx);
        assert!(block_on(rx.recv()).is_none());
    });
}

// The same where all that the producer waits for is in shared slots.

#[test]
fn full_slots_against_wake() {
    model(3, || {
        let (mut tx, mut rx) = channel(1);
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || {
            block_on(tx.send(payload(2))).unwrap();
            tx
        });
        assert_eq!(block_on(rx.recv()).unwrap().0, 1);
        assert_eq!(block_on(rx.recv()).unwrap().0, 2);
        drop(producer.join().unwrap());
    });
}

/// The close wakes the sender, although nothing is in its lane.
#[test]
fn close_alone_wakes_a_send_that_waits_for_a_shared_slot() {
    model(3, || {
        let (mut tx, mut rx) = channel(1);
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || assert!(block_on(tx.send(payload(2))).is_err()));
        rx.close();
        producer.join().unwrap();
    });
}
