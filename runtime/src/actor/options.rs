//! What an idle actor does without, in one box: batches, watches, redelivery, dead letters, an
//! event monitor. It is made when the first of them is needed.

use std::{collections::BTreeMap, sync::Weak};

use lanemesh::{MailboxSender, Message};

use crate::{
    actor::{
        Actor,
        batch::{Batch, Home},
        messages::{High, Low},
    },
    cell::Shared,
    crash::DeadLetter,
    exit::ExitReason,
    handle::Recipient,
    id::ActorId,
    observe::EventMonitor,
};

pub(crate) type Held<A> = Message<<A as Actor>::HighPriorityMsg, <A as Actor>::LowPriorityMsg>;
pub(crate) type DeadLetterRecipient<A> =
    Box<dyn Recipient<DeadLetter<<A as Actor>::HighPriorityMsg, <A as Actor>::LowPriorityMsg>>>;

/// How to copy the messages, and how often to try again.
pub(crate) struct Redelivery<A: Actor> {
    pub(crate) times: u32,
    pub(crate) high: fn(&A::HighPriorityMsg) -> A::HighPriorityMsg,
    pub(crate) low: fn(&A::LowPriorityMsg) -> A::LowPriorityMsg,
}

pub(crate) struct Options<A: Actor> {
    pub(crate) redelivery: Option<Redelivery<A>>,
    pub(crate) dead_letters: Option<DeadLetterRecipient<A>>,
    pub(crate) monitor: Option<Box<dyn EventMonitor>>,
    /// A handle of the actor to itself, if it is to run without any other.
    pub(crate) own: Option<MailboxSender<High<A>, Low<A>>>,
    pub(crate) batch: Option<Batch<A::LowPriorityMsg>>,
    pub(crate) scratch: Vec<Low<A>>,
    pub(crate) home: Option<Home<A::LowPriorityMsg>>,
    pub(crate) watches: BTreeMap<ActorId, (Weak<Shared>, u64)>,
    /// A message that is on its way to its hook; there is an [`Event`](crate::actor::Event) for it.
    pub(crate) hand: Option<Message<High<A>, Low<A>>>,
    /// Why the loop is to fail, if it is not by a hook's error.
    pub(crate) failure: Option<ExitReason>,
    held: Option<Held<A>>,
    /// How often the held message has been handed out again.
    tries: u32,
    /// Whether the held message is to be handed out again.
    again: bool,
}

impl<A: Actor> Default for Options<A> {
    fn default() -> Self {
        Self {
            redelivery: None,
            dead_letters: None,
            monitor: None,
            own: None,
            batch: None,
            scratch: Vec::new(),
            home: None,
            watches: BTreeMap::new(),
            hand: None,
            failure: None,
            held: None,
            tries: 0,
            again: false,
        }
    }
}

impl<A: Actor> Options<A> {
    pub(crate) fn hold_high(&mut self, message: &A::HighPriorityMsg) {
        if let Some(redelivery) = &self.redelivery {
            self.held = Some(Message::High((redelivery.high)(message)));
        }
    }

    pub(crate) fn hold_low(&mut self, message: &A::LowPriorityMsg) {
        if let Some(redelivery) = &self.redelivery {
            self.held = Some(Message::Low((redelivery.low)(message)));
        }
    }

    pub(crate) fn settle(&mut self) {
        if !self.again {
            self.held = None;
            self.tries = 0;
        }
    }

    /// After a crash. None: nothing was in hand. `Some(None)`: it will be handed out again.
    pub(crate) fn crashed(&mut self) -> Option<Option<Held<A>>> {
        self.held.as_ref()?;
        let times = self
            .redelivery
            .as_ref()
            .map_or(0, |redelivery| redelivery.times);
        if self.tries < times {
            self.again = true;
            return Some(None);
        }
        self.tries = 0;
        Some(self.held.take())
    }

    pub(crate) fn take_redelivery(&mut self) -> Option<Held<A>> {
        if !std::mem::take(&mut self.again) {
            return None;
        }
        self.tries += 1;
        self.held.take()
    }

    pub(crate) fn take_held(&mut self) -> Option<Held<A>> {
        self.again = false;
        self.held.take()
    }
}
