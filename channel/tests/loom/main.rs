//! The protocol under loom: every interleaving, and every value that a load may return, of small
//! cases.
//!
//! `cargo loom` runs them; `.ci/mutants` shows that each fence and exchange is needed, by weakening
//! them one at a time. Each model has two or three threads, and counts messages exactly.
//!
//! In a binary of its own: `cfg(loom)` replaces the atomics of the whole crate.
#![cfg(loom)]

mod close;
mod lanes;
mod mailbox;
mod mesh;
mod permits;
mod rings;
mod shared;
mod shared_slots;
mod sleep;
mod total;
mod unfenced;
mod waiting;
mod weight;

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Runs a model with at most `preemptions` switches away from a thread that could continue.
fn model(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(f);
}

/// A channel where every message takes its producer's lane.
fn lanes(capacity: usize) -> lanemesh::Builder {
    lanemesh::Builder::new(capacity).shared_slots(0)
}

/// A message that loom tracks: a leak or a second drop fails the model.
#[derive(Debug)]
struct Payload(
    u32,
    #[allow(dead_code, reason = "loom counts it")] loom::sync::Arc<()>,
);

fn payload(n: u32) -> Payload {
    Payload(n, loom::sync::Arc::new(()))
}

/// A waker that counts, and wakes nobody.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls a future once, then drops it.
fn poll_once<F: Future>(future: F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

/// Polls a receiver once. No future is dropped, which would end its wait.
fn poll_recv_once<T>(rx: &mut lanemesh::Receiver<T>, waker: &Waker) -> Poll<Option<T>> {
    rx.poll_recv(&mut Context::from_waker(waker))
}
