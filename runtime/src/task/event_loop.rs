//! The loop: what an actor looks at next, and how it hands it to its hooks.
//!
//! The order is stop, exit notices, high, then extra arms and low. It is fair by budget: after a
//! burst of high messages everybody else gets a turn, and after a burst of low ones each extra
//! arm gets one. Every eight messages, and every batch, are a unit of tokio's cooperative budget, so
//! that a queue that is never empty does not keep a worker thread. The loop never races a handler.
//!
//! A loop that is behind takes low messages out of the mailbox several at a time. Those that are
//! not handled yet are queued like the others: they are looked at before the low lanes, and only
//! while no high message waits.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context as PollContext, Poll, ready},
};

use lanemesh::{Message, TryRecvError};
use tokio::task::coop;

use crate::{
    actor::{Actor, Context, ControlEvent, Event, High, Kind, Low},
    cell::{Control, signal},
    error::ActorResult,
    exit::ExitReason,
};

/// High messages in a row before anything else gets a turn.
const HIGH_BURST: u32 = 64;
/// Low messages in a row before the extra arms get a turn.
const LOW_BURST: u32 = 32;
/// Messages between two publications of counters.
const ROUND: u32 = 128;
/// Messages for a unit of tokio's cooperative budget: to take one costs more than a small handler.
const UNIT: u8 = 8;

/// What becomes of a message that was taken: the context keeps it until its event is handled, or it
/// is handled at once.
trait Step<A: Actor>: Sized {
    /// Whether more low messages may be taken with one that is handled.
    const AHEAD: bool;

    fn high(ctx: &mut Context<A>, envelope: High<A>) -> Self;
    fn low(ctx: &mut Context<A>, envelope: Low<A>) -> Self;
    fn event(event: Event<A>) -> Self;
}

impl<A: Actor> Step<A> for Event<A> {
    const AHEAD: bool = false;

    fn high(ctx: &mut Context<A>, envelope: High<A>) -> Self {
        ctx.note_backlog();
        ctx.rare().hand = Some(Message::High(envelope));
        Event(Kind::High)
    }

    fn low(ctx: &mut Context<A>, envelope: Low<A>) -> Self {
        ctx.note_backlog();
        if A::BATCH > 1 {
            ctx.gather(envelope, A::BATCH);
            ctx.turn.paid = 0;
            return Event(Kind::Batch);
        }
        ctx.rare().hand = Some(Message::Low(envelope));
        Event(Kind::Low)
    }

    fn event(event: Event<A>) -> Self {
        event
    }
}

/// For the loop that handles at once.
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
            None => Self::Event(Event(Kind::Turn)),
        }
    }

    #[inline(always)]
    fn low(ctx: &mut Context<A>, envelope: Low<A>) -> Self {
        match ctx.open_low(envelope) {
            Some(message) => Self::Low(message),
            None => Self::Event(Event(Kind::Turn)),
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
    Nothing,
    Rare,
}

// What is taken moves out as a whole: what is borrowed or matched on is kept over an await.
impl<A: Actor> Opened<A> {
    #[inline(always)]
    fn class(&self) -> Class {
        match self {
            Self::High(_) => Class::High,
            Self::Low(_) => Class::Low,
            Self::Event(Event(Kind::Stop)) => Class::Stop,
            Self::Event(Event(Kind::Turn)) => Class::Nothing,
            Self::Event(_) => Class::Rare,
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

/// Takes whatever comes next and opens it. It is inlined into the loop as a whole: a message that
/// is handed on from function to function is copied each time.
struct Next<'a, A: Actor>(&'a mut Context<A>);

impl<A: Actor> Future for Next<'_, A> {
    type Output = (Class, Opened<A>);

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<(Class, Opened<A>)> {
        let opened: Opened<A> = ready!(self.0.poll_step(cx));
        Poll::Ready((opened.class(), opened))
    }
}

impl<A: Actor> Context<A> {
    /// The loop of an actor without extra arms: hands out until there is nothing more to come.
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
        // An idle actor is in here: what lives over an await is kept small.
        async move {
            if A::BATCH > 1 {
                return Box::pin(self.run_batches(actor)).await;
            }
            loop {
                let (class, opened) = Next(self).await;
                match class {
                    Class::Low => {
                        actor.on_low(opened.into_low(), self).await?;
                        self.finish();
                    }
                    Class::High => {
                        actor.on_high(opened.into_high(), self).await?;
                        self.finish();
                    }
                    Class::Stop => return Ok(()),
                    Class::Nothing => {}
                    Class::Rare => {
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

    /// Waits for whatever comes next. Give it to [`handle_event`](Self::handle_event).
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken until it is ready.
    pub async fn next(&mut self) -> Event<A> {
        poll_fn(|cx| self.poll_step(cx)).await
    }

    /// Takes whatever comes next.
    #[inline(always)]
    fn poll_step<S: Step<A>>(&mut self, cx: &mut PollContext<'_>) -> Poll<S> {
        let signals = self.shared.signals();
        if let Some(taken) = self.on_hand(signals) {
            return Poll::Ready(taken);
        }
        ready!(self.poll_budget(cx));
        if self.turn.high >= HIGH_BURST {
            self.turn.high = 0;
            if let Some(taken) = self.take_low() {
                return Poll::Ready(taken);
            }
        }
        self.poll_mailbox(cx, signals)
    }

    /// The first step of [`actor_loop!`](crate::actor_loop): what is there and comes before the
    /// extra arms. It does not wait for messages, only for the executor's budget.
    #[doc(hidden)]
    pub async fn urgent(&mut self) -> Option<Event<A>> {
        poll_fn(|cx| {
            let signals = self.shared.signals();
            if let Some(taken) = self.on_hand(signals) {
                return Poll::Ready(Some(taken));
            }
            ready!(self.poll_budget(cx));
            let mut taken = None;
            if self.turn.high < HIGH_BURST {
                taken = self.take_high();
            }
            if taken.is_none() && self.turn.low < LOW_BURST && self.turn.fired == 0 {
                taken = self.take_low();
            }
            Poll::Ready(taken)
        })
        .await
    }

    /// The last arm of [`actor_loop!`](crate::actor_loop): every extra arm has had its turn.
    #[doc(hidden)]
    pub async fn rest(&mut self) -> Event<A> {
        poll_fn(|cx| {
            let signals = self.shared.signals();
            if let Some(taken) = self.on_hand(signals) {
                return Poll::Ready(taken);
            }
            ready!(self.poll_budget(cx));
            let fired = std::mem::take(&mut self.turn.fired);
            let burst_over = std::mem::take(&mut self.turn.high) >= HIGH_BURST;
            self.turn.low = 0;
            if burst_over && let Some(taken) = self.take_low() {
                return Poll::Ready(taken);
            }
            match self.poll_mailbox(cx, signals) {
                // The arms that had their turn were not looked at: look again with all of them.
                Poll::Pending if fired != 0 => Poll::Ready(Event(Kind::Turn)),
                taken => taken,
            }
        })
        .await
    }

    /// Whether the extra arm with this index may be looked at in this round.
    #[doc(hidden)]
    pub fn arm_open(&self, index: u32) -> bool {
        self.turn.fired & (1 << (index & 63)) == 0
    }

    /// Notes that an extra arm had its turn.
    #[doc(hidden)]
    pub fn arm_fired(&mut self, index: u32) {
        self.turn.fired |= 1 << (index & 63);
        self.counters.rare().extras += 1;
        self.turn.high = 0;
        self.tick();
    }

    // --- taking -------------------------------------------------------------------------------

    /// Takes part in tokio's cooperative budget. What was paid for and not used is for the next
    /// messages, whenever they come.
    #[inline(always)]
    fn poll_budget(&mut self, cx: &mut PollContext<'_>) -> Poll<()> {
        if self.turn.paid == 0 {
            ready!(coop::poll_proceed(cx)).made_progress();
            self.turn.paid = UNIT;
        }
        Poll::Ready(())
    }

    #[inline(always)]
    fn poll_mailbox<S: Step<A>>(&mut self, cx: &mut PollContext<'_>, signals: u32) -> Poll<S> {
        if self.options.is_some()
            && !self.mailbox.has_high()
            && let Some(event) = self.take_kept()
        {
            return Poll::Ready(S::event(event));
        }
        let ticket = if signals & signal::IDLE == 0 {
            0
        } else {
            self.shared.idle_ticket()
        };
        if self.ahead_len() > 0
            && !self.mailbox.has_high()
            && let Some(envelope) = self.next_ahead()
        {
            self.turn.took_low();
            return Poll::Ready(S::low(self, envelope));
        }
        match self.mailbox.poll_recv(cx) {
            Poll::Ready(Some(Message::High(envelope))) => {
                self.turn.took_high();
                Poll::Ready(S::high(self, envelope))
            }
            Poll::Ready(Some(Message::Low(envelope))) => {
                self.turn.took_low();
                if S::AHEAD && self.turn.round != 0 {
                    self.look_ahead();
                }
                Poll::Ready(S::low(self, envelope))
            }
            Poll::Ready(None) => {
                self.turn.closed = true;
                Poll::Ready(S::event(Event(Kind::Stop)))
            }
            Poll::Pending => {
                self.on_idle(signals, ticket);
                Poll::Pending
            }
        }
    }

    /// Takes low messages ahead of their turn, of which there seem to be many: to take them one by
    /// one is dearer.
    fn look_ahead(&mut self) {
        let limit = usize::from(self.ahead_limit);
        if limit > 1 && self.ahead_len() == 0 {
            let ahead = self.ahead.get_or_insert_default();
            let mut taken = Vec::from(std::mem::take(&mut **ahead));
            // If there are none they are not missed.
            let _ = self.mailbox.low().try_recv_many(&mut taken, limit);
            let is_behind = taken.len() == limit && self.turn.round == 1;
            **ahead = taken.into();
            if is_behind {
                self.publish();
            }
        }
    }

    fn take_high<S: Step<A>>(&mut self) -> Option<S> {
        match self.mailbox.high().try_recv() {
            Ok(envelope) => {
                self.turn.took_high();
                Some(S::high(self, envelope))
            }
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    fn take_low<S: Step<A>>(&mut self) -> Option<S> {
        if let Some(event) = self.take_kept() {
            return Some(S::event(event));
        }
        if let Some(envelope) = self.next_ahead() {
            self.turn.took_low();
            return Some(S::low(self, envelope));
        }
        match self.mailbox.low().try_recv() {
            Ok(envelope) => {
                self.turn.took_low();
                Some(S::low(self, envelope))
            }
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    /// What is ours already: a message to handle again, and the rest of a batch.
    fn take_kept(&mut self) -> Option<Event<A>> {
        let options = self.options.as_mut()?;
        if let Some(held) = options.take_redelivery() {
            return Some(Event::rare(ControlEvent::Again(held)));
        }
        if options.batch.as_ref()?.is_empty() {
            return None;
        }
        self.turn.took_low();
        self.turn.paid = 0;
        Some(Event(Kind::Batch))
    }

    // --- signals ------------------------------------------------------------------------------

    /// Whether the next message of a batch has to wait.
    pub(crate) fn is_batch_over(&mut self) -> bool {
        !std::mem::take(&mut self.turn.grant) && self.is_interrupted()
    }

    /// Whether anything that comes before low messages waits.
    pub(crate) fn is_interrupted(&self) -> bool {
        const URGENT: u32 = signal::STOP | signal::SUSPEND | signal::CONTROL | signal::HEALTH;
        self.shared.signals() & URGENT != 0 || self.has_hand() || self.mailbox.has_high()
    }

    fn has_hand(&self) -> bool {
        let options = self.options.as_ref();
        options.is_some_and(|options| options.hand.is_some())
    }

    /// What comes before a look at the mailbox: signals, and the message of an event that was not
    /// handled.
    #[inline]
    fn on_hand<S: Step<A>>(&mut self, signals: u32) -> Option<S> {
        if signals != 0
            && let Some(event) = self.on_signals(signals)
        {
            return Some(S::event(event));
        }
        Some(match self.options.as_mut()?.hand.take()? {
            Message::High(envelope) => {
                self.turn.took_high();
                S::high(self, envelope)
            }
            Message::Low(envelope) => S::low(self, envelope),
        })
    }

    #[cold]
    fn on_signals(&mut self, signals: u32) -> Option<Event<A>> {
        if signals & (signal::STOP | signal::SUSPEND) != 0 {
            return Some(Event(Kind::Stop));
        }
        if signals & signal::CONTROL != 0
            && let Some(control) = self.shared.take_control()
        {
            return Some(Event::rare(match control {
                Control::ChildExit(notice) => ControlEvent::ChildExit(notice),
                Control::PeerExit(notice, policy) => ControlEvent::PeerExit(notice, policy),
                Control::Inspect(inspection) => ControlEvent::Inspect(inspection),
                Control::Escalate(child, reason) => {
                    let cause = Arc::new(reason);
                    self.rare().failure = Some(ExitReason::Escalated { child, cause });
                    ControlEvent::Fail
                }
            }));
        }
        if signals & signal::HEALTH != 0 {
            return Some(Event::rare(ControlEvent::Health));
        }
        if signals & signal::DRAIN != 0 && !self.mailbox.is_closed() {
            self.mailbox.close();
        }
        if signals & signal::ROOM != 0 && self.turn.round.is_multiple_of(16) {
            self.shared.give_room();
        }
        None
    }

    /// At the first message after an idle time: publishes how many more wait, if any do. The loop
    /// that handles at once does so when it looks ahead and finds many, which costs it nothing else.
    fn note_backlog(&mut self) {
        if self.turn.round == 0 && self.depth() > 0 {
            self.publish();
        }
    }

    /// There is nothing to do: say so to whom it concerns.
    pub(crate) fn on_idle(&mut self, signals: u32, ticket: u64) {
        self.turn.idle = true;
        if self.turn.round != 0 {
            self.turn.round = 0;
            // The mailbox is empty, or its budget is used up and the next look corrects this.
            self.publish_depth(self.ahead_len() + self.batched());
        }
        if signals & signal::ROOM != 0 {
            self.shared.give_room();
        }
        // The receiver also says "not now" when its budget is used up.
        if signals & signal::IDLE != 0 && self.depth() == 0 {
            self.shared.give_idle(ticket);
        }
    }

    /// One message more: now and then, look up.
    pub(crate) fn tick(&mut self) {
        self.turn.round += 1;
        if self.turn.round >= ROUND {
            self.turn.round = 1;
            self.publish();
        }
    }
}
