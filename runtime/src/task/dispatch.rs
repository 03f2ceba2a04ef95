//! From an event to its hook, with the counts and the time measurement around it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use lanemesh::Message;
use tokio::time::Instant;

use crate::{
    actor::{
        Actor, AnyMessage, Context, ControlEvent, Event, Handling, High, Kind, Low, OptionalState,
    },
    cell::signal,
    crash::{KEPT, Undelivered},
    envelope::{AGAIN, ASK, clock},
    error::{ActorError, ActorResult},
    exit::ExitReason,
    observe::ActorEvent,
    task::incarnation::inspect,
    util::timer::stamp,
};

impl<A: Actor> Context<A> {
    /// Passes an event to its hook. Returns `false` when the loop should end.
    ///
    /// # Errors
    ///
    /// The error of the hook; also when a link or an escalation fails this actor.
    ///
    /// # Cancel safety
    ///
    /// Cancelling it loses the message that the hook is handling.
    pub async fn handle_event(
        &mut self,
        actor: &mut A,
        event: Event<A>,
    ) -> Result<bool, ActorError> {
        match event.kind {
            Kind::High => {
                if let Some(message) = self.open_high_in_hand() {
                    actor.on_high(message, self).await?;
                    self.finish_message();
                }
            }
            Kind::Low => {
                if let Some(message) = self.open_low_in_hand() {
                    actor.on_low(message, self).await?;
                    self.finish_message();
                }
            }
            Kind::Batch => self.handle_batch(actor).await?,
            Kind::Stop => return Ok(false),
            Kind::LookAgain => {}
            Kind::Redeliver => Box::pin(self.handle_again(actor)).await?,
            Kind::Control => return Box::pin(self.handle_control(actor)).await,
        }
        Ok(true)
    }

    async fn handle_batch(&mut self, actor: &mut A) -> ActorResult {
        let Some(mut batch) = self.optional_or_default().batches.take_current() else {
            return Ok(());
        };
        if batch.is_empty() {
            self.optional_or_default().batches.put(batch);
            return Ok(());
        }
        self.counters.events().batches += 1;
        // At least one message: a stream of high ones must not starve the low ones.
        self.state.batch_grant = true;
        self.state.put_aside = 0;
        let before = self.counters.low;
        self.begin_batch();
        let outcome = actor.on_low_batch(&mut batch, self).await;
        let drained = self.count_batch(batch.take_count());
        let handled = self.counters.low.saturating_sub(before);
        self.state.fairness.took_batch(handled);
        self.optional_or_default().batches.put(batch);
        if outcome.is_err() {
            self.count_interrupted(drained);
        }
        outcome?;
        self.finish_message();
        Ok(())
    }

    /// Opens the high message in hand. None if it has expired.
    fn open_high_in_hand(&mut self) -> Option<A::HighPriorityMsg> {
        match self.optional_mut()?.custody.in_hand.take()? {
            Message::High(envelope) => self.open_high(envelope),
            Message::Low(_) => None, // unreachable: the event names the class
        }
    }

    /// As [`open_high_in_hand`](Self::open_high_in_hand), for a low message.
    fn open_low_in_hand(&mut self) -> Option<A::LowPriorityMsg> {
        match self.optional_mut()?.custody.in_hand.take()? {
            Message::Low(envelope) => self.open_low(envelope),
            Message::High(_) => None,
        }
    }

    /// Prepares a message for its hook. None if it has expired.
    #[inline(always)]
    pub(crate) fn open_high(&mut self, envelope: High<A>) -> Option<A::HighPriorityMsg> {
        let is_first = std::mem::take(&mut self.state.was_idle);
        if envelope.expires != 0 && is_past(envelope.expires, is_first) {
            self.expire(Message::High(envelope.message));
            return None;
        }
        self.counters.high += 1;
        self.state.handling = Handling::High;
        self.state.expires = envelope.expires;
        self.hold_high(&envelope.message);
        self.begin_message(envelope.sent);
        Some(envelope.message)
    }

    /// As [`open_high`](Self::open_high), for a low message.
    #[inline(always)]
    pub(crate) fn open_low(&mut self, envelope: Low<A>) -> Option<A::LowPriorityMsg> {
        let is_first = std::mem::take(&mut self.state.was_idle);
        if envelope.expires != 0 && is_past(envelope.expires, is_first) {
            self.expire(Message::Low(envelope.message));
            return None;
        }
        self.counters.low += 1;
        self.state.handling = Handling::Low;
        self.state.expires = envelope.expires;
        self.hold_low(&envelope.message);
        self.begin_message(envelope.sent);
        Some(envelope.message)
    }

    /// After a hook that has not failed.
    #[inline]
    pub(crate) fn finish_message(&mut self) {
        self.state.handling = Handling::Nothing;
        self.measure_handling();
        self.release_held();
        self.count_message();
    }

    /// Redelivers the message with which a handler crashed.
    async fn handle_again(&mut self, actor: &mut A) -> ActorResult {
        let optional = self.optional_or_default();
        let Some((message, attempts)) = optional.custody.take_due() else {
            return Ok(());
        };
        self.counters.events().redelivered += 1;
        let custody = &mut self.optional_or_default().custody;
        match message {
            Message::High(message) => {
                custody.hold_high(&message, attempts);
                self.state.handling = Handling::High;
                actor.on_high(message, self).await?;
            }
            Message::Low(message) => {
                custody.hold_low(&message, attempts);
                self.state.handling = Handling::Low;
                actor.on_low(message, self).await?;
            }
        }
        self.state.handling = Handling::Nothing;
        self.release_held();
        self.state.mark_busy();
        Ok(())
    }

    #[cold]
    async fn handle_control(&mut self, actor: &mut A) -> Result<bool, ActorError> {
        let Some(event) = self.optional_mut().and_then(OptionalState::take_control) else {
            return Ok(true);
        };
        match event {
            ControlEvent::ChildExit(notice) => {
                self.counters.events().notices += 1;
                actor.on_child_exit(notice, self).await?;
            }
            ControlEvent::PeerExit(notice, policy) => {
                self.counters.events().notices += 1;
                if !self.peer_ended(&notice, policy) {
                    return Err(ActorError::msg("a linked actor failed"));
                }
                actor.on_peer_exit(notice, self).await?;
            }
            ControlEvent::Inspect(inspection) => inspect(self, actor, inspection),
            ControlEvent::Health => {
                let outcome = actor.healthy(self).await;
                if outcome.is_ok() {
                    self.cell.clear(signal::HEALTH);
                } else {
                    self.optional_or_default().failure = Some(ExitReason::Unhealthy);
                }
                outcome?;
            }
            ControlEvent::Fail => return Err(ActorError::msg("a child failed for good")),
        }
        self.state.mark_busy();
        Ok(true)
    }

    #[cold]
    pub(crate) fn expire(&mut self, message: AnyMessage<A>) {
        self.counters.events().expired += 1;
        self.state.mark_busy();
        self.emit(|| ActorEvent::Expired);
        self.dead_letter(message, Undelivered::Expired);
    }

    /// Expires several messages, also if the drop of one of them panics.
    pub(crate) fn expire_all(&mut self, messages: Vec<A::LowPriorityMsg>) {
        let mut messages = messages.into_iter();
        let mut panicked = None;
        for message in messages.by_ref() {
            if let Err(panic) =
                catch_unwind(AssertUnwindSafe(|| self.expire(Message::Low(message))))
            {
                panicked.get_or_insert(panic);
            }
        }
        if let Some(panic) = panicked {
            resume_unwind(panic);
        }
    }

    // --- timing -------------------------------------------------------------------------------

    /// `sent` is the time at which the message was sent, if it is in the sample.
    #[inline]
    fn begin_message(&mut self, sent: u64) {
        if A::EVENTS {
            self.emit(|| ActorEvent::Handling);
        }
        // A hook that failed before this one may have left its time.
        self.state.handling_since = if sent == 0 {
            0
        } else {
            self.record_queueing(sent)
        };
    }

    #[cold]
    pub(crate) fn record_queueing(&mut self, sent: u64) -> u64 {
        if sent & KEPT != 0 {
            if let Some(optional) = self.optional_mut() {
                optional.custody.begin_kept(sent as u32);
            }
            return 0;
        }
        if sent & AGAIN != 0 {
            self.open_again(sent as u32);
            return 0;
        }
        let now = clock().raw();
        let nanos = clock().delta_as_nanos(sent, now);
        self.cell.histograms_or_new().queueing.record(nanos);
        now
    }

    /// The message that is opened was counted when a handler crashed with it; then it was stashed.
    fn open_again(&mut self, attempts: u32) {
        match self.state.handling {
            Handling::High => self.counters.high -= 1,
            Handling::Low => self.counters.low -= 1,
            Handling::Nothing => {} // unreachable: it is being opened
        }
        self.counters.events().redelivered += 1;
        self.optional_or_default().custody.set_attempts(attempts);
    }

    fn begin_batch(&mut self) {
        if A::EVENTS {
            self.emit(|| ActorEvent::Handling);
        }
        self.state.handling_since = if self.cell.sample == 0 {
            0
        } else {
            clock().raw()
        };
    }

    #[inline]
    fn measure_handling(&mut self) {
        if A::EVENTS {
            self.emit(|| ActorEvent::Handled);
        }
        if self.state.handling_since != 0 {
            self.record_handling(self.state.handling_since);
        }
    }

    #[cold]
    fn record_handling(&mut self, started: u64) {
        let nanos = clock().delta_as_nanos(started, clock().raw());
        self.cell.histograms_or_new().handling.record(nanos);
    }
}

/// Whether a message has expired.
///
/// An ask that finds its actor idle has not waited, so the clock is not read, which would be a
/// considerable part of the cost of an ask. Should it have expired anyway, its sender has
/// given up already.
#[inline]
pub(crate) fn is_past(expires: u64, is_first: bool) -> bool {
    if is_first && expires & ASK != 0 {
        return false;
    }
    stamp(Instant::now()) >= expires & !ASK
}
