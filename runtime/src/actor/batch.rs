//! Batches: several low-priority messages handled by one call.
//!
//! A batch never loses a message: what is left in it when a handler ends, fails, panics or is
//! cancelled is offered again to the next call, or to the next incarnation.

use std::{
    collections::{VecDeque, vec_deque},
    fmt,
    sync::{Arc, Mutex},
};

use crate::{envelope::Envelope, util::lock::lock};

/// Where a batch puts what is left of it when it is dropped.
type Home<L> = Arc<Mutex<Rest<L>>>;

struct Rest<L> {
    items: VecDeque<L>,
    taken: u64,
}

impl<L> Default for Rest<L> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            taken: 0,
        }
    }
}

/// The batches of one actor: the one that waits for its handler, and what is reused for the next.
pub(crate) struct Batches<L> {
    current: Option<Batch<L>>,
    /// Where the rest of a batch goes that was dropped; made with the first batch.
    home: Option<Home<L>>,
    /// Envelopes on their way into a batch; empty between two calls.
    scratch: Vec<Envelope<L>>,
}

impl<L> Default for Batches<L> {
    fn default() -> Self {
        Self {
            current: None,
            home: None,
            scratch: Vec::new(),
        }
    }
}

impl<L> Batches<L> {
    /// How many messages wait in the batch.
    pub(crate) fn len(&self) -> usize {
        self.current.as_ref().map_or(0, Batch::len)
    }

    /// The batch that waits, or a new one. A new one begins with what is left of a batch whose
    /// handler did not finish; what that handler took is added to `handled`.
    pub(crate) fn take(&mut self, handled: &mut u64) -> Batch<L> {
        match self.current.take() {
            Some(batch) => batch,
            None => self.start(handled),
        }
    }

    /// The batch that waits, if there is one.
    pub(crate) fn take_current(&mut self) -> Option<Batch<L>> {
        self.current.take()
    }

    pub(crate) fn put(&mut self, batch: Batch<L>) {
        self.current = Some(batch);
    }

    /// After an incarnation: a batch that its handler did not give back waits for the next one.
    pub(crate) fn recover(&mut self, handled: &mut u64) {
        if self.current.is_none() && self.home.is_some() {
            self.current = Some(self.start(handled));
        }
    }

    pub(crate) fn take_scratch(&mut self) -> Vec<Envelope<L>> {
        std::mem::take(&mut self.scratch)
    }

    pub(crate) fn put_scratch(&mut self, scratch: Vec<Envelope<L>>) {
        self.scratch = scratch;
    }

    fn start(&mut self, handled: &mut u64) -> Batch<L> {
        let home = self.home.get_or_insert_default().clone();
        let rest = std::mem::take(&mut *lock(&home));
        *handled += rest.taken;
        Batch {
            items: rest.items,
            taken: 0,
            home,
        }
    }
}

/// Low-priority messages, oldest first, taken from the mailbox at once.
///
/// Take them one by one with [`next`](Self::next), which yields to urgent messages, or all at once
/// with [`drain`](Self::drain); or work in place on [`as_mut_slice`](Self::as_mut_slice), then
/// [`clear`](Self::clear) the batch.
pub struct Batch<L> {
    items: VecDeque<L>,
    /// Messages taken all at once since the last count.
    taken: u64,
    home: Home<L>,
}

impl<L> Batch<L> {
    pub(crate) fn pop(&mut self) -> Option<L> {
        self.items.pop_front()
    }

    /// Takes all messages out without counting them as handled.
    pub(crate) fn into_messages(mut self) -> VecDeque<L> {
        std::mem::take(&mut self.items)
    }

    pub(crate) fn push(&mut self, message: L) {
        self.items.push_back(message);
    }

    /// How many messages were taken all at once since this was last asked.
    pub(crate) fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.taken)
    }

    /// Takes all messages. Urgent ones wait until the handler returns.
    pub fn drain(&mut self) -> vec_deque::Drain<'_, L> {
        self.taken += self.items.len() as u64;
        self.items.drain(..)
    }

    /// All messages as one slice, to work on them in place.
    pub fn as_mut_slice(&mut self) -> &mut [L] {
        self.items.make_contiguous()
    }

    /// Drops all messages: they count as handled.
    pub fn clear(&mut self) {
        self.taken += self.items.len() as u64;
        self.items.clear();
    }

    /// Looks at the messages without taking them.
    pub fn iter(&self) -> vec_deque::Iter<'_, L> {
        self.items.iter()
    }

    /// How many messages are left.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no message is left.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl<'a, L> IntoIterator for &'a Batch<L> {
    type Item = &'a L;
    type IntoIter = vec_deque::Iter<'a, L>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<L> Drop for Batch<L> {
    fn drop(&mut self) {
        if !self.items.is_empty() || self.taken > 0 {
            let mut rest = lock(&self.home);
            rest.taken += self.taken;
            std::mem::swap(&mut rest.items, &mut self.items);
        }
    }
}

impl<L> fmt::Debug for Batch<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.items.len())
            .finish_non_exhaustive()
    }
}
