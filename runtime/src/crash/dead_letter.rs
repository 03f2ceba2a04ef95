//! What becomes of messages that no handler will finish: redelivery and dead letters.
//!
//! Both are opt-in. By default the message that a handler had in hand at a crash is dropped, and
//! its asker hears *crashed*; the messages behind it are kept.

use std::{fmt, sync::Arc};

use lanemesh::Message;

use crate::{
    actor::{Actor, Context, Held},
    envelope::Envelope,
    id::ActorId,
};

/// Why a message was not handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undelivered {
    /// Its deadline had passed when the loop came to it.
    Expired,
    /// The handler crashed with it, as often as redelivery allows.
    Crashed,
    /// It was queued when the actor ended for good.
    Left,
}

/// A message that was not handled, with its circumstances.
pub struct DeadLetter<H, L> {
    /// The actor that it was sent to.
    pub actor: ActorId,
    /// The actor's name.
    pub name: Arc<str>,
    /// The message.
    pub message: Message<H, L>,
    /// Why it was not handled.
    pub why: Undelivered,
}

impl<H, L> fmt::Debug for DeadLetter<H, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("actor", &self.actor)
            .field("name", &self.name)
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}

impl<A: Actor> Context<A> {
    /// Remembers a copy of the message that goes to its handler, if redelivery is on.
    #[inline]
    pub(crate) fn hold_high(&mut self, message: &A::HighPriorityMsg) {
        if let Some(options) = &mut self.options {
            options.hold_high(message);
        }
    }

    /// As [`hold_high`](Self::hold_high), for a low message.
    #[inline]
    pub(crate) fn hold_low(&mut self, message: &A::LowPriorityMsg) {
        if let Some(options) = &mut self.options {
            options.hold_low(message);
        }
    }

    /// The handler is done with the message.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if let Some(options) = &mut self.options {
            options.settle();
        }
    }

    /// After a crash: the message in hand is handled again, or it is a dead letter.
    pub(crate) fn after_crash(&mut self) {
        let Some(options) = &mut self.options else {
            return;
        };
        match options.crashed() {
            None => {}
            Some(None) => self.counters.rare().redelivered += 1,
            Some(Some(held)) => self.dead_letter(held, Undelivered::Crashed),
        }
    }

    pub(crate) fn dead_letter(&mut self, message: Held<A>, why: Undelivered) {
        let (actor, name) = (self.shared.id(), || self.shared.name());
        let Some(recipient) = self
            .options
            .as_mut()
            .and_then(|options| options.dead_letters.as_mut())
        else {
            return;
        };
        if recipient
            .try_send(DeadLetter {
                actor,
                name: name(),
                message,
                why,
            })
            .is_ok()
        {
            self.counters.rare().dead_letters += 1;
        }
    }

    /// At the very end: what is still queued are dead letters.
    pub(crate) fn bury(&mut self) {
        self.mailbox.close();
        if self
            .options
            .as_ref()
            .is_none_or(|options| options.dead_letters.is_none())
        {
            return;
        }
        if let Some(held) = self
            .options
            .as_mut()
            .and_then(|options| options.take_held())
        {
            self.dead_letter(held, Undelivered::Crashed);
        }
        let hand = self
            .options
            .as_mut()
            .and_then(|options| options.hand.take());
        if let Some(message) = hand {
            self.dead_letter(open(message), Undelivered::Left);
        }
        if let Some(mut batch) = self.rare().batch.take() {
            for message in batch.drain() {
                self.dead_letter(Message::Low(message), Undelivered::Left);
            }
        }
        while let Some(envelope) = self.next_ahead() {
            self.dead_letter(Message::Low(envelope.message), Undelivered::Left);
        }
        while let Ok(message) = self.mailbox.try_recv() {
            self.dead_letter(open(message), Undelivered::Left);
        }
    }
}

/// A message without its envelope.
fn open<H, L>(message: Message<Envelope<H>, Envelope<L>>) -> Message<H, L> {
    match message {
        Message::High(envelope) => Message::High(envelope.message),
        Message::Low(envelope) => Message::Low(envelope.message),
    }
}
