//! Several receivers: one joins or leaves while a sender sends.
//!
//! Receivers are polled by `try_recv`, on the thread that they leave on.

use lanemesh::mesh::{MeshBuilder, MeshReceiver, MeshSender};
use loom::{future::block_on, thread};

use crate::{Payload, model, payload};

/// A mesh in which all messages have one key, with two receivers: first the one that the key belongs to.
fn one_key() -> (
    MeshSender<Payload>,
    MeshReceiver<Payload>,
    MeshReceiver<Payload>,
) {
    let (tx, first) = MeshBuilder::new(2)
        .by_key(|_| Some(KEY))
        .lanes(|lanes| lanes.shared_slots(0).first_ring(2))
        .build();
    let second = tx.add_receiver().unwrap();
    (tx, first, second)
}

/// Sends the first message, which goes to the first receiver.
fn send_first(tx: &mut MeshSender<Payload>, first: &MeshReceiver<Payload>) {
    tx.try_send(payload(1)).unwrap();
    assert_eq!(first.len(), 1);
}

/// Belongs to the first of the receivers that are there, in the order in which they joined.
const KEY: u64 = 0;

/// A message that is sent while its receiver leaves is received by the other, after the one before it.
#[test]
fn leave_against_send_of_a_key() {
    model(2, || {
        let (mut tx, first, mut second) = one_key();
        send_first(&mut tx, &first);
        let leaver = thread::spawn(move || assert!(first.leave().is_empty()));
        let sent = tx.try_send(payload(2)).is_ok();
        let mut got: Vec<u32> =
            std::iter::from_fn(|| second.try_recv().ok().map(|p| p.0)).collect();
        let late = !sent && tx.try_send(payload(2)).is_ok();
        leaver.join().unwrap();
        got.extend(std::iter::from_fn(|| second.try_recv().ok().map(|p| p.0)));
        let all: &[u32] = if sent || late { &[1, 2] } else { &[1] };
        assert_eq!(got, all);
    });
}

/// The same, with a send that waits.
#[test]
fn leave_against_waiting_send_of_a_key() {
    model(1, || {
        let (mut tx, first, mut second) = one_key();
        send_first(&mut tx, &first);
        let sender = thread::spawn(move || {
            block_on(tx.send(payload(2))).unwrap();
            tx
        });
        assert!(first.leave().is_empty());
        assert_eq!(block_on(second.recv()).unwrap().0, 1);
        assert_eq!(block_on(second.recv()).unwrap().0, 2);
        drop(sender.join().unwrap());
    });
}

/// What is handed on to a receiver that leaves as well.
#[test]
fn two_leave_against_send_of_a_key() {
    model(2, || {
        let (mut tx, first, second) = one_key();
        let mut third = tx.add_receiver().unwrap();
        send_first(&mut tx, &first);
        let leavers = thread::spawn(move || {
            assert!(first.leave().is_empty());
            assert!(second.leave().is_empty());
        });
        let sent = tx.try_send(payload(2)).is_ok();
        leavers.join().unwrap();
        let mut got: Vec<u32> = std::iter::from_fn(|| third.try_recv().ok().map(|p| p.0)).collect();
        if !sent {
            tx.try_send(payload(2)).unwrap();
            got.extend(third.try_recv().ok().map(|p| p.0));
        }
        assert_eq!(got, [1, 2]);
    });
}

/// The former receiver of a key takes its message while the sender looks whether it has.
#[test]
fn join_against_send_of_a_key() {
    model(2, || {
        // The key belongs to the second of the two.
        let (mut tx, mut first) = MeshBuilder::new(2)
            .by_key(|_| Some(MOVING))
            .lanes(|lanes| lanes.shared_slots(0).first_ring(2))
            .build();
        tx.try_send(payload(1)).unwrap();
        let mut second = tx.add_receiver().unwrap();
        let former = thread::spawn(move || first.try_recv().ok().map(|p| p.0));
        let sent = tx.try_send(payload(2)).is_ok();
        let newer = second.try_recv().is_ok();
        assert_eq!(sent, newer);
        assert_eq!(former.join().unwrap(), Some(1));
    });
}

/// The former receiver of a key that moved leaves, with its message, while the sender looks whether it has caught up.
#[test]
fn leave_of_former_receiver_against_send_of_a_key() {
    model(2, || {
        let (mut tx, first) = MeshBuilder::new(2)
            .by_key(|_| Some(MOVING))
            .lanes(|lanes| lanes.shared_slots(0).first_ring(2))
            .build();
        tx.try_send(payload(1)).unwrap();
        let mut second = tx.add_receiver().unwrap();
        assert!(tx.try_send(payload(2)).is_err());
        let leaver = thread::spawn(move || assert!(first.leave().is_empty()));
        // The first message is with the receiver that leaves, or on its way to the second.
        assert!(tx.try_send(payload(2)).is_err());
        leaver.join().unwrap();
        assert_eq!(second.try_recv().unwrap().0, 1);
        tx.try_send(payload(2)).unwrap();
        assert_eq!(second.try_recv().unwrap().0, 2);
    });
}

/// Belongs to the second of two receivers.
const MOVING: u64 = 2;

/// The last receiver goes while a send waits for it: the message is returned.
#[test]
fn last_leave_against_waiting_send() {
    model(2, || {
        let (mut tx, rx) = MeshBuilder::new(1)
            .lanes(|lanes| lanes.shared_slots(0))
            .build();
        tx.try_send(payload(1)).unwrap();
        let sender = thread::spawn(move || block_on(tx.send(payload(2))));
        let left = rx.leave();
        let refused = sender.join().unwrap().is_err();
        assert_eq!(left.len() + usize::from(refused), 2);
    });
}

/// A send that waits for room is woken by a receiver that joins.
#[test]
fn join_against_waiting_send() {
    model(2, || {
        let (mut tx, first) = MeshBuilder::new(1)
            .lanes(|lanes| lanes.shared_slots(0))
            .build();
        tx.try_send(payload(1)).unwrap();
        let sender = thread::spawn(move || {
            block_on(tx.send(payload(2))).unwrap();
        });
        let mut second = first.add_receiver().unwrap();
        sender.join().unwrap();
        assert_eq!(second.try_recv().unwrap().0, 2);
    });
}

/// The last sender hangs up while a receiver hands on its message: nobody waits for ever.
#[test]
fn last_sender_drop_against_leave() {
    model(2, || {
        let (mut tx, first, mut second) = one_key();
        send_first(&mut tx, &first);
        let leaver = thread::spawn(move || first.leave().len());
        drop(tx);
        let received = usize::from(block_on(second.recv()).is_some());
        assert_eq!(leaver.join().unwrap() + received, 1);
        assert!(block_on(second.recv()).is_none());
    });
}
