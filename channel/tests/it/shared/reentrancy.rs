//! Foreign code that runs inside an operation of a shared sender, and turns to the same one: wakers that are cloned,
//! woken and dropped, and messages that are dropped. (Allocators: `tests/allocators.rs`; subscribers of `tracing`:
//! `tests/tracing.rs`.)

use std::{
    cell::Cell,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, RawWaker, RawWakerVTable, Waker},
};

use lanemesh::{Builder, WeakSharedSender};

use crate::common::block_on;

thread_local! {
    /// Foreign code runs, or it is not wanted.
    static BUSY: Cell<bool> = const { Cell::new(false) };
    /// Times that it has run.
    static RUNS: Cell<usize> = const { Cell::new(0) };
}

/// A message that turns to the channel as it is dropped.
struct Meddler(WeakSharedSender<Meddler>);

impl Drop for Meddler {
    fn drop(&mut self) {
        meddle(&self.0);
    }
}

/// Calls all that a sender has, unless it is called from there.
fn meddle(weak: &WeakSharedSender<Meddler>) {
    if BUSY.replace(true) {
        return;
    }
    RUNS.set(RUNS.get() + 1);
    if let Some(tx) = weak.upgrade() {
        let message = || Meddler(weak.clone());
        let mut cx = Context::from_waker(Waker::noop());
        let _ = tx.try_send(message());
        let _ = pin!(tx.send(message())).as_mut().poll(&mut cx);
        let _ = tx.try_reserve().map(|permit| permit.send(message()));
        let _ = pin!(tx.reserve()).as_mut().poll(&mut cx);
        let _ = tx.try_reserve_many(2).map(drop);
        let _ = pin!(tx.reserve_many(2)).as_mut().poll(&mut cx);
        let _ = tx.clone().try_reserve_owned().map(drop);
        let _ = pin!(tx.clone().reserve_owned()).as_mut().poll(&mut cx);
        let _ = tx.send_timeout(message(), std::time::Duration::ZERO);
        let _ = pin!(tx.closed()).as_mut().poll(&mut cx);
        let _ = (
            tx.len(),
            tx.remaining_capacity(),
            tx.is_closed(),
            tx.strong_count(),
        );
        let mut own = tx.sender();
        let _ = own.try_send(message());
        let _ = pin!(own.send(message())).as_mut().poll(&mut cx);
        let _ = own.try_reserve_many(2).map(drop);
        drop(own.shared());
        let _ = format!("{tx:?}");
        drop(tx.downgrade());
    }
    BUSY.set(false);
}

/// A waker that turns to the channel whenever it is cloned, woken or dropped.
fn meddling_waker(weak: WeakSharedSender<Meddler>) -> Waker {
    type Data = WeakSharedSender<Meddler>;
    const TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: made from an `Arc` below, or here.
            let data = unsafe { Arc::from_raw(data.cast::<Data>()) };
            meddle(&data);
            std::mem::forget(data.clone());
            RawWaker::new(Arc::into_raw(data).cast(), &TABLE)
        },
        |data| {
            // SAFETY: as above.
            let data = unsafe { Arc::from_raw(data.cast::<Data>()) };
            meddle(&data);
        },
        |data| {
            // SAFETY: as above; it stays the waker's.
            let data = unsafe { &*data.cast::<Data>() };
            meddle(data);
        },
        |data| {
            // SAFETY: as above.
            let data = unsafe { Arc::from_raw(data.cast::<Data>()) };
            meddle(&data);
        },
    );
    let raw = RawWaker::new(Arc::into_raw(Arc::new(weak)).cast(), &TABLE);
    // SAFETY: the functions keep the count of the `Arc`.
    unsafe { Waker::from_raw(raw) }
}

/// Every operation of both ends, with wakers and messages that meddle.
#[test]
fn wakers_and_messages_that_use_the_sender_they_are_used_by() {
    for capacity in [1, 2, 5] {
        // Also with one bound for all lanes, for whose slots they wait instead.
        for (closes, total) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut builder = Builder::new(capacity).first_ring(2);
            if total {
                builder = builder.total_capacity(capacity);
            }
            let (tx, mut rx) = builder.build();
            let tx = tx.shared();
            let weak = tx.downgrade();
            let waker = meddling_waker(weak.clone());
            let mut cx = Context::from_waker(&waker);
            let message = || Meddler(weak.clone());
            for round in 0..20 {
                let _ = rx.poll_recv(&mut cx);
                let mut waits: Vec<_> = (0..20).map(|_| Box::pin(tx.send(message()))).collect();
                for wait in &mut waits {
                    let _ = wait.as_mut().poll(&mut cx);
                }
                let mut closed = pin!(tx.closed());
                let _ = closed.as_mut().poll(&mut cx);
                let _ = closed
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                for _ in 0..round {
                    drop(rx.try_recv());
                }
                for wait in &mut waits {
                    // Ready ones are not polled again.
                    if round % 2 == 0 {
                        break;
                    }
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        wait.as_mut().poll(&mut cx).is_ready()
                    }));
                }
                drop(waits);
                for _ in 0..2 * capacity {
                    let _ = rx.poll_recv(&mut cx);
                }
            }
            if closes {
                let mut waits: Vec<_> = (0..20).map(|_| Box::pin(tx.send(message()))).collect();
                for wait in &mut waits {
                    let _ = wait.as_mut().poll(&mut cx);
                }
                rx.close();
                drop(waits);
                while block_on(rx.recv()).is_some() {}
            }
            drop((tx, waker));
            drop(rx);
            assert!(RUNS.get() > 0);
        }
    }
}
