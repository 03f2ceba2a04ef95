//! A future of an actor's exit reason.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    cell::{ActorCell, Watcher},
    exit::ExitReason,
    id::ActorId,
};

/// A future of another actor's exit reason.
///
/// For an actor that has already ended it is ready at once: the reason is stored as long as there
/// is a handle. Dropping a monitor also removes it at the actor, so nothing accumulates when many
/// monitors come and go.
///
/// # Cancel safety
///
/// Awaiting `&mut Monitor` may be cancelled and resumed; nothing is lost.
///
/// # Examples
///
/// ```
/// # use lanemesh_runtime::{spawn, testing::Sink, ExitReason};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (handle, child) = spawn(Sink::<(), ()>::new());
/// let early = handle.monitor();
/// child.stop().await;
/// assert!(matches!(early.await, ExitReason::Stopped));
/// assert!(matches!(handle.monitor().await, ExitReason::Stopped)); // set after the death
/// # }
/// ```
#[must_use = "a monitor does nothing unless it is waited on"]
pub struct Monitor {
    cell: Arc<ActorCell>,
    key: Option<u64>,
}

impl Monitor {
    pub(crate) fn new(cell: Arc<ActorCell>) -> Self {
        Self { cell, key: None }
    }

    /// The identity of the monitored actor.
    pub fn id(&self) -> ActorId {
        self.cell.id()
    }

    /// The reason, if the actor has already ended.
    pub fn try_reason(&self) -> Option<ExitReason> {
        self.cell.exit_reason().cloned()
    }

    pub(crate) fn cell(&self) -> &Arc<ActorCell> {
        &self.cell
    }
}

impl Future for Monitor {
    type Output = ExitReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ExitReason> {
        let this = &mut *self;
        match this
            .cell
            .watch(&mut this.key, Watcher::Task(cx.waker().clone()))
        {
            Some(reason) => Poll::Ready(reason),
            None => Poll::Pending,
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.cell.unwatch(key);
        }
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("id", &self.cell.id())
            .finish_non_exhaustive()
    }
}
