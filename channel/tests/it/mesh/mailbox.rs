//! A mesh of mailboxes.

use std::pin::pin;

use lanemesh::{
    Message, TryRecvError, TrySendError,
    mesh::{MailboxMeshBuilder, MailboxMeshReceiver},
};

use crate::common::{Wakes, now, poll};

type Receiver = MailboxMeshReceiver<u32, (u64, u32)>;

fn all(rx: &mut Receiver) -> Vec<Message<u32, (u64, u32)>> {
    std::iter::from_fn(|| rx.try_recv().ok()).collect()
}

#[test]
fn each_class_has_its_own_rule_and_turn() {
    let builder = MailboxMeshBuilder::new(4, 4).low_by_key(|low: &(u64, u32)| Some(low.0));
    let (mut tx, mut first) = builder.build();
    let mut second = tx.add_receiver().unwrap();
    for n in 0..4 {
        tx.try_send_high(n).unwrap();
        tx.try_send_low((7, n)).unwrap();
    }
    assert_eq!(tx.try_send_low((7, 9)), Err(TrySendError::Full((7, 9))));
    assert_eq!(tx.len(), 8);
    let mut got = [all(&mut first), all(&mut second)];
    got.sort_by_key(Vec::len);
    assert_eq!(got.each_ref().map(Vec::len), [2, 6]);
    assert!(
        got[1][..2]
            .iter()
            .all(|message| matches!(message, Message::High(_))),
        "high first"
    );
    let low: Vec<_> = got[1][2..].to_vec();
    assert_eq!(
        low,
        (0..4).map(|n| Message::Low((7, n))).collect::<Vec<_>>()
    );
    assert!(tx.is_empty());
}

#[test]
fn both_classes_are_handed_on() {
    let (mut tx, first) = MailboxMeshBuilder::new(4, 4).build();
    let mut second: Receiver = tx.add_receiver().unwrap();
    for n in 0..4 {
        now(tx.send_high(n)).unwrap();
        now(tx.send_low((0, n))).unwrap();
    }
    assert!(first.leave().is_empty());
    let got = all(&mut second);
    let count = |high| {
        got.iter()
            .filter(|message| matches!(message, Message::High(_)) == high)
            .count()
    };
    assert_eq!((count(true), count(false)), (4, 4));
    assert_eq!(second.leave(), []);
    assert!(tx.is_closed());
    assert_eq!(tx.try_send_high(1), Err(TrySendError::Closed(1)));
}

#[test]
fn keys_of_both_classes_wait_for_the_hand_over() {
    let (mut tx, first) = MailboxMeshBuilder::new(4, 4)
        .high_by_key(|high: &u32| Some(u64::from(*high)))
        .low_by_key(|low: &(u64, u32)| Some(low.0))
        .build();
    tx.try_send_high(1).unwrap();
    tx.try_send_low((1, 1)).unwrap();
    let mut second: Receiver = tx.add_receiver().unwrap();
    drop(first);
    assert!(tx.try_send_high(1).is_err());
    assert!(tx.try_send_low((1, 2)).is_err());
    assert_eq!(second.try_recv(), Ok(Message::High(1)));
    tx.try_send_high(1).unwrap();
    assert!(tx.try_send_low((1, 2)).is_err());
    assert_eq!(all(&mut second), [Message::High(1), Message::Low((1, 1))]);
    tx.try_send_low((1, 2)).unwrap();
    assert_eq!(second.try_recv(), Ok(Message::Low((1, 2))));
}

#[test]
fn a_closed_mailbox_ends_when_it_is_drained() {
    let (mut tx, mut first) = MailboxMeshBuilder::new(4, 4)
        .low_by_key(|low: &(u64, u32)| Some(low.0))
        .build();
    tx.try_send_low((1, 1)).unwrap();
    let mut second: Receiver = first.add_receiver().unwrap();
    first.close();
    assert!(tx.try_send_low((1, 2)).is_err());
    assert_eq!(first.blocking_recv(), Some(Message::Low((1, 1))));
    assert_eq!(first.blocking_recv(), None);
    tx.try_send_low((1, 2)).unwrap();
    assert_eq!(second.try_recv(), Ok(Message::Low((1, 2))));
    drop(tx);
    assert_eq!(second.try_recv(), Err(TryRecvError::Closed));
}

/// The membership without the receiver: for those who have a mailbox already.
#[test]
fn a_member_that_says_nothing_is_left_out_when_it_closes() {
    let (mut tx, mut first) = MailboxMeshBuilder::new(4, 4).build();
    let (root, rx) = lanemesh::mailbox::<u32, (u64, u32)>(4, 4);
    let membership = tx.join(root).unwrap();
    drop(rx);
    for n in 0..4 {
        tx.try_send_low((0, n)).unwrap();
    }
    assert_eq!(all(&mut first).len(), 4);
    assert_eq!(tx.receivers(), 1);
    drop(membership);
}

#[test]
fn a_member_that_left_and_hands_nothing_on_keeps_nobody_waiting() {
    let (mut tx, mut first) = MailboxMeshBuilder::new(4, 4)
        .low_by_key(|low: &(u64, u32)| Some(low.0))
        .build();
    let (root, mut rx) = lanemesh::mailbox::<u32, (u64, u32)>(4, 4);
    let mut membership = tx.join(root).unwrap();
    let mut key = 0;
    while rx.low().try_recv().is_err() {
        key += 1;
        tx.try_send_low((key, 1)).unwrap();
        all(&mut first);
    }
    tx.try_send_low((key, 2)).unwrap();
    membership.leave();
    assert!(tx.try_send_low((key, 3)).is_err());
    assert_eq!(rx.low().try_recv(), Ok((key, 2)));
    drop(membership);
    tx.try_send_low((key, 3)).unwrap();
    assert_eq!(all(&mut first), [Message::Low((key, 3))]);
}

#[test]
fn a_mesh_without_receivers_waits_for_the_first() {
    let mut tx = MailboxMeshBuilder::<u32, (u64, u32)>::new(4, 4).build_over([]);
    assert_eq!(tx.try_send_high(1), Err(TrySendError::Full(1)));
    assert!(!tx.is_closed());
    let (wakes, waker) = Wakes::new();
    let watcher = tx.clone();
    let mut send = pin!(tx.send_high(1));
    assert!(poll(send.as_mut(), &waker).is_pending());
    let mut rx = watcher.add_receiver().unwrap();
    assert_eq!(wakes.count(), 1);
    assert!(poll(send.as_mut(), &waker).is_ready());
    assert_eq!(rx.try_recv(), Ok(Message::High(1)));
    assert_eq!(rx.leave(), []);
    assert!(watcher.is_closed());
    assert!(watcher.add_receiver().is_err());
}
