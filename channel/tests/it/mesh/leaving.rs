//! A receiver leaves: what becomes of its messages, of those who wait for it, and of the mesh.

use std::pin::pin;

use lanemesh::{
    SendError, TryRecvError, TrySendError,
    mesh::{MeshBuilder, mesh},
};

use crate::common::{Ledger, Wakes, now, poll};

#[test]
fn messages_of_a_dropped_receiver_go_to_the_others() {
    let ledger = Ledger::new(8);
    let (mut tx, first) = mesh(4);
    let mut second = tx.add_receiver().unwrap();
    for _ in 0..8 {
        tx.try_send(ledger.parcel()).unwrap();
    }
    drop(first);
    let mut got: Vec<usize> = std::iter::from_fn(|| second.try_recv().ok().map(|p| p.n)).collect();
    got.sort();
    assert_eq!(got, (0..8).collect::<Vec<_>>());
    ledger.check();
}

#[test]
fn handed_on_messages_come_on_top_of_the_capacity() {
    let (tx, first) = mesh(1);
    let mut second = tx.add_receiver().unwrap();
    let mut senders: Vec<_> = (0..10).map(|_| tx.clone()).collect();
    for tx in &mut senders {
        for n in 0..2 {
            tx.try_send(n).unwrap();
        }
    }
    assert!(first.leave().is_empty());
    assert_eq!(second.len(), 20);
    assert_eq!(std::iter::from_fn(|| second.try_recv().ok()).count(), 20);
}

#[test]
fn the_last_receiver_closes_the_mesh() {
    let (mut tx, first) = mesh(4);
    let second = tx.add_receiver().unwrap();
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    let (wakes, waker) = Wakes::new();
    let watcher = tx.clone();
    let mut closed = pin!(watcher.closed());
    assert!(poll(closed.as_mut(), &waker).is_pending());
    assert!(first.leave().is_empty());
    assert!(!tx.is_closed());
    let mut left = second.leave();
    left.sort();
    assert_eq!(left, [1, 2]);
    assert!(tx.is_closed());
    assert_eq!(wakes.count(), 1);
    assert!(poll(closed.as_mut(), &waker).is_ready());
    assert_eq!(tx.try_send(3), Err(TrySendError::Closed(3)));
    assert_eq!(now(tx.send(4)), Err(SendError(4)));
    assert_eq!(tx.blocking_send(5), Err(SendError(5)));
    assert!(tx.add_receiver().is_err());
}

#[test]
fn messages_of_the_last_receiver_are_dropped_with_it() {
    let ledger = Ledger::new(3);
    let (mut tx, rx) = mesh(4);
    for _ in 0..3 {
        tx.try_send(ledger.parcel()).unwrap();
    }
    drop(rx);
    ledger.check();
}

#[test]
fn a_closed_receiver_keeps_what_it_has() {
    let (mut tx, mut first) = mesh(4);
    let mut second = tx.add_receiver().unwrap();
    tx.try_send(0).unwrap();
    tx.try_send(1).unwrap();
    first.close();
    assert!(first.is_closed());
    tx.try_send(2).unwrap();
    assert_eq!(first.try_recv(), Ok(0));
    assert_eq!(first.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(now(first.recv()), None);
    assert_eq!((second.try_recv(), second.try_recv()), (Ok(1), Ok(2)));
    assert_eq!(tx.receivers(), 1);
}

#[test]
fn a_closed_receiver_that_is_dropped_hands_on_the_rest() {
    let (mut tx, mut first) = mesh(4);
    let mut second = tx.add_receiver().unwrap();
    for n in 0..6 {
        tx.try_send(n).unwrap();
    }
    first.close();
    assert_eq!(first.try_recv(), Ok(0));
    drop(first);
    let mut got: Vec<u32> = std::iter::from_fn(|| second.try_recv().ok()).collect();
    got.sort();
    assert_eq!(got, [1, 2, 3, 4, 5]);
}

#[test]
fn receivers_end_with_the_last_sender() {
    let (tx, mut first) = mesh(4);
    let mut second = tx.add_receiver().unwrap();
    let mut other = tx.clone();
    other.try_send(1).unwrap();
    drop(tx);
    assert_eq!(first.try_recv(), Ok(1));
    assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
    drop(other);
    assert_eq!(first.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(now(second.recv()), None);
    // One that joins after that ends at once.
    let mut third = second.add_receiver().unwrap();
    assert_eq!(third.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn without_senders_messages_are_returned() {
    let (mut tx, first) = mesh(4);
    let mut second = tx.add_receiver().unwrap();
    for n in 0..4 {
        tx.try_send(n).unwrap();
    }
    drop(tx);
    assert_eq!(first.leave(), [0, 2]);
    assert_eq!((second.try_recv(), second.try_recv()), (Ok(1), Ok(3)));
    assert_eq!(second.try_recv(), Err(TryRecvError::Closed));
}

/// Nobody waits for the hand-over, and the receivers end nevertheless.
#[test]
fn a_hand_over_does_not_keep_receivers_open() {
    let (mut tx, first) = MeshBuilder::new(4).by_key(|n: &u64| Some(*n)).build();
    let mut second = tx.add_receiver().unwrap();
    for n in 0..4 {
        tx.try_send(n).unwrap();
    }
    drop(first);
    drop(tx);
    assert_eq!(std::iter::from_fn(|| second.try_recv().ok()).count(), 4);
    assert_eq!(second.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn a_weak_sender_does_not_keep_the_mesh_open() {
    let (tx, mut rx) = mesh::<u32>(4);
    let weak = tx.downgrade();
    let mut other = weak.upgrade().unwrap();
    assert!(tx.same_mesh(&other));
    drop(tx);
    other.try_send(1).unwrap();
    drop(other);
    assert!(weak.clone().upgrade().is_none());
    assert!(rx.weak_sender().upgrade().is_none());
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

/// A key that cannot be found out drops what the receiver had, and no more: nobody waits for it.
#[test]
fn a_panicking_key_keeps_nobody_waiting() {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    let ledger = Ledger::new(20);
    let panics = Arc::new(AtomicBool::new(false));
    let seen = panics.clone();
    let (mut tx, first) = MeshBuilder::new(16)
        .by_key(move |parcel: &crate::common::Parcel| {
            assert!(!seen.load(Ordering::SeqCst), "no key");
            Some(parcel.n as u64 % 4)
        })
        .build();
    let mut second = tx.add_receiver().unwrap();
    for _ in 0..8 {
        tx.try_send(ledger.parcel()).unwrap();
    }
    let at_second = second.len();
    assert!(at_second < 8);
    panics.store(true, Ordering::SeqCst);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(first))).is_err());
    panics.store(false, Ordering::SeqCst);
    assert_eq!(ledger.dropped(), 8 - at_second);
    for _ in 0..4 {
        tx.try_send(ledger.parcel()).unwrap();
    }
    assert_eq!(
        std::iter::from_fn(|| second.try_recv().ok()).count(),
        at_second + 4
    );
    ledger.check();
}
