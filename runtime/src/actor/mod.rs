//! What you write: an actor, its messages and its hooks; and the context that the hooks get.
//!
//! The futures of an [`Actor`]'s hooks are `Send`, so that any actor can run on tokio's
//! multi-thread scheduler. An actor that is not `Send` implements [`LocalActor`], the same trait
//! without `Send`, and runs on a [`WorkerThread`](crate::WorkerThread).

// One thing: mod, *: a hook gets a context of its own actor type.

mod batch;
mod context;
mod coop_budget;
mod event;
mod fairness;
mod handler;
mod local;
mod loop_state;
mod messages;
mod optional_state;
mod policies;
mod watches;

use lanemesh::Message;

use crate::{
    error::{ActorError, ActorResult},
    exit::{ExitNotice, ExitReason},
};

pub use self::{
    batch::Batch,
    context::Context,
    event::{Event, Waited},
    handler::{Handler, Priority},
    local::{Local, LocalActor, LocalContext},
};
pub(crate) use self::{
    event::{AnyMessage, ControlEvent, Kind},
    loop_state::Handling,
    messages::{High, Low},
    optional_state::OptionalState,
    policies::Policies,
};
pub use crate::sources::SourceHandle;

/// Owns its state and handles one message at a time.
///
/// It has two types of messages, one for each priority. For one type, implement [`Handler`].
///
/// Write the hooks as `async fn`. Each gets the [`Context`], which spawns children, watches peers
/// and knows the actor's name. A hook that returns an error or panics ends the incarnation; the
/// supervisor decides what follows. No hook is ever raced against another: the loop only cancels
/// receives. A hook is cancelled when the actor is killed after its grace period, or when it fails
/// its health checks.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lanemesh_runtime::{Actor, ActorResult, Context, Reply, spawn};
///
/// struct Counter(u64);
///
/// enum Control {
///     Get(Reply<u64>),
/// }
///
/// impl Actor for Counter {
///     type HighPriorityMsg = Control;
///     type LowPriorityMsg = u64;
///
///     async fn on_high(&mut self, msg: Control, _: &mut Context<Self>) -> ActorResult {
///         match msg {
///             Control::Get(reply) => reply.send(self.0).ok(),
///         };
///         Ok(())
///     }
///
///     async fn on_low(&mut self, msg: u64, _: &mut Context<Self>) -> ActorResult {
///         self.0 += msg;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut handle, child) = spawn(Counter(0));
/// handle.send_low(2).await?;
/// handle.send_low(3).await?;
/// handle.idle().await; // both are handled
/// assert_eq!(handle.ask(Control::Get, Duration::from_secs(1)).await?, 5);
/// child.stop().await;
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    note = "implement `Handler` (one type of messages) or `Actor` (a type for each priority)"
)]
pub trait Actor: Sized + Send + 'static {
    /// High-priority messages: each is handled before any low-priority message that waits.
    type HighPriorityMsg: Send + 'static;

    /// Low-priority messages: data that may wait behind control messages.
    type LowPriorityMsg: Send + 'static;

    /// How many low-priority messages are taken from the mailbox at once, at most.
    ///
    /// With 1 the loop calls [`on_low`](Self::on_low) for each. With more it calls
    /// [`on_low_batch`](Self::on_low_batch).
    const BATCH: usize = 1;

    /// Whether an [`EventMonitor`](crate::observe::EventMonitor) can be set on this actor. With
    /// `false` the calls are compiled out.
    const EVENTS: bool = false;

    /// Runs once, before the first message of each incarnation.
    fn started(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// Handles a high-priority message.
    ///
    /// An actor that receives none need not implement this, whatever the type of its high-priority
    /// messages. If one arrives anyway, the actor fails with an error that names the actor,
    /// the hook and the type of the message.
    fn on_high(
        &mut self,
        msg: Self::HighPriorityMsg,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        let _ = (msg, ctx);
        async {
            Err(ActorError::no_hook::<Self, Self::HighPriorityMsg>(
                "on_high",
            ))
        }
    }

    /// Handles a low-priority message.
    ///
    /// An actor that receives none need not implement this, as with [`on_high`](Self::on_high).
    fn on_low(
        &mut self,
        msg: Self::LowPriorityMsg,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        let _ = (msg, ctx);
        async { Err(ActorError::no_hook::<Self, Self::LowPriorityMsg>("on_low")) }
    }

    /// Handles up to [`BATCH`](Self::BATCH) low-priority messages.
    ///
    /// [`Batch::next`] ends early when something urgent waits. What a handler leaves in the batch
    /// stays, also after a crash, and is offered again after the urgent messages.
    fn on_low_batch(
        &mut self,
        batch: &mut Batch<Self::LowPriorityMsg>,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        async move {
            while let Some(msg) = batch.next(ctx) {
                self.on_low(msg, ctx).await?;
            }
            Ok(())
        }
    }

    /// A child has ended for good. Its restarts are not reported here.
    ///
    /// It is also called for the children that end when this actor stops: then
    /// [`Context::is_stopping`] is true, and no child can be started.
    fn on_child_exit(
        &mut self,
        notice: ExitNotice,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        let _ = (notice, ctx);
        async { Ok(()) }
    }

    /// A peer that this actor watches has ended ([`Context::watch`]).
    fn on_peer_exit(
        &mut self,
        notice: ExitNotice,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        let _ = (notice, ctx);
        async { Ok(()) }
    }

    /// Answers a health check ([`Builder::health`](crate::Builder::health)). An error counts as a
    /// failed check, and so does an answer that comes too late, for example because a hook hangs.
    fn healthy(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// Cleans up after the last message of each incarnation, when the children have ended.
    ///
    /// It also runs after a failure, which `reason` names. It does not run when `started` has failed
    /// or when the incarnation was killed. An error or a panic here becomes the exit reason,
    /// or stands beside the failure from before ([`ExitReason::CleanUpFailed`]); the report of a
    /// shutdown names the actor.
    fn stopped(
        &mut self,
        reason: &ExitReason,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        let _ = (reason, ctx);
        async { Ok(()) }
    }

    /// The event loop. Override it with [`actor_loop!`](crate::actor_loop) to wait for timers, sockets
    /// or streams too.
    fn run(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        ctx.run(self)
    }

    /// The lane of an ask, by its message: that of its type, unless there is one type for both.
    #[doc(hidden)]
    #[inline]
    fn by_priority(
        question: Self::HighPriorityMsg,
    ) -> Message<Self::HighPriorityMsg, Self::LowPriorityMsg> {
        Message::High(question)
    }
}

/// An actor whose state can be observed from outside, mainly in tests.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// # use lanemesh_runtime::{Actor, ActorResult, Context, actor::Observe, spawn};
/// struct Sum(u64);
/// impl Actor for Sum {
///     type HighPriorityMsg = ();
///     type LowPriorityMsg = u64;
///     async fn on_low(&mut self, n: u64, _: &mut Context<Self>) -> ActorResult { self.0 += n; Ok(()) }
/// }
/// impl Observe for Sum {
///     type State = u64;
///     fn observe(&self) -> u64 { self.0 }
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut handle, _child) = spawn(Sum(0));
/// handle.send_low(7).await?;
/// handle.idle().await;
/// assert_eq!(handle.state(Duration::from_secs(1)).await?, 7);
/// # Ok(()) }
/// ```
pub trait Observe: Actor {
    /// A copy of the observable state.
    type State: Send + 'static;

    /// Copies the observable state. It runs in the actor's loop, between two messages.
    fn observe(&self) -> Self::State;
}
