//! Sends that wait: their order, and what is left of those that are cancelled.

use std::{
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
    thread,
};

use lanemesh::{Builder, TrySendError, channel};

use crate::common::{self, Wakes, block_on, now, poll};

/// Granted in the order in which they began to wait; neither newcomers nor larger reservations go out of turn.
#[test]
fn waits_get_room_in_order_and_newcomers_do_not_overtake() {
    let (tx, mut rx) = channel(2);
    let tx = tx.shared();
    tx.try_send(0).unwrap();
    tx.try_send(1).unwrap();
    let (wakes, waker): (Vec<_>, Vec<_>) = (0..3).map(|_| Wakes::new()).unzip();
    let mut first = pin!(tx.send(2));
    let mut second = pin!(tx.reserve_many(2));
    let mut third = pin!(tx.send(3));
    assert!(poll(first.as_mut(), &waker[0]).is_pending());
    assert!(poll(second.as_mut(), &waker[1]).is_pending());
    assert!(poll(third.as_mut(), &waker[2]).is_pending());
    let woken = || wakes.iter().map(|wakes| wakes.count()).collect::<Vec<_>>();
    assert_eq!(rx.try_recv(), Ok(0));
    assert_eq!(woken(), [1, 0, 0]);
    assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)));
    assert!(poll(first, &waker[0]).is_ready());
    // One slot is free, but two are waited for.
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(
        (tx.try_send(9), woken()),
        (Err(TrySendError::Full(9)), vec![1, 0, 0])
    );
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!(woken(), [1, 1, 0]);
    let Poll::Ready(Ok(permits)) = poll(second, &waker[1]) else {
        panic!("was granted room")
    };
    // What the permits do not use goes to the next.
    drop(permits);
    assert_eq!(woken(), [1, 1, 1]);
    assert!(poll(third, &waker[2]).is_ready());
    tx.try_send(4).unwrap();
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [3, 4]);
}

/// The message of a wait that was granted room and cancelled is not sent, and the next has its room.
#[test]
fn a_cancelled_wait_passes_on_the_room_it_was_granted() {
    let (tx, mut rx) = channel(1);
    let tx = tx.shared();
    tx.try_send(0).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut second = pin!(tx.send(2));
    {
        let mut first = pin!(tx.send(1));
        assert!(poll(first.as_mut(), Waker::noop()).is_pending());
        assert!(poll(second.as_mut(), &waker).is_pending());
        assert_eq!(rx.try_recv(), Ok(0));
        assert_eq!(wakes.count(), 0);
    }
    assert_eq!(wakes.count(), 1);
    assert!(poll(second, &waker).is_ready());
    assert_eq!(rx.try_recv(), Ok(2));
}

/// tokio#2637: each cancelled send pinned its task until the lane moved, and each new one looked at them all.
#[test]
fn cancelled_sends_leave_no_waker() {
    let (tx, mut rx) = channel(2);
    let tx = tx.shared();
    tx.try_send(0).unwrap();
    tx.try_send(0).unwrap();
    let (kept, kept_waker) = Wakes::new();
    let mut waits = pin!(tx.send(1));
    assert!(poll(waits.as_mut(), &kept_waker).is_pending());
    let (wakes, waker) = Wakes::new();
    for _ in 0..1000 {
        assert!(poll(pin!(tx.send(2)), &waker).is_pending());
        assert!(poll(pin!(tx.reserve()), &waker).is_pending());
        assert!(poll(pin!(tx.clone().reserve_owned()), &waker).is_pending());
    }
    assert_eq!(Arc::strong_count(&wakes), 2);
    assert_eq!(wakes.count(), 0);
    assert_eq!(rx.try_recv(), Ok(0));
    assert_eq!(kept.count(), 1);
    assert!(poll(waits, &kept_waker).is_ready());
    // Neither does one that was granted room.
    assert_eq!(Arc::strong_count(&kept), 2);
}

#[test]
fn a_completed_wait_for_the_close_leaves_no_waker() {
    let (tx, mut rx) = channel::<u8>(1);
    let tx = tx.shared();
    let (wakes, waker) = Wakes::new();
    for _ in 0..100 {
        assert!(poll(pin!(tx.closed()), &waker).is_pending());
    }
    assert_eq!(Arc::strong_count(&wakes), 2);
    let mut closed = pin!(tx.closed());
    assert!(poll(closed.as_mut(), &waker).is_pending());
    rx.close();
    assert_eq!((wakes.count(), Arc::strong_count(&wakes)), (1, 2));
    assert!(poll(closed, &waker).is_ready());
}

/// More than are woken with one hold of the lock.
#[test]
fn close_ends_all_waits() {
    let (tx, mut rx) = channel(1);
    let tx = tx.shared();
    tx.try_send(0).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut waits: Vec<_> = (0..100).map(|n| Box::pin(tx.send(n))).collect();
    for wait in &mut waits {
        assert!(poll(wait.as_mut(), &waker).is_pending());
    }
    rx.close();
    assert_eq!(wakes.count(), 100);
    for wait in &mut waits {
        assert!(poll(wait.as_mut(), &waker).is_ready());
    }
    assert_eq!((now(rx.recv()), now(rx.recv())), (Some(0), None));
}

/// Threads and tasks that wait, some of which give up: all that is sent arrives, in each one's order.
#[test]
fn many_senders_wait_and_give_up() {
    const EACH: usize = if cfg!(miri) { 20 } else { 3_000 };
    for capacity in [1, 3] {
        let (tx, mut rx) = channel(capacity);
        let tx = tx.shared();
        thread::scope(|scope| {
            for number in 0..4 {
                let tx = tx.clone();
                scope.spawn(move || {
                    for n in 0..EACH {
                        match n % 4 {
                            0 => drop(poll(pin!(tx.reserve()), Waker::noop())),
                            1 => drop(tx.try_reserve()),
                            _ => {}
                        }
                        if n % 2 == 0 {
                            tx.blocking_send((number, n)).unwrap();
                        } else {
                            block_on(tx.send((number, n))).unwrap();
                        }
                    }
                });
            }
            drop(tx);
            let mut next = [0; 4];
            while let Some((number, n)) = rx.blocking_recv() {
                assert_eq!(next[number], n);
                next[number] += 1;
            }
            assert_eq!(next, [EACH; 4]);
        });
    }
}

#[test]
fn a_future_that_is_forgotten_harms_nobody() {
    let (tx, mut rx) = channel(1);
    let tx = tx.shared();
    tx.try_send(0).unwrap();
    let other = tx.clone();
    let mut forgotten = Box::pin(async move { other.send(1).await });
    assert!(poll(forgotten.as_mut(), Waker::noop()).is_pending());
    std::mem::forget(forgotten);
    assert_eq!(rx.try_recv(), Ok(0));
    // It holds the only slot, and the sender.
    common::start_and_cancel(tx.send(2));
    drop(rx);
    assert!(now(tx.send(3)).is_err());
}

/// With one bound for all lanes, what is sent or reserved through a shared lane counts as well, and waits with all others.
#[test]
fn a_total_capacity_bounds_shared_lanes_too() {
    let (mut own, mut rx) = Builder::new(4).total_capacity(3).build();
    let tx = own.clone().shared();
    own.try_send(0).unwrap();
    tx.try_send(1).unwrap();
    assert_eq!(tx.remaining_capacity(), 1);
    let permit = tx.try_reserve().unwrap();
    assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)));
    assert!(own.try_send(9).is_err());
    assert!(tx.try_reserve_many(4).is_err() && now(tx.reserve_many(4)).is_err());
    let (wakes, waker) = Wakes::new();
    let mut waits = pin!(tx.send(2));
    assert!(poll(waits.as_mut(), &waker).is_pending());
    {
        // Holds a slot of the lane, and waits for one of all.
        let mut cancelled = pin!(tx.send(8));
        assert!(poll(cancelled.as_mut(), Waker::noop()).is_pending());
    }
    drop(permit);
    assert_eq!(wakes.count(), 1);
    assert!(poll(waits, &waker).is_ready());
    let mut got: Vec<_> = rx.try_iter().collect();
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2]);
    assert_eq!(tx.remaining_capacity(), 3);
    assert_eq!(tx.try_reserve_many(3).unwrap().count(), 3);
    for round in 0..100 {
        tx.try_send(round).unwrap();
        own.try_send(round).unwrap();
        now(tx.reserve()).unwrap().send(round).unwrap();
        assert!(tx.try_send(round).is_err());
        assert_eq!(rx.try_iter().count(), 3);
    }
    let permit = tx.try_reserve().unwrap();
    rx.close();
    assert_eq!(permit.send(1), Err(lanemesh::SendError(1)));
    assert!(now(tx.send(1)).is_err());
}
