//! Every method of the receiver, one by one.

use std::{
    future::poll_fn,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use lanemesh::{Builder, RecvTimeoutError, TryRecvError, channel};

use crate::common::{self, Wakes, now};

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn try_recv_tells_empty_from_closed() {
    let (mut tx, mut rx) = channel(2);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    tx.try_send(1).unwrap();
    drop(tx);
    assert!(rx.is_closed());
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(now(rx.recv()), None);
    assert_eq!(rx.blocking_recv(), None);
}

#[test]
fn recv_after_close_gives_what_was_accepted_then_none() {
    let (mut tx, mut rx) = channel(2);
    tx.try_send(1).unwrap();
    rx.close();
    assert!(tx.try_send(2).is_err());
    assert_eq!(now(rx.recv()), Some(1));
    assert_eq!(now(rx.recv()), None);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn recv_timeout_tells_timeout_from_closed() {
    let (mut tx, mut rx) = channel(2);
    assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
    assert_eq!(
        rx.recv_timeout(Duration::ZERO),
        Err(RecvTimeoutError::Timeout)
    );
    tx.try_send(1).unwrap();
    assert_eq!(rx.recv_timeout(Duration::ZERO), Ok(1));
    thread::scope(|scope| {
        scope.spawn(move || tx.try_send(2).unwrap());
        assert_eq!(rx.recv_timeout(LONG), Ok(2));
    });
    assert_eq!(
        rx.recv_timeout(Duration::MAX),
        Err(RecvTimeoutError::Closed)
    );
}

#[test]
fn recv_many_appends_up_to_its_limit() {
    let (mut tx, mut rx) = Builder::new(10).first_ring(1).burst(3).build();
    tx.try_send_many(1..=7).unwrap();
    let mut got = vec![0];
    assert_eq!(now(rx.recv_many(&mut got, 0)), 0);
    assert_eq!(rx.try_recv_many(&mut got, 0), Ok(0));
    assert_eq!(now(rx.recv_many(&mut got, 4)), 4);
    assert_eq!(rx.try_recv_many(&mut got, usize::MAX), Ok(3));
    assert_eq!(got, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(rx.try_recv_many(&mut got, 1), Err(TryRecvError::Empty));
    rx.close();
    assert_eq!(rx.try_recv_many(&mut got, 1), Err(TryRecvError::Closed));
    assert_eq!(now(rx.recv_many(&mut got, 1)), 0);
}

#[test]
fn readable_takes_nothing() {
    let (mut tx, mut rx) = channel(2);
    common::start_and_cancel(rx.readable());
    for n in 0..3 {
        // By a shared slot, by slot and by ring.
        tx.try_send(n).unwrap();
        assert!(now(rx.readable()));
        assert!(now(rx.readable()));
        assert_eq!(rx.len(), 1);
        assert_eq!(rx.try_recv(), Ok(n));
    }
    drop(tx);
    assert!(!now(rx.readable()));
}

#[test]
fn len_counts_messages_wherever_they_are() {
    let (tx, mut rx) = Builder::new(8).first_ring(1).burst(2).build();
    let mut senders: Vec<_> = (0..3).map(|_| tx.clone()).collect();
    common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
    for sender in &mut senders {
        for n in 0..5 {
            sender.try_send(n).unwrap();
        }
    }
    for left in (0..15).rev() {
        assert_eq!(rx.len(), left + 1);
        rx.try_recv().unwrap();
    }
    assert!(rx.is_empty());
}

#[test]
fn iterators_end_as_they_say() {
    let (mut tx, mut rx) = channel(8);
    tx.try_send_many(0..4).unwrap();
    assert_eq!(rx.iter().next(), Some(0));
    assert_eq!(rx.try_iter().take(1).collect::<Vec<_>>(), [1]);
    assert_eq!((&mut rx).into_iter().next(), Some(2));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [3]);
    tx.try_send_many(4..6).unwrap();
    drop(tx);
    assert_eq!(rx.into_iter().collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn each_lane_has_its_turn() {
    let (tx, mut rx) = Builder::new(10).burst(2).build();
    for who in 0..3 {
        let mut tx = tx.clone();
        tx.try_send_many((0..6).map(|n| (who, n))).unwrap();
    }
    let got: Vec<_> = rx.try_iter().map(|(who, _)| who).collect();
    assert_eq!(got.len(), 18);
    for turn in got.chunks(6) {
        let mut who: Vec<_> = turn.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        who.sort_unstable();
        assert_eq!(who, [(0, 0), (1, 1), (2, 2)]);
    }
}

#[test]
fn stats_are_counted() {
    let (mut tx, mut rx) = channel(8);
    let other = tx.clone();
    assert_eq!(rx.sender_count(), 2);
    tx.try_send_many(0..5).unwrap();
    let stats = rx.stats();
    assert_eq!((stats.senders, stats.lanes_open, stats.depth), (2, 1, 5));
    assert_eq!((stats.messages, stats.wakeups, stats.dropped), (0, 0, 0));
    assert_eq!(rx.try_iter().count(), 5);
    let stats = rx.stats();
    assert_eq!((stats.messages, stats.high_water, stats.depth), (5, 5, 0));
    for woken in 1..4 {
        let (wakes, waker) = Wakes::new();
        assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        tx.try_send(1).unwrap();
        assert_eq!(wakes.count(), 1);
        assert!(
            rx.poll_recv(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        );
        assert_eq!(rx.stats().wakeups, woken);
    }
    drop((tx, other));
    assert_eq!(now(rx.recv()), None);
    assert_eq!((rx.stats().senders, rx.stats().lanes_open), (0, 0));
}

#[cfg(feature = "stream")]
#[test]
fn a_receiver_is_a_stream() {
    use futures_core::{FusedStream, Stream};

    let (mut tx, rx) = channel(2);
    let mut rx = std::pin::pin!(rx);
    let mut cx = std::task::Context::from_waker(Waker::noop());
    assert!(rx.as_mut().poll_next(&mut cx).is_pending());
    tx.try_send(1).unwrap();
    assert_eq!(
        rx.as_mut().poll_next(&mut cx),
        std::task::Poll::Ready(Some(1))
    );
    drop(tx);
    assert!(!rx.is_terminated());
    assert_eq!(rx.as_mut().poll_next(&mut cx), std::task::Poll::Ready(None));
    assert!(rx.is_terminated());
}
