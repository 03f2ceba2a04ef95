//! The owner's end of an actor: dropping it stops the actor, awaiting it gives the exit reason.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    cell::{ActorCell, signal},
    exit::ExitReason,
    handle::monitor::Monitor,
    id::{ActorId, Phase},
    observe::{ActorStats, Tree},
    util::timer::from_now,
};

/// Owns an actor: the actor stops when this is dropped. Awaiting it gives the exit reason.
///
/// Dropping it requests a stop and does not wait; the actor is killed after its grace period.
/// [`stop`](Self::stop) waits, and [`detach`](Self::detach) gives up the ownership.
///
/// # Cancel safety
///
/// Awaiting `&mut Child` may be cancelled and resumed. Dropping the `Child` itself stops the actor.
///
/// # Examples
///
/// ```
/// # use lanemesh_runtime::{spawn, testing::Sink, ExitReason};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (handle, child) = spawn(Sink::<(), ()>::new());
/// drop(child); // the actor goes with its owner
/// assert!(matches!(handle.monitor().await, ExitReason::Stopped));
/// # }
/// ```
#[must_use = "an actor stops when its child handle is dropped"]
pub struct Child {
    monitor: Monitor,
    owned: bool,
}

impl Child {
    pub(crate) fn new(cell: Arc<ActorCell>) -> Self {
        Self {
            monitor: Monitor::new(cell),
            owned: true,
        }
    }

    /// The actor's identity.
    pub fn id(&self) -> ActorId {
        self.cell().id()
    }

    /// The actor's name.
    pub fn name(&self) -> Arc<str> {
        self.cell().name()
    }

    /// Whether the actor has not ended for good.
    pub fn is_alive(&self) -> bool {
        self.cell().is_alive()
    }

    /// The phase of the actor's lifecycle.
    pub fn phase(&self) -> Phase {
        self.cell().phase()
    }

    /// A copy of the actor's counters.
    pub fn stats(&self) -> ActorStats {
        ActorStats::of(self.cell(), 0)
    }

    /// The actor and all its descendants, as data.
    pub fn tree(&self) -> Tree {
        Tree::of(self.cell())
    }

    /// Stops the actor within its own grace period, and waits for its end.
    ///
    /// # Cancel safety
    ///
    /// The stop has been requested in any case.
    pub async fn stop(self) -> ExitReason {
        let grace = self.cell().grace();
        self.stop_within(grace).await
    }

    /// Stops the actor and all its descendants by one deadline, clean-up included. Actors that have
    /// not stopped by then are killed.
    ///
    /// # Cancel safety
    ///
    /// The stop has been requested in any case.
    pub async fn stop_within(mut self, grace: Duration) -> ExitReason {
        self.cell().request_stop(from_now(grace), signal::STOP);
        self.owned = false;
        (&mut self.monitor).await
    }

    /// Ends the actor at its next poll, without a clean-up of its own, and waits for its end. See
    /// [`ActorHandle::kill`](crate::ActorHandle::kill).
    ///
    /// # Cancel safety
    ///
    /// The end has been requested in any case.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::{ActorResult, Context, ExitReason, Handler, spawn};
    ///
    /// struct Stuck;
    ///
    /// impl Handler for Stuck {
    ///     type Msg = ();
    ///     async fn handle(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
    ///         std::future::pending().await
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut stuck, child) = spawn(Stuck);
    /// stuck.tell(()).await?;
    /// assert!(matches!(child.kill().await, ExitReason::Killed));
    /// # Ok(()) }
    /// ```
    pub async fn kill(mut self) -> ExitReason {
        self.cell().kill();
        self.owned = false;
        (&mut self.monitor).await
    }

    /// Lets the actor handle its queued messages and accept no more, then waits for its end, however
    /// long that takes: [`drain_within`](Self::drain_within) has a deadline.
    ///
    /// # Cancel safety
    ///
    /// The drain has been requested in any case, and dropping the owner turns it into a stop.
    pub async fn drain(mut self) -> ExitReason {
        self.cell().raise(signal::DRAIN);
        let reason = (&mut self.monitor).await;
        self.owned = false;
        reason
    }

    /// Drains the actor like [`drain`](Self::drain), and all its descendants, by one deadline,
    /// clean-up included. Actors that have not ended by then are killed.
    ///
    /// # Cancel safety
    ///
    /// The drain has been requested in any case.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use lanemesh_runtime::{spawn, testing::Sink, ExitReason};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut handle, child) = spawn(Sink::<(), u64>::new());
    /// handle.try_send_low(1)?;
    /// let reason = child.drain_within(Duration::from_secs(5)).await;
    /// assert!(matches!(reason, ExitReason::Stopped));
    /// assert_eq!(handle.stats().low, 1);
    /// # Ok(()) }
    /// ```
    pub async fn drain_within(mut self, grace: Duration) -> ExitReason {
        self.cell().request_stop(from_now(grace), signal::DRAIN);
        self.owned = false;
        (&mut self.monitor).await
    }

    /// Gives up the ownership: the actor runs until its parent ends, until it ends by itself, or
    /// until all its handles are gone.
    pub fn detach(mut self) {
        self.owned = false;
    }

    pub(super) fn cell(&self) -> &Arc<ActorCell> {
        self.monitor.cell()
    }
}

impl Future for Child {
    type Output = ExitReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ExitReason> {
        Pin::new(&mut self.monitor).poll(cx)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.owned && self.is_alive() {
            self.cell().stop_in_grace();
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("actor", self.cell())
            .finish_non_exhaustive()
    }
}
