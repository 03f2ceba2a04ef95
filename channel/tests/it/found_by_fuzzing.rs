//! Sequences found by fuzzing, reduced.

use lanemesh::{TrySendError, channel};

use crate::common::{self, now};

#[test]
fn readable_leaves_the_message_that_woke_in_its_senders_count() {
    let (mut tx, mut rx) = channel(2);
    common::start_and_cancel(rx.recv());
    tx.try_send(1).unwrap();
    assert!(now(rx.readable()));
    assert_eq!(tx.len(), 1);
    tx.try_send(2).unwrap();
    assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
}
