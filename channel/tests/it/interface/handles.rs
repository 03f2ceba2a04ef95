//! What handles know of each other: how many there are, and whether they are of one channel.

use lanemesh::{Builder, MailboxBuilder, channel, mailbox};

use crate::common::{self, now};

#[test]
fn senders_and_weak_senders_are_counted() {
    let (tx, rx) = channel::<u8>(1);
    assert_eq!((tx.strong_count(), tx.weak_count()), (1, 0));
    let clone = tx.clone();
    let weak = tx.downgrade();
    let (second, third) = (weak.clone(), rx.weak_sender());
    assert_eq!((clone.strong_count(), clone.weak_count()), (2, 3));
    assert_eq!((weak.strong_count(), weak.weak_count()), (2, 3));
    assert_eq!((rx.sender_count(), rx.weak_sender_count()), (2, 3));
    let upgraded = third.upgrade();
    assert_eq!((rx.sender_count(), rx.weak_sender_count()), (3, 3));
    drop((second, third, upgraded));
    assert_eq!((rx.sender_count(), rx.weak_sender_count()), (2, 1));
    drop((tx, clone));
    assert!(weak.upgrade().is_none());
    assert_eq!((weak.strong_count(), weak.weak_count()), (0, 1));
    drop(weak);
    assert_eq!((rx.sender_count(), rx.weak_sender_count()), (0, 0));
}

#[test]
fn senders_and_weak_senders_of_a_mailbox_are_counted() {
    let (tx, rx) = mailbox::<u8, u8>(1, 1);
    let (weak, other) = (tx.downgrade(), rx.weak_sender());
    assert_eq!((tx.strong_count(), tx.weak_count()), (1, 2));
    assert_eq!((weak.strong_count(), other.weak_count()), (1, 2));
    drop(other);
    assert_eq!((rx.sender_count(), rx.weak_sender_count()), (1, 1));
    drop(tx);
    assert_eq!((weak.strong_count(), weak.weak_count()), (0, 1));
}

#[test]
fn a_weak_sender_of_the_receiver_makes_senders_while_there_is_one() {
    let (tx, mut rx) = channel(1);
    let weak = rx.weak_sender();
    weak.upgrade().unwrap().try_send(1).unwrap();
    drop(tx);
    assert!(weak.upgrade().is_none());
    assert_eq!((now(rx.recv()), now(rx.recv())), (Some(1), None));
}

#[test]
fn weak_senders_of_one_channel_know_each_other() {
    let (tx, rx) = channel::<u8>(1);
    let (other, _other_rx) = channel::<u8>(1);
    assert!(tx.downgrade().same_channel(&rx.weak_sender()));
    assert!(!tx.downgrade().same_channel(&other.downgrade()));
    let (tx, mut rx) = mailbox::<u8, u8>(1, 1);
    let (other, _other_rx) = mailbox::<u8, u8>(1, 1);
    let weak = tx.downgrade();
    assert!(weak.same_channel(&rx.weak_sender()));
    assert!(!weak.same_channel(&other.downgrade()));
    common::start_and_cancel(weak.closed());
    rx.close();
    now(weak.closed());
}

#[test]
fn room_that_is_left_is_told_for_each_class() {
    let (mut tx, _rx) = mailbox::<u8, u8>(2, 3);
    tx.try_send_high(1).unwrap();
    tx.low().try_send_many([1, 2]).unwrap();
    let room = (tx.high_remaining_capacity(), tx.low_remaining_capacity());
    assert_eq!(room, (1, 1));
    let (mut tx, _rx) = MailboxBuilder::new(1, 1)
        .low_total_capacity(5)
        .build::<u8, u8>();
    tx.clone().low().try_send_many(0..3).unwrap();
    tx.try_send_low(3).unwrap();
    let room = (tx.high_remaining_capacity(), tx.low_remaining_capacity());
    assert_eq!(room, (1, 1));
    let (tx, mut rx) = Builder::new(1).total_capacity(5).build::<u8>();
    assert_eq!(tx.remaining_capacity(), 5);
    rx.close();
    assert_eq!(tx.remaining_capacity(), 0);
}
