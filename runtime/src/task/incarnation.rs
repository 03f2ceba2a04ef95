//! One incarnation of an actor, from `started` to `stopped`.

use std::{future::poll_fn, pin::pin, task::Poll};

use crate::{
    actor::{Actor, Context, ControlEvent, OptionalState},
    cell::{Control, Inspection, signal},
    error::ActorResult,
    exit::{End, ExitNotice, ExitReason},
    id::Phase,
    observe::ActorEvent,
    shutdown::EndMembers,
    task::guard::{Cut, Guard},
    util::{
        panic::{PanicText, catch, catch_dyn, catch_fn, poll_caught},
        timer::from_now,
    },
};

/// An incarnation from its start to the end of its loop.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps its arguments twice"
)]
pub(super) fn run_incarnation<A: Actor>(
    actor: &mut A,
    ctx: &mut Context<A>,
) -> impl Future<Output = ActorResult> + Send {
    async move {
        actor.started(ctx).await?;
        ctx.started();
        actor.run(ctx).await
    }
}

/// The end of an incarnation: its children first, then its own clean-up, by one deadline.
///
/// Many actors may end at once: what only a parent needs has a box of its own.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps its arguments twice"
)]
pub(super) fn end_incarnation<A: Actor>(
    ctx: &mut Context<A>,
    actor: &mut Option<A>,
    outcome: Result<ActorResult, Cut>,
) -> impl Future<Output = End> + Send {
    async move {
        let cell = ctx.cell.clone();
        let (reason, mut killed) = match outcome {
            Ok(outcome) => (exit_reason(ctx, outcome), false),
            Err(Cut::Panicked(text)) => (ExitReason::Panicked(text), false),
            Err(Cut::Unhealthy) => (ExitReason::Unhealthy, false),
            Err(Cut::Killed) => (ExitReason::Killed, true),
        };
        let mut end = End::new(reason);
        cell.set_phase(Phase::Stopping);
        if cell.signals() & signal::HEALTH != 0 {
            cell.clear(signal::HEALTH);
        }
        ctx.after_crash();
        // An actor that was idle and is not restarted publishes its counters at the end.
        let is_last = matches!(end.reason, ExitReason::Stopped | ExitReason::Normal);
        if !is_last || ctx.state.since_publish != 0 {
            ctx.publish();
        }
        if let Err(text) = ctx.end_sources() {
            end.clean_up_failed(ExitReason::Panicked(text));
        }
        if killed {
            if cell.is_killed_on_purpose() {
                // Only the actor was meant. Another kill cuts off its children.
                cell.clear(signal::KILL);
            }
            Box::pin(end_children(ctx)).await;
        } else if let Some(actor) = actor {
            let mut guard = Guard::default();
            let mut clean_up = pin!(Some(clean_up(ctx, actor, &mut end)));
            killed = poll_fn(|cx| match clean_up.as_mut().as_pin_mut() {
                Some(clean_up) => guard.poll_end(&cell, cx, clean_up),
                None => Poll::Ready(Ok(())),
            })
            .await
            .is_err();
            // A hook that was cancelled has values whose drop may panic.
            if killed && let Err(text) = catch_dyn(&mut || clean_up.set(None)) {
                cell.log_panic("the drop of a cancelled clean-up", &text);
            }
        }
        if killed {
            end.is_killed = !cell.is_killed_on_purpose();
            if !end.reason.is_failure() {
                end.reason = ExitReason::Killed;
            } else if !matches!(end.reason, ExitReason::Killed) {
                end.clean_up_failed(ExitReason::Killed);
            }
            if let Some(group) = ctx.group() {
                group.kill();
                group.count_as_late();
            }
        }
        if let Err(text) = catch_dyn(&mut || drop(actor.take())) {
            end.clean_up_failed(ExitReason::Panicked(text));
        }
        ctx.emit(|| ActorEvent::Ended {
            reason: end.reason.clone(),
        });
        end
    }
}

pub(super) fn exit_reason<A: Actor>(ctx: &mut Context<A>, outcome: ActorResult) -> ExitReason {
    let signals = ctx.cell.signals();
    let failure = ctx
        .optional_mut()
        .and_then(|optional| optional.failure.take());
    match (failure, outcome) {
        (Some(failure), _) => failure,
        (None, Err(error)) => ExitReason::Failed(error),
        (None, Ok(())) if signals & (signal::STOP | signal::DRAIN) != 0 => ExitReason::Stopped,
        (None, Ok(())) if signals & signal::SUSPEND != 0 => ExitReason::Restarted,
        (None, Ok(())) => ExitReason::Normal,
    }
}

/// Ends the children of an incarnation that was killed in a hook: they can clean up in the time
/// that is left.
async fn end_children<A: Actor>(ctx: &mut Context<A>) {
    let Some(mut children) = children_to_end(ctx) else {
        return;
    };
    let mut guard = Guard::default();
    let mut ends = pin!(async { while children.next().await {} });
    // Cut off if this actor is killed from outside.
    let _ = poll_fn(|cx| guard.poll_end(&ctx.cell, cx, ends.as_mut())).await;
}

fn children_to_end<A: Actor>(ctx: &Context<A>) -> Option<EndMembers> {
    let (cell, group) = (&ctx.cell, ctx.group()?.clone());
    let deadline = cell.deadline().unwrap_or_else(|| from_now(cell.grace()));
    // A drain drains the children too; a stop stops them.
    let draining = cell.signals() & (signal::STOP | signal::DRAIN) == signal::DRAIN;
    let how = if draining {
        signal::DRAIN
    } else {
        signal::STOP
    };
    Some(EndMembers::of_parent(group, cell, deadline, how))
}

/// Ends the children, then runs the `stopped` hook.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps its arguments twice"
)]
fn clean_up<A: Actor>(
    ctx: &mut Context<A>,
    actor: &mut A,
    end: &mut End,
) -> impl Future<Output = ()> + Send {
    async move {
        if ctx.group().is_some() {
            Box::pin(end_children_first(ctx, actor, end)).await;
        }
        if !ctx.state.is_started {
            return;
        }
        let outcome = {
            let mut hook = pin!(actor.stopped(&end.reason, ctx));
            poll_fn(|cx| poll_caught(hook.as_mut(), cx)).await
        };
        note_outcome(end, outcome);
    }
}

async fn end_children_first<A: Actor>(ctx: &mut Context<A>, actor: &mut A, end: &mut End) {
    let Some(mut children) = children_to_end(ctx) else {
        return;
    };
    loop {
        let goes_on = children.next().await;
        if !goes_on {
            children.finish();
        }
        // First those in the control queue, which came before the end began.
        handle_control(ctx, actor, end).await;
        for notice in children.exits() {
            handle_exit(ctx, actor, end, notice).await;
        }
        if !goes_on {
            return;
        }
    }
}

/// The outcome of a hook that runs while the actor stops.
fn note_outcome(end: &mut End, outcome: Result<ActorResult, PanicText>) {
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => end.clean_up_failed(ExitReason::Failed(error)),
        Err(text) => end.clean_up_failed(ExitReason::Panicked(text)),
    }
}

/// A panic of the inspection fails it, and not the actor.
pub(super) fn inspect<A: Actor>(ctx: &Context<A>, actor: &mut A, inspection: Inspection) {
    let channels = ctx.mailbox.stats();
    if let Err(panic) = catch_fn(|| inspection(actor, &channels)) {
        ctx.cell.log_panic("an inspection", &panic);
    }
}

/// Passes on what is in the control queue of a parent that stops.
async fn handle_control<A: Actor>(ctx: &mut Context<A>, actor: &mut A, end: &mut End) {
    while let Some(control) = take_control(ctx) {
        match control {
            Control::ChildExit(notice) => handle_exit(ctx, actor, end, notice).await,
            Control::Inspect(inspection) => inspect(ctx, actor, inspection),
            Control::PeerExit(..) | Control::Escalate(..) => {}
        }
    }
}

/// Passes the exit of a child to the hook of a parent that stops.
async fn handle_exit<A: Actor>(
    ctx: &mut Context<A>,
    actor: &mut A,
    end: &mut End,
    notice: ExitNotice,
) {
    ctx.counters.events().notices += 1;
    let outcome = catch(actor.on_child_exit(notice, ctx)).await;
    note_outcome(end, outcome);
}

/// The next entry of the control queue; first the one whose event was not handled.
fn take_control<A: Actor>(ctx: &mut Context<A>) -> Option<Control> {
    match ctx.optional_mut().and_then(OptionalState::take_control) {
        Some(ControlEvent::ChildExit(notice)) => Some(Control::ChildExit(notice)),
        Some(ControlEvent::Inspect(inspection)) => Some(Control::Inspect(inspection)),
        Some(ControlEvent::PeerExit(..) | ControlEvent::Health | ControlEvent::Fail) | None => {
            ctx.cell.take_control()
        }
    }
}
