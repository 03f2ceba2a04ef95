//! Promise 4: no wake-up is lost, whoever waits and whatever happens meanwhile; here, of those who
//! receive.
//!
//! Wakers count. A waiter that got `Pending` is woken by the event that it waits for. Spurious
//! wake-ups are allowed, except where a test rules them out.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread,
};

use lanemesh::{Message, channel, mailbox};

use crate::common::{Wakes, block_on, now, poll};

const ROUNDS: usize = if cfg!(miri) { 20 } else { 10_000 };

// A task that receives.

#[test]
fn recv_is_woken_by_a_send_and_only_once() {
    let (mut tx, mut rx) = channel(8);
    let (wakes, waker) = Wakes::new();
    for n in 0..5 {
        assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        tx.try_send(n).unwrap();
        tx.try_send(n + 100).unwrap();
        assert_eq!(wakes.count(), n + 1, "one wake-up for two messages");
        assert_eq!(
            rx.poll_recv(&mut Context::from_waker(&waker)),
            Poll::Ready(Some(n))
        );
        assert_eq!(rx.try_recv(), Ok(n + 100));
        assert!(rx.try_recv().is_err());
    }
}

#[test]
fn recv_is_woken_by_each_way_to_send() {
    type Send = fn(&mut lanemesh::Sender<u32>);
    let ways: [Send; 10] = [
        |tx| tx.try_send(1).unwrap(),
        |tx| now(tx.send(1)).unwrap(),
        |tx| tx.blocking_send(1).unwrap(),
        |tx| now(tx.reserve()).unwrap().send(1).unwrap(),
        |tx| {
            tx.try_feed(1).unwrap();
            tx.flush().unwrap();
        },
        |tx| assert_eq!(tx.try_send_many([1]), Ok(1)),
        |tx| assert_eq!(now(tx.send_many([1])), Ok(1)),
        |tx| assert_eq!(tx.try_send_vec(&mut vec![1]), Ok(1)),
        |tx| assert_eq!(now(tx.send_vec(&mut vec![1])), Ok(1)),
        |tx| tx.clone().shared().try_send(1).unwrap(),
    ];
    // With a new lane, with one that has used its slot, and with one that has used its ring.
    for way in ways {
        for before in 0..4 {
            let (mut tx, mut rx) = channel(8);
            tx.try_send_many(0..before).unwrap();
            rx.try_iter().for_each(drop);
            let (wakes, waker) = Wakes::new();
            let mut recv = pin!(rx.recv());
            assert!(poll(recv.as_mut(), &waker).is_pending());
            way(&mut tx);
            assert_eq!(wakes.count(), 1);
            assert_eq!(poll(recv, &waker), Poll::Ready(Some(1)));
        }
    }
}

#[test]
fn recv_is_woken_when_the_last_sender_is_dropped() {
    let (tx, mut rx) = channel::<u32>(8);
    let (wakes, waker) = Wakes::new();
    let other = tx.clone();
    let mut recv = pin!(rx.recv());
    assert!(poll(recv.as_mut(), &waker).is_pending());
    drop(tx);
    assert_eq!(wakes.count(), 0);
    drop(other);
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(recv, &waker), Poll::Ready(None));
}

#[test]
fn recv_is_woken_when_a_staged_message_is_dropped_into_the_lane() {
    let (mut tx, mut rx) = channel(8);
    let (wakes, waker) = Wakes::new();
    tx.try_feed(1).unwrap();
    assert!(rx.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(wakes.count(), 0);
    drop(tx);
    assert!(wakes.count() >= 1);
    assert_eq!(now(rx.recv()), Some(1));
    assert_eq!(now(rx.recv()), None);
}

#[test]
fn recv_wakes_the_waker_of_the_last_poll() {
    let (mut tx, mut rx) = channel(8);
    let (first, first_waker) = Wakes::new();
    let (second, second_waker) = Wakes::new();
    let mut recv = pin!(rx.recv());
    assert!(poll(recv.as_mut(), &first_waker).is_pending());
    assert!(poll(recv.as_mut(), &second_waker).is_pending());
    tx.try_send(1).unwrap();
    assert_eq!((first.count(), second.count()), (0, 1));
    assert_eq!(poll(recv, &second_waker), Poll::Ready(Some(1)));
}

#[test]
fn recv_survives_spurious_polls() {
    let (mut tx, mut rx) = channel(8);
    let (wakes, waker) = Wakes::new();
    let mut recv = pin!(rx.recv());
    for _ in 0..10 {
        assert!(poll(recv.as_mut(), &waker).is_pending());
    }
    assert_eq!(wakes.count(), 0, "a spurious poll wakes nobody");
    tx.try_send(1).unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(recv, &waker), Poll::Ready(Some(1)));
}

#[test]
fn recv_after_a_cancelled_recv_is_woken() {
    let (mut tx, mut rx) = channel(8);
    let (stale, stale_waker) = Wakes::new();
    assert!(
        rx.poll_recv(&mut Context::from_waker(&stale_waker))
            .is_pending()
    );
    let (wakes, waker) = Wakes::new();
    let mut recv = pin!(rx.recv());
    assert!(poll(recv.as_mut(), &waker).is_pending());
    tx.try_send(1).unwrap();
    assert_eq!((stale.count(), wakes.count()), (0, 1));
    assert_eq!(poll(recv, &waker), Poll::Ready(Some(1)));
}

#[test]
fn a_message_that_came_for_a_cancelled_recv_is_there_for_the_next() {
    let (mut tx, mut rx) = channel(8);
    {
        let (wakes, waker) = Wakes::new();
        let mut recv = pin!(rx.recv());
        assert!(poll(recv.as_mut(), &waker).is_pending());
        tx.try_send(1).unwrap();
        assert_eq!(wakes.count(), 1);
    }
    assert_eq!(now(rx.recv()), Some(1));
}

#[test]
fn readable_and_recv_many_are_woken() {
    let (mut tx, mut rx) = channel(8);
    let (wakes, waker) = Wakes::new();
    {
        let mut readable = pin!(rx.readable());
        assert!(poll(readable.as_mut(), &waker).is_pending());
        tx.try_send(1).unwrap();
        assert_eq!(wakes.count(), 1);
        assert_eq!(poll(readable, &waker), Poll::Ready(true));
    }
    assert_eq!(rx.try_recv(), Ok(1));
    let mut into = Vec::new();
    {
        let mut many = pin!(rx.recv_many(&mut into, 4));
        assert!(poll(many.as_mut(), &waker).is_pending());
        tx.try_send(2).unwrap();
        assert_eq!(wakes.count(), 2);
        assert_eq!(poll(many, &waker), Poll::Ready(1));
    }
    assert_eq!(into, [2]);
}

#[test]
fn a_lane_that_was_full_of_idle_lanes_wakes_the_receiver() {
    let (tx, mut rx) = channel(4);
    let mut senders: Vec<_> = (0..50).map(|_| tx.clone()).collect();
    let (wakes, waker) = Wakes::new();
    for round in 0..3 {
        for sender in &mut senders {
            let before = wakes.count();
            let mut recv = pin!(rx.recv());
            assert!(poll(recv.as_mut(), &waker).is_pending());
            sender.try_send(round).unwrap();
            assert_eq!(wakes.count(), before + 1);
            assert_eq!(poll(recv, &waker), Poll::Ready(Some(round)));
        }
    }
}

// A mailbox.

#[test]
fn a_mailbox_is_woken_by_either_class_and_by_its_end() {
    let (mut tx, mut rx) = mailbox::<u32, u32>(4, 4);
    let (wakes, waker) = Wakes::new();
    for n in 0..6 {
        let before = wakes.count();
        let mut recv = pin!(rx.recv());
        assert!(poll(recv.as_mut(), &waker).is_pending());
        let expected = if n % 2 == 0 {
            tx.try_send_high(n).unwrap();
            Message::High(n)
        } else {
            tx.try_send_low(n).unwrap();
            Message::Low(n)
        };
        assert!(wakes.count() > before);
        assert_eq!(poll(recv, &waker), Poll::Ready(Some(expected)));
    }
    let before = wakes.count();
    let mut recv = pin!(rx.recv());
    assert!(poll(recv.as_mut(), &waker).is_pending());
    drop(tx);
    assert!(wakes.count() > before);
    assert_eq!(poll(recv, &waker), Poll::Ready(None));
}

#[test]
fn a_mailbox_wakes_the_waker_of_the_last_poll_for_both_classes() {
    for high in [true, false] {
        let (mut tx, mut rx) = mailbox::<u32, u32>(4, 4);
        let (first, first_waker) = Wakes::new();
        let (second, second_waker) = Wakes::new();
        let mut recv = pin!(rx.recv());
        assert!(poll(recv.as_mut(), &first_waker).is_pending());
        assert!(poll(recv.as_mut(), &second_waker).is_pending());
        match high {
            true => tx.try_send_high(1).unwrap(),
            false => tx.try_send_low(1).unwrap(),
        }
        assert_eq!((first.count(), second.count()), (0, 1));
    }
}

#[test]
fn one_class_alone_is_woken_after_the_whole_mailbox_was_waited_for() {
    let (mut tx, mut rx) = mailbox::<u32, u32>(4, 4);
    let (_, whole) = Wakes::new();
    assert!(rx.poll_recv(&mut Context::from_waker(&whole)).is_pending());
    let (wakes, waker) = Wakes::new();
    {
        let mut low = pin!(rx.low().recv());
        assert!(poll(low.as_mut(), &waker).is_pending());
        tx.try_send_low(1).unwrap();
        assert_eq!(wakes.count(), 1);
        assert_eq!(poll(low, &waker), Poll::Ready(Some(1)));
    }
    let mut high = pin!(rx.high().recv());
    assert!(poll(high.as_mut(), &waker).is_pending());
    tx.try_send_high(2).unwrap();
    assert_eq!(wakes.count(), 2);
    assert_eq!(poll(high, &waker), Poll::Ready(Some(2)));
}

// Threads: a lost wake-up hangs the test.

#[test]
fn a_receiver_whose_waker_changes_all_the_time_is_woken() {
    struct Fresh(thread::Thread);
    impl Wake for Fresh {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let (mut tx, mut rx) = channel(2);
    thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..ROUNDS {
                tx.blocking_send(n).unwrap();
            }
        });
        for n in 0..ROUNDS {
            loop {
                let waker = Waker::from(Arc::new(Fresh(thread::current())));
                if let Poll::Ready(got) = rx.poll_recv(&mut Context::from_waker(&waker)) {
                    assert_eq!(got, Some(n));
                    break;
                }
                thread::park();
            }
        }
    });
}

#[test]
fn a_receiver_that_is_cancelled_all_the_time_loses_nothing() {
    let (mut tx, mut rx) = channel(2);
    thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..ROUNDS {
                block_on(tx.send(n)).unwrap();
            }
        });
        for n in 0..ROUNDS {
            let early = rx.poll_recv(&mut Context::from_waker(Waker::noop()));
            let got = match early {
                Poll::Ready(got) => got,
                Poll::Pending => block_on(rx.recv()),
            };
            assert_eq!(got, Some(n));
        }
    });
}
