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
    items: Items<L>,
    taken: Taken,
}

/// Messages, oldest first.
struct Items<L> {
    messages: VecDeque<L>,
    /// How often the first messages have been redelivered when their handler gets them next; 0 for
    /// those that it lacks.
    attempts: VecDeque<u32>,
}

impl<L> Default for Items<L> {
    fn default() -> Self {
        Self {
            messages: VecDeque::new(),
            attempts: VecDeque::new(),
        }
    }
}

impl<L> Items<L> {
    fn push(&mut self, message: L, attempts: u32) {
        if attempts > 0 {
            self.attempts.resize(self.messages.len(), 0);
            self.attempts.push_back(attempts);
        }
        self.messages.push_back(message);
    }

    fn push_front(&mut self, message: L, attempts: u32) {
        self.attempts.push_front(attempts);
        self.messages.push_front(message);
    }

    fn pop(&mut self) -> Option<(L, u32)> {
        let message = self.messages.pop_front()?;
        Some((message, self.attempts.pop_front().unwrap_or(0)))
    }

    fn append(&mut self, newer: &mut Self) {
        if !newer.attempts.is_empty() {
            self.attempts.resize(self.messages.len(), 0);
            self.attempts.append(&mut newer.attempts);
        }
        self.messages.append(&mut newer.messages);
    }

    /// The first `count` messages are taken. Returns how many of them a handler has had before.
    fn forget_attempts(&mut self, count: usize) -> u64 {
        let count = count.min(self.attempts.len());
        let attempts = self.attempts.drain(..count);
        attempts.filter(|attempts| *attempts > 0).count() as u64
    }
}

/// How many messages of a batch were taken all at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    /// Taken by a handler, which may crash with them.
    pub(crate) drained: u64,
    /// Handled in place.
    pub(crate) cleared: u64,
    /// How many of them a handler has crashed with before.
    pub(crate) again: u64,
}

impl Taken {
    fn is_none(self) -> bool {
        self.drained + self.cleared == 0
    }

    fn add(&mut self, more: Self) {
        self.drained += more.drained;
        self.cleared += more.cleared;
        self.again += more.again;
    }
}

impl<L> Default for Rest<L> {
    fn default() -> Self {
        Self {
            items: Items::default(),
            taken: Taken::default(),
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

    /// The batch that waits, or a new one. It begins with what is left of a batch that was dropped;
    /// what was taken out of that one is added to `taken`.
    pub(crate) fn take(&mut self, taken: &mut Taken) -> Batch<L> {
        let home = self.home.get_or_insert_default();
        let mut rest = std::mem::take(&mut *lock(home));
        taken.add(rest.taken);
        match self.current.take() {
            Some(batch) if rest.items.messages.is_empty() => batch,
            Some(mut batch) => {
                rest.items.append(&mut batch.items);
                batch.items = rest.items;
                batch
            }
            None => Batch {
                items: rest.items,
                taken: Taken::default(),
                home: home.clone(),
            },
        }
    }

    /// The batch that waits, if there is one.
    pub(crate) fn take_current(&mut self) -> Option<Batch<L>> {
        self.current.take()
    }

    /// Another one may have been gathered since this one was taken: it has the newer messages.
    pub(crate) fn put(&mut self, mut batch: Batch<L>) {
        if let Some(mut newer) = self.current.take() {
            batch.items.append(&mut newer.items);
            batch.taken.add(std::mem::take(&mut newer.taken));
        }
        self.current = Some(batch);
    }

    /// After an incarnation: a batch that its handler did not give back waits for the next one.
    /// Returns what that handler has taken.
    pub(crate) fn recover(&mut self) -> Taken {
        let mut taken = Taken::default();
        if self.home.is_some() {
            self.current = Some(self.take(&mut taken));
        }
        taken
    }

    /// Puts a message back with which the handler of the batch has crashed: it is the first again.
    pub(crate) fn put_back(&mut self, message: L, attempts: u32) {
        let mut batch = self.take(&mut Taken::default());
        batch.items.push_front(message, attempts);
        self.current = Some(batch);
    }

    pub(crate) fn take_scratch(&mut self) -> Vec<Envelope<L>> {
        std::mem::take(&mut self.scratch)
    }

    pub(crate) fn put_scratch(&mut self, scratch: Vec<Envelope<L>>) {
        self.scratch = scratch;
    }
}

/// Low-priority messages, oldest first, taken from the mailbox at once.
///
/// Take them one by one with [`next`](Self::next), which yields to urgent messages, or all at once
/// with [`drain`](Self::drain), or by [`take_into`](Self::take_into) a slice; or work in place on
/// [`as_slices`](Self::as_slices) or [`as_mut_slice`](Self::as_mut_slice), then
/// [`consume`](Self::consume) what is done.
pub struct Batch<L> {
    items: Items<L>,
    /// Messages taken all at once since the last count.
    taken: Taken,
    home: Home<L>,
}

impl<L> Batch<L> {
    /// The oldest message, and how often it has been redelivered, this time included.
    pub(crate) fn pop(&mut self) -> Option<(L, u32)> {
        self.items.pop()
    }

    /// Takes all messages out without counting them as handled.
    pub(crate) fn into_messages(mut self) -> VecDeque<Envelope<L>> {
        let mut items = std::mem::take(&mut self.items);
        let messages = std::iter::from_fn(|| items.pop());
        messages
            .map(|(message, attempts)| Envelope::set_aside(message, 0, attempts))
            .collect()
    }

    pub(crate) fn push(&mut self, message: L, attempts: u32) {
        self.items.push(message, attempts);
    }

    /// How many messages were taken all at once since this was last asked.
    pub(crate) fn take_count(&mut self) -> Taken {
        std::mem::take(&mut self.taken)
    }

    /// Takes all messages. Urgent ones wait until the handler returns. If the handler crashes, all
    /// of them are interrupted: they do not come again.
    pub fn drain(&mut self) -> vec_deque::Drain<'_, L> {
        self.taken.drained += self.len() as u64;
        self.taken.again += self.items.forget_attempts(self.len());
        self.items.messages.drain(..)
    }

    /// All messages as one slice, to work on them in place.
    pub fn as_mut_slice(&mut self) -> &mut [L] {
        self.items.messages.make_contiguous()
    }

    /// All messages as the two parts in which they lie, oldest first, without moving any of them:
    /// to work on them in place, then [`consume`](Self::consume) them.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::{Actor, ActorHandle, ActorResult, Context, actor::Batch};
    ///
    /// struct Doubler {
    ///     results: [u64; 64],
    ///     output: ActorHandle<Logger>,
    /// }
    /// # struct Logger(u64);
    /// # impl Actor for Logger {
    /// #     type HighPriorityMsg = ();
    /// #     type LowPriorityMsg = u64;
    /// #     const BATCH: usize = 100;
    /// #     async fn on_low_batch(&mut self, batch: &mut Batch<u64>, _: &mut Context<Self>) -> ActorResult {
    /// #         let mut taken = [0; 7];
    /// #         loop {
    /// #             let count = batch.take_into(&mut taken);
    /// #             if count == 0 { return Ok(()); }
    /// #             self.0 += taken[..count].iter().sum::<u64>();
    /// #         }
    /// #     }
    /// # }
    ///
    /// impl Actor for Doubler {
    ///     type HighPriorityMsg = ();
    ///     type LowPriorityMsg = u64;
    ///     const BATCH: usize = 64;
    ///
    ///     async fn on_low_batch(
    ///         &mut self,
    ///         batch: &mut Batch<u64>,
    ///         _: &mut Context<Self>,
    ///     ) -> ActorResult {
    ///         let (first, second) = batch.as_slices();
    ///         let numbers = first.iter().chain(second);
    ///         self.results.iter_mut().zip(numbers).for_each(|(result, n)| *result = 2 * n);
    ///         let count = batch.len();
    ///         batch.consume(count);
    ///         self.output.send_slice_low(&self.results[..count]).await?;
    ///         Ok(())
    ///     }
    /// }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (logger, _logging) = lanemesh_runtime::spawn(Logger(0));
    /// # let (mut doubler, _doubling) =
    /// #     lanemesh_runtime::spawn(Doubler { results: [0; 64], output: logger.clone() });
    /// # let numbers: Vec<u64> = (0..1_000).collect();
    /// # doubler.send_slice_low(&numbers).await?;
    /// # doubler.idle().await;
    /// # logger.idle().await;
    /// # assert_eq!(logger.stats().low, 1_000);
    /// # let sum = logger.inspect(|logger| logger.0, std::time::Duration::from_secs(1)).await?;
    /// # assert_eq!(sum, 999_000);
    /// # Ok(()) }
    /// ```
    pub fn as_slices(&self) -> (&[L], &[L]) {
        self.items.messages.as_slices()
    }

    /// Moves the oldest messages into `slice`, as many as there are and fit, and drops what they
    /// replace. Returns how many. They count as handled, or as interrupted if the handler crashes, as
    /// with [`drain`](Self::drain).
    pub fn take_into(&mut self, slice: &mut [L]) -> usize {
        let count = slice.len().min(self.len());
        self.taken.drained += count as u64;
        self.taken.again += self.items.forget_attempts(count);
        slice
            .iter_mut()
            .zip(self.items.messages.drain(..count))
            .for_each(|(place, item)| *place = item);
        count
    }

    /// Drops the `count` oldest messages, or all if there are fewer: they count as handled.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.len());
        self.taken.cleared += count as u64;
        self.taken.again += self.items.forget_attempts(count);
        self.items.messages.drain(..count);
    }

    /// Drops all messages: they count as handled.
    pub fn clear(&mut self) {
        self.consume(self.len());
    }

    /// Looks at the messages without taking them.
    pub fn iter(&self) -> vec_deque::Iter<'_, L> {
        self.items.messages.iter()
    }

    /// How many messages are left.
    pub fn len(&self) -> usize {
        self.items.messages.len()
    }

    /// Whether no message is left.
    pub fn is_empty(&self) -> bool {
        self.items.messages.is_empty()
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
        if !self.is_empty() || !self.taken.is_none() {
            let mut rest = lock(&self.home);
            rest.taken.add(self.taken);
            // A second batch can have been started meanwhile, after this one was taken.
            rest.items.append(&mut self.items);
        }
    }
}

impl<L> fmt::Debug for Batch<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
