//! Messages that a handler has put aside until its actor can handle them.
//!
//! They belong to the actor, not to an incarnation: a crash loses none of them, and the next
//! incarnation gets them first. They count as queued, and expire as queued messages do.

use std::collections::VecDeque;

use lanemesh::Message;

use crate::envelope::Envelope;

/// How many messages an actor may put aside unless its builder says otherwise.
const CAPACITY: usize = 1024;

/// The messages that were put aside, oldest first.
pub(crate) struct Stash<H, L> {
    kept: VecDeque<Message<Envelope<H>, Envelope<L>>>,
    /// High messages that come before those in the lanes. Low ones go to those taken ahead.
    released: VecDeque<Envelope<H>>,
    pub(crate) capacity: usize,
}

impl<H, L> Default for Stash<H, L> {
    fn default() -> Self {
        Self {
            kept: VecDeque::new(),
            released: VecDeque::new(),
            capacity: CAPACITY,
        }
    }
}

impl<H, L> Stash<H, L> {
    /// How many messages are put aside.
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// How many high messages wait for their handler.
    pub(crate) fn released(&self) -> usize {
        self.released.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= self.capacity
    }

    pub(crate) fn keep(&mut self, message: Message<Envelope<H>, Envelope<L>>) {
        self.kept.push_back(message);
    }

    /// Releases all messages. Returns the low ones, oldest first. Those released earlier and not
    /// handled yet were put aside later, so they follow.
    pub(crate) fn release(&mut self) -> Vec<Envelope<L>> {
        let mut low = Vec::new();
        let later = std::mem::take(&mut self.released);
        for message in self.kept.drain(..) {
            match message {
                Message::High(message) => self.released.push_back(message),
                Message::Low(message) => low.push(message),
            }
        }
        self.released.extend(later);
        low
    }

    /// The next high message for its handler.
    pub(crate) fn pop_released(&mut self) -> Option<Envelope<H>> {
        self.released.pop_front()
    }

    /// All messages, at the end of the actor.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Message<Envelope<H>, Envelope<L>>> {
        let released = std::mem::take(&mut self.released);
        let released = released.into_iter().map(Message::High);
        released.chain(std::mem::take(&mut self.kept))
    }
}
