//! What a thread receives and sends with: deadlines, batches, iterators, one class alone.

use std::{
    thread,
    time::{Duration, Instant},
};

use lanemesh::{Message, RecvTimeoutError, SendTimeoutError, channel, mailbox};

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_deadline_that_has_passed_is_one_look() {
    let past = Instant::now();
    let (mut tx, mut rx) = channel(1);
    assert_eq!(rx.recv_deadline(past), Err(RecvTimeoutError::Timeout));
    assert_eq!(tx.send_deadline(1, past), Ok(()));
    assert_eq!(tx.send_deadline(2, past), Err(SendTimeoutError::Timeout(2)));
    assert_eq!(rx.recv_deadline(past), Ok(1));
    rx.close();
    assert_eq!(tx.send_deadline(2, past), Err(SendTimeoutError::Closed(2)));
    assert_eq!(rx.recv_deadline(past), Err(RecvTimeoutError::Closed));
}

#[test]
fn deadlines_of_a_mailbox_and_its_classes() {
    let past = Instant::now();
    let (mut tx, mut rx) = mailbox::<u8, u8>(1, 1);
    assert_eq!(rx.recv_deadline(past), Err(RecvTimeoutError::Timeout));
    assert_eq!(
        rx.high().recv_deadline(past),
        Err(RecvTimeoutError::Timeout)
    );
    assert_eq!(tx.high().send_deadline(1, past), Ok(()));
    assert_eq!(tx.low().send_deadline(1, past), Ok(()));
    assert_eq!(
        tx.low().send_deadline(2, past),
        Err(SendTimeoutError::Timeout(2))
    );
    assert_eq!(rx.low().recv_deadline(past), Ok(1));
    assert_eq!(rx.recv_deadline(past), Ok(Message::High(1)));
    drop(tx);
    assert_eq!(rx.recv_deadline(past), Err(RecvTimeoutError::Closed));
    assert_eq!(rx.low().recv_deadline(past), Err(RecvTimeoutError::Closed));
}

#[test]
fn a_thread_with_a_distant_deadline_is_woken() {
    let (mut tx, mut rx) = channel(1);
    let deadline = Instant::now() + LONG;
    tx.try_send(1).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            tx.send_deadline(2, deadline).unwrap();
            tx.send_deadline(3, deadline).unwrap();
        });
        for n in 1..=3 {
            assert_eq!(rx.recv_deadline(deadline), Ok(n));
        }
        assert_eq!(rx.recv_deadline(deadline), Err(RecvTimeoutError::Closed));
    });
}

#[test]
fn a_blocking_batch_waits_for_its_first_message() {
    let (mut tx, mut rx) = channel(4);
    let mut batch = Vec::new();
    assert_eq!(rx.blocking_recv_many(&mut batch, 0), 0);
    thread::scope(|scope| {
        scope.spawn(move || (0..100).try_for_each(|n| tx.blocking_send(n)).unwrap());
        loop {
            let before = batch.len();
            let count = rx.blocking_recv_many(&mut batch, 3);
            assert!(count <= 3);
            assert_eq!(batch.len(), before + count);
            if count == 0 {
                break;
            }
        }
    });
    assert_eq!(batch, (0..100).collect::<Vec<_>>());
}

#[test]
fn a_blocking_batch_of_a_mailbox_has_high_first() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(4, 4);
    let mut batch = Vec::new();
    assert_eq!(rx.blocking_recv_many(&mut batch, 0), 0);
    tx.low().try_send_many(0..3).unwrap();
    tx.high().try_send_many(0..2).unwrap();
    assert_eq!(rx.blocking_recv_many(&mut batch, 3), 3);
    let expected = [Message::High(0), Message::High(1), Message::Low(0)];
    assert_eq!(batch, expected);
    thread::scope(|scope| {
        scope.spawn(move || tx.blocking_send_high(2).unwrap());
        let mut left = Vec::new();
        while rx.blocking_recv_many(&mut left, 8) > 0 {}
        assert!(left.contains(&Message::High(2)));
        assert_eq!(left.len(), 3);
    });
}

#[test]
fn a_thread_receives_from_one_class_alone() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(4, 4);
    tx.try_send_high(9).unwrap();
    let timeout = rx.low().recv_timeout(SHORT);
    assert_eq!(timeout, Err(RecvTimeoutError::Timeout));
    let timeout = rx.low().recv_timeout(Duration::ZERO);
    assert_eq!(timeout, Err(RecvTimeoutError::Timeout));
    thread::scope(|scope| {
        scope.spawn(move || (0..50).try_for_each(|n| tx.low().blocking_send(n)).unwrap());
        assert_eq!(rx.low().blocking_recv(), Some(0));
        assert_eq!(rx.low().recv_timeout(LONG), Ok(1));
        assert_eq!(rx.low().recv_timeout(Duration::MAX), Ok(2));
        let mut batch = Vec::new();
        assert_eq!(rx.low().blocking_recv_many(&mut batch, 0), 0);
        while rx.low().blocking_recv_many(&mut batch, 2) > 0 {}
        assert_eq!(batch, (3..50).collect::<Vec<_>>());
    });
    assert_eq!(rx.low().blocking_recv(), None);
    assert_eq!(rx.low().recv_timeout(SHORT), Err(RecvTimeoutError::Closed));
    assert_eq!(rx.high().blocking_recv(), Some(9));
    assert_eq!(rx.high().blocking_recv(), None);
}

#[test]
fn iterators_of_a_mailbox_end_as_they_say() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(8, 8);
    tx.low().try_send_many(0..4).unwrap();
    tx.try_send_high(0).unwrap();
    assert_eq!(rx.iter().next(), Some(Message::High(0)));
    assert_eq!(rx.low().iter().next(), Some(0));
    assert_eq!(rx.low().try_iter().take(1).collect::<Vec<_>>(), [1]);
    assert_eq!((&mut rx).into_iter().next(), Some(Message::Low(2)));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [Message::Low(3)]);
    assert_eq!(rx.high().try_iter().next(), None);
    tx.high().try_send_many(1..4).unwrap();
    tx.low().try_send_many(4..6).unwrap();
    drop(tx);
    assert_eq!(rx.high().into_iter().take(2).collect::<Vec<_>>(), [1, 2]);
    let rest: Vec<_> = rx.into_iter().collect();
    assert_eq!(rest, [Message::High(3), Message::Low(4), Message::Low(5)]);
}
