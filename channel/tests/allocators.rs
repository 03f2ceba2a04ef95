//! An allocator that sends through the shared senders for which it is called. It is why this is a binary of its own.
#![cfg(not(loom))]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::Future,
    pin::pin,
    sync::OnceLock,
    task::{Context, Waker},
};

use lanemesh::{Builder, SharedSender};

struct Meddling;

thread_local! {
    static BUSY: Cell<bool> = const { Cell::new(true) };
    static RUNS: Cell<usize> = const { Cell::new(0) };
}

static SENDER: OnceLock<SharedSender<u64>> = OnceLock::new();

fn meddle() {
    if BUSY.try_with(|busy| busy.replace(true)).unwrap_or(true) {
        return;
    }
    if let Some(tx) = SENDER.get() {
        RUNS.set(RUNS.get() + 1);
        let mut cx = Context::from_waker(Waker::noop());
        let _ = tx.try_send(1);
        let _ = pin!(tx.send(2)).poll(&mut cx);
        let _ = tx.try_reserve_many(2).map(drop);
        let _ = pin!(tx.reserve_many(2)).poll(&mut cx).map(drop);
        let _ = pin!(tx.closed()).poll(&mut cx);
        let _ = tx.clone().try_reserve_owned().map(drop);
        let _ = tx.sender().try_send(3);
        drop(tx.sender().shared());
    }
    BUSY.set(false);
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Meddling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        meddle();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        meddle();
        // SAFETY: `memory` comes from `alloc` above, which took it from the system.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Meddling = Meddling;

/// A lock around an allocation would be taken twice by this thread.
#[test]
fn an_allocator_uses_the_sender_that_allocates() {
    let (tx, mut rx) = Builder::new(40).first_ring(2).build();
    let own = tx.clone();
    let tx = SENDER.get_or_init(|| tx.shared());
    BUSY.set(false);
    let mut received = 0;
    for round in 0..200 {
        let (wakes, waker) = common::Wakes::new();
        let mut cx = Context::from_waker(&waker);
        let mut waits: Vec<_> = (0..20).map(|_| Box::pin(tx.send(0))).collect();
        for wait in &mut waits {
            let _ = wait.as_mut().poll(&mut cx);
        }
        let _ = own.clone().try_send(4);
        let _ = pin!(own.closed()).poll(&mut cx);
        let _ = rx.poll_recv(&mut cx);
        for _ in 0..round {
            received += usize::from(rx.try_recv().is_ok());
        }
        drop(waits);
        drop(wakes);
    }
    rx.close();
    while rx.try_recv().is_ok() {
        received += 1;
    }
    drop(rx);
    BUSY.set(true);
    assert!(RUNS.get() > 0 && received > 0);
}
