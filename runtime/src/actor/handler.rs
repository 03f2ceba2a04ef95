//! Actors with one type of messages.
//!
//! A [`Handler`] is an [`Actor`] whose messages of both priorities have the same type, and each says
//! by its value which priority it has. It is not a second runtime: every handler implements `Actor`.

use lanemesh::Message;

use crate::{
    actor::{Actor, batch::Batch, context::Context},
    error::ActorResult,
    exit::{ExitNotice, ExitReason},
};

/// The priority of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Overtakes low-priority messages.
    High,
    /// Waits behind high-priority messages.
    #[default]
    Low,
}

/// An actor with one type of messages.
///
/// Implement it in place of [`Actor`], which it provides: whatever takes an actor takes a handler.
/// Messages are sent by [`tell`](crate::ActorHandle::tell), and questions by
/// [`ask`](crate::ActorHandle::ask). Both look at [`priority`](Self::priority), so that an urgent
/// message overtakes the others, and messages of the same priority keep their order.
///
/// The hooks besides [`handle`](Self::handle) are those of [`Actor`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lanemesh_runtime::{actor::Priority, prelude::*, spawn};
///
/// struct Counter(u64);
///
/// enum Msg {
///     Add(u64),
///     Get(Reply<u64>),
///     Reset,
/// }
///
/// impl Handler for Counter {
///     type Msg = Msg;
///
///     // Optional: without it all messages are handled in the order in which they were sent.
///     fn priority(msg: &Msg) -> Priority {
///         match msg {
///             Msg::Reset => Priority::High,
///             Msg::Add(_) | Msg::Get(_) => Priority::Low,
///         }
///     }
///
///     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
///         match msg {
///             Msg::Add(n) => self.0 += n,
///             Msg::Get(reply) => drop(reply.send(self.0)), // the asker may be gone
///             Msg::Reset => self.0 = 0,
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut counter, _child) = spawn(Counter(7));
/// counter.tell(Msg::Add(2)).await?;
/// counter.tell(Msg::Reset).await?; // overtakes: the actor has not run yet
/// assert_eq!(counter.ask(Msg::Get, Duration::from_secs(1)).await?, 2);
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    note = "implement `Handler` (one type of messages) or `Actor` (a type for each priority)"
)]
pub trait Handler: Sized + Send + 'static {
    /// The messages.
    type Msg: Send + 'static;

    /// See [`Actor::BATCH`]: with more than 1, low-priority messages go to
    /// [`handle_batch`](Self::handle_batch).
    const BATCH: usize = 1;

    /// See [`Actor::EVENTS`].
    const EVENTS: bool = false;

    /// The priority of a message; low by default.
    fn priority(msg: &Self::Msg) -> Priority {
        let _ = msg;
        Priority::Low
    }

    /// Handles a message.
    fn handle(
        &mut self,
        msg: Self::Msg,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send;

    /// Handles up to [`BATCH`](Self::BATCH) low-priority messages; see [`Actor::on_low_batch`].
    fn handle_batch(
        &mut self,
        batch: &mut Batch<Self::Msg>,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        async move {
            while let Some(msg) = batch.next(ctx) {
                self.handle(msg, ctx).await?;
            }
            Ok(())
        }
    }

    /// See [`Actor::started`].
    fn started(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// See [`Actor::on_child_exit`].
    fn on_child_exit(
        &mut self,
        notice: ExitNotice,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        let _ = (notice, ctx);
        async { Ok(()) }
    }

    /// See [`Actor::on_peer_exit`].
    fn on_peer_exit(
        &mut self,
        notice: ExitNotice,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        let _ = (notice, ctx);
        async { Ok(()) }
    }

    /// See [`Actor::healthy`].
    fn healthy(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// See [`Actor::stopped`].
    fn stopped(
        &mut self,
        reason: &ExitReason,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        let _ = (reason, ctx);
        async { Ok(()) }
    }

    /// See [`Actor::run`].
    fn run(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        ctx.run(self)
    }
}

impl<A: Handler> Actor for A {
    type HighPriorityMsg = A::Msg;
    type LowPriorityMsg = A::Msg;
    const BATCH: usize = A::BATCH;
    const EVENTS: bool = A::EVENTS;

    fn started(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        Handler::started(self, ctx)
    }

    fn on_high(
        &mut self,
        msg: A::Msg,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        self.handle(msg, ctx)
    }

    fn on_low(
        &mut self,
        msg: A::Msg,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        self.handle(msg, ctx)
    }

    fn on_low_batch(
        &mut self,
        batch: &mut Batch<A::Msg>,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        self.handle_batch(batch, ctx)
    }

    fn on_child_exit(
        &mut self,
        notice: ExitNotice,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        Handler::on_child_exit(self, notice, ctx)
    }

    fn on_peer_exit(
        &mut self,
        notice: ExitNotice,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        Handler::on_peer_exit(self, notice, ctx)
    }

    fn healthy(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        Handler::healthy(self, ctx)
    }

    fn stopped(
        &mut self,
        reason: &ExitReason,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ActorResult> + Send {
        Handler::stopped(self, reason, ctx)
    }

    fn run(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ActorResult> + Send {
        Handler::run(self, ctx)
    }

    #[inline]
    fn by_priority(question: A::Msg) -> Message<A::Msg, A::Msg> {
        match A::priority(&question) {
            Priority::High => Message::High(question),
            Priority::Low => Message::Low(question),
        }
    }
}
