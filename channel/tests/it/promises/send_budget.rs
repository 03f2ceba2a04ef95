//! Promise 11 for senders: one that always finds room still lets its executor run other tasks.

use std::{
    cell::Cell,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    thread::sleep,
    time::Duration,
};

use lanemesh::{Builder, MailboxBuilder, MailboxSender, Overflow, Receiver, Sender};

use crate::common::{Ledger, Wakes, now, poll};

const BUDGET: usize = 7;

/// A way to send one message: polled once, with the future dropped after.
type Send1 = fn(&mut Sender<u32>, &Waker) -> Poll<()>;

const WAYS: [(&str, Send1); 6] = [
    ("send", |tx, waker| {
        poll(pin!(tx.send(1)), waker).map(Result::unwrap)
    }),
    ("reserve", |tx, waker| {
        poll(pin!(tx.reserve()), waker).map(|permit| permit.unwrap().send(1).unwrap())
    }),
    ("poll_reserve", |tx, waker| {
        tx.poll_reserve(&mut Context::from_waker(waker))
            .map(|room| room.and_then(|()| tx.try_send(1).map_err(|_| unreachable!())))
            .map(Result::unwrap)
    }),
    ("feed", |tx, waker| {
        let fed = poll(pin!(tx.feed(1)), waker).map(Result::unwrap);
        tx.flush().unwrap();
        fed
    }),
    ("send_many", |tx, waker| {
        poll(pin!(tx.send_many([1])), waker).map(|sent| assert_eq!(sent, Ok(1)))
    }),
    ("send_vec", |tx, waker| {
        poll(pin!(tx.send_vec(&mut vec![1])), waker).map(|sent| assert_eq!(sent, Ok(1)))
    }),
];

/// How many messages are sent without a pause to a receiver that keeps the lane empty.
fn sent_in_a_row(
    (mut tx, mut rx): (Sender<u32>, Receiver<u32>),
    way: Send1,
    mut between: impl FnMut(),
) -> usize {
    let (wakes, waker) = Wakes::new();
    let mut count = 0;
    while way(&mut tx, &waker).is_ready() {
        assert_eq!(rx.try_recv(), Ok(1));
        count += 1;
        between();
    }
    assert_eq!(wakes.count(), 1, "it asks to be polled again");
    assert!(rx.is_empty(), "a pause comes before the message is sent");
    assert!(way(&mut tx, &waker).is_ready(), "and is one poll long");
    count
}

#[test]
fn every_async_send_pauses_after_its_budget() {
    for (name, way) in WAYS {
        let ends = Builder::new(64).budget(BUDGET).build();
        assert_eq!(sent_in_a_row(ends, way, || ()), BUDGET, "{name}");
    }
}

#[test]
fn a_budget_that_goes_by_time_is_128_slow_messages() {
    let slow = || sleep(Duration::from_micros(10));
    assert_eq!(
        sent_in_a_row(Builder::new(64).build(), WAYS[0].1, slow),
        128
    );
}

#[test]
fn a_budget_that_goes_by_time_has_an_end_for_quick_messages() {
    let sent = sent_in_a_row(Builder::new(64).build(), WAYS[0].1, || ());
    assert!(sent >= 128, "{sent} messages without a pause");
}

#[test]
fn a_batch_counts_with_all_its_messages_and_is_not_cut() {
    let (mut tx, mut rx) = Builder::new(64).budget(10).build();
    assert_eq!(now(tx.send_many(0..30)), Ok(30));
    assert_eq!(rx.try_iter().count(), 30);
    let (wakes, waker) = Wakes::new();
    assert!(poll(pin!(tx.send(1)), &waker).is_pending());
    assert_eq!(wakes.count(), 1);
    assert_eq!(now(tx.send(1)), Ok(()));
}

type SendClass = fn(&mut MailboxSender<u32, u32>, &Waker) -> Poll<()>;

/// A message that is dropped because the lane is full counts like one that is sent.
#[test]
fn sends_of_a_mailbox_pause_whatever_the_overflow() {
    let high: SendClass = |tx, waker| poll(pin!(tx.send_high(1)), waker).map(Result::unwrap);
    let low: SendClass = |tx, waker| {
        poll(pin!(tx.send_low(1)), waker).map(|sent| {
            let _ = sent;
        })
    };
    for (overflow, way) in [
        (Overflow::Wait, high),
        (Overflow::Wait, low),
        (Overflow::Reject, low),
        (Overflow::Drop, low),
    ] {
        let (mut tx, mut rx) = MailboxBuilder::new(4, 4)
            .high(|high| high.budget(BUDGET))
            .low(|low| low.budget(BUDGET))
            .low_overflow(overflow)
            .build::<u32, u32>();
        let (wakes, waker) = Wakes::new();
        let mut count = 0;
        while way(&mut tx, &waker).is_ready() {
            count += 1;
            if overflow == Overflow::Wait {
                rx.try_recv().unwrap();
            }
        }
        assert_eq!((count, wakes.count()), (BUDGET, 1), "{overflow:?}");
    }
}

/// The future keeps the message while it pauses: polled again, it sends it; dropped, it drops it.
#[test]
fn a_pause_keeps_the_message() {
    let ledger = Ledger::new(3);
    let (mut tx, mut rx) = Builder::new(8).budget(1).build();
    now(tx.send(ledger.parcel())).unwrap();
    {
        let mut send = pin!(tx.send(ledger.parcel()));
        assert!(poll(send.as_mut(), Waker::noop()).is_pending());
        assert_eq!(ledger.dropped(), 0);
        assert!(poll(send.as_mut(), Waker::noop()).is_ready());
    }
    assert!(poll(pin!(tx.send(ledger.parcel())), Waker::noop()).is_pending());
    assert_eq!(ledger.dropped(), 1, "that of the cancelled send");
    assert_eq!(
        rx.try_iter().map(|parcel| parcel.n).collect::<Vec<_>>(),
        [0, 1]
    );
    ledger.check();
}

/// A sender that has waited for room has paused.
#[test]
fn a_wait_for_room_makes_the_budget_whole() {
    let (mut tx, mut rx) = Builder::new(1).budget(2).build();
    for n in 0..10 {
        tx.try_send(n).unwrap();
        let mut send = pin!(tx.send(n));
        assert!(poll(send.as_mut(), Waker::noop()).is_pending());
        assert_eq!(rx.try_recv(), Ok(n));
        assert!(poll(send.as_mut(), Waker::noop()).is_ready());
        assert_eq!(rx.try_recv(), Ok(n));
    }
}

/// Neither these nor the blocking functions are bounded by the budget, and they do not spend it.
#[test]
fn try_sends_and_blocking_sends_have_no_budget() {
    let (mut tx, mut rx) = Builder::new(8).budget(1).build();
    for n in 0..100 {
        tx.try_send(n).unwrap();
        tx.try_reserve().unwrap().send(n).unwrap();
        tx.try_feed(n).unwrap();
        tx.flush().unwrap();
        tx.blocking_send(n).unwrap();
        tx.send_timeout(n, Duration::ZERO).unwrap();
        assert_eq!(tx.try_send_many([n]), Ok(1));
        assert_eq!(tx.try_send_vec(&mut vec![n]), Ok(1));
        assert_eq!(rx.try_iter().count(), 7);
    }
    assert_eq!(now(tx.send(1)), Ok(()));
}

/// As a loop of sends does in a task, with a thread that keeps the lane empty.
#[test]
fn a_sender_that_always_finds_room_lets_another_task_run() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let stop = Rc::new(Cell::new(false));
        let other = stop.clone();
        let greedy = tokio::task::spawn_local(async move {
            let (mut tx, mut rx) = Builder::new(4).build();
            while !other.get() {
                tx.send(1).await.unwrap();
                assert_eq!(rx.try_recv(), Ok(1));
            }
        });
        tokio::task::spawn_local(async move { stop.set(true) })
            .await
            .unwrap();
        greedy.await.unwrap();
    });
}

/// A pinned future may be polled from a place that knows nothing of this crate.
#[test]
fn a_pause_is_seen_by_the_waker_of_the_poll_that_pauses() {
    let (mut tx, _rx) = Builder::new(8).budget(1).build();
    now(tx.send(0)).unwrap();
    let mut send: Pin<Box<dyn Future<Output = _>>> = Box::pin(tx.send(1));
    let (first, waker) = Wakes::new();
    assert!(poll(send.as_mut(), &waker).is_pending());
    assert_eq!(first.count(), 1);
    let (second, waker) = Wakes::new();
    assert!(poll(send.as_mut(), &waker).is_ready());
    assert_eq!(second.count(), 0);
}
