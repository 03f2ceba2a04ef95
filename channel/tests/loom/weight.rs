//! A bound by weight: senders of different weights, a receiver that gives back, and a wait that is cancelled.

use std::task::Waker;

use lanemesh::{Weighed, WeightLimit};
use loom::{future::block_on, thread};

use crate::{Payload, lanes, model, payload, poll_once};

fn limit(max: usize) -> WeightLimit<Payload> {
    WeightLimit::new(max, |message| message.0 as usize)
}

/// A sender waits for weight while the receiver gives it back.
#[test]
fn weight_given_back_against_a_wait() {
    model(2, || {
        let limit = limit(3);
        let (mut tx, mut rx) = lanes(2).build::<Weighed<Payload>>();
        tx.try_send(limit.try_weigh(payload(2)).unwrap()).unwrap();
        let sender = {
            let limit = limit.clone();
            thread::spawn(move || {
                let message = block_on(limit.weigh(payload(3))).unwrap();
                tx.try_send(message).unwrap();
            })
        };
        for weight in [2, 3] {
            let message = block_on(rx.recv()).unwrap();
            assert_eq!(message.weight(), weight);
            assert_eq!(message.into_inner().0 as usize, weight);
        }
        sender.join().unwrap();
        assert_eq!(limit.available(), 3);
    });
}

/// A wait is cancelled while the weight for it comes: it goes to the one behind, who wants less.
#[test]
fn cancelled_wait_against_weight_given_back() {
    model(2, || {
        let limit = limit(2);
        let held = limit.try_weigh(payload(2)).unwrap();
        let sender = {
            let limit = limit.clone();
            thread::spawn(move || {
                let cancelled = poll_once(limit.weigh(payload(2)), Waker::noop());
                drop(cancelled);
                drop(block_on(limit.weigh(payload(1))).unwrap());
            })
        };
        drop(held);
        sender.join().unwrap();
        assert_eq!(limit.available(), 2);
    });
}

/// The limit is closed while a sender waits.
#[test]
fn limit_closed_against_a_wait() {
    model(2, || {
        let limit = limit(1);
        let held = limit.try_weigh(payload(1)).unwrap();
        let sender = {
            let limit = limit.clone();
            thread::spawn(move || block_on(limit.weigh(payload(1))).is_err())
        };
        limit.close();
        assert!(sender.join().unwrap());
        drop(held);
        assert_eq!(limit.available(), 1);
    });
}
