//! Promise 9: each message is dropped exactly once, on every path, even if a message's `Drop`
//! panics.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use lanemesh::{Builder, MailboxBuilder, Overflow, Sent, channel, mailbox};

use crate::common::{self, Ledger, now};

#[test]
fn received_messages_are_dropped_by_their_taker() {
    let ledger = Ledger::new(64);
    let (mut tx, mut rx) = Builder::new(16).first_ring(1).build();
    for _ in 0..16 {
        tx.try_send(ledger.parcel()).unwrap();
    }
    let mut kept: Vec<_> = rx.try_iter().collect();
    assert_eq!(ledger.dropped(), 0);
    kept.truncate(4);
    assert_eq!(ledger.dropped(), 12);
    drop((tx, rx));
    assert_eq!(ledger.dropped(), 12);
    drop(kept);
    ledger.check();
}

#[test]
fn messages_left_in_every_place_are_dropped_with_the_receiver() {
    for received in 0..20 {
        let ledger = Ledger::new(64);
        let (tx, mut rx) = Builder::new(8).first_ring(1).burst(3).build();
        common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        let mut senders: Vec<_> = (0..4).map(|_| tx.clone()).collect();
        // Through a shared slot, in the lane's slot, and in rings that have grown.
        for sender in &mut senders {
            for _ in 0..6 {
                sender.try_send(ledger.parcel()).unwrap();
            }
        }
        for _ in 0..received {
            rx.try_recv().unwrap();
        }
        if received % 2 == 0 {
            now(rx.readable());
        }
        senders.truncate(2);
        drop(rx);
        ledger.check();
        drop(senders);
        ledger.check();
    }
}

#[test]
fn messages_left_by_dropped_senders_are_dropped_with_the_receiver() {
    let ledger = Ledger::new(64);
    let (mut tx, rx) = channel(32);
    for _ in 0..20 {
        tx.try_send(ledger.parcel()).unwrap();
    }
    drop(tx);
    assert_eq!(ledger.dropped(), 0);
    drop(rx);
    ledger.check();
}

#[test]
fn staged_messages_are_sent_by_their_senders_drop() {
    let ledger = Ledger::new(8);
    let (mut tx, mut rx) = channel(8);
    tx.try_feed(ledger.parcel()).unwrap();
    tx.try_feed(ledger.parcel()).unwrap();
    drop(tx);
    assert_eq!(rx.iter().map(|parcel| parcel.n).collect::<Vec<_>>(), [0, 1]);
    ledger.check();
}

#[test]
fn staged_messages_of_a_closed_channel_are_dropped_with_their_sender() {
    let ledger = Ledger::new(8);
    let (mut tx, rx) = channel(8);
    tx.try_feed(ledger.parcel()).unwrap();
    drop(rx);
    assert_eq!(ledger.dropped(), 0);
    drop(tx);
    ledger.check();
}

#[test]
fn a_cancelled_send_drops_its_message() {
    let ledger = Ledger::new(8);
    let (mut tx, rx) = channel(1);
    tx.try_send(ledger.parcel()).unwrap();
    common::start_and_cancel(tx.send(ledger.parcel()));
    assert_eq!(ledger.dropped(), 1);
    common::start_and_cancel(tx.feed(ledger.parcel()));
    assert_eq!(ledger.dropped(), 2);
    drop((tx, rx));
    ledger.check();
}

#[test]
fn a_cancelled_batch_keeps_what_did_not_go() {
    let ledger = Ledger::new(16);
    let (mut tx, mut rx) = channel(3);
    let mut batch: Vec<_> = (0..5).map(|_| ledger.parcel()).collect();
    common::start_and_cancel(tx.send_vec(&mut batch));
    assert_eq!(batch.iter().map(|p| p.n).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(rx.try_iter().map(|p| p.n).collect::<Vec<_>>(), [0, 1, 2]);
    let mut iter = batch.into_iter().chain((0..5).map(|_| ledger.parcel()));
    common::start_and_cancel(tx.send_many(iter.by_ref()));
    assert_eq!(iter.map(|p| p.n).collect::<Vec<_>>(), [6, 7, 8, 9]);
    drop((tx, rx));
    ledger.check();
}

#[test]
fn messages_that_overflow_are_dropped_and_counted() {
    let ledger = Ledger::new(16);
    let (mut tx, rx) = MailboxBuilder::new(1, 3)
        .low_overflow(Overflow::Drop)
        .build::<(), _>();
    let sent: Vec<_> = (0..5)
        .map(|_| now(tx.send_low(ledger.parcel())).unwrap())
        .collect();
    assert_eq!(sent[2..], [Sent::Queued, Sent::Dropped, Sent::Dropped]);
    assert_eq!((ledger.dropped(), rx.stats().low.dropped), (2, 2));
    drop(rx);
    ledger.check();
}

#[test]
fn an_iterator_that_panics_leaves_nothing_in_between() {
    let ledger = Ledger::new(16);
    let (mut tx, mut rx) = channel(8);
    let messages = (0..8).map(|n| {
        assert!(n < 3, "no more");
        ledger.parcel()
    });
    let sent = catch_unwind(AssertUnwindSafe(|| tx.try_send_many(messages)));
    assert!(sent.is_err());
    let received = rx.try_iter().count();
    assert_eq!(received + tx.len(), received);
    tx.try_send(ledger.parcel()).unwrap();
    assert_eq!(rx.try_recv().unwrap().n, 3);
    drop((tx, rx));
    ledger.check();
}

/// A message whose drop panics, after it has been counted.
struct Bomb {
    drops: Arc<AtomicUsize>,
    armed: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
        if self.armed {
            panic!("a message's drop panics");
        }
    }
}

/// Counts the drops of ten messages, the fourth of which panics, for what `f` does with the
/// channel.
fn drops_with_a_bomb(
    f: impl FnOnce(lanemesh::Sender<Bomb>, lanemesh::Receiver<Bomb>, Vec<Bomb>),
) -> usize {
    let drops = Arc::new(AtomicUsize::new(0));
    let bombs = (0..10)
        .map(|n| Bomb {
            drops: drops.clone(),
            armed: n == 3,
        })
        .collect();
    let (tx, rx) = Builder::new(10).first_ring(1).build();
    let result = catch_unwind(AssertUnwindSafe(|| f(tx, rx, bombs)));
    assert!(result.is_err(), "the panic comes through");
    drops.load(SeqCst)
}

#[test]
fn a_panic_in_the_drain_drops_the_rest_once() {
    let drops = drops_with_a_bomb(|mut tx, rx, mut bombs| {
        assert!(tx.try_send_vec(&mut bombs) == Ok(10));
        drop(rx);
    });
    assert_eq!(drops, 10);
}

#[test]
fn a_panic_in_the_drain_reaches_every_lane() {
    let drops = drops_with_a_bomb(|tx, mut rx, bombs| {
        common::start_and_cancel(poll_fn(|cx| rx.poll_recv(cx)));
        let mut senders: Vec<_> = (0..5).map(|_| tx.clone()).collect();
        for (n, bomb) in bombs.into_iter().enumerate() {
            assert!(senders[n % 5].try_send(bomb).is_ok());
        }
        drop(rx);
    });
    assert_eq!(drops, 10);
}

#[test]
fn a_panic_in_the_drain_of_one_class_drops_the_other() {
    let drops = Arc::new(AtomicUsize::new(0));
    let bomb = |armed| Bomb {
        drops: drops.clone(),
        armed,
    };
    let (mut tx, rx) = mailbox(4, 4);
    for n in 0..4 {
        assert!(tx.try_send_high(bomb(n == 1)).is_ok());
        assert!(tx.try_send_low(bomb(false)).is_ok());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
    assert_eq!(drops.load(SeqCst), 8);
}

#[test]
fn a_panic_among_the_staged_ends_the_sender_all_the_same() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (mut tx, mut rx) = channel(10);
    for n in 0..10 {
        let bomb = Bomb {
            drops: drops.clone(),
            armed: n == 3,
        };
        assert!(tx.try_feed(bomb).is_ok());
    }
    rx.close();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(tx))).is_err());
    assert_eq!(drops.load(SeqCst), 10);
    assert_eq!(rx.sender_count(), 0);
    assert!(now(rx.recv()).is_none());
}

#[test]
fn a_panic_in_a_received_message_leaves_the_channel_whole() {
    let drops = drops_with_a_bomb(|mut tx, mut rx, bombs| {
        for bomb in bombs {
            assert!(tx.try_send(bomb).is_ok());
        }
        let result = catch_unwind(AssertUnwindSafe(|| rx.try_iter().for_each(drop)));
        assert_eq!(rx.len(), 6);
        rx.try_iter().for_each(drop);
        assert!(rx.is_empty());
        drop((tx, rx));
        assert!(result.is_err());
        std::panic::resume_unwind(Box::new("as it was"));
    });
    assert_eq!(drops, 10);
}

#[test]
fn messages_without_size_are_counted_too() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Nothing;
    impl Drop for Nothing {
        fn drop(&mut self) {
            DROPS.fetch_add(1, SeqCst);
        }
    }

    let (mut tx, mut rx) = Builder::new(20).first_ring(1).build();
    let mut batch: Vec<_> = (0..10).map(|_| Nothing).collect();
    assert!(tx.try_send_vec(&mut batch) == Ok(10));
    assert!(
        tx.try_send_many((0..5).map(|_| Nothing))
            .is_ok_and(|n| n == 5)
    );
    assert_eq!(tx.len(), 15);
    let mut got = Vec::new();
    assert_eq!(rx.try_recv_many(&mut got, 7), Ok(7));
    drop(got);
    assert_eq!(DROPS.load(SeqCst), 7);
    drop(rx);
    assert_eq!(DROPS.load(SeqCst), 15);
}
