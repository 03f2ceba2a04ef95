//! Promise 4: no wake-up is lost, whoever waits and whatever happens meanwhile; here, of those who
//! send, or wait for the close.
//!
//! Wakers count. A waiter that got `Pending` is woken by the event that it waits for. Spurious
//! wake-ups are allowed, except where a test rules them out.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Barrier, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread,
};

use lanemesh::{Builder, SendError, TrySendError, channel, mailbox};

use crate::common::{self, Wakes, block_on, now, poll};

const ROUNDS: usize = if cfg!(miri) { 20 } else { 10_000 };

// A sender that waits for room.

#[test]
fn send_is_woken_when_half_of_the_lane_is_free() {
    let (mut tx, mut rx) = channel(4);
    tx.try_send_many(0..4).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut send = pin!(tx.send(4));
    assert!(poll(send.as_mut(), &waker).is_pending());
    rx.try_recv().unwrap();
    rx.try_recv().unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(send, &waker), Poll::Ready(Ok(())));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [2, 3, 4]);
}

/// None of the messages in shared slots is one for which the receiver checks whether somebody waits.
#[test]
fn a_wait_for_the_whole_capacity_is_woken_when_few_messages_are_in_shared_slots() {
    for messages in 1..4 {
        let (mut tx, mut rx) = channel(8);
        for n in 0..messages {
            tx.try_send(n).unwrap();
        }
        let (wakes, waker) = Wakes::new();
        let mut reserve = pin!(tx.reserve_many(8));
        assert!(poll(reserve.as_mut(), &waker).is_pending());
        // A receiver that never sleeps lingers over the lane.
        assert_eq!(rx.try_iter().count(), messages);
        assert_eq!(wakes.count(), 1);
        assert!(poll(reserve, &waker).is_ready());
    }
}

#[test]
fn send_is_woken_when_the_lane_has_run_dry() {
    for capacity in 1..10 {
        let (mut tx, mut rx) = channel(capacity);
        tx.try_send_many(0..capacity).unwrap();
        let (wakes, waker) = Wakes::new();
        let mut send = pin!(tx.send(capacity));
        assert!(poll(send.as_mut(), &waker).is_pending());
        assert_eq!(rx.try_iter().count(), capacity);
        assert!(wakes.count() >= 1);
        assert_eq!(poll(send, &waker), Poll::Ready(Ok(())));
    }
}

#[test]
fn send_is_woken_whatever_the_message_that_filled_the_lane_rode_on() {
    // The first message takes the slot of the one that wakes the receiver.
    for capacity in 1..5 {
        let (mut tx, mut rx) = channel(capacity);
        common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        for n in 0..capacity {
            tx.try_send(n).unwrap();
        }
        let (wakes, waker) = Wakes::new();
        let mut send = pin!(tx.send(capacity));
        assert!(poll(send.as_mut(), &waker).is_pending(), "{capacity}");
        assert_eq!(rx.try_iter().count(), capacity);
        assert!(wakes.count() >= 1);
        assert_eq!(poll(send, &waker), Poll::Ready(Ok(())));
    }
}

#[test]
fn send_is_woken_by_recv_many_and_by_readers_of_one_class() {
    let (mut tx, mut rx) = mailbox::<u32, u32>(2, 2);
    let (wakes, waker) = Wakes::new();
    for many in [true, false] {
        tx.low().try_send_many([1, 2]).unwrap();
        let before = wakes.count();
        let mut send = pin!(tx.send_low(3));
        assert!(poll(send.as_mut(), &waker).is_pending());
        if many {
            assert_eq!(rx.low().try_recv_many(&mut Vec::new(), 2), Ok(2));
        } else {
            assert_eq!(rx.try_recv_many(&mut Vec::new(), 2), Ok(2));
        }
        assert!(wakes.count() > before);
        assert!(poll(send, &waker).is_ready());
        rx.try_iter().for_each(drop);
    }
}

#[test]
fn send_is_woken_by_close_and_by_the_receivers_drop() {
    for close in [true, false] {
        let (mut tx, mut rx) = channel(2);
        tx.try_send_many([1, 2]).unwrap();
        let (wakes, waker) = Wakes::new();
        let mut send = pin!(tx.send(3));
        assert!(poll(send.as_mut(), &waker).is_pending());
        if close {
            rx.close();
            assert_eq!(wakes.count(), 1);
        } else {
            drop(rx);
            assert!(wakes.count() >= 1);
        }
        assert_eq!(poll(send, &waker), Poll::Ready(Err(SendError(3))));
    }
}

#[test]
fn send_is_woken_by_close_wherever_its_lane_is() {
    // On the list, in the round, being emptied, or back in the queue for the next round.
    for received in 0..7 {
        let (tx, mut rx) = Builder::new(2).burst(1).build();
        let mut senders: Vec<_> = (0..4).map(|_| tx.clone()).collect();
        for sender in &mut senders {
            sender.try_send_many([1, 2]).unwrap();
        }
        for _ in 0..received {
            rx.try_recv().unwrap();
        }
        let (wakes, waker) = Wakes::new();
        let mut waiting = 0;
        for sender in &mut senders {
            while sender.try_send(3).is_ok() {}
            assert!(
                sender
                    .poll_reserve(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            waiting += 1;
        }
        rx.close();
        assert_eq!(wakes.count(), waiting, "after {received}");
    }
}

#[test]
fn send_wakes_the_waker_of_the_last_poll() {
    let (mut tx, mut rx) = channel(2);
    tx.try_send_many([1, 2]).unwrap();
    let (first, first_waker) = Wakes::new();
    let (second, second_waker) = Wakes::new();
    let mut send = pin!(tx.send(3));
    assert!(poll(send.as_mut(), &first_waker).is_pending());
    assert!(poll(send.as_mut(), &second_waker).is_pending());
    rx.try_iter().for_each(drop);
    assert_eq!((first.count(), second.count()), (0, 1));
    assert!(poll(send, &second_waker).is_ready());
}

#[test]
fn send_survives_spurious_polls() {
    let (mut tx, mut rx) = channel(2);
    tx.try_send_many([1, 2]).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut send = pin!(tx.send(3));
    for _ in 0..10 {
        assert!(poll(send.as_mut(), &waker).is_pending());
    }
    assert_eq!(wakes.count(), 0);
    rx.try_iter().for_each(drop);
    assert!(wakes.count() >= 1);
    assert!(poll(send, &waker).is_ready());
}

#[test]
fn send_after_a_cancelled_send_is_woken() {
    let (mut tx, mut rx) = channel(2);
    tx.try_send_many([1, 2]).unwrap();
    for _ in 0..5 {
        common::start_and_cancel(tx.send(3));
    }
    let (wakes, waker) = Wakes::new();
    let mut reserve = pin!(tx.reserve());
    assert!(poll(reserve.as_mut(), &waker).is_pending());
    rx.try_iter().for_each(drop);
    assert_eq!(wakes.count(), 1);
    assert!(poll(reserve, &waker).is_ready());
}

#[test]
fn each_waiting_sender_is_woken_by_its_own_lane() {
    let (tx, mut rx) = Builder::new(1).build();
    let mut senders: Vec<_> = (0..10).map(|_| (tx.clone(), Wakes::new())).collect();
    for (n, (sender, (_, waker))) in senders.iter_mut().enumerate() {
        sender.try_send(n).unwrap();
        assert!(
            sender
                .poll_reserve(&mut Context::from_waker(waker))
                .is_pending()
        );
    }
    assert_eq!(rx.try_iter().count(), 10);
    assert!(senders.iter().all(|(_, (wakes, _))| wakes.count() == 1));
}

#[test]
fn send_many_that_fits_exactly_does_not_wait() {
    let (mut tx, mut rx) = channel(4);
    assert_eq!(now(tx.send_many(0..4)), Ok(4));
    assert_eq!(rx.try_iter().count(), 4);
    assert_eq!(now(tx.send_many(vec![1, 2, 3, 4])), Ok(4));
}

#[test]
fn send_many_goes_on_when_it_is_woken() {
    let (mut tx, mut rx) = channel(2);
    let (wakes, waker) = Wakes::new();
    let mut send = pin!(tx.send_many(0..5));
    let mut got = Vec::new();
    for woken in 0..2 {
        assert!(poll(send.as_mut(), &waker).is_pending());
        assert_eq!(wakes.count(), woken);
        got.extend(rx.try_iter());
    }
    assert_eq!(poll(send, &waker), Poll::Ready(Ok(5)));
    got.extend(rx.try_iter());
    assert_eq!(got, [0, 1, 2, 3, 4]);
}

// Shared senders and `closed`.

#[test]
fn all_who_wait_at_a_shared_sender_are_woken() {
    let (tx, mut rx) = channel(2);
    let tx = tx.shared();
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    let (first, first_waker) = Wakes::new();
    let (second, second_waker) = Wakes::new();
    let mut one = pin!(tx.send(3));
    let mut two = pin!(tx.send(4));
    assert!(poll(one.as_mut(), &first_waker).is_pending());
    assert!(poll(two.as_mut(), &second_waker).is_pending());
    rx.try_iter().for_each(drop);
    assert_eq!((first.count(), second.count()), (1, 1));
    assert!(poll(one, &first_waker).is_ready());
    assert!(poll(two, &second_waker).is_ready());
    assert_eq!(rx.try_iter().count(), 2);
}

#[test]
fn cancelling_one_wait_at_a_shared_sender_leaves_the_others_wake_up() {
    let (tx, mut rx) = channel(1);
    let tx = tx.shared();
    tx.try_send(1).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut kept = pin!(tx.send(3));
    assert!(poll(kept.as_mut(), &waker).is_pending());
    common::start_and_cancel(tx.send(4));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(wakes.count(), 1);
    assert!(poll(kept, &waker).is_ready());
}

/// A send that finds room by chance must not take the wake-up of another that waits at the same
/// lane.
#[test]
fn a_send_that_found_room_leaves_the_others_of_a_shared_sender_their_wake_up() {
    const TRIES: usize = if cfg!(miri) { 30 } else { 10_000 };
    let (tx, mut rx) = channel(4);
    let tx = tx.shared();
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..TRIES {
                barrier.wait();
                let _ = poll(pin!(tx.send(1)), Waker::noop());
                barrier.wait();
            }
        });
        let mut forgotten = 0;
        for _ in 0..TRIES {
            while tx.try_send(0).is_ok() {}
            let (wakes, waker) = Wakes::new();
            let mut waits = pin!(tx.send(2));
            assert!(poll(waits.as_mut(), &waker).is_pending());
            barrier.wait();
            rx.try_recv().unwrap();
            barrier.wait();
            // The lane becomes empty.
            rx.try_iter().for_each(drop);
            forgotten += usize::from(wakes.count() == 0);
        }
        assert_eq!(forgotten, 0, "waiting sends were forgotten");
    });
}

#[test]
fn closed_is_woken_by_close_and_by_drop_for_all_who_wait() {
    for close in [true, false] {
        let (tx, mut rx) = channel::<u32>(1);
        let (wakes, waker) = Wakes::new();
        let (shared, weak) = (tx.clone().shared(), tx.downgrade());
        let mut waits: [Pin<Box<dyn Future<Output = ()>>>; 3] = [
            Box::pin(tx.closed()),
            Box::pin(shared.closed()),
            Box::pin(weak.closed()),
        ];
        for wait in &mut waits {
            assert!(poll(wait.as_mut(), &waker).is_pending());
            assert!(poll(wait.as_mut(), &waker).is_pending());
        }
        common::start_and_cancel(tx.closed());
        if close {
            rx.close();
        }
        drop(rx);
        assert_eq!(wakes.count(), 3);
        assert!(
            waits
                .iter_mut()
                .all(|w| poll(w.as_mut(), &waker).is_ready())
        );
    }
}

/// A waker may own a task that itself waits for the channel to close: dropping the waker drops that
/// wait.
#[test]
fn closed_drops_a_replaced_waker_outside_its_lock() {
    #[expect(dead_code, reason = "only its drop matters")]
    struct Owner(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }

    let (tx, rx) = channel::<u32>(1);
    let other = tx.clone();
    let mut owned: Pin<Box<dyn Future<Output = ()> + Send>> =
        Box::pin(async move { other.closed().await });
    assert!(poll(owned.as_mut(), Waker::noop()).is_pending());
    let owner = Waker::from(Arc::new(Owner(Mutex::new(Some(owned)))));
    let mut closed = pin!(tx.closed());
    assert!(poll(closed.as_mut(), &owner).is_pending());
    drop(owner);
    assert!(poll(closed.as_mut(), Waker::noop()).is_pending());
    drop(rx);
    assert!(poll(closed, Waker::noop()).is_ready());
}

// Threads: a lost wake-up hangs the test.

#[test]
fn threads_that_block_on_both_ends_are_woken() {
    for capacity in [1, 2, 3] {
        let (mut tx, mut rx) = channel(capacity);
        let (mut back_tx, mut back_rx) = channel(capacity);
        thread::scope(|scope| {
            scope.spawn(move || {
                for n in rx.iter() {
                    back_tx.blocking_send(n).unwrap();
                }
            });
            for n in 0..ROUNDS {
                tx.blocking_send(n).unwrap();
                assert_eq!(back_rx.blocking_recv(), Some(n));
            }
            drop(tx);
            assert_eq!(back_rx.blocking_recv(), None);
        });
    }
}

#[test]
fn a_sender_that_is_cancelled_all_the_time_is_woken() {
    let (mut tx, mut rx) = channel(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..ROUNDS {
                assert_eq!(block_on(rx.recv()), Some(n));
            }
        });
        for n in 0..ROUNDS {
            let _ = poll(pin!(tx.reserve()), Waker::noop());
            match tx.try_send(n) {
                Ok(()) => {}
                Err(TrySendError::Full(n)) => block_on(tx.send(n)).unwrap(),
                Err(TrySendError::Closed(_)) => unreachable!("the receiver is there"),
            }
        }
    });
}
