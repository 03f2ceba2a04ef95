//! Sequences found by fuzzing, reduced.

use std::{pin::pin, task::Waker, time::Instant};

use lanemesh::{Builder, RecvTimeoutError, Select, TrySendError, channel};

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

/// A close that woke a sender let that run first, and the receiver's time was over.
#[test]
fn a_wait_whose_time_is_over_says_that_the_channel_is_closed() {
    for select in [false, true] {
        let (mut tx, mut rx) = Builder::new(1).total_capacity(1).build();
        let mut reserve = pin!(tx.clone().reserve_owned());
        tx.try_send(1).unwrap();
        assert!(common::poll(reserve.as_mut(), Waker::noop()).is_pending());
        assert_eq!(rx.recv_deadline(Instant::now()), Ok(1));
        rx.close();
        if select {
            let ready = Select::new().recv(&mut rx).ready_deadline(Instant::now());
            assert_eq!(ready, Some(0));
        }
        let received = rx.recv_deadline(Instant::now());
        assert_eq!(received, Err(RecvTimeoutError::Closed));
    }
}

/// A closed channel said that it was full when more room was asked for than it has: whoever tries again would do so for
/// ever.
#[test]
fn a_closed_channel_refuses_more_than_its_capacity_as_closed() {
    for builder in [Builder::new(2), Builder::new(1).total_capacity(2)] {
        let (tx, mut rx) = builder.build::<u8>();
        let tx = tx.shared();
        assert!(tx.try_reserve_many(3).unwrap_err().is_full());
        rx.close();
        assert!(tx.try_reserve_many(3).unwrap_err().is_closed());
        assert!(tx.try_reserve_many(2).unwrap_err().is_closed());
    }
}
