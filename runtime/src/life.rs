//! The task of an actor: incarnation after incarnation over one mailbox.
//!
//! The task owns the mailbox and the context; an incarnation borrows them. So handles and queued
//! messages survive a restart, and two incarnations never overlap.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

use crate::{
    actor::Actor,
    context::Context,
    error::ActorResult,
    events::ActorEvent,
    exit::ExitReason,
    group::Decision,
    guard::{Cut, Guard, Health, catch, catch_fn},
    shared::{Control, Phase, Shared, poll_as, signal},
    supervision::{Restart, Supervision, Window, seed},
    team::Keep,
};

/// What makes the incarnations.
pub(crate) enum Factory<A> {
    Once(Option<A>),
    Many(Box<dyn FnMut() -> A + Send>),
}

impl<A> Factory<A> {
    fn make(&mut self) -> Option<A> {
        match self {
            Self::Once(actor) => actor.take(),
            Self::Many(factory) => Some(factory()),
        }
    }
}

/// What the task of an actor needs besides the context.
pub(crate) struct Life<A> {
    pub(crate) factory: Factory<A>,
    pub(crate) restart: Restart,
    pub(crate) health: Option<Health>,
    pub(crate) alone: Option<Box<(Supervision, Window)>>,
    /// Keeps the team's thread for as long as the actor lives.
    pub(crate) _team: Option<Keep>,
}

/// The whole life, as the future that is spawned. It must stay small: it is what an idle actor
/// costs. So what is needed at the end of an incarnation only is boxed, and no future is moved
/// into another.
pub(crate) fn live<A: Actor>(ctx: Context<A>, life: Life<A>) -> impl Future<Output = ()> + Send {
    // Its drop reports the end, also when the executor drops the task.
    let mut task = Box::new(Task {
        ctx,
        life,
        reason: None,
    });
    async move {
        let shared = task.ctx.shared.clone();
        let mut slot = Some(shared.clone());
        let mut waker = None;
        let mut incarnations = pin!(incarnations(&mut task));
        poll_fn(|cx| {
            shared.register(&mut waker, cx.waker());
            poll_as(&mut slot, cx, |cx| incarnations.as_mut().poll(cx))
        })
        .await;
    }
}

struct Task<A: Actor> {
    ctx: Context<A>,
    life: Life<A>,
    reason: Option<ExitReason>,
}

impl<A: Actor> Drop for Task<A> {
    fn drop(&mut self) {
        let reason = self.reason.take().unwrap_or(ExitReason::Killed);
        let ctx = &mut self.ctx;
        let mut late = Vec::new();
        if let Some(group) = ctx.group() {
            group.kill();
            late = group.take_late();
        }
        ctx.shared.set_phase(Phase::Stopping);
        ctx.reset();
        ctx.bury();
        ctx.publish();
        let seat = ctx.seat.take();
        ctx.shared.finish(reason.clone());
        if let Some(seat) = seat {
            seat.group.left(seat.order, &reason, late);
        }
    }
}

async fn incarnations<A: Actor>(task: &mut Task<A>) {
    loop {
        let number = task.ctx.shared.begin_incarnation();
        let span = tracing::info_span!(
            "actor",
            id = task.ctx.shared.id().as_u64(),
            name = tracing::field::Empty,
            incarnation = number,
        );
        if !span.is_disabled() {
            span.record("name", &*task.ctx.shared.name());
        }
        let reason = incarnation(&mut task.ctx, &mut task.life, number)
            .instrument(span)
            .await;
        if reason.is_failure() {
            task.ctx.counters.failures += 1;
            tracing::warn!(actor = %task.ctx.shared.name(), number, %reason, "incarnation failed");
        }
        if let Some(reason) = Box::pin(after(&mut task.ctx, &mut task.life, reason)).await {
            task.reason = Some(reason);
            return;
        }
    }
}

/// One incarnation, from the factory to the clean-up.
async fn incarnation<A: Actor>(
    ctx: &mut Context<A>,
    life: &mut Life<A>,
    number: u32,
) -> ExitReason {
    ctx.emit(|| ActorEvent::Starting {
        incarnation: number,
    });
    let mut actor = match catch_fn(|| life.factory.make()) {
        Ok(Some(actor)) => actor,
        Ok(None) => return ExitReason::Normal, // not reached: a single actor is never restarted
        Err(panicked) => return panicked,
    };
    let mut has_started = false;
    let outcome = {
        let mut guard = Guard::new(ctx.shared.clone(), life.health);
        let mut run = pin!(async {
            actor.started(ctx).await?;
            has_started = true;
            ctx.running();
            actor.run(ctx).await
        });
        poll_fn(|cx| guard.poll(cx, run.as_mut())).await
    };
    let reason = Box::pin(wind_up(ctx, &mut actor, outcome, has_started)).await;
    let reason = catch_fn(|| drop(actor)).err().unwrap_or(reason);
    ctx.emit(|| ActorEvent::Ended {
        reason: reason.clone(),
    });
    reason
}

/// The end of an incarnation: children first, then its own clean-up, by one deadline.
async fn wind_up<A: Actor>(
    ctx: &mut Context<A>,
    actor: &mut A,
    outcome: Result<ActorResult, Cut>,
    has_started: bool,
) -> ExitReason {
    let shared = ctx.shared.clone();
    let (mut reason, mut killed) = match outcome {
        Ok(outcome) => (judge(ctx, outcome), false),
        Err(Cut::Panicked(reason)) => (reason, false),
        Err(Cut::Unhealthy) => (ExitReason::Unhealthy, false),
        Err(Cut::Killed) => (ExitReason::Killed, true),
    };
    shared.set_phase(Phase::Stopping);
    shared.clear(signal::HEALTH);
    ctx.after_crash();
    ctx.publish();
    if !killed {
        let deadline = shared
            .deadline()
            .unwrap_or_else(|| Instant::now() + shared.grace);
        let mut guard = Guard::until(shared, deadline);
        let mut clean_up = pin!(clean_up(ctx, actor, &mut reason, has_started, deadline));
        killed = poll_fn(|cx| guard.poll(cx, clean_up.as_mut()))
            .await
            .is_err();
    }
    if killed {
        reason = ExitReason::Killed;
        if let Some(group) = ctx.group() {
            group.kill();
            group.count_as_late();
        }
    }
    reason
}

fn judge<A: Actor>(ctx: &mut Context<A>, outcome: ActorResult) -> ExitReason {
    let signals = ctx.shared.signals();
    let failure = ctx
        .options
        .as_mut()
        .and_then(|options| options.failure.take());
    match (failure, outcome) {
        (Some(failure), _) => failure,
        (None, Err(error)) => ExitReason::Failed(error),
        (None, Ok(())) if signals & (signal::STOP | signal::DRAIN) != 0 => ExitReason::Stopped,
        (None, Ok(())) if signals & signal::SUSPEND != 0 => ExitReason::Restarted,
        (None, Ok(())) => ExitReason::Normal,
    }
}

/// Stops the children in reverse order of their start, then runs the `stopped` hook.
async fn clean_up<A: Actor>(
    ctx: &mut Context<A>,
    actor: &mut A,
    reason: &mut ExitReason,
    has_started: bool,
    deadline: Instant,
) {
    if let Some(group) = ctx.group().cloned() {
        group.close();
        // What drains has its children drain too; a stop stops them.
        let draining = ctx.shared.signals() & (signal::STOP | signal::DRAIN) == signal::DRAIN;
        let how = if draining {
            signal::DRAIN
        } else {
            signal::STOP
        };
        while let Some((order, child)) = group.last() {
            let now = Instant::now();
            // A slice of what is left stays with the parent, for its own clean-up.
            let left = deadline.saturating_duration_since(now);
            let own = now + child.grace.min(left - left / 8);
            child.request_stop(own, how);
            let gone = tokio::time::timeout_at(own + left / 16, group.gone(order))
                .await
                .is_ok();
            hear_exits(ctx, actor, reason).await;
            if !gone {
                // It blocks its thread: nothing can end it from outside. It is reported as late.
                group.count_as_late();
                group.kill();
                break;
            }
        }
        // A child that is reported as gone has posted its notice just before.
        hear_exits(ctx, actor, reason).await;
    }
    if !has_started {
        return;
    }
    match catch(actor.stopped(reason, ctx)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => *reason = ExitReason::Failed(error),
        Err(panicked) => *reason = panicked,
    }
}

/// The parent hears of exits while it stops.
async fn hear_exits<A: Actor>(ctx: &mut Context<A>, actor: &mut A, reason: &mut ExitReason) {
    while let Some(control) = ctx.shared.take_control() {
        let outcome = match control {
            Control::ChildExit(notice) => {
                ctx.counters.notices += 1;
                catch(actor.on_child_exit(notice, ctx)).await
            }
            Control::Inspect(inspection) => catch_fn(|| inspection(actor)).map(Ok),
            Control::PeerExit(..) | Control::Escalate(..) => continue,
        };
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => *reason = ExitReason::Failed(error),
            Err(panicked) => *reason = panicked,
        }
    }
}

/// After an incarnation: wait for the next one, or say why there is none.
async fn after<A: Actor>(
    ctx: &mut Context<A>,
    life: &mut Life<A>,
    reason: ExitReason,
) -> Option<ExitReason> {
    let shared = ctx.shared.clone();
    if let Some(group) = ctx.group() {
        let late = group.take_late();
        if !late.is_empty()
            && let Some(seat) = &ctx.seat
        {
            seat.group.add_late(late);
        }
    }
    let closed = ctx.turn.closed && !reason.is_failure();
    ctx.reset();
    shared.drop_control();
    if shared.signals() & END != 0 {
        return Some(reason);
    }
    let suspended = shared.signals() & signal::SUSPEND != 0 && life.restart != Restart::Temporary;
    if closed || (!suspended && !life.restart.applies(&reason)) {
        return Some(reason);
    }
    let decision = if suspended {
        Decision::Await
    } else if let Some(seat) = &ctx.seat {
        seat.group.failed(seat.order, &reason)
    } else {
        decide_alone(life, &shared)
    };
    match decision {
        Decision::Spent => return Some(ExitReason::RestartsSpent(Arc::new(reason))),
        Decision::Restart(delay) => {
            shared.set_phase(Phase::Waiting);
            if wait_or_stop(&shared, delay).await {
                return Some(ExitReason::Stopped);
            }
        }
        Decision::Await => {
            shared.clear(signal::SUSPEND);
            shared.set_phase(Phase::Waiting);
            if let Some(seat) = &ctx.seat {
                seat.group.phase_changed();
            }
            if wait_for_word(&shared).await {
                return Some(ExitReason::Stopped);
            }
        }
    }
    shared.clear(signal::SUSPEND | signal::RESUME | signal::HEALTH);
    shared.forget_deadline();
    None
}

fn decide_alone<A>(life: &mut Life<A>, shared: &Shared) -> Decision {
    let (rules, window) = &mut **life.alone.get_or_insert_default();
    match window.admit(Instant::now(), rules) {
        Some(attempt) => {
            Decision::Restart(rules.backoff.delay(attempt, seed(shared.id().as_u64())))
        }
        None => Decision::Spent,
    }
}

/// A drain is not among them: what is queued is still to be handled, after a crash too.
const END: u32 = signal::STOP | signal::KILL;

/// Waits out the backoff. Whether a stop came first.
async fn wait_or_stop(shared: &Shared, delay: Duration) -> bool {
    let mut timer = pin!(sleep_until(Instant::now() + delay));
    poll_fn(|cx| {
        if shared.signals() & END != 0 {
            return Poll::Ready(true);
        }
        timer.as_mut().poll(cx).map(|()| false)
    })
    .await
}

/// Waits for the supervisor. Whether a stop came first.
async fn wait_for_word(shared: &Shared) -> bool {
    poll_fn(|_| {
        let signals = shared.signals();
        if signals & END != 0 {
            return Poll::Ready(true);
        }
        if signals & signal::RESUME != 0 {
            Poll::Ready(false)
        } else {
            Poll::Pending
        }
    })
    .await
}
