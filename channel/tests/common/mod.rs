//! What the tests share: wakers that count, messages that count their drops, polling by hand.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// Counts how often its waker is woken.
#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        (wakes.clone(), Waker::from(wakes))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once with this waker.
pub(crate) fn poll<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// The result of a future that is ready at its first poll.
#[track_caller]
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match poll(pin!(future), Waker::noop()) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the future had to be ready at once"),
    }
}

/// Polls a future once, which must not be ready, and drops it.
#[track_caller]
pub(crate) fn start_and_cancel<F: Future>(future: F) {
    assert!(
        poll(pin!(future), Waker::noop()).is_pending(),
        "the future had to wait"
    );
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, without any executor.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = poll(future.as_mut(), &waker) {
            return result;
        }
        thread::park();
    }
}

/// Makes messages and checks that each is dropped exactly once.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    drops: Arc<[AtomicU8]>,
    made: Arc<AtomicUsize>,
}

/// A numbered message, recorded in a ledger.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) n: usize,
    ledger: Ledger,
}

impl Ledger {
    /// A ledger for at most `size` messages.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            drops: (0..size).map(|_| AtomicU8::new(0)).collect(),
            made: Arc::default(),
        }
    }

    /// The next message; numbers count up from 0.
    pub(crate) fn parcel(&self) -> Parcel {
        let n = self.made.fetch_add(1, Ordering::SeqCst);
        assert!(n < self.drops.len(), "the ledger is too small");
        Parcel {
            n,
            ledger: self.clone(),
        }
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    pub(crate) fn dropped(&self) -> usize {
        self.drops
            .iter()
            .filter(|drops| drops.load(Ordering::SeqCst) == 1)
            .count()
    }

    /// Checks that every message made was dropped, and only once.
    #[track_caller]
    pub(crate) fn check(&self) {
        for n in 0..self.made() {
            let drops = self.drops[n].load(Ordering::SeqCst);
            assert_eq!(drops, 1, "message {n} was dropped {drops} times");
        }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.ledger.drops[self.n].fetch_add(1, Ordering::SeqCst);
    }
}
