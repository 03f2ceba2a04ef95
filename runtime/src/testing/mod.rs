//! For the tests of users: a probe, a sink, and a simulation that repeats itself.
//!
//! Handles work in tests as they are. With the feature `testing` there is also [`simulate`], which
//! pauses tokio's clock and shakes the order of tasks by a seed.

mod probe;
#[cfg(feature = "testing")]
mod simulation;

use std::{cell::Cell, future::poll_fn, pin::pin, task::Poll};

use tokio::runtime::Handle;

pub use probe::{Probe, ProbeError, Probed, Sink, probe};
#[cfg(feature = "testing")]
pub use simulation::simulate;

use crate::supervision::splitmix;

thread_local! {
    /// The state of the simulation that this thread runs; 0 when it runs none.
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// The next random number of the simulation that this thread runs, if it runs one.
pub(crate) fn seeded() -> Option<u64> {
    SEED.with(|seed| {
        let state = seed.get();
        if state == 0 {
            return None;
        }
        seed.set(splitmix(state).max(1));
        Some(splitmix(state ^ 0x5851_F42D_4C95_7F2D))
    })
}

/// Spawns an actor's task; in a simulation its wake-ups are delayed by chance.
pub(crate) fn spawn_on(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    if SEED.with(Cell::get) == 0 {
        runtime.spawn(task);
        return;
    }
    runtime.spawn(async move {
        let mut task = pin!(task);
        let mut delay = 0;
        poll_fn(|cx| {
            if delay == 0 {
                delay = seeded().unwrap_or(0) % 4 + 1;
            }
            delay -= 1;
            if delay > 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            task.as_mut().poll(cx)
        })
        .await;
    });
}
