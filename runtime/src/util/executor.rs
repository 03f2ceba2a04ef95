//! Spawning tasks on a runtime, and keeping that runtime alive.

use std::{cell::RefCell, future::poll_fn, pin::Pin, rc::Rc, sync::Arc, task::Poll};

use tokio::{
    runtime::{Handle, Runtime},
    sync::oneshot,
    task::{LocalEnterGuard, LocalSet},
};

use crate::util::random::{is_seeded, seeded};

/// Spawns an actor's task. It is not put into a box: it lies in the memory that the executor has for a task.
#[inline(always)]
pub(crate) fn spawn_on(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    if is_seeded() {
        spawn_delayed(runtime, Box::pin(task));
    } else {
        runtime.spawn(task);
    }
}

/// Spawns a task in a simulation, which delays its wake-ups by a random number of polls.
#[cold]
fn spawn_delayed(runtime: &Handle, mut task: Pin<Box<dyn Future<Output = ()> + Send>>) {
    runtime.spawn(async move {
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

thread_local! {
    /// On a worker thread: runs what its actors pass to `spawn_local`.
    static LOCAL_SET: RefCell<Option<Rc<LocalSet>>> = const { RefCell::new(None) };
}

/// Runs the runtime of a worker thread, until the sender is dropped.
pub(crate) fn run_worker_thread(runtime: &Runtime, stopped: oneshot::Receiver<()>) {
    let local_set = Rc::new(LocalSet::new());
    LOCAL_SET.set(Some(local_set.clone()));
    // An error is the dropped sender.
    let _ = runtime.block_on(local_set.run_until(stopped));
    LOCAL_SET.take();
}

/// On a worker thread, makes `spawn_local` work as long as the guard exists.
pub(crate) fn enter_local_set() -> Option<LocalEnterGuard> {
    LOCAL_SET.with_borrow(|local_set| local_set.as_ref().map(|local_set| local_set.enter()))
}

/// A share in a thread that runs one tokio runtime; the thread ends when the last share is dropped.
#[derive(Clone)]
pub(crate) struct RuntimeThread(Arc<Shared>);

struct Shared {
    runtime: Handle,
    /// Dropping it ends the thread.
    stop: oneshot::Sender<()>,
}

impl RuntimeThread {
    /// `stop` ends the thread of `runtime` when it is dropped.
    pub(crate) fn new(runtime: Handle, stop: oneshot::Sender<()>) -> Self {
        Self(Arc::new(Shared { runtime, stop }))
    }

    /// The runtime, also when its thread has ended.
    pub(crate) fn handle(&self) -> &Handle {
        &self.0.runtime
    }

    /// The runtime, unless its thread has ended.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        (!self.0.stop.is_closed()).then(|| self.0.runtime.clone())
    }
}
