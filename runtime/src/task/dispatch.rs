//! Handing out: from an event to the hook that it is for, with the counts around it.

use lanemesh::Message;
use tokio::time::Instant;

use crate::{
    actor::{Actor, Context, ControlEvent, Event, Held, High, Kind, Low},
    cell::{Histograms, signal},
    crash::Undelivered,
    envelope::{QUESTION, clock},
    error::{ActorError, ActorResult},
    exit::ExitReason,
    observe::ActorEvent,
    util::timer::stamp,
};

impl<A: Actor> Context<A> {
    /// Hands an event to its hook. `false` means that the loop should end.
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
        match event.0 {
            Kind::High => {
                if let Some(message) = self.take_high_message() {
                    actor.on_high(message, self).await?;
                    self.finish();
                }
            }
            Kind::Low => {
                if let Some(message) = self.take_low_message() {
                    actor.on_low(message, self).await?;
                    self.finish();
                }
            }
            Kind::Batch => self.handle_batch(actor).await?,
            Kind::Stop => return Ok(false),
            Kind::Turn => {}
            Kind::Rare(rare) => return Box::pin(self.handle_rare(actor, *rare)).await,
        }
        Ok(true)
    }

    async fn handle_batch(&mut self, actor: &mut A) -> ActorResult {
        let Some(mut batch) = self.rare().batch.take() else {
            return Ok(());
        };
        if batch.is_empty() {
            self.rare().batch = Some(batch);
            return Ok(());
        }
        self.counters.rare().batches += 1;
        // One message at least: a stream of high ones must not starve the low ones.
        self.turn.grant = true;
        let before = self.counters.low;
        self.begin_batch();
        let outcome = actor.on_low_batch(&mut batch, self).await;
        self.counters.low += std::mem::take(&mut batch.taken);
        self.turn.low = self
            .turn
            .low
            .saturating_add((self.counters.low - before) as u32);
        self.rare().batch = Some(batch);
        outcome?;
        self.finish();
        Ok(())
    }

    /// The high message in hand, unless its time is up.
    fn take_high_message(&mut self) -> Option<A::HighPriorityMsg> {
        match self.options.as_mut()?.hand.take()? {
            Message::High(envelope) => self.open_high(envelope),
            Message::Low(_) => None, // not reached: the event tells which it is
        }
    }

    /// As [`take_high_message`](Self::take_high_message), for a low one.
    fn take_low_message(&mut self) -> Option<A::LowPriorityMsg> {
        match self.options.as_mut()?.hand.take()? {
            Message::Low(envelope) => self.open_low(envelope),
            Message::High(_) => None,
        }
    }

    /// What is to be done before a message is handled. None if its time is up.
    #[inline(always)]
    pub(crate) fn open_high(&mut self, envelope: High<A>) -> Option<A::HighPriorityMsg> {
        let is_first = std::mem::take(&mut self.turn.idle);
        if envelope.expires != 0 && is_past(envelope.expires, is_first) {
            self.expire(Message::High(envelope.message));
            return None;
        }
        self.counters.high += 1;
        self.hold_high(&envelope.message);
        self.begin(envelope.sent);
        Some(envelope.message)
    }

    /// As [`open_high`](Self::open_high), for a low one.
    #[inline(always)]
    pub(crate) fn open_low(&mut self, envelope: Low<A>) -> Option<A::LowPriorityMsg> {
        let is_first = std::mem::take(&mut self.turn.idle);
        if envelope.expires != 0 && is_past(envelope.expires, is_first) {
            self.expire(Message::Low(envelope.message));
            return None;
        }
        self.counters.low += 1;
        self.hold_low(&envelope.message);
        self.begin(envelope.sent);
        Some(envelope.message)
    }

    /// After a handler that has not failed.
    #[inline]
    pub(crate) fn finish(&mut self) {
        self.end();
        self.settle();
        self.tick();
    }

    #[cold]
    async fn handle_rare(
        &mut self,
        actor: &mut A,
        event: ControlEvent<A>,
    ) -> Result<bool, ActorError> {
        match event {
            ControlEvent::ChildExit(notice) => {
                self.counters.rare().notices += 1;
                actor.on_child_exit(notice, self).await?;
            }
            ControlEvent::PeerExit(notice, policy) => {
                self.counters.rare().notices += 1;
                if !self.judge(&notice, policy) {
                    return Err(ActorError::msg("a linked actor failed"));
                }
                actor.on_peer_exit(notice, self).await?;
            }
            ControlEvent::Inspect(inspection) => inspection(actor),
            ControlEvent::Health => {
                let outcome = actor.healthy(self).await;
                if outcome.is_ok() {
                    self.shared.clear(signal::HEALTH);
                } else {
                    self.rare().failure = Some(ExitReason::Unhealthy);
                }
                outcome?;
            }
            ControlEvent::Again(Message::High(message)) => {
                self.hold_high(&message);
                actor.on_high(message, self).await?;
                self.settle();
            }
            ControlEvent::Again(Message::Low(message)) => {
                self.hold_low(&message);
                actor.on_low(message, self).await?;
                self.settle();
            }
            ControlEvent::Fail => return Err(ActorError::msg("a child failed for good")),
        }
        self.turn.round = self.turn.round.max(1);
        Ok(true)
    }

    #[cold]
    pub(crate) fn expire(&mut self, held: Held<A>) {
        self.counters.rare().expired += 1;
        self.turn.round = self.turn.round.max(1);
        self.emit(|| ActorEvent::Expired);
        self.dead_letter(held, Undelivered::Expired);
    }

    // --- timing -------------------------------------------------------------------------------

    #[inline]
    fn begin(&mut self, sent: u64) {
        if A::EVENTS {
            self.emit(|| ActorEvent::Handling);
        }
        // A handler before this one that failed may have left its time.
        self.turn.began = if sent == 0 {
            0
        } else {
            self.record_queueing(sent)
        };
    }

    #[cold]
    pub(crate) fn record_queueing(&mut self, sent: u64) -> u64 {
        let now = clock().raw();
        let nanos = clock().delta_as_nanos(sent, now);
        self.shared
            .histograms
            .get_or_init(Histograms::new)
            .queueing
            .record(nanos);
        now
    }

    fn begin_batch(&mut self) {
        if A::EVENTS {
            self.emit(|| ActorEvent::Handling);
        }
        self.turn.began = if self.shared.sample == 0 {
            0
        } else {
            clock().raw()
        };
    }

    #[inline]
    fn end(&mut self) {
        if A::EVENTS {
            self.emit(|| ActorEvent::Handled);
        }
        if self.turn.began != 0 {
            self.record_handling(self.turn.began);
        }
    }

    #[cold]
    fn record_handling(&mut self, started: u64) {
        let nanos = clock().delta_as_nanos(started, clock().raw());
        self.shared
            .histograms
            .get_or_init(Histograms::new)
            .handling
            .record(nanos);
    }
}

/// Whether a message's time is up.
///
/// A question that finds its actor idle has not waited, so the clock is not asked: to read it is a
/// sizeable part of what a question costs. If its time is up all the same, nobody gets the answer.
#[inline]
pub(crate) fn is_past(expires: u64, is_first: bool) -> bool {
    if is_first && expires & QUESTION != 0 {
        return false;
    }
    stamp(Instant::now()) >= expires & !QUESTION
}
