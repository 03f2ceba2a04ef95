//! The event loop: what an actor handles next, and how it reaches the hook.
//!
//! The order is stop, exit notices, high, then extra arms and low; [`Fairness`](crate::actor)
//! limits bursts. Every eight messages, and every batch, cost a unit of tokio's cooperative budget,
//! so that a queue that is never empty cannot occupy a thread. The loop never races a handler.
//!
//! A loop that is behind takes low messages out of the mailbox several at a time. Those not handled
//! yet are handled before those in the low lanes, and only while no high message waits.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context as PollContext, Poll, ready},
};

use lanemesh::{Message, TryRecvError};

use crate::{
    actor::{Actor, Context, ControlEvent, Event, High, Kind, Low},
    cell::{Control, signal},
    error::ActorResult,
    exit::ExitReason,
};

/// Messages between two wake-ups of the tasks that wait for room in the low lanes.
const ROOM_INTERVAL: u32 = 16;

/// What happens to a message that was received: the context holds it until its event is handled, or
/// the hook gets it at once.
trait Step<A: Actor>: Sized {
    /// Whether low messages may be taken ahead.
    const AHEAD: bool;

    fn high(ctx: &mut Context<A>, envelope: High<A>) -> Self;
    fn low(ctx: &mut Context<A>, envelope: Low<A>) -> Self;
    fn event(event: Event<A>) -> Self;
}

impl<A: Actor> Step<A> for Event<A> {
    const AHEAD: bool = false;

    fn high(ctx: &mut Context<A>, envelope: High<A>) -> Self {
        ctx.note_backlog();
        ctx.optional_or_default().custody.in_hand = Some(Message::High(envelope));
        Event::new(Kind::High)
    }

    fn low(ctx: &mut Context<A>, envelope: Low<A>) -> Self {
        ctx.note_backlog();
        if Context::<A>::IS_BATCHED {
            ctx.gather(envelope, A::BATCH);
            ctx.state.budget.spend_all();
            return Event::new(Kind::Batch);
        }
        ctx.optional_or_default().custody.in_hand = Some(Message::Low(envelope));
        Event::new(Kind::Low)
    }

    fn event(event: Event<A>) -> Self {
        event
    }
}

/// For the loop that passes messages to the hook at once.
enum Opened<A: Actor> {
    High(A::HighPriorityMsg),
    Low(A::LowPriorityMsg),
    Event(Event<A>),
}

impl<A: Actor> Step<A> for Opened<A> {
    const AHEAD: bool = true;

    #[inline(always)]
    fn high(ctx: &mut Context<A>, envelope: High<A>) -> Self {
        match ctx.open_high(envelope) {
            Some(message) => Self::High(message),
            None => Self::Event(Event::new(Kind::LookAgain)),
        }
    }

    #[inline(always)]
    fn low(ctx: &mut Context<A>, envelope: Low<A>) -> Self {
        match ctx.open_low(envelope) {
            Some(message) => Self::Low(message),
            None => Self::Event(Event::new(Kind::LookAgain)),
        }
    }

    #[inline(always)]
    fn event(event: Event<A>) -> Self {
        Self::Event(event)
    }
}

#[derive(Clone, Copy)]
enum Class {
    High,
    Low,
    Stop,
    LookAgain,
    Control,
}

// These functions consume the value: a value that is borrowed or matched on would live across an
// await.
impl<A: Actor> Opened<A> {
    #[inline(always)]
    fn class(&self) -> Class {
        match self {
            Self::High(_) => Class::High,
            Self::Low(_) => Class::Low,
            Self::Event(event) => match event.kind {
                Kind::Stop => Class::Stop,
                Kind::LookAgain => Class::LookAgain,
                _ => Class::Control,
            },
        }
    }

    #[inline(always)]
    fn into_high(self) -> A::HighPriorityMsg {
        match self {
            Self::High(message) => message,
            _ => unreachable!("its class was looked at"),
        }
    }

    #[inline(always)]
    fn into_low(self) -> A::LowPriorityMsg {
        match self {
            Self::Low(message) => message,
            _ => unreachable!("its class was looked at"),
        }
    }

    fn into_event(self) -> Event<A> {
        match self {
            Self::Event(event) => event,
            _ => unreachable!("its class was looked at"),
        }
    }
}

/// Receives what comes next and opens it. All of it is inlined into the loop: a message passed from
/// function to function would be copied each time.
struct Next<'a, A: Actor>(&'a mut Context<A>);

impl<A: Actor> Future for Next<'_, A> {
    type Output = (Class, Opened<A>);

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<(Class, Opened<A>)> {
        let opened: Opened<A> = ready!(self.0.poll_step(cx));
        Poll::Ready((opened.class(), opened))
    }
}

/// The loop of an actor in a box, whose type is forgotten: a loop that is never run is not compiled.
type LoopFuture<'a> = Pin<Box<dyn Future<Output = ActorResult> + Send + 'a>>;

impl<A: Actor> Context<A> {
    /// As a constant of its own: what only batches need is not compiled for other actors.
    const IS_BATCHED: bool = A::BATCH > 1;

    /// The loop of an actor without extra arms. It ends when the actor stops or the mailbox is
    /// closed.
    ///
    /// # Errors
    ///
    /// The first error of a hook; also when a link or an escalation fails this actor.
    ///
    /// # Cancel safety
    ///
    /// Cancelling it may lose the message that a hook is handling.
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` keeps its arguments twice"
    )]
    pub fn run(&mut self, actor: &mut A) -> impl Future<Output = ActorResult> + Send {
        // An idle actor waits in here: keep what lives across an await small.
        async move {
            if Self::IS_BATCHED {
                let batches: LoopFuture<'_> = Box::pin(self.run_batches(actor));
                return batches.await;
            }
            loop {
                let (class, opened) = Next(self).await;
                match class {
                    Class::Low => {
                        actor.on_low(opened.into_low(), self).await?;
                        self.finish_message();
                    }
                    Class::High => {
                        actor.on_high(opened.into_high(), self).await?;
                        self.finish_message();
                    }
                    Class::Stop => return Ok(()),
                    Class::LookAgain => {}
                    Class::Control => {
                        let event = opened.into_event();
                        if !Box::pin(self.handle_event(actor, event)).await? {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    async fn run_batches(&mut self, actor: &mut A) -> ActorResult {
        loop {
            let event = self.next().await;
            if !self.handle_event(actor, event).await? {
                return Ok(());
            }
        }
    }

    /// Waits for what comes next. Pass it to [`handle_event`](Self::handle_event).
    ///
    /// # Cancel safety
    ///
    /// Nothing is received until it is ready.
    pub async fn next(&mut self) -> Event<A> {
        poll_fn(|cx| self.poll_step(cx)).await
    }

    /// Receives what comes next.
    #[inline(always)]
    fn poll_step<S: Step<A>>(&mut self, cx: &mut PollContext<'_>) -> Poll<S> {
        let signals = self.cell.signals();
        if let Some(taken) = self.take_before_mailbox(signals) {
            return Poll::Ready(taken);
        }
        ready!(self.state.budget.poll(cx));
        if self.state.fairness.end_high_burst()
            && let Some(taken) = self.take_low()
        {
            return Poll::Ready(taken);
        }
        self.poll_mailbox(cx, signals)
    }

    /// The first step of [`actor_loop!`](crate::actor_loop): what is available and comes before the
    /// extra arms. It does not wait for messages, only for the cooperative budget.
    #[doc(hidden)]
    pub async fn urgent(&mut self) -> Option<Event<A>> {
        poll_fn(|cx| {
            let signals = self.cell.signals();
            if let Some(taken) = self.take_before_mailbox(signals) {
                return Poll::Ready(Some(taken));
            }
            ready!(self.state.budget.poll(cx));
            let mut taken = None;
            if self.state.fairness.may_take_high() {
                taken = self.take_high();
            }
            if taken.is_none() && self.state.fairness.may_take_low() {
                taken = self.take_low();
            }
            Poll::Ready(taken)
        })
        .await
    }

    /// The last arm of [`actor_loop!`](crate::actor_loop): every extra arm has had the chance of a
    /// turn.
    #[doc(hidden)]
    pub async fn rest(&mut self) -> Event<A> {
        poll_fn(|cx| {
            let signals = self.cell.signals();
            if let Some(taken) = self.take_before_mailbox(signals) {
                return Poll::Ready(taken);
            }
            ready!(self.state.budget.poll(cx));
            let round = self.state.fairness.end_round();
            if round.is_high_burst_over
                && let Some(taken) = self.take_low()
            {
                return Poll::Ready(taken);
            }
            match self.poll_mailbox(cx, signals) {
                // The arms that had their turn were not polled: poll all of them again.
                Poll::Pending if round.any_arm_fired => Poll::Ready(Event::new(Kind::LookAgain)),
                taken => taken,
            }
        })
        .await
    }

    /// Whether the extra arm with this index may have a turn in this round.
    #[doc(hidden)]
    pub fn arm_open(&self, index: u32) -> bool {
        self.state.fairness.is_arm_open(index)
    }

    /// Records that an extra arm had its turn.
    #[doc(hidden)]
    pub fn arm_fired(&mut self, index: u32) {
        self.state.fairness.arm_fired(index);
        self.counters.events().extras += 1;
        self.count_message();
    }

    // --- taking -------------------------------------------------------------------------------

    #[inline(always)]
    fn poll_mailbox<S: Step<A>>(&mut self, cx: &mut PollContext<'_>, signals: u32) -> Poll<S> {
        if self.optional().is_some()
            && let Some(taken) = self.poll_optional(cx, signals)
        {
            return taken;
        }
        let ticket = self.ticket(signals);
        if self.ahead.len() > 0
            && !self.mailbox.has_high()
            && let Some(envelope) = self.ahead.pop()
        {
            self.state.took_low();
            return Poll::Ready(S::low(self, envelope));
        }
        match self.mailbox.poll_recv(cx) {
            Poll::Ready(Some(Message::High(envelope))) => {
                self.state.took_high();
                Poll::Ready(S::high(self, envelope))
            }
            Poll::Ready(Some(Message::Low(envelope))) => {
                self.state.took_low();
                if S::AHEAD && self.state.since_publish != 0 {
                    self.take_ahead();
                }
                Poll::Ready(S::low(self, envelope))
            }
            Poll::Ready(None) => {
                if self.has_futures() {
                    self.on_idle(signals, ticket);
                    return Poll::Pending;
                }
                self.state.is_closed = true;
                Poll::Ready(S::event(Event::new(Kind::Stop)))
            }
            Poll::Pending => {
                self.on_idle(signals, ticket);
                Poll::Pending
            }
        }
    }

    /// For an actor that has optional state: what does not come from the lanes, and what does while
    /// the low ones are left alone. None to look at the mailbox.
    fn poll_optional<S: Step<A>>(
        &mut self,
        cx: &mut PollContext<'_>,
        signals: u32,
    ) -> Option<Poll<S>> {
        if let Some(envelope) = self.take_unstashed() {
            self.state.took_high();
            return Some(Poll::Ready(S::high(self, envelope)));
        }
        if let Some(envelope) = self.take_high_source() {
            self.state.took_high();
            return Some(Poll::Ready(S::high(self, envelope)));
        }
        if self.is_low_paused()
            && let Some(polled) = self.poll_high_only(cx, signals)
        {
            return Some(polled.map(|envelope| {
                self.state.took_high();
                S::high(self, envelope)
            }));
        }
        if self.mailbox.has_high() {
            return None;
        }
        let taken = match self.has_low_source() {
            true => self.take_low(),
            false => self.take_unfinished().map(S::event),
        };
        taken.map(Poll::Ready)
    }

    /// Receives several low messages at once, as there seem to be many: it costs less than one by
    /// one.
    fn take_ahead(&mut self) {
        let mailbox = &mut self.mailbox;
        let is_full = self.ahead.refill(|taken, limit| {
            // Whether there were any does not matter.
            let _ = mailbox.low().try_recv_many(taken, limit);
        });
        if is_full && self.state.since_publish == 1 {
            self.publish();
        }
    }

    fn take_high<S: Step<A>>(&mut self) -> Option<S> {
        if let Some(envelope) = self.take_unstashed() {
            self.state.took_high();
            return Some(S::high(self, envelope));
        }
        if let Some(envelope) = self.take_high_source() {
            self.state.took_high();
            return Some(S::high(self, envelope));
        }
        match self.mailbox.high().try_recv() {
            Ok(envelope) => {
                self.state.took_high();
                Some(S::high(self, envelope))
            }
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    fn take_low<S: Step<A>>(&mut self) -> Option<S> {
        if self.is_low_paused() {
            return None;
        }
        if let Some(event) = self.take_unfinished() {
            return Some(S::event(event));
        }
        let envelope = match self.take_first_low_source().or_else(|| self.ahead.pop()) {
            Some(envelope) => envelope,
            None => match self.mailbox.low().try_recv() {
                Ok(envelope) => envelope,
                Err(TryRecvError::Empty | TryRecvError::Closed) => self.take_low_source()?,
            },
        };
        self.state.took_low();
        Some(S::low(self, envelope))
    }

    /// What was received before: a message to redeliver, or the rest of a batch.
    fn take_unfinished(&mut self) -> Option<Event<A>> {
        let optional = self.optional_mut()?;
        if optional.custody.is_due() {
            return Some(Event::new(Kind::Redeliver));
        }
        if optional.batches.len() == 0 {
            return None;
        }
        self.state.took_low();
        self.state.budget.spend_all();
        Some(Event::new(Kind::Batch))
    }

    // --- signals ------------------------------------------------------------------------------

    /// Whether the next message of a batch has to wait.
    pub(crate) fn is_batch_over(&mut self) -> bool {
        let is_granted = std::mem::take(&mut self.state.batch_grant);
        !is_granted && (self.is_interrupted() || self.has_high_source() || self.is_low_paused())
    }

    /// Whether anything that comes before low messages waits.
    pub(crate) fn is_interrupted(&self) -> bool {
        const URGENT: u32 = signal::STOP | signal::SUSPEND | signal::CONTROL | signal::HEALTH;
        self.cell.signals() & URGENT != 0 || self.has_unhandled() || self.mailbox.has_high()
    }

    /// Whether there is something whose event was not handled, or a message to redeliver.
    pub(super) fn has_unhandled(&self) -> bool {
        self.optional().is_some_and(|optional| {
            let custody = &optional.custody;
            custody.in_hand.is_some()
                || custody.is_due()
                || optional.control.is_some()
                || self.unstashed() > 0
        })
    }

    /// What comes before a look at the mailbox: signals, what belongs to an event that was not
    /// handled, and a high message to redeliver.
    #[inline]
    fn take_before_mailbox<S: Step<A>>(&mut self, signals: u32) -> Option<S> {
        if signals != 0
            && let Some(event) = self.on_signals(signals)
        {
            return Some(S::event(event));
        }
        let optional = self.optional_mut()?;
        if optional.control.is_some() {
            return Some(S::event(Event::new(Kind::Control)));
        }
        if optional.custody.is_high_due() {
            return Some(S::event(Event::new(Kind::Redeliver)));
        }
        Some(match optional.custody.in_hand.take()? {
            Message::High(envelope) => {
                self.state.took_high();
                S::high(self, envelope)
            }
            Message::Low(envelope) => S::low(self, envelope),
        })
    }

    #[cold]
    fn on_signals(&mut self, signals: u32) -> Option<Event<A>> {
        if signals & (signal::STOP | signal::SUSPEND) != 0 {
            return Some(Event::new(Kind::Stop));
        }
        let has_control = self
            .optional()
            .is_some_and(|optional| optional.control.is_some());
        if has_control {
            return Some(Event::new(Kind::Control));
        }
        if signals & signal::CONTROL != 0
            && let Some(control) = self.cell.take_control()
        {
            let control = match control {
                Control::ChildExit(notice) => ControlEvent::ChildExit(notice),
                Control::PeerExit(notice, policy) => ControlEvent::PeerExit(notice, policy),
                Control::Inspect(inspection) => ControlEvent::Inspect(inspection),
                Control::Escalate(child, reason) => {
                    let cause = reason.into_cause();
                    self.optional_or_default().failure =
                        Some(ExitReason::Escalated { child, cause });
                    ControlEvent::Fail
                }
            };
            return Some(self.hold_control(control));
        }
        if signals & signal::HEALTH != 0 {
            return Some(self.hold_control(ControlEvent::Health));
        }
        if signals & signal::HANDLES != 0 {
            self.close_if_forgotten();
        }
        if signals & signal::DRAIN != 0 {
            if !self.mailbox.is_closed() {
                self.refuse_messages();
            }
            self.keep_futures();
        }
        if signals & signal::ROOM != 0 && self.state.since_publish.is_multiple_of(ROOM_INTERVAL) {
            self.cell.wake_room_waiters();
        }
        None
    }

    /// Closes the mailbox if all senders are those of weak recipients.
    fn close_if_forgotten(&mut self) {
        self.cell.clear(signal::HANDLES);
        let is_kept = self
            .optional()
            .is_some_and(|optional| optional.own_sender.is_some());
        if !is_kept && self.cell.are_all_weak(|| self.mailbox.sender_count()) {
            self.mailbox.close();
        }
    }

    /// Holds an entry of the control queue until its event is handled.
    fn hold_control(&mut self, control: ControlEvent) -> Event<A> {
        self.optional_or_default().control = Some(control);
        Event::new(Kind::Control)
    }
}
