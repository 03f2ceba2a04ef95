//! What becomes of the messages that a crash finds outside of the lanes.
//!
//! The message that is being handled comes again, becomes a dead letter, or is gone with its
//! handler. A message whose event was not handled, the rest of a batch and what was taken ahead are
//! kept for the next incarnation. So each message is handled once, unless redelivery says more.

use lanemesh::Message;

use crate::{crash::keeper::Keeper, envelope::Envelope, id::ActorId};

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
    /// The next incarnation gets it again, from here or from its keeper.
    Redeliver,
    /// The same, as the first message of the batch that it was taken from; the number is that of the
    /// redelivery.
    InBatch(L, u32),
    /// It has been redelivered as often as the rule allows.
    DeadLetter(Message<H, L>),
}

/// What is known of the message that its handler has.
#[derive(Default)]
enum InHandler<H, L> {
    #[default]
    Nothing,
    Copy(Held<Message<H, L>>),
    /// The keeper has it, under this token.
    Kept(u32),
}

/// The copy of a message that waits to be redelivered.
struct Due<M> {
    message: M,
    /// How often it has been redelivered, this time included.
    attempts: u32,
}

/// The copy of a message that is being handled.
struct Held<M> {
    message: M,
    /// How often it has been redelivered.
    attempts: u32,
    /// Whether it was taken from a batch.
    is_batched: bool,
}

/// The messages of an actor outside of its lanes, except those of a batch and those taken ahead.
///
/// A copy that waits to be redelivered is older than all queued messages of its class and comes
/// before them. So at most one of each class waits.
pub(crate) struct Custody<H, L> {
    rule: Option<RedeliveryRule<H, L>>,
    held: InHandler<H, L>,
    keeper: Option<Box<dyn Keeper>>,
    due_high: Option<Due<H>>,
    due_low: Option<Due<L>>,
    /// A message that was received and not handled yet; there is an
    /// [`Event`](crate::actor::Event) for it.
    pub(crate) in_hand: Option<Message<Envelope<H>, Envelope<L>>>,
}

impl<H, L> Default for Custody<H, L> {
    fn default() -> Self {
        Self {
            rule: None,
            held: InHandler::Nothing,
            keeper: None,
            due_high: None,
            due_low: None,
            in_hand: None,
        }
    }
}

impl<H, L> Custody<H, L> {
    pub(crate) fn set_rule(&mut self, rule: RedeliveryRule<H, L>) {
        self.rule = Some(rule);
    }

    pub(crate) fn set_keeper(&mut self, keeper: Box<dyn Keeper>) {
        self.keeper = Some(keeper);
    }

    pub(crate) fn has_keeper(&self) -> bool {
        self.keeper.is_some()
    }

    /// The actor is about to start.
    pub(crate) fn begins(&mut self, actor: ActorId) {
        if let Some(keeper) = &mut self.keeper {
            keeper.keeps_for(actor);
        }
    }

    /// The handler is about to get a message of the keeper.
    pub(crate) fn begin_kept(&mut self, token: u32) {
        if let Some(keeper) = &mut self.keeper {
            keeper.begin(token);
            self.held = InHandler::Kept(token);
        }
    }

    #[cold]
    fn handled_kept(&mut self, token: u32) {
        if let Some(keeper) = &mut self.keeper {
            keeper.handled(token);
        }
    }

    /// Holds a copy of a message that its handler is about to get.
    pub(crate) fn hold_high(&mut self, message: &H, attempts: u32) {
        if let Some(rule) = &self.rule {
            self.held = InHandler::Copy(Held {
                message: Message::High((rule.copy_high)(message)),
                attempts,
                is_batched: false,
            });
        }
    }

    /// As [`hold_high`](Self::hold_high), for a low message.
    pub(crate) fn hold_low(&mut self, message: &L, attempts: u32) {
        if let Some(rule) = &self.rule {
            self.held = InHandler::Copy(Held {
                message: Message::Low((rule.copy_low)(message)),
                attempts,
                is_batched: false,
            });
        }
    }

    /// As [`hold_low`](Self::hold_low), for a message of a batch.
    pub(crate) fn hold_batched(&mut self, message: &L, attempts: u32) {
        if let Some(rule) = &self.rule {
            self.held = InHandler::Copy(Held {
                message: Message::Low((rule.copy_low)(message)),
                attempts,
                is_batched: true,
            });
        }
    }

    /// How often the message that its handler has was redelivered.
    pub(crate) fn attempts(&self) -> u32 {
        match &self.held {
            InHandler::Copy(held) => held.attempts,
            InHandler::Nothing | InHandler::Kept(_) => 0,
        }
    }

    /// The message that its handler is about to get has been redelivered before.
    pub(crate) fn set_attempts(&mut self, attempts: u32) {
        if let InHandler::Copy(held) = &mut self.held {
            held.attempts = attempts;
        }
    }

    /// The handler has finished with the message: the copy is not needed any more.
    pub(crate) fn release(&mut self) {
        if let InHandler::Kept(token) = std::mem::take(&mut self.held) {
            self.handled_kept(token);
        }
    }

    /// The handler has crashed.
    pub(crate) fn crash(&mut self) -> AfterCrash<H, L> {
        let held = match std::mem::take(&mut self.held) {
            InHandler::Nothing => return AfterCrash::Nothing,
            InHandler::Kept(token) => {
                if let Some(keeper) = &mut self.keeper {
                    keeper.failed(token);
                }
                return AfterCrash::Redeliver;
            }
            InHandler::Copy(held) => held,
        };
        let Held {
            message,
            attempts,
            is_batched,
        } = held;
        if attempts >= self.rule.as_ref().map_or(0, |rule| rule.times) {
            return AfterCrash::DeadLetter(message);
        }
        let attempts = attempts + 1;
        match message {
            Message::High(message) => self.due_high = Some(Due { message, attempts }),
            Message::Low(message) if is_batched => return AfterCrash::InBatch(message, attempts),
            Message::Low(message) => self.due_low = Some(Due { message, attempts }),
        }
        AfterCrash::Redeliver
    }

    /// Whether a high message waits to be redelivered.
    pub(crate) fn is_high_due(&self) -> bool {
        self.due_high.is_some()
    }

    /// Whether a message waits to be redelivered.
    pub(crate) fn is_due(&self) -> bool {
        self.due_high.is_some() || self.due_low.is_some()
    }

    /// The message to redeliver now, and how often it has been redelivered, this time included.
    pub(crate) fn take_due(&mut self) -> Option<(Message<H, L>, u32)> {
        if let Some(Due { message, attempts }) = self.due_high.take() {
            return Some((Message::High(message), attempts));
        }
        let Due { message, attempts } = self.due_low.take()?;
        Some((Message::Low(message), attempts))
    }

    /// The copies of messages with which a handler has crashed, at the end of the actor.
    pub(crate) fn take_crashed(&mut self) -> impl Iterator<Item = Message<H, L>> {
        let high = self.due_high.take().map(|held| Message::High(held.message));
        let low = self.due_low.take().map(|held| Message::Low(held.message));
        let held = match std::mem::take(&mut self.held) {
            InHandler::Copy(held) => Some(held.message),
            InHandler::Nothing | InHandler::Kept(_) => None,
        };
        held.into_iter().chain(high).chain(low)
    }
}
