//! Lanes of which the receiver takes the newest messages alone.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    thread,
};

use lanemesh::{
    Builder, MailboxBuilder, Message, Overflow, Receiver, Sender, Sent, TryRecvError, TrySendError,
};

use crate::common::{Ledger, Parcel, Wakes, block_on, now, poll};

fn ends<T>(newest: usize) -> (Sender<T>, Receiver<T>) {
    Builder::new(newest).first_ring(2).drop_oldest().build()
}

/// Random runs of sends and receives: what is received is what a queue gives that is cut to its newest messages before
/// each receive. By every way to receive, through a lane of one producer and of many.
#[test]
fn each_receive_sees_the_newest_messages_alone() {
    let most = if cfg!(miri) { 3 } else { 50 };
    for newest in [1, 2, 3, 10, 50].into_iter().filter(|n| *n <= most) {
        for shared in [false, true] {
            let (mut tx, mut rx) = ends(newest);
            let many = tx.clone().shared();
            assert_eq!((tx.capacity(), many.capacity()), (2 * newest, 2 * newest));
            let mut model = VecDeque::new();
            let (mut next, mut dropped, mut seed) = (0, 0, newest as u32);
            for round in 0..if cfg!(miri) { 20 } else { 1000 } {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                for _ in 0..(seed >> 20) as usize % (3 * newest) {
                    let sent = if shared {
                        many.try_send(next)
                    } else {
                        tx.try_send(next)
                    };
                    if model.len() < 2 * newest {
                        assert_eq!(sent, Ok(()));
                        model.push_back(next);
                    } else {
                        assert_eq!(sent, Err(TrySendError::Full(next)));
                    }
                    next += 1;
                }
                assert_eq!(rx.len(), model.len());
                for _ in 0..(seed >> 10) as usize % (3 * newest) {
                    let old = model.len().saturating_sub(newest);
                    dropped += model.drain(..old).count();
                    let received = match round % 5 {
                        0 => rx.try_recv().ok(),
                        1 if model.is_empty() => None,
                        1 => block_on(rx.recv()),
                        2 if model.is_empty() => None,
                        2 => rx.blocking_recv(),
                        3 => {
                            let mut batch = Vec::new();
                            let count = rx.try_recv_many(&mut batch, 1).unwrap_or(0);
                            assert_eq!(count, batch.len());
                            batch.pop()
                        }
                        _ => {
                            if !model.is_empty() {
                                assert!(block_on(rx.readable()));
                            }
                            rx.try_recv().ok()
                        }
                    };
                    assert_eq!(received, model.pop_front());
                }
                assert_eq!(rx.stats().dropped_oldest, dropped as u64);
            }
            let old = model.len().saturating_sub(newest);
            model.drain(..old);
            let mut batch = Vec::new();
            let _ = rx.try_recv_many(&mut batch, usize::MAX);
            assert_eq!(model, batch);
        }
    }
}

#[test]
fn each_lane_is_cut_for_itself() {
    let (mut busy, mut rx) = ends(2);
    let mut quiet = busy.clone();
    quiet.try_send(100).unwrap();
    (0..4).for_each(|n| busy.try_send(n).unwrap());
    quiet.try_send(101).unwrap();
    let mut received: Vec<_> = rx.try_iter().collect();
    // The receiver takes turns, so the two come in between each other.
    received.sort_unstable();
    assert_eq!(received, [2, 3, 100, 101]);
    assert_eq!(rx.stats().dropped_oldest, 2);
    assert_eq!(rx.stats().messages, 4);
}

#[test]
fn a_sender_that_waits_goes_on_when_old_messages_were_dropped() {
    let (mut tx, mut rx) = ends(2);
    (0..4).for_each(|n| tx.try_send(n).unwrap());
    let (wakes, waker) = Wakes::new();
    let mut send = pin!(tx.send(4));
    assert!(poll(send.as_mut(), &waker).is_pending());
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!(wakes.count(), 1);
    assert_eq!(now(send), Ok(()));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn one_class_may_drop_old_messages_and_the_other_not() {
    let (mut tx, mut rx) = MailboxBuilder::new(4, 2)
        .low(|low| low.drop_oldest())
        .low_overflow(Overflow::Drop)
        .build();
    let shared = tx.clone().shared();
    for n in 0..4 {
        tx.try_send_high(n).unwrap();
        assert_eq!(tx.blocking_send_low(n), Ok(Sent::Queued));
        assert_eq!(now(shared.send_low(10 + n)), Ok(Sent::Queued));
    }
    assert_eq!(tx.blocking_send_low(4), Ok(Sent::Dropped));
    assert_eq!(now(shared.send_low(14)), Ok(Sent::Dropped));
    let received: Vec<_> = rx.try_iter().collect();
    assert_eq!(received[..4], [0, 1, 2, 3].map(Message::High));
    let mut low: Vec<_> = received[4..].to_vec();
    low.sort_unstable_by_key(|message| match message {
        Message::High(n) | Message::Low(n) => *n,
    });
    assert_eq!(low, [2, 3, 12, 13].map(Message::Low));
    let stats = rx.stats();
    assert_eq!((stats.low.dropped, stats.low.dropped_oldest), (2, 4));
    assert_eq!((stats.high.dropped, stats.high.dropped_oldest), (0, 0));
}

/// Whichever way a message goes, it goes once.
#[test]
fn every_message_is_received_or_dropped_once() {
    let sends = if cfg!(miri) { 60 } else { 2000 };
    for shared in [false, true] {
        let ledger = Ledger::new(4 * sends);
        let (tx, mut rx) = ends(3);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (mut tx, ledger) = (tx.clone(), ledger.clone());
                thread::spawn(move || {
                    let accepted = |sent: Result<(), TrySendError<Parcel>>| sent.is_ok();
                    if shared {
                        let tx = tx.shared();
                        let sent = (0..sends).map(|_| tx.try_send(ledger.parcel()));
                        return sent.map(accepted).filter(|&sent| sent).count();
                    }
                    let sent = (0..sends).map(|_| tx.try_send(ledger.parcel()));
                    sent.map(accepted).filter(|&sent| sent).count()
                })
            })
            .collect();
        drop(tx);
        let received = rx.iter().count() as u64;
        let accepted: usize = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        let stats = rx.stats();
        assert_eq!(received, stats.messages);
        assert_eq!(received + stats.dropped_oldest, accepted as u64);
        ledger.check();
    }
}

#[test]
fn a_closed_channel_gives_the_newest_messages_too() {
    for shared in [false, true] {
        let ledger = Ledger::new(7);
        let (mut tx, mut rx) = ends(2);
        if shared {
            let tx = tx.shared();
            (0..4).for_each(|_| tx.try_send(ledger.parcel()).unwrap());
            rx.close();
            assert!(tx.try_send(ledger.parcel()).is_err());
        } else {
            (0..4).for_each(|_| tx.try_send(ledger.parcel()).unwrap());
            rx.close();
            assert!(tx.try_send(ledger.parcel()).is_err());
        }
        let received: Vec<_> = rx.iter().map(|parcel| parcel.n).collect();
        assert_eq!(received, [2, 3]);
        assert_eq!(rx.try_recv().unwrap_err(), TryRecvError::Closed);
        ledger.check();
    }
}

/// A message that panics when it is dropped takes no other with it.
#[test]
fn a_drop_that_panics_loses_nothing() {
    struct Panics(u8);
    impl Drop for Panics {
        fn drop(&mut self) {
            assert!(self.0 != 1, "as intended");
        }
    }
    let (mut tx, mut rx) = ends(2);
    for n in 0..4 {
        assert!(tx.try_send(Panics(n)).is_ok());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| rx.try_recv().is_ok())).is_err());
    assert_eq!(rx.stats().dropped_oldest, 2);
    assert_eq!(
        rx.try_iter().map(|message| message.0).collect::<Vec<_>>(),
        [2, 3]
    );
    for n in 4..8 {
        assert!(tx.try_send(Panics(n)).is_ok());
    }
    assert_eq!(
        rx.try_iter().map(|message| message.0).collect::<Vec<_>>(),
        [6, 7]
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let refused = |build: fn() -> Builder| {
        let panic = catch_unwind(build).unwrap_err();
        panic
            .downcast::<&str>()
            .unwrap()
            .contains("a bound of their own")
    };
    assert!(refused(|| Builder::unbounded().drop_oldest()));
    assert!(refused(|| Builder::new(1).total_capacity(9).drop_oldest()));
    assert!(refused(|| Builder::new(1).drop_oldest().total_capacity(9)));
    let mailbox = || MailboxBuilder::new(1, 1).low(|low| low.drop_oldest());
    assert!(catch_unwind(|| mailbox().low_unbounded()).is_err());
    // What has no effect with it is not refused, in whatever order.
    let builder = Builder::new(2)
        .drop_oldest()
        .burst(9)
        .shared_slots(9)
        .drop_oldest();
    let (mut tx, mut rx) = builder.build();
    assert_eq!(tx.try_send_many(0..9), Ok(4));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [2, 3]);
}
