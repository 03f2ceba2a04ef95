//! Every method of the senders, one by one, and what they do with bad input.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use lanemesh::{
    Builder, MailboxBuilder, SendError, SendTimeoutError, TrySendError, channel, mailbox,
};

use crate::common::{self, Ledger, now};

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn capacity_is_exact() {
    let large = if cfg!(miri) { 18 } else { 100 };
    for capacity in [1, 2, 3, 5, 16, 17, large] {
        for first_ring in [1, 2, 3, 16, 1000] {
            for asleep in [false, true] {
                let (mut tx, mut rx) = Builder::new(capacity).first_ring(first_ring).build();
                if asleep {
                    common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
                }
                for round in 0..3 {
                    for n in 0..capacity {
                        assert_eq!(tx.len(), n);
                        tx.try_send(n).unwrap();
                    }
                    assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)));
                    // One out, one in.
                    assert_eq!(rx.try_recv(), Ok(0));
                    tx.try_send(capacity).unwrap();
                    assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)), "round {round}");
                    assert_eq!(rx.len(), capacity);
                    assert_eq!(
                        rx.try_iter().collect::<Vec<_>>(),
                        (1..=capacity).collect::<Vec<_>>()
                    );
                }
                assert_eq!(tx.capacity(), capacity);
            }
        }
    }
}

#[test]
fn capacity_is_exact_with_messages_staged() {
    let (mut tx, mut rx) = channel(4);
    tx.try_send(0).unwrap();
    for n in 1..4 {
        tx.try_feed(n).unwrap();
    }
    assert_eq!(tx.len(), 4);
    assert_eq!(tx.try_feed(4), Err(TrySendError::Full(4)));
    assert_eq!(tx.try_send(4), Err(TrySendError::Full(4)));
    assert!(tx.try_reserve().is_err_and(|error| error.is_full()));
    tx.flush().unwrap();
    assert_eq!(tx.try_send(4), Err(TrySendError::Full(4)));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn capacity_is_per_lane() {
    let (mut tx, mut rx) = channel(2);
    let mut other = tx.clone();
    assert_eq!(tx.try_send_many(0..9), Ok(2));
    assert_eq!(other.try_send_many(0..9), Ok(2));
    assert_eq!((tx.len(), other.len(), rx.len()), (2, 2, 4));
    assert_eq!(rx.try_iter().count(), 4);
}

#[test]
#[should_panic(expected = "a lane's capacity must be at least 1, but was 0")]
fn a_channel_of_capacity_zero_panics() {
    drop(channel::<u8>(0));
}

#[test]
#[should_panic(expected = "a lane's capacity must be at least 1, but was 0")]
fn a_mailbox_of_high_capacity_zero_panics() {
    drop(mailbox::<u8, u8>(0, 1));
}

#[test]
#[should_panic(expected = "a lane's capacity must be at least 1, but was 0")]
fn a_mailbox_of_low_capacity_zero_panics() {
    drop(mailbox::<u8, u8>(1, 0));
}

#[test]
#[should_panic(expected = "a lane's capacity must be at most")]
fn a_channel_of_boundless_capacity_panics() {
    drop(channel::<u8>(usize::MAX));
}

#[test]
#[should_panic(expected = "the first ring must hold at least 1 message")]
fn a_first_ring_of_zero_panics() {
    let _ = Builder::new(1).first_ring(0);
}

#[test]
#[should_panic(expected = "messages of 8 bytes cannot be allocated")]
fn a_first_ring_that_cannot_be_allocated_panics() {
    let _ = Builder::new(isize::MAX as usize / 2)
        .first_ring(usize::MAX)
        .build::<u64>();
}

#[test]
#[should_panic(expected = "messages of 8 bytes cannot be allocated")]
fn a_first_ring_of_a_mailbox_that_cannot_be_allocated_panics() {
    let _ = MailboxBuilder::new(1, isize::MAX as usize / 2)
        .low(|low| low.first_ring(usize::MAX))
        .build::<u8, u64>();
}

/// A ring is at most as large as the lane, and one for messages of size zero takes no memory.
#[test]
fn first_rings_that_can_be_allocated_do_not_panic() {
    let (mut tx, mut rx) = Builder::new(2).first_ring(usize::MAX).build();
    assert_eq!(tx.try_send_many([1, 2]), Ok(2));
    assert_eq!(rx.try_iter().count(), 2);
    let (mut tx, mut rx) = Builder::new(isize::MAX as usize / 2)
        .first_ring(usize::MAX)
        .build();
    assert_eq!(tx.try_send_many([(), ()]), Ok(2));
    assert_eq!(rx.try_iter().count(), 2);
}

#[test]
#[should_panic(expected = "a burst must be at least 1 message")]
fn a_burst_of_zero_panics() {
    let _ = Builder::new(1).burst(0);
}

#[test]
#[should_panic(expected = "the budget must be at least 1 message")]
fn a_budget_of_zero_panics() {
    let _ = MailboxBuilder::new(1, 1).low(|low| low.budget(0));
}

#[test]
fn a_huge_capacity_costs_nothing_before_it_is_used() {
    let (mut tx, mut rx) = channel(isize::MAX as usize / 2);
    assert_eq!(tx.try_send_many(0..1000), Ok(1000));
    assert_eq!(rx.try_iter().count(), 1000);
}

#[test]
fn permits_hold_room_and_give_it_back() {
    let (mut tx, mut rx) = channel(1);
    drop(now(tx.reserve()).unwrap());
    now(tx.reserve()).unwrap().send(1).unwrap();
    assert!(matches!(tx.try_reserve(), Err(TrySendError::Full(()))));
    common::start_and_cancel(tx.reserve());
    assert_eq!(rx.try_recv(), Ok(1));
    let permit = tx.try_reserve().unwrap();
    rx.close();
    assert_eq!(permit.send(2), Err(SendError(2)));
    assert!(matches!(tx.try_reserve(), Err(TrySendError::Closed(()))));
    assert!(matches!(now(tx.reserve()), Err(SendError(()))));
}

#[test]
fn feed_is_unseen_before_flush() {
    let (mut tx, mut rx) = channel(3);
    now(tx.feed(1)).unwrap();
    now(tx.feed(2)).unwrap();
    assert!(rx.try_recv().is_err());
    assert!(rx.is_empty() && !tx.is_empty());
    tx.flush().unwrap();
    tx.flush().unwrap();
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn feed_that_finds_no_room_flushes_and_waits() {
    let (mut tx, mut rx) = channel(2);
    now(tx.feed(1)).unwrap();
    now(tx.feed(2)).unwrap();
    common::start_and_cancel(tx.feed(3));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
    now(tx.feed(4)).unwrap();
    drop(tx);
    assert_eq!(rx.iter().collect::<Vec<_>>(), [4]);
}

#[test]
fn a_clone_has_nothing_staged() {
    let (mut tx, mut rx) = channel(4);
    tx.try_feed(1).unwrap();
    let other = tx.clone();
    assert_eq!((tx.len(), other.len()), (1, 0));
    drop(other);
    assert!(rx.try_recv().is_err());
    drop(tx);
    assert_eq!(rx.try_recv(), Ok(1));
}

/// What the receiver takes meanwhile makes no room for this call: an endless iterator comes to an end.
#[test]
fn try_send_many_sends_at_most_the_room_at_the_call() {
    for (capacity, before) in [(1, 0), (5, 2), (100, 0), (100, 99)] {
        let (mut tx, mut rx) = channel(capacity);
        (0..before).for_each(|n| tx.try_send(n).unwrap());
        let mut received = 0;
        let mut next = before;
        let endless = std::iter::from_fn(|| {
            received += rx.try_iter().count();
            next += 1;
            Some(next - 1)
        });
        assert_eq!(tx.try_send_many(endless), Ok(capacity - before));
        assert_eq!(next, capacity, "no message was taken and not sent");
        assert_eq!(received + rx.try_iter().count(), capacity);
    }
}

/// What the iterator has returned is sent, and what it has not is still in it.
#[test]
fn a_panicking_iterator_loses_no_message() {
    for panics_at in [0, 1, 30, 64, 65, 99] {
        let ledger = Ledger::new(100);
        let (mut tx, mut rx) = channel(100);
        let mut messages = 0..100;
        let taken = messages.by_ref().map(|n| {
            assert_ne!(n, panics_at, "the iterator panics");
            ledger.parcel()
        });
        let sent = catch_unwind(AssertUnwindSafe(|| tx.try_send_many(taken)));
        assert!(sent.is_err());
        assert_eq!(messages.next(), Some(panics_at + 1).filter(|&n| n < 100));
        let received = rx.try_iter().map(|parcel| parcel.n).collect::<Vec<_>>();
        assert_eq!(received, (0..panics_at).collect::<Vec<_>>());
        // The sender goes on, and its capacity is exact.
        let rest = Ledger::new(101);
        assert_eq!(
            tx.try_send_many((0..101).map(|_| rest.parcel())).unwrap(),
            100
        );
        assert_eq!(rx.try_iter().count(), 100);
        ledger.check();
        rest.check();
    }
}

/// Also when the receiver's waker panics as the messages are sent.
#[test]
fn a_panicking_iterator_and_a_panicking_waker_lose_no_message() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker panics");
        }
    }
    let (mut tx, mut rx) = channel(8);
    let waker = Waker::from(Arc::new(Panics));
    assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    let messages = (0..8).inspect(|n| assert_ne!(*n, 3, "the iterator panics"));
    let sent = catch_unwind(AssertUnwindSafe(|| tx.try_send_many(messages)));
    assert!(sent.is_err());
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
}

/// A closed channel drops what was taken.
#[test]
fn a_panicking_iterator_that_has_closed_the_channel_drops_what_it_has_returned() {
    let ledger = Ledger::new(3);
    let (mut tx, mut rx) = channel(8);
    let messages = (0..3).map(|n| {
        if n == 2 {
            rx.close();
            panic!("the iterator panics");
        }
        ledger.parcel()
    });
    let sent = catch_unwind(AssertUnwindSafe(|| tx.try_send_many(messages)));
    assert!(sent.is_err());
    assert!(rx.try_recv().is_err());
    ledger.check();
}

#[test]
fn try_send_many_takes_from_the_iterator_what_fits() {
    let (mut tx, mut rx) = channel(100);
    let mut numbers = 0..150;
    assert_eq!(tx.try_send_many(numbers.by_ref()), Ok(100));
    assert_eq!(numbers, 100..150);
    assert_eq!(tx.try_send_many(numbers.by_ref()), Ok(0));
    assert_eq!(numbers, 100..150);
    assert_eq!(rx.try_iter().count(), 100);
    assert_eq!(tx.try_send_many([]), Ok(0));
}

#[test]
fn try_send_vec_drains_what_went() {
    let (mut tx, mut rx) = channel(3);
    let mut batch = vec![1, 2, 3, 4, 5];
    assert_eq!(tx.try_send_vec(&mut batch), Ok(3));
    assert_eq!(batch, [4, 5]);
    assert_eq!(tx.try_send_vec(&mut batch), Ok(0));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(now(tx.send_vec(&mut batch)), Ok(2));
    assert_eq!(now(tx.send_vec(&mut Vec::new())), Ok(0));
}

#[test]
fn send_timeout_gives_the_message_back() {
    let (mut tx, mut rx) = channel(1);
    tx.send_timeout(1, SHORT).unwrap();
    assert_eq!(tx.send_timeout(2, SHORT), Err(SendTimeoutError::Timeout(2)));
    assert_eq!(
        tx.send_timeout(2, Duration::ZERO),
        Err(SendTimeoutError::Timeout(2))
    );
    let shared = tx.shared();
    assert_eq!(rx.try_recv(), Ok(1));
    shared.send_timeout(1, SHORT).unwrap();
    assert_eq!(
        shared.send_timeout(2, SHORT),
        Err(SendTimeoutError::Timeout(2))
    );
    assert_eq!(rx.try_recv(), Ok(1));
    shared.send_timeout(2, Duration::MAX).unwrap();
    rx.close();
    assert_eq!(
        shared.send_timeout(3, LONG),
        Err(SendTimeoutError::Closed(3))
    );
}

#[test]
fn send_timeout_ends_early_when_there_is_room() {
    let (mut tx, mut rx) = channel(1);
    tx.try_send(1).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(rx.blocking_recv(), Some(1)));
        tx.send_timeout(2, LONG).unwrap();
    });
    assert_eq!(rx.try_recv(), Ok(2));
}

#[test]
fn closed_and_is_closed_tell_of_the_receiver() {
    let (tx, mut rx) = channel::<u8>(1);
    assert!(!tx.is_closed() && !rx.is_closed());
    common::start_and_cancel(tx.closed());
    rx.close();
    rx.close();
    assert!(tx.is_closed() && rx.is_closed());
    now(tx.closed());
    now(tx.clone().shared().closed());
    now(tx.downgrade().closed());
}

#[test]
fn same_channel_and_is_fed_by_tell_channels_apart() {
    let (a, rx) = channel::<u8>(1);
    let (b, _) = channel::<u8>(1);
    assert!(a.same_channel(&a.clone()) && !a.same_channel(&b));
    assert!(rx.is_fed_by(&a) && !rx.is_fed_by(&b));
}

#[test]
fn a_weak_sender_does_not_keep_the_channel_open() {
    let (tx, mut rx) = channel(1);
    let weak = tx.downgrade();
    let mut again = weak.clone().upgrade().unwrap();
    assert_eq!(rx.sender_count(), 2);
    again.try_send(1).unwrap();
    drop((tx, again));
    assert!(weak.upgrade().is_none());
    assert_eq!(now(rx.recv()), Some(1));
    assert_eq!(now(rx.recv()), None);
}

#[test]
fn a_shared_sender_sends_through_a_shared_reference() {
    let (tx, mut rx) = channel(4);
    let tx = tx.shared();
    thread::scope(|scope| {
        scope.spawn(|| tx.blocking_send(1).unwrap());
        scope.spawn(|| common::block_on(tx.send(1)).unwrap());
        scope.spawn(|| tx.try_send(1).unwrap());
    });
    assert_eq!((tx.len(), tx.capacity(), tx.is_empty()), (3, 4, false));
    tx.try_send(1).unwrap();
    assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    // Its clone shares the lane, its sender has one of its own.
    assert_eq!(tx.clone().try_send(2), Err(TrySendError::Full(2)));
    tx.sender().try_send(1).unwrap();
    assert!(tx.downgrade().upgrade().is_some());
    assert_eq!(rx.try_iter().count(), 5);
    rx.close();
    assert!(tx.is_closed());
    assert_eq!(now(tx.send(1)), Err(SendError(1)));
    assert_eq!(tx.blocking_send(1), Err(SendError(1)));
}

#[test]
fn errors_say_what_happened_and_give_the_message() {
    let (mut tx, rx) = channel(1);
    tx.try_send(1).unwrap();
    let full = tx.try_send(2).unwrap_err();
    assert_eq!(full.to_string(), "the lane is full");
    assert_eq!(format!("{full:?}"), "Full(..)");
    assert_eq!(full.map(|n| n + 1).into_inner(), 3);
    drop(rx);
    let closed = tx.blocking_send(2).unwrap_err();
    assert_eq!(closed.to_string(), "the channel is closed");
    assert_eq!(closed.into_inner(), 2);
    assert!(tx.try_send(1).unwrap_err().is_closed());
    assert!(!format!("{tx:?}").is_empty());
}
