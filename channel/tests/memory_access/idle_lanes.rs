//! Promise 6: the receiver's cost grows with the lanes that have messages, not with those that
//! exist.
//!
//! Counted, not timed: wake-ups, open lanes, and, in `allocation`, memory. Also, the idle lanes lie
//! on pages that allow no access while the receiver works, so that a single access ends the
//! process.

use std::future::poll_fn;

use lanemesh::{Builder, Receiver, Sender};

use crate::common::{self, now};

const LANES: usize = if cfg!(miri) { 200 } else { 100_000 };

/// Many lanes that have all sent and been emptied.
fn idle_lanes() -> (Vec<Sender<usize>>, Receiver<usize>) {
    let (tx, mut rx) = Builder::new(64).first_ring(1).shared_slots(0).build();
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
    // As many messages as there are lanes: visiting all lanes for each would take 10¹⁰ steps.
    for n in 0..LANES {
        let sender = &mut senders[n % 3];
        sender.try_send(n).unwrap();
        assert_eq!(now(rx.recv()), Some(n));
        common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
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
    let (tx, mut rx) = lanemesh::channel::<usize>(64);
    let senders: Vec<_> = (0..LANES).map(|_| tx.clone()).collect();
    assert_eq!((rx.stats().lanes_open, rx.sender_count()), (0, LANES + 1));
    common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
    drop(senders);
    assert_eq!((rx.stats().lanes_open, rx.sender_count()), (0, 1));
}

/// Idle lanes, some with a ring, on pages of their own; and a receiver that is awake, with nothing
/// to do.
#[cfg(all(unix, not(miri)))]
fn idle_lanes_on(pages: &crate::pages::Pages) -> (Vec<Sender<usize>>, Receiver<usize>) {
    let (tx, mut rx) = Builder::new(64).shared_slots(0).build();
    let mut senders: Vec<_> = (0..LANES).map(|_| tx.clone()).collect();
    pages.hold(|| {
        for (n, sender) in senders.iter_mut().enumerate() {
            sender.try_send(n).unwrap();
            if n % 100 == 0 {
                sender.try_send(n).unwrap();
            }
        }
    });
    assert_eq!(rx.try_iter().count(), LANES + LANES / 100);
    common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
    (senders, rx)
}

#[cfg(all(unix, not(miri)))]
#[test]
fn not_one_byte_of_an_idle_lane_is_looked_at() {
    let pages = crate::pages::Pages::new();
    let (idle, mut rx) = idle_lanes_on(&pages);
    let mut active = [idle[0].clone(), idle[1].clone(), idle[2].clone()];
    pages.closed(crate::pages::Access::Nothing, || {
        for n in 0..100 {
            for sender in &mut active {
                sender.try_send(n).unwrap();
                sender.try_send(n).unwrap();
                sender.try_send_many(0..10).unwrap();
            }
            assert_eq!((rx.len(), rx.stats().depth), (36, 36));
            assert!(now(rx.readable()));
            assert_eq!(now(rx.recv()), Some(n));
            assert!(rx.try_recv().is_ok());
            assert!(rx.recv_timeout(std::time::Duration::ZERO).is_ok());
            assert_eq!(now(rx.recv_many(&mut Vec::new(), 10)), 10);
            assert_eq!(rx.try_iter().count(), 23);
            common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
            assert_eq!((rx.is_empty(), rx.stats().lanes_open), (true, LANES + 3));
        }
        for sender in &mut active {
            sender.try_send(1).unwrap();
        }
        rx.close();
        assert_eq!(rx.iter().count(), 3);
        drop(rx);
    });
}

/// The opposite: a lane that is not idle is accessed, and that is detected.
#[cfg(all(unix, not(miri)))]
#[test]
fn a_look_at_an_idle_lane_is_noticed() {
    if !crate::pages::is_trespasser() {
        assert!(crate::pages::is_stopped(
            "idle_lanes::a_look_at_an_idle_lane_is_noticed"
        ));
        return;
    }
    let pages = crate::pages::Pages::new();
    let (mut senders, mut rx) = idle_lanes_on(&pages);
    senders[1].try_send(1).unwrap();
    pages.closed(crate::pages::Access::Nothing, || rx.try_recv().unwrap());
}
