//! Promise 6: the receiver's cost grows with the lanes that have messages, not with those that exist.
//!
//! Counted, not timed: wake-ups, lanes open, and, in `promises_allocation`, memory. A receiver that walked
//! its idle lanes would need some place in which they are kept: an idle lane is in no list of the receiver's.
#![cfg(not(loom))]

mod common;

use common::now;
use lanemesh::{Builder, Receiver, Sender, channel};

const LANES: usize = if cfg!(miri) { 200 } else { 100_000 };

/// Many lanes that have all sent and been emptied.
fn idle_lanes() -> (Vec<Sender<usize>>, Receiver<usize>) {
    let (tx, mut rx) = Builder::new(64).first_ring(1).build();
    let mut senders: Vec<_> = (0..LANES).map(|_| tx.clone()).collect();
    drop(tx);
    for (n, sender) in senders.iter_mut().enumerate() {
        sender.try_send(n).unwrap();
    }
    assert_eq!(rx.try_iter().count(), LANES);
    assert_eq!(rx.stats().lanes_open, LANES);
    (senders, rx)
}

#[test]
fn idle_lanes_are_not_looked_at() {
    let (mut senders, mut rx) = idle_lanes();
    let before = rx.stats();
    // As many messages as there are lanes: a walk over the lanes for each would be 10¹⁰ steps.
    for n in 0..LANES {
        let sender = &mut senders[n % 3];
        sender.try_send(n).unwrap();
        assert_eq!(now(rx.recv()), Some(n));
        common::start_and_cancel(rx.recv());
    }
    let after = rx.stats();
    assert_eq!(after.messages - before.messages, LANES as u64);
    assert_eq!(after.lanes_open, LANES);
    assert_eq!(after.depth, 0);
}

#[test]
fn each_active_lane_among_idle_ones_is_come_to_once_a_message() {
    let (mut senders, mut rx) = idle_lanes();
    let active: Vec<usize> = (0..LANES).step_by(LANES / 50).collect();
    for round in 0..10 {
        for &n in &active {
            senders[n].try_send(round * LANES + n).unwrap();
        }
        assert_eq!(rx.len(), active.len());
        let mut got: Vec<_> = rx.try_iter().map(|n| n % LANES).collect();
        got.sort_unstable();
        assert_eq!(got, active);
    }
}

#[test]
fn dropping_idle_lanes_leaves_none_open() {
    let (senders, mut rx) = idle_lanes();
    drop(senders);
    assert_eq!(now(rx.recv()), None);
    assert_eq!((rx.stats().lanes_open, rx.sender_count()), (0, 0));
}

#[test]
fn senders_that_never_sent_have_no_lane() {
    let (tx, mut rx) = channel::<usize>(64);
    let senders: Vec<_> = (0..LANES).map(|_| tx.clone()).collect();
    assert_eq!((rx.stats().lanes_open, rx.sender_count()), (0, LANES + 1));
    common::start_and_cancel(rx.recv());
    drop(senders);
    assert_eq!((rx.stats().lanes_open, rx.sender_count()), (0, 1));
}
