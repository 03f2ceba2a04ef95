//! The rings of a lane: who frees one that the producer has left, and a lane that its sender gives back.

use loom::{future::block_on, thread};

use crate::{lanes, model, payload};

/// The producer counts what is in the ring that it has left while the receiver empties and frees it.
#[test]
fn count_against_emptied() {
    model(2, || {
        let (mut tx, mut rx) = lanes(3).first_ring(1).build();
        // One in the lane's slot, one in the first ring, one in the next.
        for n in 0..3 {
            tx.try_send(payload(n)).unwrap();
        }
        assert_eq!(block_on(rx.recv()).unwrap().0, 0);
        let producer = thread::spawn(move || {
            assert!(tx.len() <= 2);
            tx.try_send(payload(3)).unwrap();
        });
        let mut received = 1;
        while let Some(message) = block_on(rx.recv()) {
            assert_eq!(message.0, received);
            received += 1;
        }
        assert_eq!(received, 4);
        producer.join().unwrap();
    });
}

/// The producer finds that all was received, and goes on in the lane's slot, while the receiver moves from one ring to the
/// next.
#[test]
fn clear_against_emptied() {
    model(2, || {
        let (mut tx, mut rx) = lanes(3).first_ring(1).build();
        for n in 0..3 {
            tx.try_send(payload(n)).unwrap();
        }
        for n in 0..2 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        let producer = thread::spawn(move || {
            for n in 3..5 {
                tx.try_send(payload(n)).unwrap();
            }
        });
        let mut received = 2;
        while let Some(message) = block_on(rx.recv()) {
            assert_eq!(message.0, received);
            received += 1;
        }
        assert_eq!(received, 5);
        producer.join().unwrap();
    });
}

/// The sender gives its lane back, if all was received by then, and goes on with another.
#[test]
fn shrink_against_receive() {
    model(2, || {
        let (mut tx, mut rx) = lanes(2).first_ring(1).build();
        tx.try_send(payload(0)).unwrap();
        let producer = thread::spawn(move || {
            tx.shrink_to_fit();
            tx.try_send(payload(1)).unwrap();
        });
        for n in 0..2 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        assert!(block_on(rx.recv()).is_none());
        producer.join().unwrap();
        assert_eq!(rx.stats().lanes_open, 0);
    });
}

/// And meets a receiver that closes.
#[test]
fn shrink_against_close() {
    model(2, || {
        let (mut tx, mut rx) = lanes(2).first_ring(1).build();
        tx.try_send(payload(0)).unwrap();
        assert_eq!(block_on(rx.recv()).unwrap().0, 0);
        let producer = thread::spawn(move || {
            tx.shrink_to_fit();
            u32::from(tx.try_send(payload(1)).is_ok())
        });
        rx.close();
        let mut received = 0;
        while let Some(message) = block_on(rx.recv()) {
            received += 1;
            assert_eq!(message.0, received);
        }
        assert_eq!(received, producer.join().unwrap());
        assert_eq!(rx.stats().lanes_open, 0);
    });
}
