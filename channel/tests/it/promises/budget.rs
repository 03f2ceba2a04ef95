//! Promise 11: a receiver that never finds its lanes empty still lets its executor run other tasks.

use std::{
    cell::Cell,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    thread::sleep,
    time::Duration,
};

use lanemesh::{Builder, MailboxBuilder};

use crate::common::{Wakes, poll};

/// How many messages a receiver returns, polled over and over with its lane kept full, before it
/// first returns `Pending`; and whether it has woken its task by then.
fn messages_in_a_row(builder: Builder, mut handle: impl FnMut()) -> usize {
    let (mut tx, mut rx) = builder.build();
    let (wakes, waker) = Wakes::new();
    let mut count = 0;
    loop {
        while tx.try_send(()).is_ok() {}
        match rx.poll_recv(&mut Context::from_waker(&waker)) {
            Poll::Ready(message) => {
                assert_eq!(message, Some(()));
                count += 1;
                handle();
            }
            Poll::Pending => {
                assert_eq!(wakes.count(), 1, "it asks to be polled again");
                assert!(!rx.is_empty(), "it paused with messages left");
                return count;
            }
        }
    }
}

#[test]
fn recv_pauses_after_its_budget() {
    for budget in [1, 7, 128] {
        let builder = Builder::new(4).budget(budget);
        assert_eq!(messages_in_a_row(builder, || ()), budget);
    }
}

#[test]
fn a_budget_that_goes_by_time_is_128_slow_messages() {
    let slow = || sleep(Duration::from_micros(10));
    assert_eq!(messages_in_a_row(Builder::new(4), slow), 128);
}

#[test]
fn a_budget_that_goes_by_time_has_an_end_for_quick_messages() {
    let given = messages_in_a_row(Builder::new(4), || ());
    assert!(
        (128..=4160).contains(&given),
        "{given} messages without a pause"
    );
}

#[test]
fn recv_goes_on_after_its_pause() {
    let (mut tx, mut rx) = Builder::new(10).budget(4).build();
    tx.try_send_many(0..10).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut got = Vec::new();
    for polls in 0..12 {
        match rx.poll_recv(&mut Context::from_waker(&waker)) {
            Poll::Ready(message) => got.extend(message),
            Poll::Pending => assert!(polls == 4 || polls == 9),
        }
    }
    assert_eq!(wakes.count(), 2);
    assert_eq!(got, (0..10).collect::<Vec<_>>());
}

#[test]
fn recv_many_pauses_after_its_budget() {
    let (mut tx, mut rx) = Builder::new(100).budget(10).build();
    tx.try_send_many(0..100).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut got = Vec::new();
    let mut polls = 0;
    while got.len() < 100 {
        let before = got.len();
        let result = poll(pin!(rx.recv_many(&mut got, 5)), &waker);
        polls += 1;
        match result {
            Poll::Ready(count) => assert_eq!(count, got.len() - before),
            Poll::Pending => assert_eq!(got.len(), before),
        }
    }
    assert_eq!((polls, wakes.count()), (29, 9));
}

#[test]
fn a_mailbox_pauses_after_its_budget_of_both_classes() {
    let (mut tx, mut rx) = MailboxBuilder::new(8, 8)
        .low(|low| low.budget(6))
        .build::<u32, u32>();
    tx.high().try_send_many(0..4).unwrap();
    tx.low().try_send_many(0..8).unwrap();
    let (wakes, waker) = Wakes::new();
    for _ in 0..6 {
        assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_ready());
    }
    assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(wakes.count(), 1);
    assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn try_recv_has_no_budget() {
    let (mut tx, mut rx) = Builder::new(100).budget(3).build();
    tx.try_send_many(0..100).unwrap();
    assert_eq!(rx.try_iter().count(), 100);
}

/// The receiving task keeps its own channel full, so that it would never yield by itself.
#[test]
fn a_never_empty_channel_lets_another_task_run() {
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
                while tx.try_send(1).is_ok() {}
                assert_eq!(rx.recv().await, Some(1));
            }
        });
        tokio::task::spawn_local(async move { stop.set(true) })
            .await
            .unwrap();
        greedy.await.unwrap();
    });
}

/// Woken senders are about to send: between them and the receiver no message costs a wake-up.
#[test]
fn a_receiver_that_woke_senders_is_polled_once_more_before_it_sleeps() {
    for slots in [0, 1] {
        let (mut tx, mut rx) = Builder::new(1).shared_slots(slots).build();
        let (wakes, waker) = Wakes::new();
        let (room, sender) = Wakes::new();
        tx.try_send(0).unwrap();
        for n in 1..=10 {
            let mut send = pin!(tx.send(n));
            assert!(poll(send.as_mut(), &sender).is_pending());
            assert_eq!(
                rx.poll_recv(&mut Context::from_waker(&waker)),
                Poll::Ready(Some(n - 1))
            );
            assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
            assert_eq!(
                (room.count(), wakes.count()),
                (n, n),
                "polled again for the sender"
            );
            assert_eq!(poll(send, &sender), Poll::Ready(Ok(())));
            assert_eq!(wakes.count(), n, "the message woke nobody");
        }
        assert_eq!(
            rx.poll_recv(&mut Context::from_waker(&waker)),
            Poll::Ready(Some(10))
        );
        // Nobody waits any more, so it sleeps at once, and the next message wakes it.
        assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(wakes.count(), 10);
        tx.try_send(11).unwrap();
        assert_eq!(wakes.count(), 11);
    }
}
