//! Several low-priority messages handled in one go.
//!
//! A batch never loses a message: what is left in it when a handler ends, fails, panics or is
//! cancelled goes back to where the next call, or the next incarnation, finds it.

use std::{
    collections::{VecDeque, vec_deque},
    fmt,
    sync::{Arc, Mutex},
};

use crate::{
    actor::{Actor, context::Context},
    util::lock::lock,
};

/// Where the rest of a batch waits when its handler did not finish.
pub(crate) type Home<L> = Arc<Mutex<Rest<L>>>;

pub(crate) struct Rest<L> {
    pub(crate) items: VecDeque<L>,
    pub(crate) taken: u64,
}

impl<L> Default for Rest<L> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            taken: 0,
        }
    }
}

/// Low-priority messages, oldest first, taken from the mailbox at once.
///
/// Take them one by one with [`next`](Self::next), which yields to urgent messages, or all at once
/// with [`drain`](Self::drain), or work in place on [`as_mut_slice`](Self::as_mut_slice) and
/// [`clear`](Self::clear) them.
pub struct Batch<L> {
    pub(crate) items: VecDeque<L>,
    /// Messages taken all at once since the last count.
    pub(crate) taken: u64,
    home: Home<L>,
}

impl<L> Batch<L> {
    pub(crate) fn new(home: Home<L>) -> Self {
        Self {
            items: VecDeque::new(),
            taken: 0,
            home,
        }
    }

    /// The next message; none when the batch is empty, or when something urgent waits: a stop, an
    /// exit notice or a high-priority message. Then return from the handler: the rest comes again.
    pub fn next<A>(&mut self, ctx: &mut Context<A>) -> Option<L>
    where
        A: Actor<LowPriorityMsg = L>,
    {
        ctx.settle();
        if ctx.is_batch_over() {
            return None;
        }
        let item = self.items.pop_front()?;
        ctx.counters.low += 1;
        ctx.hold_low(&item);
        Some(item)
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
