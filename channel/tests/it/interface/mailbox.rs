//! Every method of the mailbox, one by one.

use std::{thread, time::Duration};

use lanemesh::{
    MailboxBuilder, Message, Overflow, RecvTimeoutError, SendError, SendTimeoutError, Sent,
    TryRecvError, TrySendError, mailbox,
};

use crate::common::{self, now};

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn capacity_is_exact_for_each_class() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(2, 3);
    for n in 0..2 {
        tx.try_send_high(n).unwrap();
    }
    for n in 0..3 {
        tx.try_send_low(n).unwrap();
    }
    assert_eq!(tx.try_send_high(9), Err(TrySendError::Full(9)));
    assert_eq!(tx.try_send_low(9), Err(TrySendError::Full(9)));
    assert_eq!(
        (tx.len(), rx.len(), tx.high().len(), tx.low().len()),
        (5, 5, 2, 3)
    );
    assert_eq!((tx.high().capacity(), tx.low().capacity()), (2, 3));
    assert_eq!(rx.try_iter().count(), 5);
    assert!(tx.is_empty() && rx.is_empty());
}

#[test]
fn overflow_waits_rejects_or_drops() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(1, 1);
    assert_eq!(tx.low_overflow(), Overflow::Wait);
    assert_eq!(now(tx.send_low(1)), Ok(Sent::Queued));
    common::start_and_cancel(tx.send_low(2));

    tx.set_low_overflow(Overflow::Reject);
    assert_eq!(now(tx.send_low(2)), Err(TrySendError::Full(2)));
    assert_eq!(tx.blocking_send_low(2), Err(TrySendError::Full(2)));

    tx.set_low_overflow(Overflow::Drop);
    assert_eq!(now(tx.send_low(2)), Ok(Sent::Dropped));
    assert_eq!(tx.blocking_send_low(2), Ok(Sent::Dropped));
    assert_eq!(tx.try_send_low(2), Err(TrySendError::Full(2)));
    assert_eq!(tx.clone().low_overflow(), Overflow::Drop);
    assert_eq!(rx.stats().low.dropped, 2);
    assert_eq!(rx.try_recv(), Ok(Message::Low(1)));
    assert_eq!(now(tx.send_low(3)), Ok(Sent::Queued));

    rx.close();
    for overflow in [Overflow::Wait, Overflow::Reject, Overflow::Drop] {
        tx.set_low_overflow(overflow);
        assert_eq!(now(tx.send_low(4)), Err(TrySendError::Closed(4)));
        assert_eq!(tx.blocking_send_low(4), Err(TrySendError::Closed(4)));
    }
    assert_eq!(rx.stats().low.dropped, 2);
}

#[test]
fn the_high_class_never_drops() {
    let (mut tx, _rx) = MailboxBuilder::new(1, 1)
        .low_overflow(Overflow::Drop)
        .build::<u8, u8>();
    now(tx.send_high(1)).unwrap();
    common::start_and_cancel(tx.send_high(2));
    common::start_and_cancel(tx.high().reserve());
    assert_eq!(
        tx.high().send_timeout(2, SHORT),
        Err(SendTimeoutError::Timeout(2))
    );
}

#[test]
fn every_way_to_send_arrives() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(8, 32);
    tx.try_send_high(1).unwrap();
    now(tx.send_high(2)).unwrap();
    tx.blocking_send_high(3).unwrap();
    tx.high().send_timeout(4, SHORT).unwrap();
    now(tx.high().reserve()).unwrap().send(5).unwrap();
    tx.high().try_send(6).unwrap();
    tx.try_send_low(1).unwrap();
    now(tx.send_low(2)).unwrap();
    tx.blocking_send_low(3).unwrap();
    tx.low().send_timeout(4, SHORT).unwrap();
    now(tx.low().reserve()).unwrap().send(5).unwrap();
    tx.low().try_feed(6).unwrap();
    now(tx.low().feed(7)).unwrap();
    tx.low().flush().unwrap();
    assert_eq!(tx.low().try_send_many(8..10), Ok(2));
    assert_eq!(now(tx.low().send_many(10..12)), Ok(2));
    assert_eq!(tx.low().try_send_vec(&mut vec![12]), Ok(1));
    assert_eq!(now(tx.low().send_vec(&mut vec![13])), Ok(1));
    tx.low().try_send(14).unwrap();
    let high = (1..=6).map(Message::High);
    let all: Vec<_> = high.chain((1..=14).map(Message::Low)).collect();
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), all);
}

#[test]
fn each_class_can_be_received_alone() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(4, 8);
    assert_eq!(rx.high().try_recv(), Err(TryRecvError::Empty));
    assert_eq!(rx.low().try_recv(), Err(TryRecvError::Empty));
    for n in 0..3 {
        tx.try_send_high(n).unwrap();
    }
    tx.low().try_send_many(0..8).unwrap();
    assert_eq!(rx.low().try_recv(), Ok(0));
    assert_eq!(now(rx.low().recv()), Some(1));
    let mut low = Vec::new();
    assert_eq!(rx.low().try_recv_many(&mut low, 2), Ok(2));
    assert_eq!(now(rx.low().recv_many(&mut low, 9)), 4);
    assert_eq!(now(rx.low().recv_many(&mut low, 0)), 0);
    assert_eq!(low, [2, 3, 4, 5, 6, 7]);
    assert_eq!(
        rx.low().try_recv_many(&mut low, 1),
        Err(TryRecvError::Empty)
    );
    assert_eq!(
        (rx.high().try_recv(), now(rx.high().recv())),
        (Ok(0), Some(1))
    );
    drop(tx);
    assert_eq!(
        (now(rx.high().recv()), now(rx.high().recv())),
        (Some(2), None)
    );
    assert_eq!(
        (now(rx.low().recv()), now(rx.low().recv_many(&mut low, 1))),
        (None, 0)
    );
    assert_eq!(rx.low().try_recv(), Err(TryRecvError::Closed));
    assert_eq!(rx.high().try_recv(), Err(TryRecvError::Closed));
    assert_eq!(
        rx.low().try_recv_many(&mut low, 1),
        Err(TryRecvError::Closed)
    );
}

#[test]
fn the_end_is_told_by_every_way_to_receive() {
    let (tx, mut rx) = mailbox::<u8, u8>(1, 1);
    assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    common::start_and_cancel(rx.readable());
    drop(tx);
    assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Closed));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(rx.blocking_recv(), None);
    assert_eq!((now(rx.recv()), now(rx.readable())), (None, false));
    let mut into = Vec::new();
    assert_eq!(now(rx.recv_many(&mut into, 1)), 0);
    assert_eq!(rx.try_recv_many(&mut into, 1), Err(TryRecvError::Closed));
    assert_eq!(rx.iter().count(), 0);
}

#[test]
fn close_stops_both_classes() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(1, 1);
    tx.try_send_high(1).unwrap();
    common::start_and_cancel(tx.closed());
    rx.close();
    now(tx.closed());
    assert!(tx.is_closed() && rx.is_closed());
    assert_eq!(tx.try_send_high(2), Err(TrySendError::Closed(2)));
    assert_eq!(now(tx.send_high(2)), Err(SendError(2)));
    assert_eq!(tx.try_send_low(2), Err(TrySendError::Closed(2)));
    assert_eq!(rx.iter().collect::<Vec<_>>(), [Message::High(1)]);
}

#[test]
fn handles_of_one_mailbox_know_each_other() {
    let (tx, mut rx) = mailbox::<u8, u8>(3, 3);
    let (other, _) = mailbox::<u8, u8>(2, 2);
    assert!(tx.same_channel(&tx.clone()) && !tx.same_channel(&other));
    let weak = tx.downgrade();
    let shared = tx.shared();
    thread::scope(|scope| {
        scope.spawn(|| shared.try_send_high(1).unwrap());
        scope.spawn(|| shared.try_send_low(1).unwrap());
        scope.spawn(|| common::block_on(shared.send_high(1)).unwrap());
        scope.spawn(|| common::block_on(shared.send_low(1)).unwrap());
    });
    shared.clone().high().try_send(1).unwrap();
    shared.sender().low().try_send(1).unwrap();
    assert!(weak.clone().upgrade().is_some() && !shared.is_closed());
    assert_eq!(rx.sender_count(), 1);
    drop(shared);
    assert!(weak.upgrade().is_none());
    assert_eq!(rx.iter().count(), 6);
}

#[test]
fn stats_are_those_of_each_class() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(4, 8);
    tx.high().try_send_many(0..3).unwrap();
    tx.low().try_send_many(0..5).unwrap();
    let stats = rx.stats();
    assert_eq!((stats.high.depth, stats.low.depth), (3, 5));
    assert_eq!((stats.high.lanes_open, stats.low.lanes_open), (1, 1));
    assert_eq!(rx.try_iter().count(), 8);
    let stats = rx.stats();
    assert_eq!((stats.high.messages, stats.low.messages), (3, 5));
    assert_eq!((stats.high.high_water, stats.low.high_water), (3, 5));
}

#[cfg(feature = "stream")]
#[test]
fn a_receiver_of_a_mailbox_is_a_stream() {
    use std::task::{Context, Poll, Waker};

    use futures_core::{FusedStream, Stream};

    let (mut tx, rx) = mailbox::<u8, u8>(1, 1);
    let mut rx = std::pin::pin!(rx);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(rx.as_mut().poll_next(&mut cx).is_pending());
    tx.try_send_low(1).unwrap();
    let next = rx.as_mut().poll_next(&mut cx);
    assert_eq!(next, Poll::Ready(Some(Message::Low(1))));
    drop(tx);
    assert!(!rx.is_terminated());
    assert_eq!(rx.as_mut().poll_next(&mut cx), Poll::Ready(None));
    assert!(rx.is_terminated());
}
