//! Actors that cannot be sent to another thread.
//!
//! [`LocalActor`] is [`Actor`] without `Send`. It is not a second runtime: [`Local`] turns it into
//! an [`Actor`] by checking the thread at run time instead of compile time, and a
//! [`WorkerThread`](crate::WorkerThread) never moves a task to another thread. So loop,
//! supervision, handles and statistics are the same code for both.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    pin::Pin,
    task::{Context as PollContext, Poll},
};

use send_wrapper::SendWrapper;

use crate::{
    actor::{Actor, batch::Batch, context::Context},
    error::{ActorError, ActorResult},
    exit::{ExitNotice, ExitReason},
    util::executor::enter_local_set,
};

/// The context of a [`LocalActor`].
pub type LocalContext<A> = Context<Local<A>>;

/// An actor whose state or futures are not `Send`; it lives in a [`WorkerThread`](crate::WorkerThread).
///
/// On a worker thread its hooks can use [`spawn_local`](tokio::task::spawn_local).
///
/// The hooks are those of [`Actor`]. Only `run` differs: it gets `this: &mut Local<Self>`, which
/// dereferences to the actor and which [`actor_loop!`](crate::actor_loop) takes.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
///
/// use lanemesh_runtime::{ActorResult, LocalActor, LocalContext, WorkerThread, local};
///
/// struct Tally(Rc<Cell<u32>>);
///
/// impl LocalActor for Tally {
///     type HighPriorityMsg = ();
///     type LowPriorityMsg = u32;
///
///     async fn on_low(&mut self, n: u32, _: &mut LocalContext<Self>) -> ActorResult {
///         self.0.set(self.0.get() + n);
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let worker_thread = WorkerThread::new("tally")?;
/// let (mut handle, child) = local(|| Tally(Rc::default())).on(&worker_thread).spawn();
/// handle.send_low(5).await?;
/// handle.idle().await;
/// let sum = handle.inspect(|tally| tally.0.get(), std::time::Duration::from_secs(1)).await?;
/// assert_eq!(sum, 5);
/// child.stop().await;
/// # Ok(()) }
/// ```
pub trait LocalActor: Sized + 'static {
    /// See [`Actor::HighPriorityMsg`].
    type HighPriorityMsg: Send + 'static;

    /// See [`Actor::LowPriorityMsg`].
    type LowPriorityMsg: Send + 'static;

    /// See [`Actor::BATCH`].
    const BATCH: usize = 1;

    /// See [`Actor::EVENTS`].
    const EVENTS: bool = false;

    /// See [`Actor::started`].
    fn started(&mut self, ctx: &mut LocalContext<Self>) -> impl Future<Output = ActorResult> {
        let _ = ctx;
        async { Ok(()) }
    }

    /// See [`Actor::on_high`].
    fn on_high(
        &mut self,
        msg: Self::HighPriorityMsg,
        ctx: &mut LocalContext<Self>,
    ) -> impl Future<Output = ActorResult> {
        let _ = (msg, ctx);
        async {
            Err(ActorError::no_hook::<Self, Self::HighPriorityMsg>(
                "on_high",
            ))
        }
    }

    /// See [`Actor::on_low`].
    fn on_low(
        &mut self,
        msg: Self::LowPriorityMsg,
        ctx: &mut LocalContext<Self>,
    ) -> impl Future<Output = ActorResult> {
        let _ = (msg, ctx);
        async { Err(ActorError::no_hook::<Self, Self::LowPriorityMsg>("on_low")) }
    }

    /// See [`Actor::on_low_batch`].
    fn on_low_batch(
        &mut self,
        batch: &mut Batch<Self::LowPriorityMsg>,
        ctx: &mut LocalContext<Self>,
    ) -> impl Future<Output = ActorResult> {
        async move {
            while let Some(msg) = batch.next(ctx) {
                self.on_low(msg, ctx).await?;
            }
            Ok(())
        }
    }

    /// See [`Actor::on_child_exit`].
    fn on_child_exit(
        &mut self,
        notice: ExitNotice,
        ctx: &mut LocalContext<Self>,
    ) -> impl Future<Output = ActorResult> {
        let _ = (notice, ctx);
        async { Ok(()) }
    }

    /// See [`Actor::on_peer_exit`].
    fn on_peer_exit(
        &mut self,
        notice: ExitNotice,
        ctx: &mut LocalContext<Self>,
    ) -> impl Future<Output = ActorResult> {
        let _ = (notice, ctx);
        async { Ok(()) }
    }

    /// See [`Actor::healthy`].
    fn healthy(&mut self, ctx: &mut LocalContext<Self>) -> impl Future<Output = ActorResult> {
        let _ = ctx;
        async { Ok(()) }
    }

    /// See [`Actor::stopped`].
    fn stopped(
        &mut self,
        reason: &ExitReason,
        ctx: &mut LocalContext<Self>,
    ) -> impl Future<Output = ActorResult> {
        let _ = (reason, ctx);
        async { Ok(()) }
    }

    /// See [`Actor::run`].
    fn run(
        this: &mut Local<Self>,
        ctx: &mut LocalContext<Self>,
    ) -> impl Future<Output = ActorResult> {
        ctx.run(this)
    }
}

/// A [`LocalActor`] as an [`Actor`].
///
/// # Panics
///
/// Its hooks, its dereference and its drop panic on any thread other than the one that made it.
/// The runtime keeps it on that thread.
pub struct Local<A>(SendWrapper<A>);

impl<A> Local<A> {
    pub(crate) fn new(actor: A) -> Self {
        Self(SendWrapper::new(actor))
    }
}

impl<A> Deref for Local<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.0
    }
}

impl<A> DerefMut for Local<A> {
    fn deref_mut(&mut self) -> &mut A {
        &mut self.0
    }
}

impl<A> fmt::Debug for Local<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

/// Polls a future in the [`LocalSet`](tokio::task::LocalSet) of its worker thread, so that it can
/// use `spawn_local`.
fn in_local_set<F: Future>(future: F) -> impl Future<Output = F::Output> + Send {
    SendWrapper::new(InLocalSet { future })
}

pin_project_lite::pin_project! {
    struct InLocalSet<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for InLocalSet<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<F::Output> {
        let _entered = enter_local_set();
        self.project().future.poll(cx)
    }
}

impl<A: LocalActor> Actor for Local<A> {
    type HighPriorityMsg = A::HighPriorityMsg;
    type LowPriorityMsg = A::LowPriorityMsg;
    const BATCH: usize = A::BATCH;
    const EVENTS: bool = A::EVENTS;

    fn started(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        in_local_set(A::started(self, ctx))
    }

    fn on_high(
        &mut self,
        msg: Self::HighPriorityMsg,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        in_local_set(A::on_high(self, msg, ctx))
    }

    fn on_low(
        &mut self,
        msg: Self::LowPriorityMsg,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        in_local_set(A::on_low(self, msg, ctx))
    }

    fn on_low_batch(
        &mut self,
        batch: &mut Batch<Self::LowPriorityMsg>,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        in_local_set(A::on_low_batch(self, batch, ctx))
    }

    fn on_child_exit(
        &mut self,
        notice: ExitNotice,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        in_local_set(A::on_child_exit(self, notice, ctx))
    }

    fn on_peer_exit(
        &mut self,
        notice: ExitNotice,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        in_local_set(A::on_peer_exit(self, notice, ctx))
    }

    fn healthy(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        in_local_set(A::healthy(self, ctx))
    }

    fn stopped(
        &mut self,
        reason: &ExitReason,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        in_local_set(A::stopped(self, reason, ctx))
    }

    fn run(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        in_local_set(A::run(self, ctx))
    }
}
