//! A timeout of zero is one look; that a nearby deadline is kept on a busy machine is shown in `sync/park.rs`.

use std::time::Duration;

use lanemesh::{Message, RecvTimeoutError, SendTimeoutError, channel, mailbox};

const ZERO: Duration = Duration::ZERO;

#[test]
fn a_receive_with_a_timeout_of_zero_looks_once() {
    let (mut tx, mut rx) = channel(2);
    assert_eq!(rx.recv_timeout(ZERO), Err(RecvTimeoutError::Timeout));
    tx.try_send(1).unwrap();
    assert_eq!(rx.stats().wakeups, 0, "it did not go to sleep");
    assert_eq!(rx.recv_timeout(ZERO), Ok(1));
    tx.try_send(2).unwrap();
    drop(tx);
    assert_eq!(rx.recv_timeout(ZERO), Ok(2));
    assert_eq!(rx.recv_timeout(ZERO), Err(RecvTimeoutError::Closed));
}

#[test]
fn a_receive_of_a_mailbox_with_a_timeout_of_zero_looks_once() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(1, 1);
    assert_eq!(rx.recv_timeout(ZERO), Err(RecvTimeoutError::Timeout));
    tx.try_send_low(1).unwrap();
    assert_eq!(rx.recv_timeout(ZERO), Ok(Message::Low(1)));
    drop(tx);
    assert_eq!(rx.recv_timeout(ZERO), Err(RecvTimeoutError::Closed));
}

#[test]
fn a_send_with_a_timeout_of_zero_looks_once() {
    let (mut tx, mut rx) = channel(1);
    assert_eq!(tx.send_timeout(1, ZERO), Ok(()));
    assert_eq!(tx.send_timeout(2, ZERO), Err(SendTimeoutError::Timeout(2)));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(tx.send_timeout(3, ZERO), Ok(()));
    rx.close();
    assert_eq!(tx.send_timeout(4, ZERO), Err(SendTimeoutError::Closed(4)));
}
