//! Permits for several messages, and permits that own their sender, with either kind of bound.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Poll, Waker},
    thread,
};

use lanemesh::{Builder, Receiver, SendError, Sender, TrySendError, channel, mailbox};

use crate::common::{self, Wakes, now, poll};

/// A channel in which one sender has room for `capacity` messages, by its lane or by a total.
fn channels(capacity: usize) -> [(Sender<usize>, Receiver<usize>); 3] {
    [
        channel(capacity),
        Builder::new(capacity).shared_slots(0).build(),
        Builder::new(1).total_capacity(capacity).build(),
    ]
}

#[test]
fn permits_are_as_many_as_were_reserved() {
    for (mut tx, mut rx) in channels(4) {
        let mut permits = now(tx.reserve_many(3)).unwrap();
        assert_eq!((permits.len(), permits.is_empty()), (3, false));
        for n in 0..3 {
            permits.next_permit().unwrap().send(n).unwrap();
        }
        assert!(permits.next_permit().is_none() && permits.is_empty());
        drop(permits);
        assert!(tx.try_reserve_many(2).is_err_and(|error| error.is_full()));
        let permits = tx.try_reserve_many(1).unwrap();
        assert_eq!(permits.send_many(3..100), Ok(1));
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(rx.try_recv().is_err());
        assert_eq!(tx.remaining_capacity(), 4);
    }
}

#[test]
fn permits_that_are_not_used_are_released() {
    for (mut tx, mut rx) in channels(4) {
        let mut permits = tx.try_reserve_many(4).unwrap();
        permits.next_permit().unwrap().send(1).unwrap();
        drop(permits.next_permit().unwrap());
        assert_eq!(permits.len(), 2);
        drop(permits);
        assert_eq!(tx.remaining_capacity(), 3);
        assert_eq!(tx.try_reserve_many(3).unwrap().send_many([2]), Ok(1));
        assert_eq!(tx.remaining_capacity(), 2);
        drop(now(tx.reserve_many(0)).unwrap());
        assert!(tx.try_reserve_many(0).unwrap().next_permit().is_none());
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
    }
}

#[test]
fn permits_hold_slots_that_others_cannot_borrow() {
    let (mut tx, mut rx) = Builder::new(1).total_capacity(4).build();
    let mut other = tx.clone();
    let mut permits = tx.try_reserve_many(3).unwrap();
    other.try_send(0).unwrap();
    assert_eq!(other.try_send(9), Err(TrySendError::Full(9)));
    drop(permits.next_permit());
    other.try_send(1).unwrap();
    assert!(other.try_send(9).is_err());
    assert_eq!(permits.send_many([2, 3, 4]), Ok(2));
    assert_eq!(rx.try_iter().count(), 4);
    assert!(rx.try_recv().is_err());
    assert_eq!(other.remaining_capacity(), 4);
}

#[test]
fn more_permits_than_there_is_capacity_for_are_refused() {
    for (mut tx, _rx) in channels(4) {
        assert!(tx.try_reserve_many(5).is_err_and(|error| error.is_full()));
        let panicked = catch_unwind(AssertUnwindSafe(|| drop(now(tx.reserve_many(5)))));
        let message = *panicked.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("room for 5 messages"), "{message}");
        assert_eq!(tx.remaining_capacity(), 4);
    }
}

#[test]
fn a_wait_for_several_is_woken_once_all_are_received() {
    for (mut tx, mut rx) in channels(4) {
        for n in 0..3 {
            tx.try_send(n).unwrap();
        }
        let (wakes, waker) = Wakes::new();
        let mut future = pin!(tx.reserve_many(4));
        assert!(poll(future.as_mut(), &waker).is_pending());
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert!(rx.try_recv().is_err());
        assert!(wakes.count() > 0);
        let mut woken = wakes.count();
        let permits = loop {
            match poll(future.as_mut(), &waker) {
                Poll::Ready(permits) => break permits.unwrap(),
                Poll::Pending => {
                    assert!(rx.try_recv().is_err());
                    assert!(wakes.count() > woken, "it is woken again");
                    woken = wakes.count();
                }
            }
        };
        assert_eq!(permits.send_many(3..7), Ok(4));
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
    }
}

#[test]
fn a_cancelled_wait_for_several_leaves_no_slot_behind() {
    for (mut tx, mut rx) in channels(4) {
        tx.try_send(0).unwrap();
        common::start_and_cancel(tx.reserve_many(4));
        assert_eq!(tx.remaining_capacity(), 3);
        let mut future = Box::pin(tx.reserve_many(4));
        assert!(poll(future.as_mut(), Waker::noop()).is_pending());
        assert_eq!(rx.try_recv(), Ok(0));
        assert!(rx.try_recv().is_err());
        // With a total capacity, it has been granted its slots by now.
        drop(future);
        assert_eq!(tx.remaining_capacity(), 4);
        assert_eq!(tx.try_send_many(0..9), Ok(4));
    }
}

#[test]
fn senders_that_reserve_several_do_not_wait_for_each_other() {
    let (mut tx, mut rx) = Builder::new(1).total_capacity(2).build();
    let mut other = tx.clone();
    // Each holds one slot of the two that both want.
    assert!(now(std::future::poll_fn(|cx| tx.poll_reserve(cx))).is_ok());
    assert!(now(std::future::poll_fn(|cx| other.poll_reserve(cx))).is_ok());
    let mut first = Box::pin(tx.reserve_many(2));
    let mut second = Box::pin(other.reserve_many(2));
    assert!(poll(first.as_mut(), Waker::noop()).is_pending());
    assert!(poll(second.as_mut(), Waker::noop()).is_pending());
    let Poll::Ready(permits) = poll(first.as_mut(), Waker::noop()) else {
        panic!("the second gave back what it held");
    };
    assert_eq!(permits.unwrap().send_many([1, 2]), Ok(2));
    assert!(poll(second.as_mut(), Waker::noop()).is_pending());
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
    assert!(rx.try_recv().is_err());
    let Poll::Ready(permits) = poll(second.as_mut(), Waker::noop()) else {
        panic!("all slots are free");
    };
    drop(permits);
}

#[test]
fn threads_reserve_several_and_all_messages_arrive() {
    const EACH: usize = if cfg!(miri) { 12 } else { 3000 };
    for (tx, mut rx) in channels(5) {
        thread::scope(|scope| {
            for size in 1..=3 {
                let mut tx = tx.clone();
                scope.spawn(move || {
                    common::block_on(async {
                        for n in (0..EACH).step_by(size) {
                            let permits = tx.reserve_many(size).await.unwrap();
                            assert_eq!(permits.send_many(n..n + size), Ok(size));
                        }
                    });
                });
            }
            drop(tx);
            assert_eq!(rx.iter().count(), 3 * EACH);
        });
    }
}

#[test]
fn a_close_ends_a_wait_for_several() {
    for (mut tx, mut rx) in channels(2) {
        tx.try_send(0).unwrap();
        let (wakes, waker) = Wakes::new();
        let mut future = pin!(tx.reserve_many(2));
        assert!(poll(future.as_mut(), &waker).is_pending());
        rx.close();
        assert!(wakes.count() > 0);
        let Poll::Ready(closed) = poll(future.as_mut(), &waker) else {
            panic!("the wait has ended");
        };
        assert!(closed.is_err());
        assert_eq!(now(rx.recv()), Some(0));
    }
}

#[test]
fn a_permit_owns_its_sender_and_returns_it() {
    for (tx, mut rx) in channels(1) {
        let tx = now(tx.reserve_owned()).unwrap().send(1).unwrap();
        let error = tx.try_reserve_owned().unwrap_err();
        assert!(error.is_full());
        let tx = error.into_inner();
        assert_eq!(rx.try_recv(), Ok(1));
        assert!(rx.try_recv().is_err());
        let mut tx = tx.try_reserve_owned().unwrap().release();
        assert_eq!(tx.remaining_capacity(), 1);
        tx.try_send(2).unwrap();
        assert_eq!(rx.try_recv(), Ok(2));
        assert!(rx.try_recv().is_err());
        // A permit that is dropped drops its sender.
        drop(now(tx.reserve_owned()).unwrap());
        assert_eq!(now(rx.recv()), None);
    }
}

#[test]
fn an_owned_permit_of_a_closed_channel_is_refused() {
    for (tx, mut rx) in channels(1) {
        let permit = now(tx.clone().reserve_owned()).unwrap();
        rx.close();
        assert_eq!(permit.send(1).unwrap_err(), SendError(1));
        let error = tx.clone().try_reserve_owned().unwrap_err();
        assert!(error.is_closed());
        assert!(now(tx.reserve_owned()).is_err());
    }
}

#[test]
fn each_class_of_a_mailbox_reserves_several() {
    let (mut tx, mut rx) = mailbox::<u8, u8>(2, 3);
    assert_eq!(
        tx.high().try_reserve_many(2).unwrap().send_many([1, 2]),
        Ok(2)
    );
    let mut permits = now(tx.low().reserve_many(3)).unwrap();
    permits.next_permit().unwrap().send(3).unwrap();
    drop(permits);
    assert_eq!(rx.high().try_iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(rx.low().try_iter().collect::<Vec<_>>(), [3]);
}
