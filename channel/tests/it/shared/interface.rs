//! What each method gives.

use std::{pin::pin, task::Waker, time::Duration};

use lanemesh::{
    Builder, MailboxBuilder, Message, Overflow, SendError, SendTimeoutError, Sent, TrySendError,
    channel, mailbox,
};

use crate::common::{Ledger, now, poll, start_and_cancel};

#[test]
fn clones_share_bound_and_order() {
    let (tx, mut rx) = channel(6);
    let tx = tx.shared();
    let other = tx.clone();
    for n in 0..3 {
        tx.try_send(2 * n).unwrap();
        other.try_send(2 * n + 1).unwrap();
    }
    assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)));
    assert_eq!(other.try_send(9), Err(TrySendError::Full(9)));
    assert_eq!((tx.len(), other.len(), rx.len()), (6, 6, 6));
    assert_eq!((rx.sender_count(), tx.strong_count()), (1, 2));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert!(tx.is_empty());
    drop(tx);
    other.try_send(7).unwrap();
    drop(other);
    assert_eq!(now(rx.recv()), Some(7));
    assert_eq!(now(rx.recv()), None);
    assert_eq!(rx.stats().lanes_open, 0);
}

/// Through all rings, with the receiver behind by as much as each of them holds.
#[test]
fn order_and_bound_hold_while_the_lane_grows() {
    for capacity in [1, 2, 3, 5, 17, 64, 100, 1000] {
        for first in [1, 4, 1000] {
            let (tx, mut rx) = Builder::new(capacity).first_ring(first).build();
            let tx = tx.shared();
            let (mut sent, mut received) = (0, 0);
            for round in 0..3 * capacity {
                while sent - received < capacity && sent <= 2 * round {
                    tx.try_send(sent).unwrap();
                    sent += 1;
                    assert_eq!((tx.len(), rx.len()), (sent - received, sent - received));
                }
                if sent - received == capacity {
                    assert!(tx.try_send(0).is_err_and(|error| error.is_full()));
                }
                if round % 7 != 0 && received < sent {
                    assert_eq!(rx.try_recv(), Ok(received));
                    received += 1;
                }
            }
            assert_eq!(rx.try_iter().count(), sent - received);
            assert!(tx.is_empty() && rx.is_empty());
            assert_eq!(tx.remaining_capacity(), capacity);
        }
    }
}

#[test]
fn a_large_bound_takes_little_memory_before_it_is_used() {
    let (tx, mut rx) = channel::<[u64; 16]>(isize::MAX as usize / 2);
    let tx = tx.shared();
    assert_eq!(tx.capacity(), (1 << 29) - 1);
    for n in 0..100 {
        tx.try_send([n; 16]).unwrap();
    }
    assert_eq!(tx.remaining_capacity(), tx.capacity() - 100);
    assert_eq!(rx.try_iter().count(), 100);
    assert!(tx.try_reserve_many(usize::MAX).is_err());
}

#[test]
fn permits_hold_room_and_give_it_back() {
    let (tx, mut rx) = channel(4);
    let tx = tx.shared();
    let one = tx.try_reserve().unwrap();
    let mut more = now(tx.reserve_many(2)).unwrap();
    assert_eq!((more.len(), tx.remaining_capacity(), tx.len()), (2, 1, 0));
    let owned = now(tx.clone().reserve_owned()).unwrap();
    assert!(tx.try_reserve().is_err_and(|error| error.is_full()));
    assert!(
        tx.clone()
            .try_reserve_owned()
            .is_err_and(|error| error.is_full())
    );
    assert!(tx.try_reserve_many(1).is_err_and(|error| error.is_full()));
    // Sent in the order of the sends, not of the reservations.
    let sender = owned.send(1).unwrap();
    more.next().unwrap().send(2).unwrap();
    one.send(3).unwrap();
    assert_eq!(tx.remaining_capacity(), 0);
    drop(more);
    assert_eq!(tx.remaining_capacity(), 1);
    let released = sender.try_reserve_owned().unwrap().release();
    assert!(released.same_channel(&tx));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(tx.remaining_capacity(), 4);
    assert!(now(tx.reserve_many(0)).unwrap().next().is_none());
    assert!(now(tx.reserve_many(5)).is_err());
    assert!(tx.try_reserve_many(5).is_err_and(|error| error.is_full()));
    assert_eq!(tx.try_reserve_many(4).unwrap().count(), 4);
    assert_eq!(tx.remaining_capacity(), 4);
}

#[test]
fn permits_of_a_closed_channel_give_the_message_back() {
    let ledger = Ledger::new(8);
    let (tx, mut rx) = channel(4);
    let tx = tx.shared();
    let (one, owned) = (
        tx.try_reserve().unwrap(),
        tx.clone().try_reserve_owned().unwrap(),
    );
    let mut many = tx.try_reserve_many(2).unwrap();
    rx.close();
    assert!(one.send(ledger.parcel()).is_err());
    assert!(owned.send(ledger.parcel()).is_err());
    assert!(many.next().unwrap().send(ledger.parcel()).is_err());
    drop(many);
    assert!(tx.try_reserve().is_err_and(|error| error.is_closed()));
    assert!(now(tx.reserve()).is_err() && now(tx.reserve_many(2)).is_err());
    assert!(now(tx.clone().reserve_owned()).is_err());
    assert!(tx.blocking_send(ledger.parcel()).is_err());
    assert!(now(tx.send(ledger.parcel())).is_err());
    assert!(rx.try_recv().is_err());
    ledger.check();
}

#[test]
fn what_was_accepted_before_the_close_is_received_in_order() {
    for first in [1, 8] {
        let (tx, mut rx) = Builder::new(8).first_ring(first).build();
        let (mut own, shared) = (tx.clone(), tx.shared());
        let second = own.clone().shared();
        for n in 0..8 {
            shared.try_send(n).unwrap();
            second.try_send(100 + n).unwrap();
            own.try_send(200 + n).unwrap();
        }
        assert_eq!(rx.len(), 24);
        rx.close();
        assert_eq!(rx.len(), 24);
        assert_eq!(shared.try_send(0), Err(TrySendError::Closed(0)));
        assert!(
            own.clone()
                .shared()
                .try_send(0)
                .is_err_and(|error| error.is_closed())
        );
        let mut got = Vec::new();
        for left in (0..24).rev() {
            got.push(rx.try_recv().unwrap());
            assert_eq!(rx.len(), left);
        }
        for from in [0, 100, 200] {
            let of_one = got.iter().filter(|n| **n / 100 == from / 100);
            assert!(of_one.copied().eq(from..from + 8));
        }
        assert_eq!(now(rx.recv()), None);
        assert_eq!(
            rx.stats().lanes_open,
            1,
            "that of the sender which is still there"
        );
    }
}

#[test]
fn a_weak_handle_upgrades_while_the_lane_lives() {
    let (tx, mut rx) = channel(1);
    let other = tx.clone();
    let tx = tx.shared();
    let weak = tx.downgrade();
    let again = weak.clone().upgrade().unwrap();
    again.try_send(1).unwrap();
    assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    drop(tx);
    assert!(weak.upgrade().is_some());
    drop(again);
    assert!(weak.upgrade().is_none());
    start_and_cancel(weak.closed());
    assert_eq!(rx.try_recv(), Ok(1));
    drop((other, rx));
    now(weak.closed());
    assert!(!format!("{weak:?}").is_empty());
}

#[test]
fn timeouts_give_the_message_back() {
    let (tx, mut rx) = channel(1);
    let tx = tx.shared();
    tx.send_timeout(1, Duration::ZERO).unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(1)] {
        assert_eq!(
            tx.send_timeout(2, timeout),
            Err(SendTimeoutError::Timeout(2))
        );
    }
    assert_eq!(rx.try_recv(), Ok(1));
    tx.send_timeout(3, Duration::MAX).unwrap();
    rx.close();
    assert_eq!(
        tx.send_timeout(4, Duration::MAX),
        Err(SendTimeoutError::Closed(4))
    );
    assert_eq!(tx.blocking_send(4), Err(SendError(4)));
}

/// A loop of sends that always find room lets others run.
#[test]
fn sends_that_find_room_yield_now_and_then() {
    let (tx, mut rx) = channel(1000);
    let tx = tx.shared();
    let mut yields = 0;
    let mut in_a_row = 0;
    for n in 0..1000 {
        let mut send = pin!(tx.send(n));
        if poll(send.as_mut(), Waker::noop()).is_pending() {
            // Nothing is sent before it goes on.
            assert_eq!(tx.len(), n);
            yields += 1;
            in_a_row = 0;
            assert!(poll(send, Waker::noop()).is_ready());
        }
        in_a_row += 1;
        assert!(in_a_row <= 128);
    }
    assert!((7..=8).contains(&yields));
    assert!(rx.try_iter().eq(0..1000));
}

#[test]
fn both_classes_of_a_mailbox_are_shared() {
    let (tx, mut rx) = mailbox::<u8, u8>(1, 2);
    let tx = tx.shared();
    let other = tx.clone();
    tx.try_send_high(1).unwrap();
    assert_eq!(other.try_send_high(2), Err(TrySendError::Full(2)));
    assert_eq!(now(other.send_low(3)), Ok(Sent::Queued));
    assert_eq!(tx.blocking_send_low(4), Ok(Sent::Queued));
    start_and_cancel(other.send_low(5));
    start_and_cancel(other.send_high(5));
    assert_eq!(
        (tx.len(), other.is_empty(), tx.same_channel(&other)),
        (3, false, true)
    );
    let weak = tx.downgrade();
    assert!(weak.clone().upgrade().is_some() && !format!("{weak:?}").is_empty());
    start_and_cancel(tx.closed());
    assert_eq!(
        rx.try_iter().collect::<Vec<_>>(),
        [Message::High(1), Message::Low(3), Message::Low(4)]
    );
    tx.blocking_send_high(6).unwrap();
    rx.close();
    now(tx.closed());
    assert!(tx.is_closed() && other.is_closed());
    drop((tx, other));
    assert!(weak.upgrade().is_none());
    assert_eq!(rx.try_recv(), Ok(Message::High(6)));
}

#[test]
fn a_shared_mailbox_sender_does_what_overflow_says() {
    let (tx, mut rx) = MailboxBuilder::new(1, 1)
        .low_overflow(Overflow::Reject)
        .build::<u8, u8>();
    let mut tx = tx.shared();
    assert_eq!(tx.low_overflow(), Overflow::Reject);
    assert_eq!(now(tx.send_low(1)), Ok(Sent::Queued));
    assert_eq!(now(tx.send_low(2)), Err(TrySendError::Full(2)));
    assert_eq!(tx.blocking_send_low(2), Err(TrySendError::Full(2)));
    tx.set_low_overflow(Overflow::Drop);
    assert_eq!(now(tx.clone().send_low(3)), Ok(Sent::Dropped));
    assert_eq!(tx.blocking_send_low(4), Ok(Sent::Dropped));
    assert_eq!(rx.stats().low.dropped, 2);
    assert_eq!(rx.try_recv(), Ok(Message::Low(1)));
    rx.close();
    assert_eq!(now(tx.send_low(5)), Err(TrySendError::Closed(5)));
    assert_eq!(rx.stats().low.dropped, 2);
}
