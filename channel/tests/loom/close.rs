//! Close against send: accepted = received + returned.

use lanemesh::{Receiver, Sender, TrySendError, channel};
use loom::{future::block_on, thread};

use crate::{Payload, lanes, model, payload};

/// Sends `range`, and returns which messages were accepted: a prefix; each other one was returned.
fn send_all(tx: &mut Sender<Payload>, range: std::ops::RangeInclusive<u32>) -> u32 {
    let (mut accepted, mut closed) = (0, false);
    for n in range {
        match tx.try_send(payload(n)) {
            Ok(()) => {
                assert!(!closed, "accepted after closed");
                accepted += 1;
            }
            Err(TrySendError::Closed(back)) => {
                assert_eq!(back.0, n);
                closed = true;
            }
            Err(TrySendError::Full(_)) => unreachable!("there is room for all"),
        }
    }
    accepted
}

/// Closes and takes the rest, which must continue in order after `received` messages; returns how
/// many in all.
fn close_and_drain(rx: &mut Receiver<Payload>, mut received: u32) -> u32 {
    rx.close();
    while let Some(message) = block_on(rx.recv()) {
        received += 1;
        assert_eq!(message.0, received);
    }
    received
}

#[test]
fn close_against_first_send() {
    model(3, || {
        let (mut tx, mut rx) = lanes(1).build();
        let producer = thread::spawn(move || send_all(&mut tx, 1..=1));
        let received = close_and_drain(&mut rx, 0);
        assert_eq!(received, producer.join().unwrap());
    });
}

/// The receiver sleeps when the producer comes, then closes: the shared slot may be claimed and not
/// filled.
#[test]
fn close_against_shared_slot() {
    model(3, || {
        let (mut tx, mut rx) = channel(3);
        assert!(crate::poll_recv_once(&mut rx, std::task::Waker::noop()).is_pending());
        let producer = thread::spawn(move || send_all(&mut tx, 1..=2));
        let received = close_and_drain(&mut rx, 0);
        assert_eq!(received, producer.join().unwrap());
    });
}

/// The lane is the receiver's when it closes, and the producer pushes into its ring meanwhile.
#[test]
fn close_against_ring() {
    model(3, || {
        let (mut tx, mut rx) = lanes(4).first_ring(4).build();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || 1 + send_all(&mut tx, 2..=3));
        assert_eq!(rx.try_recv().unwrap().0, 1);
        let received = close_and_drain(&mut rx, 1);
        assert_eq!(received, producer.join().unwrap());
    });
}

/// The receiver gives the lane up, loses it to the producer, and closes before the producer's push.
#[test]
fn close_against_requeue() {
    model(3, || {
        let (mut tx, mut rx) = lanes(4).first_ring(4).build();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || 1 + send_all(&mut tx, 2..=3));
        assert_eq!(rx.try_recv().unwrap().0, 1);
        let mut received = 1;
        // Gives the lane up if there is nothing.
        if let std::task::Poll::Ready(message) =
            crate::poll_recv_once(&mut rx, std::task::Waker::noop())
        {
            received += 1;
            assert_eq!(message.unwrap().0, received);
        }
        received = close_and_drain(&mut rx, received);
        assert_eq!(received, producer.join().unwrap());
    });
}

/// As above, when a message that was accepted while the receiver still held the lane is in the
/// ring: the producer of the next one must leave the lane to the receiver.
#[test]
fn close_against_requeue_of_an_accepted_message() {
    model(4, || {
        let (mut tx, mut rx) = lanes(4).first_ring(4).build();
        tx.try_send(1).unwrap();
        assert_eq!(rx.try_recv(), Ok(1));
        let producer = thread::spawn(move || {
            let sent = (2..=3).take_while(|&n| tx.try_send(n).is_ok()).count();
            (sent, tx)
        });
        let mut received = 0;
        if crate::poll_recv_once(&mut rx, std::task::Waker::noop()).is_ready() {
            received += 1;
        }
        rx.close();
        while block_on(rx.recv()).is_some() {
            received += 1;
        }
        let (sent, tx) = producer.join().unwrap();
        assert_eq!(received, sent);
        drop(tx);
    });
}

#[test]
fn close_against_batch() {
    model(3, || {
        let (mut tx, mut rx) = lanes(4).first_ring(4).build();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || {
            let mut batch = vec![payload(2), payload(3)];
            let sent = match tx.try_send_vec(&mut batch) {
                Ok(sent) | Err(lanemesh::SendError(sent)) => sent as u32,
            };
            assert_eq!(batch.len() as u32, 2 - sent);
            assert!(batch.iter().map(|message| message.0).eq(2 + sent..=3));
            1 + sent
        });
        assert_eq!(rx.try_recv().unwrap().0, 1);
        let received = close_and_drain(&mut rx, 1);
        assert_eq!(received, producer.join().unwrap());
    });
}

/// Dropping the receiver drops what was accepted, and only that; loom tracks the end of each
/// message.
#[test]
fn receiver_drop_against_send() {
    model(3, || {
        let (mut tx, rx) = lanes(4).first_ring(4).build();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || send_all(&mut tx, 2..=3));
        drop(rx);
        producer.join().unwrap();
    });
}

#[test]
fn receiver_drop_against_shared_slot() {
    model(3, || {
        let (mut tx, mut rx) = channel(2);
        assert!(crate::poll_recv_once(&mut rx, std::task::Waker::noop()).is_pending());
        let producer = thread::spawn(move || send_all(&mut tx, 1..=1));
        drop(rx);
        producer.join().unwrap();
    });
}

#[test]
fn close_against_waiting_send() {
    model(3, || {
        let (mut tx, mut rx) = lanes(1).build();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || block_on(tx.send(payload(2))).is_ok());
        let received = close_and_drain(&mut rx, 0);
        assert_eq!(received == 2, producer.join().unwrap());
    });
}

/// The close itself wakes the waiting sender, not only what is received afterwards.
#[test]
fn close_alone_wakes_a_waiting_send() {
    model(3, || {
        let (mut tx, mut rx) = lanes(1).build();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || assert!(block_on(tx.send(payload(2))).is_err()));
        rx.close();
        producer.join().unwrap();
    });
}

#[test]
fn close_against_sender_drop() {
    model(3, || {
        let (mut tx, mut rx) = lanes(2).build();
        tx.try_send(payload(1)).unwrap();
        assert_eq!(rx.try_recv().unwrap().0, 1);
        let producer = thread::spawn(move || drop(tx));
        rx.close();
        assert!(block_on(rx.recv()).is_none());
        producer.join().unwrap();
        assert_eq!(rx.stats().lanes_open, 0);
    });
}

#[test]
fn close_against_closed() {
    model(3, || {
        let (tx, mut rx) = channel::<u32>(1);
        let producer = thread::spawn(move || block_on(tx.closed()));
        rx.close();
        producer.join().unwrap();
    });
}

/// Whoever is last frees what all handles share, after the others have done with it.
#[test]
fn receiver_drop_against_weak_sender_drop() {
    model(3, || {
        let (tx, rx) = lanes(1).build::<Payload>();
        let weak = tx.downgrade();
        let other = thread::spawn(move || drop(weak));
        drop(tx);
        drop(rx);
        other.join().unwrap();
    });
}
