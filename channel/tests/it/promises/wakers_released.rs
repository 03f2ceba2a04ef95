//! A wait that is over, completed or cancelled, keeps no waker, and so no task, alive.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use lanemesh::{Builder, RecvTimeoutError, SendTimeoutError, channel, mailbox};

use crate::common::{Wakes, now, poll};

/// A waker, and how many clones of it are alive besides.
struct Counted(Arc<Wakes>, Waker);

impl Counted {
    fn new() -> Self {
        let (wakes, waker) = Wakes::new();
        Self(wakes, waker)
    }

    fn clones(&self) -> usize {
        Arc::strong_count(&self.0) - 2
    }
}

/// By a shared slot and by the lane.
const SLOTS: [usize; 2] = [0, 62];

#[test]
fn a_cancelled_receive_releases_its_waker() {
    for slots in SLOTS {
        let (mut tx, mut rx) = Builder::new(2).shared_slots(slots).build();
        let counted = Counted::new();
        for n in 0..3 {
            {
                let mut recv = pin!(rx.recv());
                assert!(poll(recv.as_mut(), &counted.1).is_pending());
                assert_eq!(counted.clones(), 1);
            }
            assert_eq!(counted.clones(), 0);
            assert!(poll(pin!(rx.recv_many(&mut Vec::new(), 1)), &counted.1).is_pending());
            assert!(poll(pin!(rx.readable()), &counted.1).is_pending());
            assert_eq!(counted.clones(), 0);
            tx.try_send(n).unwrap();
            assert_eq!(counted.0.count(), 0, "nobody waits");
            assert_eq!(now(rx.recv()), Some(n));
        }
    }
}

#[test]
fn a_cancelled_receive_of_a_mailbox_releases_its_waker_in_both_classes() {
    let (_tx, mut rx) = mailbox::<u8, u8>(1, 1);
    let counted = Counted::new();
    {
        let mut recv = pin!(rx.recv());
        assert!(poll(recv.as_mut(), &counted.1).is_pending());
        assert_eq!(counted.clones(), 2);
    }
    assert_eq!(counted.clones(), 0);
    assert!(poll(pin!(rx.high().recv()), &counted.1).is_pending());
    assert!(poll(pin!(rx.low().recv_many(&mut Vec::new(), 1)), &counted.1).is_pending());
    assert_eq!(counted.clones(), 0);
}

#[test]
fn a_completed_receive_releases_its_waker() {
    for slots in SLOTS {
        let (mut tx, mut rx) = Builder::new(2).shared_slots(slots).build();
        let counted = Counted::new();
        let mut recv = pin!(rx.recv());
        assert!(poll(recv.as_mut(), &counted.1).is_pending());
        tx.try_send(1).unwrap();
        assert_eq!(
            (counted.clones(), counted.0.count()),
            (0, 1),
            "it was woken"
        );
        assert_eq!(poll(recv, &counted.1), Poll::Ready(Some(1)));
        assert_eq!(counted.clones(), 0);
    }
}

/// One class has woken it, and it waited for the other as well.
#[test]
fn a_completed_receive_of_a_mailbox_releases_its_waker_in_both_classes() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(1, 1);
    let counted = Counted::new();
    {
        let mut recv = pin!(rx.recv());
        assert!(poll(recv.as_mut(), &counted.1).is_pending());
        tx.try_send_low(1).unwrap();
        assert!(poll(recv, &counted.1).is_ready());
    }
    assert_eq!(counted.clones(), 0);
}

#[test]
fn a_receive_that_found_the_end_releases_its_waker() {
    for close in [false, true] {
        let (tx, mut rx) = channel::<u8>(1);
        let counted = Counted::new();
        assert!(
            rx.poll_recv(&mut Context::from_waker(&counted.1))
                .is_pending()
        );
        if close {
            rx.close();
        } else {
            drop(tx);
        }
        assert_eq!(counted.clones(), 0);
        assert_eq!(now(rx.recv()), None);
    }
}

#[test]
fn a_dropped_receiver_releases_its_waker() {
    let (_tx, mut rx) = channel::<u8>(1);
    let counted = Counted::new();
    assert!(
        rx.poll_recv(&mut Context::from_waker(&counted.1))
            .is_pending()
    );
    drop(rx);
    assert_eq!(counted.clones(), 0);
}

#[test]
fn a_polled_receiver_keeps_the_last_waker_only() {
    let (mut tx, mut rx) = channel(1);
    let wakers: Vec<_> = (0..4).map(|_| Counted::new()).collect();
    for counted in &wakers {
        for _ in 0..2 {
            assert!(
                rx.poll_recv(&mut Context::from_waker(&counted.1))
                    .is_pending()
            );
        }
    }
    let clones = || wakers.iter().map(Counted::clones).collect::<Vec<_>>();
    assert_eq!(clones(), [0, 0, 0, 1]);
    tx.try_send(1).unwrap();
    assert_eq!(clones(), [0, 0, 0, 0]);
}

#[test]
fn a_cancelled_send_releases_its_waker() {
    for slots in SLOTS {
        let (mut tx, mut rx) = Builder::new(1).shared_slots(slots).build();
        tx.try_send(0).unwrap();
        let counted = Counted::new();
        for _ in 0..3 {
            {
                let mut send = pin!(tx.send(1));
                assert!(poll(send.as_mut(), &counted.1).is_pending());
                assert_eq!(counted.clones(), 1);
            }
            assert_eq!(counted.clones(), 0);
            assert!(poll(pin!(tx.reserve()), &counted.1).is_pending());
            assert!(poll(pin!(tx.feed(1)), &counted.1).is_pending());
            assert!(poll(pin!(tx.send_many([1])), &counted.1).is_pending());
            assert!(poll(pin!(tx.send_vec(&mut vec![1])), &counted.1).is_pending());
            assert_eq!(counted.clones(), 0);
        }
        rx.try_iter().for_each(drop);
        assert_eq!(counted.0.count(), 0, "nobody waits");
    }
}

#[test]
fn a_completed_send_releases_its_waker() {
    for slots in SLOTS {
        let (mut tx, mut rx) = Builder::new(1).shared_slots(slots).build();
        tx.try_send(0).unwrap();
        let counted = Counted::new();
        {
            let mut send = pin!(tx.send(1));
            assert!(poll(send.as_mut(), &counted.1).is_pending());
            assert_eq!(rx.try_iter().count(), 1);
            assert_eq!(
                (counted.clones(), counted.0.count()),
                (0, 1),
                "it was woken"
            );
            assert!(poll(send, &counted.1).is_ready());
        }
        assert_eq!(counted.clones(), 0);
    }
}

/// A poll that is not repeated: the waker stays until there is room, or the sender is dropped.
#[test]
fn a_polled_reservation_releases_its_waker_when_it_is_woken_or_ready_or_dropped() {
    for end in 0..3 {
        let (mut tx, mut rx) = channel(2);
        tx.try_send_many([0, 1]).unwrap();
        let counted = Counted::new();
        let cx = &mut Context::from_waker(&counted.1);
        assert!(tx.poll_reserve(cx).is_pending());
        assert_eq!(counted.clones(), 1);
        match end {
            0 => rx.try_iter().for_each(drop),
            1 => {
                rx.try_recv().unwrap();
                assert!(tx.poll_reserve(cx).is_ready());
            }
            _ => drop(tx),
        }
        assert_eq!(counted.clones(), 0, "{end}");
    }
}

#[test]
fn a_send_that_found_the_channel_closed_releases_its_waker() {
    let (mut tx, mut rx) = channel(1);
    tx.try_send(0).unwrap();
    let counted = Counted::new();
    let mut send = pin!(tx.send(1));
    assert!(poll(send.as_mut(), &counted.1).is_pending());
    rx.close();
    assert_eq!((counted.clones(), counted.0.count()), (0, 1));
    assert!(poll(send, &counted.1).is_ready());
}

#[test]
fn a_cancelled_wait_for_the_close_releases_its_waker() {
    let (tx, _rx) = channel::<u8>(1);
    let counted = Counted::new();
    assert!(poll(pin!(tx.closed()), &counted.1).is_pending());
    assert!(poll(pin!(tx.downgrade().closed()), &counted.1).is_pending());
    assert_eq!(counted.clones(), 0);
}

/// A thread's waker is its own, but what it names may be a thread that has ended.
#[test]
fn a_blocking_call_that_timed_out_wakes_nobody_later() {
    let (mut tx, mut rx) = channel(1);
    let short = Duration::from_millis(1);
    assert_eq!(rx.recv_timeout(short), Err(RecvTimeoutError::Timeout));
    tx.try_send(1).unwrap();
    assert_eq!(tx.send_timeout(2, short), Err(SendTimeoutError::Timeout(2)));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.stats().wakeups, 0, "the receiver was awake");
}

/// `select` drops the futures that lost: the next round of it waits as the first.
#[test]
fn a_cancelled_wait_does_not_keep_the_next_from_being_woken() {
    let (mut tx, mut rx) = channel(1);
    for n in 0..10 {
        for _ in 0..3 {
            assert!(poll(pin!(rx.recv()), Waker::noop()).is_pending());
        }
        let counted = Counted::new();
        {
            let mut recv = pin!(poll_fn(|cx| rx.poll_recv(cx)));
            assert!(poll(recv.as_mut(), &counted.1).is_pending());
            tx.try_send(n).unwrap();
            assert_eq!(counted.0.count(), 1);
            assert_eq!(poll(recv, &counted.1), Poll::Ready(Some(n)));
        }
        assert_eq!(counted.clones(), 0);
    }
}
