use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Waker},
};

use loom::{cell::UnsafeCell, future::block_on, sync::Arc, thread};

use super::super::{Acquire, Acquired, Semaphore};

fn model(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(f);
}

/// What a permit guards.
struct Guarded(Semaphore, UnsafeCell<u32>);

// SAFETY: the cell is used by who has the permit.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Self(Semaphore::new(1, 0), UnsafeCell::new(0)))
    }

    /// Waits for the permit, uses what it guards, and releases it.
    fn work(&self) {
        assert_eq!(self.acquire(1), Acquired::Permits);
        // SAFETY: this thread has the only permit.
        self.1.with_mut(|n| unsafe { *n += 1 });
        self.0.release(1);
    }

    fn acquire(&self, wanted: usize) -> Acquired {
        let mut wait = pin!(Acquire::new(&self.0, wanted));
        block_on(poll_fn(|cx| wait.as_mut().poll(cx, |_| true)))
    }
}

/// Each waits for the other, perhaps: a lost wake-up is a deadlock.
#[test]
fn permit_of_two() {
    model(2, || {
        let semaphore = Guarded::new();
        let other = thread::spawn({
            let semaphore = semaphore.clone();
            move || semaphore.work()
        });
        semaphore.work();
        other.join().unwrap();
        assert_eq!(semaphore.0.load().free(), 1);
        assert!(!semaphore.0.load().has_waiters());
    });
}

/// Two wait for a third that releases permits while one of them holds the lock.
#[test]
fn permit_released_while_the_lock_is_held() {
    model(2, || {
        let semaphore = Guarded::new();
        assert!(semaphore.0.try_acquire(1, |owners| owners).is_ok());
        let waits: Vec<_> = (0..2)
            .map(|_| {
                let semaphore = semaphore.clone();
                thread::spawn(move || semaphore.work())
            })
            .collect();
        semaphore.0.release(1);
        for wait in waits {
            wait.join().unwrap();
        }
        assert_eq!(semaphore.0.load().free(), 1);
    });
}

/// A wait is cancelled as it is granted the permit: the other gets it.
#[test]
fn permit_of_a_cancelled_wait_is_passed_on() {
    model(2, || {
        let semaphore = Guarded::new();
        assert!(semaphore.0.try_acquire(1, |owners| owners).is_ok());
        let cancels = thread::spawn({
            let semaphore = semaphore.clone();
            move || {
                let mut wait = pin!(Acquire::new(&semaphore.0, 1));
                let mut cx = Context::from_waker(Waker::noop());
                if wait.as_mut().poll(&mut cx, |_| true).is_ready() {
                    semaphore.0.release(1);
                }
            }
        });
        let waits = thread::spawn({
            let semaphore = semaphore.clone();
            move || semaphore.work()
        });
        semaphore.0.release(1);
        cancels.join().unwrap();
        waits.join().unwrap();
        assert_eq!(semaphore.0.load().free(), 1);
        assert!(!semaphore.0.load().has_waiters());
    });
}

/// Polled again before its task is woken.
#[test]
fn permit_granted_is_seen_without_the_wake_up() {
    model(3, || {
        let semaphore = Guarded::new();
        assert!(semaphore.0.try_acquire(1, |owners| owners).is_ok());
        let mut wait = pin!(Acquire::new(&semaphore.0, 1));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx, |_| true).is_pending());
        let gives = thread::spawn({
            let semaphore = semaphore.clone();
            move || {
                // SAFETY: the permit was acquired for this thread.
                semaphore.1.with_mut(|n| unsafe { *n += 1 });
                semaphore.0.release(1);
            }
        });
        if wait.as_mut().poll(&mut cx, |_| true).is_ready() {
            // SAFETY: the permit is this thread's.
            semaphore.1.with_mut(|n| unsafe { *n += 1 });
            semaphore.0.release(1);
        }
        gives.join().unwrap();
    });
}

#[test]
fn permit_closed_against_a_wait() {
    model(3, || {
        let semaphore = Guarded::new();
        assert!(semaphore.0.try_acquire(1, |owners| owners).is_ok());
        let waits = thread::spawn({
            let semaphore = semaphore.clone();
            move || semaphore.acquire(1)
        });
        if semaphore.0.close().has_waiters() {
            semaphore.0.serve();
        }
        assert_eq!(waits.join().unwrap(), Acquired::Closed);
    });
}

/// Two newcomers overtake one who waits: those who come together are counted, too.
#[test]
fn permits_overtaken_by_one_of_two() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(0, 0));
        let mut wait = pin!(Acquire::new(&semaphore, 1));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx, |_| true).is_pending());
        assert!(semaphore.add(2));
        let other = thread::spawn({
            let semaphore = semaphore.clone();
            move || semaphore.overtake()
        });
        let here = semaphore.overtake();
        assert!(here != other.join().unwrap());
        semaphore.serve();
        assert!(wait.as_mut().poll(&mut cx, |_| true).is_ready());
        semaphore.release(2);
        assert_eq!(semaphore.load().free(), 2);
    });
}

/// A newcomer overtakes while the permit is handed to the one who waits: one of them has it.
#[test]
fn permit_overtaken_against_serve() {
    model(3, || {
        let semaphore = Guarded::new();
        assert!(semaphore.0.try_acquire(1, |owners| owners).is_ok());
        let mut wait = Box::pin(Acquire::new(&semaphore.0, 1));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx, |_| true).is_pending());
        assert!(semaphore.0.add(1));
        let newcomer = thread::spawn({
            let semaphore = semaphore.clone();
            move || {
                if semaphore.0.overtake() {
                    // SAFETY: the permit is this thread's.
                    semaphore.1.with_mut(|n| unsafe { *n += 1 });
                    semaphore.0.release(1);
                }
            }
        });
        semaphore.0.serve();
        assert_eq!(
            block_on(poll_fn(|cx| wait.as_mut().poll(cx, |_| true))),
            Acquired::Permits
        );
        // SAFETY: the permit is this thread's.
        semaphore.1.with_mut(|n| unsafe { *n += 1 });
        semaphore.0.release(1);
        newcomer.join().unwrap();
        assert_eq!(semaphore.0.load().free(), 1);
        assert!(!semaphore.0.load().has_waiters());
    });
}
