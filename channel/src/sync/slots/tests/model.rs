use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Waker},
};

use loom::{cell::UnsafeCell, future::block_on, sync::Arc, thread};

use super::super::{Acquire, Acquired, Slots};

fn model(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(f);
}

/// What a slot guards.
struct Guarded(Slots, UnsafeCell<u32>);

// SAFETY: the cell is used by who has the slot.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Self(Slots::new(1, 0), UnsafeCell::new(0)))
    }

    /// Waits for the slot, uses what it guards, and gives it back.
    fn work(&self) {
        assert_eq!(self.acquire(1), Acquired::Slots);
        // SAFETY: this thread has the only slot.
        self.1.with_mut(|n| unsafe { *n += 1 });
        self.0.give(1);
    }

    fn acquire(&self, wanted: usize) -> Acquired {
        let mut wait = pin!(Acquire::new(&self.0, wanted));
        block_on(poll_fn(|cx| wait.as_mut().poll(cx, |_| true)))
    }
}

/// Each waits for the other, perhaps: a lost wake-up is a deadlock.
#[test]
fn slot_of_two() {
    model(2, || {
        let slots = Guarded::new();
        let other = thread::spawn({
            let slots = slots.clone();
            move || slots.work()
        });
        slots.work();
        other.join().unwrap();
        assert_eq!(slots.0.load().free(), 1);
        assert!(!slots.0.load().has_waiters());
    });
}

/// Two wait for a third that gives slots back while one of them holds the lock.
#[test]
fn slot_given_back_while_the_lock_is_held() {
    model(2, || {
        let slots = Guarded::new();
        assert!(slots.0.try_take(1, |owners| owners).is_ok());
        let waits: Vec<_> = (0..2)
            .map(|_| {
                let slots = slots.clone();
                thread::spawn(move || slots.work())
            })
            .collect();
        slots.0.give(1);
        for wait in waits {
            wait.join().unwrap();
        }
        assert_eq!(slots.0.load().free(), 1);
    });
}

/// A wait is cancelled as it is granted the slot: the other gets it.
#[test]
fn slot_of_a_cancelled_wait_is_passed_on() {
    model(2, || {
        let slots = Guarded::new();
        assert!(slots.0.try_take(1, |owners| owners).is_ok());
        let cancels = thread::spawn({
            let slots = slots.clone();
            move || {
                let mut wait = pin!(Acquire::new(&slots.0, 1));
                let mut cx = Context::from_waker(Waker::noop());
                if wait.as_mut().poll(&mut cx, |_| true).is_ready() {
                    slots.0.give(1);
                }
            }
        });
        let waits = thread::spawn({
            let slots = slots.clone();
            move || slots.work()
        });
        slots.0.give(1);
        cancels.join().unwrap();
        waits.join().unwrap();
        assert_eq!(slots.0.load().free(), 1);
        assert!(!slots.0.load().has_waiters());
    });
}

/// Polled again before its task is woken.
#[test]
fn slot_granted_is_seen_without_the_wake_up() {
    model(3, || {
        let slots = Guarded::new();
        assert!(slots.0.try_take(1, |owners| owners).is_ok());
        let mut wait = pin!(Acquire::new(&slots.0, 1));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx, |_| true).is_pending());
        let gives = thread::spawn({
            let slots = slots.clone();
            move || {
                // SAFETY: the slot was taken for this thread.
                slots.1.with_mut(|n| unsafe { *n += 1 });
                slots.0.give(1);
            }
        });
        if wait.as_mut().poll(&mut cx, |_| true).is_ready() {
            // SAFETY: the slot is this thread's.
            slots.1.with_mut(|n| unsafe { *n += 1 });
            slots.0.give(1);
        }
        gives.join().unwrap();
    });
}

#[test]
fn slot_closed_against_a_wait() {
    model(3, || {
        let slots = Guarded::new();
        assert!(slots.0.try_take(1, |owners| owners).is_ok());
        let waits = thread::spawn({
            let slots = slots.clone();
            move || slots.acquire(1)
        });
        if slots.0.close().has_waiters() {
            slots.0.serve();
        }
        assert_eq!(waits.join().unwrap(), Acquired::Closed);
    });
}
