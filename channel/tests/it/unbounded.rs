//! Lanes without a bound: order, close and drop while they go through many rings.

use std::{collections::VecDeque, thread};

use lanemesh::{Builder, MailboxBuilder, Message, Overflow, Sent, TrySendError};

use crate::common::{Ledger, block_on, now};

/// So large that 32 fit into a ring.
struct Large<M>(
    M,
    #[allow(dead_code, reason = "it only takes room")] [u64; 256],
);

fn large<M>(message: M) -> Large<M> {
    Large(message, [0; 256])
}

/// Messages of one test.
const MANY: usize = if cfg!(miri) { 200 } else { 5_000 };

/// Sends and receives in runs of many lengths, so that rings end and begin everywhere.
#[test]
fn order_holds_through_all_rings() {
    for first_ring in [1, 16, 100] {
        let (mut tx, mut rx) = Builder::unbounded().first_ring(first_ring).build();
        let mut model = VecDeque::new();
        let (mut next, mut seed) = (0_usize, 1_u32);
        while next < MANY {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let run = (seed >> 24) as usize % 90;
            if seed & 1 << 20 == 0 {
                let batch = next..next + run;
                model.extend(batch.clone());
                if seed & 1 << 21 == 0 {
                    let mut batch: Vec<_> = batch.map(large).collect();
                    assert_eq!(tx.try_send_vec(&mut batch), Ok(run));
                } else {
                    for n in batch {
                        assert!(tx.try_send(large(n)).is_ok());
                    }
                }
                next += run;
            } else {
                for _ in 0..run {
                    let message = rx.try_recv().ok().map(|message| message.0);
                    assert_eq!(message, model.pop_front());
                }
            }
            assert_eq!(rx.len(), model.len());
            assert_eq!(tx.len(), model.len());
        }
        let rest: VecDeque<_> = rx.try_iter().map(|message| message.0).collect();
        assert_eq!(rest, model);
    }
}

#[test]
fn every_message_is_dropped_once_whichever_end_goes_first() {
    for (taken, sender_first) in [(0, true), (0, false), (70, true), (70, false)] {
        let ledger = Ledger::new(500);
        let (mut tx, mut rx) = Builder::unbounded().build();
        (0..400).for_each(|_| assert!(tx.try_send(large(ledger.parcel())).is_ok()));
        assert_eq!(rx.try_iter().take(taken).count(), taken);
        if sender_first {
            drop(tx);
            drop(rx);
        } else {
            rx.close();
            assert!(tx.try_send(large(ledger.parcel())).is_err());
            drop(rx);
            drop(tx);
        }
        ledger.check();
    }
}

#[test]
fn a_thread_that_only_sends_and_one_that_only_receives_lose_nothing() {
    let (tx, mut rx) = Builder::unbounded().build();
    let threads: Vec<_> = (0..2)
        .map(|who| {
            let mut tx = tx.clone();
            thread::spawn(move || {
                for n in 0..MANY {
                    assert!(tx.try_send(large((who, n))).is_ok());
                }
            })
        })
        .collect();
    drop(tx);
    let mut next = [0; 2];
    while let Some(Large((who, n), _)) = rx.blocking_recv() {
        assert_eq!(n, next[who]);
        next[who] += 1;
    }
    assert_eq!(next, [MANY; 2]);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A receiver that closes in the middle has got all that was accepted, and nothing else.
#[test]
fn rx_close_while_an_unbounded_lane_grows() {
    for taken in [0, 33, 100] {
        let ledger = Ledger::new(4 * MANY);
        let (mut tx, mut rx) = Builder::unbounded().build();
        let sent = ledger.clone();
        let thread = thread::spawn(move || {
            let mut accepted = 0;
            while accepted < 4 * MANY - 100 {
                if tx.try_send(large(sent.parcel())).is_err() {
                    break;
                }
                accepted += 1;
            }
            accepted
        });
        let mut received = rx.iter().take(taken).count();
        rx.close();
        received += rx.iter().count();
        assert_eq!(received, thread.join().unwrap());
        ledger.check();
    }
}

#[test]
fn sends_to_an_unbounded_lane_do_not_wait() {
    let (tx, mut rx) = lanemesh::unbounded();
    let mut own = tx.clone();
    let shared = tx.shared();
    for n in 0..1000 {
        // It yields whenever its budget is spent.
        block_on(own.send(n)).unwrap();
        block_on(shared.send(n)).unwrap();
    }
    assert_eq!(now(own.reserve_many(100_000)).unwrap().len(), 100_000);
    assert_eq!(own.capacity(), isize::MAX as usize / 2);
    assert_eq!(rx.try_iter().count(), 2000);
    rx.close();
    assert_eq!(own.try_send(1), Err(TrySendError::Closed(1)));
}

#[test]
fn one_class_may_be_unbounded_and_the_other_not() {
    let (mut tx, mut rx) = MailboxBuilder::new(2, 2)
        .high_unbounded()
        .low_overflow(Overflow::Drop)
        .build();
    for n in 0..100 {
        assert_eq!(tx.try_send_high(n), Ok(()));
        let sent = if n < 2 { Sent::Queued } else { Sent::Dropped };
        assert_eq!(tx.blocking_send_low(n), Ok(sent));
    }
    let (mut high, mut low) = (0, 0);
    for message in rx.try_iter() {
        match message {
            Message::High(_) => high += 1,
            Message::Low(_) => low += 1,
        }
    }
    assert_eq!((high, low, rx.stats().low.dropped), (100, 2, 98));
}
