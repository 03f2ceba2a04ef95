//! Redelivery: the message that a handler had when it crashed goes to the next incarnation.
//!
//! It is opt-in, and at most a given number of times for each message. A copy is made before the
//! handler runs, since the handler consumes the original.

use lanemesh::Message;

/// How to copy messages, and how often one of them is redelivered.
pub(crate) struct RedeliveryRule<H, L> {
    pub(crate) times: u32,
    pub(crate) copy_high: fn(&H) -> H,
    pub(crate) copy_low: fn(&L) -> L,
}

/// What a crash means for the message that was being handled.
pub(crate) enum AfterCrash<H, L> {
    /// No copy was held: no message was being handled, or redelivery is off.
    Nothing,
    /// The next incarnation gets it again.
    Redeliver,
    /// It has been redelivered as often as the rule allows.
    DeadLetter(Message<H, L>),
}

/// The message that is being handled, as far as redelivery is on.
pub(crate) struct Redelivery<H, L> {
    rule: Option<RedeliveryRule<H, L>>,
    held: Option<Message<H, L>>,
    /// How often the held message has been redelivered.
    attempts: u32,
    /// Whether the held message waits to be redelivered.
    is_due: bool,
}

impl<H, L> Default for Redelivery<H, L> {
    fn default() -> Self {
        Self {
            rule: None,
            held: None,
            attempts: 0,
            is_due: false,
        }
    }
}

impl<H, L> Redelivery<H, L> {
    pub(crate) fn set_rule(&mut self, rule: RedeliveryRule<H, L>) {
        self.rule = Some(rule);
    }

    /// Holds a copy of a message that its handler is about to get.
    pub(crate) fn hold_high(&mut self, message: &H) {
        if let Some(rule) = &self.rule {
            self.held = Some(Message::High((rule.copy_high)(message)));
        }
    }

    /// As [`hold_high`](Self::hold_high), for a low message.
    pub(crate) fn hold_low(&mut self, message: &L) {
        if let Some(rule) = &self.rule {
            self.held = Some(Message::Low((rule.copy_low)(message)));
        }
    }

    /// The handler has finished with the message: the copy is not needed any more.
    pub(crate) fn release(&mut self) {
        if !self.is_due {
            self.held = None;
            self.attempts = 0;
        }
    }

    /// The handler has crashed.
    pub(crate) fn crash(&mut self) -> AfterCrash<H, L> {
        let Some(held) = self.held.take() else {
            return AfterCrash::Nothing;
        };
        if self.attempts < self.rule.as_ref().map_or(0, |rule| rule.times) {
            self.held = Some(held);
            self.is_due = true;
            return AfterCrash::Redeliver;
        }
        self.attempts = 0;
        AfterCrash::DeadLetter(held)
    }

    /// The message to redeliver now, if one is due.
    pub(crate) fn take_due(&mut self) -> Option<Message<H, L>> {
        if !std::mem::take(&mut self.is_due) {
            return None;
        }
        self.attempts += 1;
        self.held.take()
    }

    /// The held message, at the end of the actor.
    pub(crate) fn take_held(&mut self) -> Option<Message<H, L>> {
        self.is_due = false;
        self.held.take()
    }
}
