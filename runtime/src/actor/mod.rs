//! The actor trait, and the functions that start one.
//!
//! The futures of an [`Actor`]'s hooks are `Send`, so that any actor may run on tokio's
//! multi-thread scheduler. An actor that cannot be sent implements
//! [`LocalActor`], which is the same without `Send`, and runs in a
//! [`WorkerThread`](crate::WorkerThread).

mod batch;
mod context;
mod coop_budget;
mod event;
mod fairness;
mod local;
mod loop_state;
mod messages;
mod optional_state;
mod policies;
mod watches;

use crate::{
    error::{ActorError, ActorResult},
    exit::{ExitNotice, ExitReason},
};

pub use self::{
    batch::Batch,
    context::Context,
    event::Event,
    local::{Local, LocalActor, LocalContext},
};
pub(crate) use self::{
    event::{AnyMessage, ControlEvent, Kind},
    messages::{High, Low},
    optional_state::OptionalState,
    policies::Policies,
};

/// Something that owns its state and handles one message at a time.
///
/// Write the hooks as `async fn`. Each gets the [`Context`], which spawns children, watches peers
/// and knows the actor's own name. A hook that returns an error or panics ends the incarnation;
/// what then happens is the supervisor's affair. No hook is ever raced against another: the loop
/// cancels receives only. A hook is cancelled when the actor is killed, that is after its grace
/// period, or when it fails its health checks.
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
pub trait Actor: Sized + Send + 'static {
    /// Urgent messages: each is handled before any low one that waits.
    type HighPriorityMsg: Send + 'static;

    /// The flood: data that may wait behind control.
    type LowPriorityMsg: Send + 'static;

    /// The most low messages that are taken from the mailbox at once.
    ///
    /// With 1 the loop calls [`on_low`](Self::on_low) for each. With more it calls
    /// [`on_low_batch`](Self::on_low_batch).
    const BATCH: usize = 1;

    /// Whether an [`EventMonitor`](crate::observe::EventMonitor) may be set on this actor. With `false`
    /// every trace of it is compiled out.
    const EVENTS: bool = false;

    /// Runs once, before the first message of each incarnation.
    fn started(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// Handles a high-priority message.
    ///
    /// An actor that receives none need not implement this, whatever the type of its high-priority
    /// messages. If one arrives all the same, the actor fails with an error that names the actor,
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
    /// is kept, also over a crash, and offered again after the urgent messages.
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

    /// Answers a health check ([`Builder::health`](crate::Builder::health)). An error counts as a failed check, and so
    /// does an answer that comes too late, for instance since a handler hangs.
    fn healthy(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// Cleans up after the last message of each incarnation, when the children have ended.
    ///
    /// It runs after a failure too; `reason` tells. It does not run when `started` has failed or
    /// when the incarnation was killed. An error here, or a panic, becomes the exit reason.
    fn stopped(
        &mut self,
        reason: &ExitReason,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        let _ = (reason, ctx);
        async { Ok(()) }
    }

    /// The loop. Override it with [`actor_loop!`](crate::actor_loop) to wait for timers, sockets
    /// or streams as well.
    fn run(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        ctx.run(self)
    }
}

/// An actor that shows its state to who asks for it, tests above all.
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
    /// A copy of what may be seen.
    type State: Send + 'static;

    /// Copies it out. It runs in the actor's loop, between two messages.
    fn observe(&self) -> Self::State;
}
