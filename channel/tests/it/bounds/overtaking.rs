//! Overtaking: who gets a slot of a bound on all lanes while others wait for one.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use lanemesh::{Builder, Receiver, Sender};

fn bounded<T>(total: usize) -> (Sender<T>, Receiver<T>) {
    Builder::new(1).total_capacity(total).build()
}

/// No shared slots: all messages go by lanes.
fn lanes_only<T>(total: usize) -> (Sender<T>, Receiver<T>) {
    Builder::new(1)
        .total_capacity(total)
        .shared_slots(0)
        .build()
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// How often a sender that does not wait overtakes one that does.
const OVERTAKES: usize = 32;

#[test]
fn a_sender_that_waits_is_overtaken_a_few_times_only() {
    const TOTAL: usize = 8 * OVERTAKES - 1;
    for (exact, (mut tx, mut rx)) in [(false, bounded(TOTAL)), (true, lanes_only(TOTAL))] {
        let mut waiting = tx.clone();
        let mut sent = 0;
        while tx.try_send(sent).is_ok() {
            sent += 1;
        }
        assert_eq!(sent, TOTAL);
        let mut wait = pin!(waiting.send(usize::MAX));
        assert!(poll(wait.as_mut()).is_pending());
        let (mut received, mut overtakes) = (0, 0);
        loop {
            // It does not find nothing, so it need not serve those who wait before half is taken.
            rx.try_recv().unwrap();
            received += 1;
            assert!(received <= TOTAL.div_ceil(2) + OVERTAKES);
            if poll(wait.as_mut()).is_ready() {
                break;
            }
            while tx.try_send(sent).is_ok() {
                sent += 1;
                overtakes += 1;
            }
        }
        if exact {
            assert_eq!(overtakes, OVERTAKES);
            assert!(received >= TOTAL / 2);
        } else {
            // Those who wait are also served when a set of shared slots is empty.
            assert!(overtakes <= OVERTAKES);
        }
        // Nothing is lost or there twice.
        while rx.try_recv().is_ok() {
            received += 1;
        }
        assert_eq!(received, sent + 1);
        assert_eq!(tx.remaining_capacity(), TOTAL);
    }
}

/// At first only some are served, so that they use what is free; then all, whether or not they do.
#[test]
fn all_who_wait_are_served_when_nothing_comes() {
    for open in [bounded, lanes_only] {
        for dropped in [false, true] {
            let (mut tx, mut rx) = open(16);
            for n in 0..16 {
                tx.try_send(n).unwrap();
            }
            let mut others: Vec<_> = (0..16).map(|_| tx.clone()).collect();
            let mut waits: Vec<_> = others.iter_mut().map(|tx| Box::pin(tx.reserve())).collect();
            for wait in &mut waits {
                assert!(poll(wait.as_mut()).is_pending());
            }
            for n in 0..16 {
                assert_eq!(poll(pin!(rx.recv())), Poll::Ready(Some(n)));
            }
            if dropped {
                assert!(poll(pin!(rx.recv())).is_pending());
            } else {
                // As often as the receiver asks for it at once.
                for _ in 0..4 {
                    assert!(
                        rx.poll_recv(&mut Context::from_waker(Waker::noop()))
                            .is_pending()
                    );
                }
            }
            for wait in &mut waits {
                assert!(matches!(poll(wait.as_mut()), Poll::Ready(Ok(_))));
            }
        }
    }
}
