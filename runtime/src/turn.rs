//! The loop: what an actor looks at next, and how it hands it to its hooks.
//!
//! The order is stop, exit notices, high, then extra arms and low. It is fair by budget: after a
//! burst of high messages everybody else gets a turn, and after a burst of low ones each extra
//! arm gets one. Every message is a unit of tokio's cooperative budget, so that a queue that is
//! never empty does not keep a worker thread. The loop never races a handler.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, ready},
};

use lanemesh::{Message, TryRecvError};
use tokio::task::coop;

use crate::{
    actor::Actor,
    context::{Context, High, Low},
    dispatch::{Event, Kind, Rare},
    error::ActorResult,
    exit::ExitReason,
    shared::{Control, signal},
};

/// High messages in a row before anything else gets a turn.
const HIGH_BURST: u32 = 64;
/// Low messages in a row before the extra arms get a turn.
const LOW_BURST: u32 = 32;
/// Messages between two looks at who waits for room, and between two publications of counters.
const ROUND: u32 = 64;

#[derive(Debug, Default)]
pub(crate) struct Turn {
    high: u32,
    pub(crate) low: u32,
    pub(crate) round: u32,
    fired: u64,
    pub(crate) grant: bool,
    pub(crate) closed: bool,
    /// Whether the `started` hook has finished.
    pub(crate) started: bool,
    /// Whether the mailbox was empty when it was last looked at.
    pub(crate) idle: bool,
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
    pub async fn run(&mut self, actor: &mut A) -> ActorResult {
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
        poll_fn(|cx| {
            let signals = self.shared.signals();
            if let Some(event) = self.on_hand(signals) {
                return Poll::Ready(event);
            }
            let coop = ready!(coop::poll_proceed(cx));
            if self.turn.high >= HIGH_BURST {
                self.turn.high = 0;
                if let Some(event) = self.take_low() {
                    coop.made_progress();
                    return Poll::Ready(event);
                }
            }
            let event = self.poll_mailbox(cx, signals);
            if event.is_ready() {
                coop.made_progress();
            }
            event
        })
        .await
    }

    /// The first step of [`actor_loop!`](crate::actor_loop): what is there and comes before the
    /// extra arms. It does not wait for messages, only for the executor's budget.
    #[doc(hidden)]
    pub async fn urgent(&mut self) -> Option<Event<A>> {
        poll_fn(|cx| {
            let signals = self.shared.signals();
            if let Some(event) = self.on_hand(signals) {
                return Poll::Ready(Some(event));
            }
            let coop = ready!(coop::poll_proceed(cx));
            let mut event = None;
            if self.turn.high < HIGH_BURST {
                event = self.take_high();
            }
            if event.is_none() && self.turn.low < LOW_BURST && self.turn.fired == 0 {
                event = self.take_low();
            }
            if event.is_some() {
                coop.made_progress();
            }
            Poll::Ready(event)
        })
        .await
    }

    /// The last arm of [`actor_loop!`](crate::actor_loop): every extra arm has had its turn.
    #[doc(hidden)]
    pub async fn rest(&mut self) -> Event<A> {
        poll_fn(|cx| {
            let signals = self.shared.signals();
            if let Some(event) = self.on_hand(signals) {
                return Poll::Ready(event);
            }
            let coop = ready!(coop::poll_proceed(cx));
            let fired = std::mem::take(&mut self.turn.fired);
            let burst_over = std::mem::take(&mut self.turn.high) >= HIGH_BURST;
            self.turn.low = 0;
            if burst_over && let Some(event) = self.take_low() {
                coop.made_progress();
                return Poll::Ready(event);
            }
            match self.poll_mailbox(cx, signals) {
                // The arms that had their turn were not looked at: look again with all of them.
                Poll::Pending if fired != 0 => Poll::Ready(Event(Kind::Turn)),
                Poll::Pending => Poll::Pending,
                ready => {
                    coop.made_progress();
                    ready
                }
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

    fn poll_mailbox(&mut self, cx: &mut std::task::Context<'_>, signals: u32) -> Poll<Event<A>> {
        if !self.mailbox.has_high()
            && let Some(event) = self.take_kept()
        {
            return Poll::Ready(event);
        }
        let ticket = if signals & signal::IDLE == 0 {
            0
        } else {
            self.shared.idle_ticket()
        };
        match self.mailbox.poll_recv(cx) {
            Poll::Ready(Some(Message::High(envelope))) => Poll::Ready(self.high_event(envelope)),
            Poll::Ready(Some(Message::Low(envelope))) => Poll::Ready(self.low_event(envelope)),
            Poll::Ready(None) => {
                self.turn.closed = true;
                Poll::Ready(Event(Kind::Stop))
            }
            Poll::Pending => {
                self.on_idle(signals, ticket);
                Poll::Pending
            }
        }
    }

    /// The message that is on its way to its hook already.
    fn in_hand(&mut self) -> Option<Event<A>> {
        match self.hand.as_ref()? {
            Message::High(_) => {
                self.turn.high += 1;
                Some(Event(Kind::High))
            }
            Message::Low(_) => Some(Event(Kind::Low)),
        }
    }

    fn take_high(&mut self) -> Option<Event<A>> {
        match self.mailbox.try_recv_high() {
            Ok(envelope) => Some(self.high_event(envelope)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    fn take_low(&mut self) -> Option<Event<A>> {
        if let Some(event) = self.take_kept() {
            return Some(event);
        }
        match self.mailbox.try_recv_low() {
            Ok(envelope) => Some(self.low_event(envelope)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    /// What is ours already: a message to handle again, and the rest of a batch.
    fn take_kept(&mut self) -> Option<Event<A>> {
        let options = self.options.as_mut()?;
        if let Some(held) = options.take_redelivery() {
            return Some(Event::rare(Rare::Again(held)));
        }
        if options.batch.as_ref()?.is_empty() {
            return None;
        }
        self.turn.low += 1;
        self.turn.high = 0;
        Some(Event(Kind::Batch))
    }

    fn high_event(&mut self, envelope: High<A>) -> Event<A> {
        self.turn.high += 1;
        self.hand = Some(Message::High(envelope));
        Event(Kind::High)
    }

    fn low_event(&mut self, envelope: Low<A>) -> Event<A> {
        self.turn.low += 1;
        self.turn.high = 0;
        if A::BATCH > 1 {
            self.gather(envelope, A::BATCH);
            return Event(Kind::Batch);
        }
        self.hand = Some(Message::Low(envelope));
        Event(Kind::Low)
    }

    // --- signals ------------------------------------------------------------------------------

    /// Whether the next message of a batch has to wait.
    pub(crate) fn is_batch_over(&mut self) -> bool {
        !std::mem::take(&mut self.turn.grant) && self.is_interrupted()
    }

    /// Whether anything that comes before low messages waits.
    pub(crate) fn is_interrupted(&self) -> bool {
        const URGENT: u32 = signal::STOP | signal::SUSPEND | signal::CONTROL | signal::HEALTH;
        self.shared.signals() & URGENT != 0 || self.hand.is_some() || self.mailbox.has_high()
    }

    /// What comes before a look at the mailbox.
    #[inline]
    fn on_hand(&mut self, signals: u32) -> Option<Event<A>> {
        if signals != 0
            && let Some(event) = self.on_signals(signals)
        {
            return Some(event);
        }
        self.in_hand()
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
                Control::ChildExit(notice) => Rare::ChildExit(notice),
                Control::PeerExit(notice, policy) => Rare::PeerExit(notice, policy),
                Control::Inspect(inspection) => Rare::Inspect(inspection),
                Control::Escalate(child, reason) => {
                    let cause = Arc::new(reason);
                    self.rare().failure = Some(ExitReason::Escalated { child, cause });
                    Rare::Fail
                }
            }));
        }
        if signals & signal::HEALTH != 0 {
            return Some(Event::rare(Rare::Health));
        }
        if signals & signal::DRAIN != 0 && !self.mailbox.is_closed() {
            self.mailbox.close();
        }
        if signals & signal::ROOM != 0 && self.turn.round.is_multiple_of(16) {
            self.shared.give_room();
        }
        None
    }

    /// There is nothing to do: say so to whom it concerns.
    pub(crate) fn on_idle(&mut self, signals: u32, ticket: u64) {
        self.turn.idle = true;
        if self.turn.round != 0 {
            self.turn.round = 0;
            // The mailbox is empty, or its budget is used up and the next look corrects this.
            let batched = self.batched();
            self.publish_depth(batched);
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
