//! Promise 7: a send to a busy receiver makes no read-modify-write on a line that another thread
//! writes.
//!
//! The tests show more than is promised. The fan-in, the lane and all else that the two sides
//! share, except for the ring, are on pages that are write-protected meanwhile, and to the
//! processor a read-modify-write is a write, even if it fails. The ring has none: see rtrb's
//! `push`.

use std::{pin::pin, task::Waker, thread};

use lanemesh::{Builder, MailboxBuilder, MailboxReceiver, MailboxSender, Receiver, Sender};

use crate::common;
use crate::pages::{Access, Pages, is_stopped, is_trespasser};

const CAPACITY: usize = 64;
const MESSAGES: usize = 100_000;
/// Enough messages for a sender to switch to its lane.
const WARM_UP: usize = 40;

/// A channel whose receiver is busy with the sender's lane, with everything except the ring on
/// `pages`.
fn busy(pages: &Pages) -> (Sender<usize>, Receiver<usize>) {
    let (mut tx, mut rx) = pages.hold(|| Builder::new(CAPACITY).first_ring(CAPACITY).build());
    // The lane of a dropped sender is reused, and is all that is reused of its memory.
    pages.hold(|| {
        let mut gone = tx.clone();
        (0..WARM_UP).for_each(|n| gone.try_send(n).unwrap());
        drop(gone);
        assert_eq!(rx.try_iter().count(), WARM_UP);
    });
    (0..WARM_UP).for_each(|n| tx.try_send(n).unwrap());
    assert_eq!(rx.try_iter().count(), WARM_UP);
    assert_eq!(rx.stats().lanes_open, 1);
    (tx, rx)
}

#[test]
fn a_send_to_a_busy_receiver_writes_to_its_ring_alone() {
    let pages = Pages::new();
    let (mut tx, mut rx) = busy(&pages);
    pages.closed(Access::Read, || {
        for round in 0..10 {
            for n in 0..CAPACITY {
                tx.try_send(n).unwrap();
            }
            assert!(tx.try_send(0).is_err());
            assert_eq!(rx.try_iter().count(), CAPACITY, "round {round}");
            let mut batch: Vec<_> = (0..CAPACITY).collect();
            assert_eq!(tx.try_send_vec(&mut batch), Ok(CAPACITY));
            assert_eq!(rx.try_recv_many(&mut batch, CAPACITY), Ok(CAPACITY));
            assert_eq!(tx.try_send_many(0..20), Ok(20));
            (0..20).for_each(|n| tx.try_feed(n).unwrap());
            tx.flush().unwrap();
            common::now(tx.send(0)).unwrap();
            common::now(tx.reserve()).unwrap().send(0).unwrap();
            tx.blocking_send(0).unwrap();
            assert_eq!(rx.try_iter().count(), 43);
        }
    });
}

#[test]
fn two_threads_that_keep_each_other_busy_write_to_the_ring_alone() {
    let pages = Pages::new();
    let (mut tx, mut rx) = busy(&pages);
    pages.closed(Access::Read, || {
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..MESSAGES {
                    while tx.try_send(n).is_err() {
                        thread::yield_now();
                    }
                }
            });
            for n in 0..MESSAGES {
                let got = loop {
                    match rx.try_recv() {
                        Ok(got) => break got,
                        Err(_) => thread::yield_now(),
                    }
                };
                assert_eq!(got, n);
            }
        });
    });
}

#[test]
fn sends_of_both_classes_to_a_busy_mailbox_write_to_their_rings_alone() {
    let pages = Pages::new();
    let (mut tx, mut rx): (MailboxSender<_, _>, MailboxReceiver<_, _>) = pages.hold(|| {
        MailboxBuilder::new(CAPACITY, CAPACITY)
            .high(|high| high.first_ring(CAPACITY))
            .low(|low| low.first_ring(CAPACITY))
            .build::<usize, usize>()
    });
    let warm_up = |tx: &mut MailboxSender<_, _>, rx: &mut MailboxReceiver<_, _>| {
        for n in 0..WARM_UP {
            tx.try_send_high(n).unwrap();
            tx.try_send_low(n).unwrap();
        }
        assert_eq!(rx.try_iter().count(), 2 * WARM_UP);
    };
    pages.hold(|| {
        let mut gone = tx.clone();
        warm_up(&mut gone, &mut rx);
        drop(gone);
        assert!(rx.try_recv().is_err());
    });
    warm_up(&mut tx, &mut rx);
    pages.closed(Access::Read, || {
        for n in 0..MESSAGES / 10 {
            tx.try_send_high(n).unwrap();
            tx.try_send_low(n).unwrap();
            assert_eq!(rx.try_iter().count(), 2);
        }
    });
}

/// The opposite: a send to a sleeping receiver does write to shared memory, and that is detected
/// here.
#[test]
fn a_send_to_a_sleeping_receiver_is_noticed() {
    if !is_trespasser() {
        assert!(is_stopped(
            "busy_send::a_send_to_a_sleeping_receiver_is_noticed"
        ));
        return;
    }
    let pages = Pages::new();
    let (mut tx, mut rx) = busy(&pages);
    assert!(common::poll(pin!(rx.recv()), Waker::noop()).is_pending());
    pages.closed(Access::Read, || tx.try_send(0).unwrap());
}
