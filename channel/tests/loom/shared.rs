//! A lane that many producers share.

use std::task::Waker;

use loom::{future::block_on, thread};

use crate::{lanes, model, payload, poll_once};

/// Two claim places, and publish in either order, while the receiver gives the lane up.
#[test]
fn shared_lane_of_two_producers() {
    model(2, || {
        let (tx, mut rx) = lanes(2).build();
        let tx = tx.shared();
        let other = thread::spawn({
            let tx = tx.clone();
            move || tx.try_send(payload(1)).unwrap()
        });
        tx.try_send(payload(2)).unwrap();
        drop(tx);
        let mut sum = 0;
        while let Some(message) = block_on(rx.recv()) {
            sum += message.0;
        }
        assert_eq!(sum, 3);
        other.join().unwrap();
    });
}

/// The second message comes as the receiver gives the lane up after the first: it is listed, or found.
#[test]
fn shared_lane_is_given_up_against_a_send() {
    model(2, || {
        let (tx, mut rx) = lanes(2).build();
        let tx = tx.shared();
        let producer = thread::spawn(move || {
            for n in 0..2 {
                tx.try_send(payload(n)).unwrap();
            }
            tx
        });
        for n in 0..2 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        producer.join().unwrap();
    });
}

/// A slot that was given back is sent into again.
#[test]
fn shared_lane_waits_against_room() {
    model(2, || {
        let (tx, mut rx) = lanes(1).build();
        let tx = tx.shared();
        tx.try_send(payload(0)).unwrap();
        let producer = thread::spawn(move || {
            block_on(tx.send(payload(1))).unwrap();
            tx
        });
        for n in 0..2 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        producer.join().unwrap();
    });
}

/// A sender that finds no slot free returns that of a message which is just being taken.
#[test]
fn shared_lane_full_against_the_receiver() {
    model(3, || {
        let (tx, mut rx) = lanes(2).build();
        let tx = tx.shared();
        for n in 0..2 {
            tx.try_send(payload(n)).unwrap();
        }
        // The second of these goes where the first of those was.
        let producer = thread::spawn(move || {
            let sent = (0..2).filter(|_| tx.try_send(payload(2)).is_ok()).count();
            (sent, tx)
        });
        for n in 0..2 {
            assert_eq!(rx.try_recv().unwrap().0, n);
        }
        let (sent, _tx) = producer.join().unwrap();
        assert_eq!(rx.try_iter().count(), sent);
    });
}

/// In one order through all rings, though the receiver comes by in between.
#[test]
fn shared_lane_grows_against_the_receiver() {
    model(2, || {
        let (tx, mut rx) = lanes(3).first_ring(2).build();
        let tx = tx.shared();
        for n in 0..2 {
            tx.try_send(payload(n)).unwrap();
        }
        let producer = thread::spawn(move || {
            tx.try_send(payload(2)).unwrap();
            tx
        });
        for n in 0..3 {
            assert_eq!(block_on(rx.recv()).unwrap().0, n);
        }
        producer.join().unwrap();
    });
}

#[test]
fn shared_lane_grows_for_two_producers() {
    model(1, || {
        let (tx, mut rx) = lanes(4).first_ring(2).build();
        let tx = tx.shared();
        for n in 0..2 {
            tx.try_send(payload(n)).unwrap();
        }
        let other = thread::spawn({
            let tx = tx.clone();
            move || tx.try_send(payload(2)).unwrap()
        });
        tx.try_send(payload(2)).unwrap();
        other.join().unwrap();
        let got: Vec<_> = std::iter::from_fn(|| rx.try_recv().ok())
            .map(|message| message.0)
            .collect();
        assert_eq!(got, [0, 1, 2, 2]);
    });
}

/// A wait that is cancelled while the receiver gives room.
#[test]
fn shared_send_cancelled_against_room() {
    model(2, || {
        let (tx, mut rx) = lanes(1).build();
        let tx = tx.shared();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || {
            let sent = poll_once(tx.send(payload(2)), Waker::noop()).is_ready();
            (sent, tx)
        });
        assert_eq!(rx.try_recv().unwrap().0, 1);
        let (sent, tx) = producer.join().unwrap();
        assert_eq!(rx.try_recv().is_ok(), sent);
        tx.try_send(payload(3)).unwrap();
    });
}

/// One of two who wait is cancelled, before or after it was granted room: the other gets it.
#[test]
fn shared_send_cancelled_passes_room_on() {
    model(1, || {
        let (tx, mut rx) = lanes(1).build();
        let tx = tx.shared();
        tx.try_send(payload(1)).unwrap();
        let cancels = thread::spawn({
            let tx = tx.clone();
            move || {
                let _ = poll_once(tx.reserve(), Waker::noop()).map(drop);
            }
        });
        let waits = thread::spawn(move || block_on(tx.send(payload(2))).unwrap());
        assert_eq!(rx.try_recv().unwrap().0, 1);
        cancels.join().unwrap();
        waits.join().unwrap();
        assert_eq!(rx.try_recv().unwrap().0, 2);
    });
}

/// Granted room while another takes and gives it: polled again, it has room.
#[test]
fn shared_permit_dropped_against_a_waiting_send() {
    model(3, || {
        let (tx, mut rx) = lanes(1).build();
        let tx = tx.shared();
        let permit = tx.try_reserve().unwrap();
        let waits = thread::spawn({
            let tx = tx.clone();
            move || block_on(tx.send(payload(1))).unwrap()
        });
        drop(permit);
        waits.join().unwrap();
        assert_eq!(rx.try_recv().unwrap().0, 1);
    });
}

#[test]
fn close_against_waiting_shared_send() {
    model(2, || {
        let (tx, mut rx) = lanes(1).build();
        let tx = tx.shared();
        tx.try_send(payload(1)).unwrap();
        let producer = thread::spawn(move || block_on(tx.send(payload(2))).is_ok());
        rx.close();
        let mut received = 0;
        while block_on(rx.recv()).is_some() {
            received += 1;
        }
        assert_eq!(received, 1 + usize::from(producer.join().unwrap()));
    });
}

/// What both producers were told agrees with what the receiver gets, who knows the lane or does not.
#[test]
fn close_against_two_shared_sends() {
    model(2, || {
        let (tx, mut rx) = lanes(2).build();
        let tx = tx.shared();
        let other = thread::spawn({
            let tx = tx.clone();
            move || tx.try_send(payload(1)).is_ok()
        });
        let one = thread::spawn(move || tx.try_send(payload(2)).is_ok());
        rx.close();
        let mut received = 0;
        while block_on(rx.recv()).is_some() {
            received += 1;
        }
        let sent = usize::from(other.join().unwrap()) + usize::from(one.join().unwrap());
        assert_eq!(received, sent);
    });
}

/// A message that the receiver never sees is dropped by it, or given back.
#[test]
fn receiver_drop_against_shared_send() {
    model(3, || {
        let (tx, rx) = lanes(1).build();
        let tx = tx.shared();
        let producer = thread::spawn(move || {
            let _ = tx.try_send(payload(1));
            let _ = tx.try_send(payload(2));
        });
        drop(rx);
        producer.join().unwrap();
    });
}

/// The last sender goes as the receiver gives the lane up.
#[test]
fn sender_drop_of_a_shared_lane() {
    model(3, || {
        let (tx, mut rx) = lanes(1).build();
        let tx = tx.shared();
        let producer = thread::spawn(move || {
            let other = tx.clone();
            tx.try_send(payload(1)).unwrap();
            drop(tx);
            drop(other);
        });
        assert_eq!(block_on(rx.recv()).unwrap().0, 1);
        assert!(block_on(rx.recv()).is_none());
        producer.join().unwrap();
    });
}

/// A shared lane through which nothing is sent, against the close.
#[test]
fn sender_drop_of_an_unused_shared_lane_against_close() {
    model(3, || {
        let (tx, mut rx) = lanes(1).build::<u8>();
        let producer = thread::spawn(move || drop(tx.shared()));
        rx.close();
        assert!(block_on(rx.recv()).is_none());
        producer.join().unwrap();
    });
}
