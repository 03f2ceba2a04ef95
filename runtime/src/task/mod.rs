//! The task of an actor: incarnation after incarnation over one mailbox.
//!
//! The task owns the mailbox and the context; an incarnation borrows them. So handles and queued
//! messages survive a restart, and two incarnations never overlap.

mod actor_loop;
mod defer;
mod demand;
mod dispatch;
mod event_loop;
mod guard;
mod idle;
mod incarnation;
mod sources;
mod wait_all;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as PollContext, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;
use tracing::Span;

use crate::{
    actor::{Actor, Context},
    cell::{ActorCell, poll_as, signal},
    error::ActorResult,
    exit::{End, ExitReason},
    id::Phase,
    observe::ActorEvent,
    registry::Registration,
    supervision::{
        Health, Incidents, Restart, Supervision, Window,
        ending::MemberEnd,
        group::{Decision, Group, Seat},
        round::child_failed,
    },
    task::{
        demand::demand,
        guard::{Cut, Guard},
        incarnation::{end_incarnation, exit_reason, run_incarnation},
    },
    util::{
        executor::RuntimeThread,
        panic::{catch_dyn, catch_fn, poll_caught},
        random::seed,
        timer::{ReusableTimer, pause},
    },
};

/// Makes the incarnations: all, or all after the first if the builder got an actor.
pub(crate) type Factory<A> = Box<dyn FnMut() -> A + Send>;

/// What the task of an actor needs besides the context.
pub(crate) struct Lifecycle<A> {
    /// The current incarnation, or the next one if it was given by value.
    pub(crate) actor: Option<A>,
    /// None for an actor given by value: it cannot be restarted.
    pub(crate) factory: Option<Factory<A>>,
    pub(crate) restart: Restart,
    pub(crate) rules: Option<Box<Rules>>,
}

/// The settings that most actors do not have.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) health: Option<Health>,
    /// Whether an incarnation after a failure waits until it is needed.
    pub(crate) restarts_on_demand: bool,
    /// The limit of restarts for an actor without a supervisor, and the restarts so far.
    pub(crate) alone: (Supervision, Window),
    /// Whether it is registered by its name.
    pub(crate) registers: bool,
    /// The actor's name in the registry of its system.
    pub(crate) registration: Option<Registration>,
    /// Keeps the worker thread running as long as the actor exists.
    pub(crate) worker_thread: Option<RuntimeThread>,
}

/// The whole lifecycle, as the future that is spawned. Its size is the cost of an idle
/// actor, so futures that only the end of an incarnation needs are boxed, and no future is moved into
/// another.
///
/// Dropping the task reports the end, also when the executor drops the future.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps its arguments twice"
)]
#[inline(always)]
pub(crate) fn run_lifecycle<A: Actor>(mut task: Task<A>) -> impl Future<Output = ()> + Send {
    async move {
        // Once is enough: a spawned task has the same waker in every poll.
        poll_fn(|cx| {
            task.ctx.cell.register(cx.waker());
            Poll::Ready(())
        })
        .await;
        loop {
            let ended = if task.begin()
                && let Some(actor) = &mut task.lifecycle.actor
            {
                let outcome = {
                    let mut run = pin!(Some(run_incarnation(actor, &mut task.ctx)));
                    poll_fn(|cx| task.frame.poll_incarnation(cx, run.as_mut())).await
                };
                let mut end = Box::pin(end_incarnation(
                    &mut task.ctx,
                    &mut task.lifecycle.actor,
                    outcome,
                ));
                poll_fn(|cx| task.frame.poll_other(cx, end.as_mut())).await
            } else {
                End::new(exit_reason(&mut task.ctx, Ok(())))
            };
            if let Some(until) = task.ended(ended) {
                let is_on_demand = matches!(until, Wait::Backoff(_)) && task.is_on_demand();
                let mut waited = {
                    let mut wait = Box::pin(wait(&task.ctx.cell, until));
                    poll_fn(|cx| task.frame.poll_other(cx, wait.as_mut())).await
                };
                if is_on_demand && matches!(waited, Waited::Restart) {
                    let mut demand = Box::pin(demand(&mut task.ctx, END));
                    let is_needed = poll_fn(|cx| task.frame.poll_other(cx, demand.as_mut())).await;
                    if !is_needed {
                        waited = Waited::Stopped;
                    }
                }
                task.waited(waited);
            }
            if task.is_over {
                return;
            }
            task.prepare_restart();
        }
    }
}

/// The size of the task of an actor, in bytes, its cell included.
pub(crate) fn task_bytes<A: Actor>() -> usize {
    fn output<T, F>(_: impl FnOnce(T) -> F) -> usize {
        size_of::<F>()
    }
    output(run_lifecycle::<A>) + size_of::<ActorCell>()
}

/// The state of an actor's task.
pub(crate) struct Task<A: Actor> {
    frame: Frame,
    pub(crate) ctx: Context<A>,
    lifecycle: Lifecycle<A>,
    /// Whether the end has been reported.
    is_over: bool,
    /// Whether nothing but its clean-up has failed in the last incarnation.
    is_clean_up_only: bool,
    /// Whether the incarnation that ends the actor was killed.
    is_killed: bool,
}

/// What surrounds every poll of an actor's task.
struct Frame {
    /// None during a poll: then the cell is the thread's current actor.
    cell: Option<Arc<ActorCell>>,
    guard: Guard,
    /// The span of the incarnation, if a subscriber wants it.
    span: Option<Box<Span>>,
}

/// What the next incarnation waits for.
enum Wait {
    Backoff(Duration),
    /// `signal::RESUME`, set by the supervisor.
    Resume,
}

impl Frame {
    #[inline(always)]
    fn new(cell: Arc<ActorCell>) -> Self {
        Self {
            cell: Some(cell),
            guard: Guard::default(),
            span: None,
        }
    }

    /// Polls an incarnation under its guard, and drops it when it has ended.
    fn poll_incarnation<F: Future<Output = ActorResult>>(
        &mut self,
        cx: &mut PollContext<'_>,
        mut run: Pin<&mut Option<F>>,
    ) -> Poll<Result<ActorResult, Cut>> {
        let Some(running) = run.as_mut().as_pin_mut() else {
            unreachable!("it is not polled again")
        };
        let outcome = ready!(self.poll_guarded(cx, running));
        if outcome.is_ok() {
            // It has returned: what it held was dropped in the poll.
            return Poll::Ready(outcome);
        }
        self.drop_cut(cx, &mut || run.set(None));
        Poll::Ready(outcome)
    }

    /// Drops an incarnation that was cut off. Its hook may have values whose drop panics, such as the
    /// message.
    #[cold]
    fn drop_cut(&mut self, cx: &mut PollContext<'_>, drop: &mut dyn FnMut()) {
        let _: Poll<_> = poll_as(&mut self.cell, cx, |_| Poll::Ready(catch_dyn(drop)));
    }

    fn poll_guarded(
        &mut self,
        cx: &mut PollContext<'_>,
        run: Pin<&mut dyn Future<Output = ActorResult>>,
    ) -> Poll<Result<ActorResult, Cut>> {
        let _entered = self.span.as_deref().map(Span::enter);
        let Some(cell) = &self.cell else {
            unreachable!("a hook does not poll its own task")
        };
        let signals = cell.signals();
        if let Some(cut) = self.guard.cut_before(cell, signals, cx) {
            return Poll::Ready(Err(cut));
        }
        let poll = poll_as(&mut self.cell, cx, |cx| poll_caught(run, cx)).map_err(Cut::Panicked);
        let Some(cell) = &self.cell else {
            unreachable!("it has come back")
        };
        self.guard.begin_checks(cell, cx);
        self.guard.check_deadline(cell, signals, cx, poll)
    }

    /// Polls the end of an incarnation, or the wait for the next one.
    fn poll_other<T>(
        &mut self,
        cx: &mut PollContext<'_>,
        future: Pin<&mut dyn Future<Output = T>>,
    ) -> Poll<T> {
        let _entered = self.span.as_deref().map(Span::enter);
        poll_as(&mut self.cell, cx, |cx| future.poll(cx))
    }
}

impl<A: Actor> Task<A> {
    #[inline(always)]
    pub(crate) fn new(ctx: Context<A>, cell: Arc<ActorCell>, lifecycle: Lifecycle<A>) -> Self {
        Self {
            frame: Frame::new(cell),
            ctx,
            lifecycle,
            is_over: false,
            is_clean_up_only: false,
            is_killed: false,
        }
    }

    /// Makes the next incarnation. Returns `false` if the factory panicked; then the context has
    /// the failure.
    fn begin(&mut self) -> bool {
        let ctx = &mut self.ctx;
        let incarnation = ctx.cell.begin_incarnation();
        self.frame.span = ctx.cell.span(incarnation);
        let health = self.lifecycle.rules.as_ref().and_then(|rules| rules.health);
        self.frame.guard = Guard::new(health);
        let _entered = self.frame.span.as_deref().map(Span::enter);
        ctx.emit(|| ActorEvent::Starting { incarnation });
        if let Some(factory) = &mut self.lifecycle.factory {
            match catch_fn(factory) {
                Ok(actor) => self.lifecycle.actor = Some(actor),
                Err(text) => {
                    ctx.optional_or_default().failure = Some(ExitReason::Panicked(text));
                    return false;
                }
            }
        }
        true
    }

    /// After an incarnation: what the next one waits for, if there is a next one.
    fn ended(&mut self, end: End) -> Option<Wait> {
        self.is_clean_up_only = end.is_clean_up_only();
        let End {
            reason,
            clean_up,
            is_killed,
        } = end;
        self.is_killed = is_killed;
        self.frame.span = None;
        let Self { ctx, lifecycle, .. } = self;
        if reason.is_failure() {
            ctx.counters.events().failures += 1;
            // The next incarnation may be idle, and would not publish it.
            ctx.publish();
            ctx.cell.log_failure(&reason);
        }
        if let Some(seat) = ctx.seat() {
            report_incidents(seat, &ctx.cell, ctx.group(), clean_up);
        }
        let closed = ctx.state.is_closed && !reason.is_failure();
        ctx.reset();
        ctx.cell.end_incarnation();
        let (restart, rules) = (lifecycle.restart, &mut lifecycle.rules);
        let following = what_follows(&ctx.cell, ctx.seat(), rules, restart, &reason, closed);
        if !matches!(following, Following::End) {
            // From here on it is not this incarnation that ends the actor.
            self.is_killed = false;
        }
        match following {
            Following::End => self.end(reason),
            Following::Spent => self.end(ExitReason::RestartsSpent(reason.into_cause())),
            Following::Next(wait) => return Some(wait),
        }
        None
    }

    fn is_on_demand(&self) -> bool {
        let rules = self.lifecycle.rules.as_ref();
        rules.is_some_and(|rules| rules.restarts_on_demand)
    }

    /// After the wait for the next incarnation: ends the actor if it was stopped, if the time is up,
    /// or if its restarts are used up.
    fn waited(&mut self, waited: Waited) {
        let seat = self.ctx.seat();
        if let Some(reason) = seat.and_then(|seat| seat.group.take_spent(seat.order)) {
            self.end(ExitReason::RestartsSpent(reason.into_cause()));
            return;
        }
        match waited {
            Waited::Restart => {}
            Waited::Stopped if self.ctx.cell.is_killed_on_purpose() => {
                self.end(ExitReason::Killed);
            }
            Waited::Stopped => self.end(ExitReason::Stopped),
            Waited::Late => {
                self.is_killed = true;
                self.end(ExitReason::Killed);
            }
        }
    }

    /// Before the next incarnation: clears what was requested of the last one.
    fn prepare_restart(&mut self) {
        let cell = &self.ctx.cell;
        cell.clear(signal::SUSPEND | signal::RESUME | signal::HEALTH);
        cell.end_suspension();
        cell.end_round();
    }
}

impl<A: Actor> Task<A> {
    /// The executor has dropped the task: ends what the incarnation leaves, and reports the end.
    #[cold]
    fn abort(&mut self) {
        // Dropping the actor may panic: the end must be reported anyway.
        let _ = catch_dyn(&mut || drop(self.lifecycle.actor.take()));
        self.is_killed = true;
        let ctx = &mut self.ctx;
        ctx.after_crash();
        let mut incidents = None;
        if let Some(group) = ctx.group() {
            group.kill();
            incidents = Some(group.take_incidents());
        }
        ctx.cell.set_phase(Phase::Stopping);
        ctx.reset();
        ctx.cell.end_incarnation();
        self.end_with(ExitReason::Killed, incidents);
    }

    /// After the last incarnation, whose context was reset: reports the end.
    fn end(&mut self, reason: ExitReason) {
        self.end_with(reason, None);
    }

    fn end_with(&mut self, reason: ExitReason, incidents: Option<Incidents>) {
        self.is_over = true;
        self.frame.span = None;
        let ctx = &mut self.ctx;
        if matches!(reason, ExitReason::RestartsSpent(_)) {
            ctx.cell.log_spent(&reason);
        }
        ctx.cell.set_phase(Phase::Stopping);
        ctx.close_mailbox();
        // Nothing is left in it.
        ctx.counters.note_depth(0);
        let left = ctx.counters.left();
        if let Some(rules) = &mut self.lifecycle.rules {
            // Who hears of the end finds the name free.
            rules.registration = None;
        }
        let seat = ctx.take_seat();
        ctx.cell.finish(reason.clone(), Some(&ctx.counters));
        if let Some(seat) = seat {
            let end = MemberEnd {
                reason,
                is_clean_up_only: self.is_clean_up_only,
                is_killed: self.is_killed,
                left,
                incidents,
            };
            seat.group.child_ended(seat.order, end);
        }
    }
}

impl<A: Actor> Drop for Task<A> {
    fn drop(&mut self) {
        if !self.is_over {
            self.abort();
        }
    }
}

/// What follows an incarnation.
enum Following {
    /// The actor ends for the same reason.
    End,
    /// It ends because its restarts are used up.
    Spent,
    Next(Wait),
}

/// Decides what follows an incarnation that has ended for this reason. `closed` is whether nobody
/// can send any more.
fn what_follows(
    cell: &ActorCell,
    seat: Option<&Seat>,
    rules: &mut Option<Box<Rules>>,
    restart: Restart,
    reason: &ExitReason,
    closed: bool,
) -> Following {
    let signals = cell.signals();
    if signals & END != 0 || (signals & signal::DRAIN != 0 && cell.is_overdue()) {
        return Following::End;
    }
    let suspended = signals & signal::SUSPEND != 0 && restart != Restart::Temporary;
    if closed || !(suspended || restart.applies(reason)) {
        return Following::End;
    }
    let decision = if suspended && signals & signal::RESUME != 0 {
        // It was late in a round, which is over.
        Decision::Restart(Duration::ZERO)
    } else if suspended {
        Decision::Await
    } else if let Some(seat) = seat {
        child_failed(&seat.group, seat.order, reason)
    } else {
        decide_alone(rules, cell)
    };
    match decision {
        Decision::Spent => Following::Spent,
        Decision::Restart(delay) => {
            cell.set_phase(Phase::Waiting);
            Following::Next(Wait::Backoff(delay))
        }
        Decision::Await => {
            cell.clear(signal::SUSPEND);
            cell.set_phase(Phase::Waiting);
            if let Some(seat) = seat {
                cell.begin_round(Arc::downgrade(&seat.group) as _);
                seat.group.phase_changed();
            }
            Following::Next(Wait::Resume)
        }
    }
}

fn decide_alone(rules: &mut Option<Box<Rules>>, cell: &ActorCell) -> Decision {
    let (rules, window) = &mut rules.get_or_insert_default().alone;
    match window.admit(Instant::now(), rules.intensity) {
        Some(attempt) => Decision::Restart(rules.backoff.delay(attempt, seed(cell.id().as_u64()))),
        None => Decision::Spent,
    }
}

/// Tells the group of an actor what went wrong with its children and with its clean-up.
fn report_incidents(
    seat: &Seat,
    cell: &ActorCell,
    children: Option<&Arc<Group>>,
    clean_up: Option<ExitReason>,
) {
    if let Some(children) = children {
        seat.group.add_incidents(children.take_incidents());
    }
    if let Some(error) = clean_up {
        let mut incidents = Incidents::default();
        incidents.clean_up_failed(cell.notice(error));
        seat.group.add_incidents(incidents);
    }
}

/// The signals that end the actor between two incarnations. A drain does not: queued messages must
/// be handled, also after a crash.
const END: u32 = signal::STOP | signal::KILL | signal::ON_PURPOSE;

/// How the wait for the next incarnation has ended.
enum Waited {
    Restart,
    Stopped,
    /// The deadline of a drain has passed.
    Late,
}

/// Waits until the next incarnation may start, or must not.
async fn wait(cell: &ActorCell, wait: Wait) -> Waited {
    let mut limit = ReusableTimer::default();
    let mut timer = pin!(match wait {
        Wait::Backoff(delay) => Some(pause(delay)),
        Wait::Resume => None,
    });
    poll_fn(|cx| {
        let signals = cell.signals();
        if signals & END != 0 {
            return Poll::Ready(Waited::Stopped);
        }
        let is_over = match timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(cx).is_ready(),
            None => signals & signal::RESUME != 0,
        };
        if is_over {
            return Poll::Ready(Waited::Restart);
        }
        // Somebody else may be what it waits for.
        match cell
            .final_deadline()
            .filter(|_| signals & signal::DRAIN != 0)
        {
            Some(deadline) => limit.poll(deadline, cx).map(|()| Waited::Late),
            None => Poll::Pending,
        }
    })
    .await
}
