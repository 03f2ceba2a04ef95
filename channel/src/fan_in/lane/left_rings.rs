//! Rings that a producer has filled and left for the next one: who frees them, and how many messages they still hold.
//!
//! The receiver frees a ring when it has emptied it, so that what a burst took comes back although its producer may
//! never run again. The producer frees one only if it looks into it at that very moment. One word for each ring
//! decides between them, and neither waits for the other.

use std::collections::VecDeque;

use crate::sync::{Arc, AtomicU8, Ordering, UnsafeCell, mutant, ring::RingProducer};

/// Nobody uses the producer's end.
const LEFT: u8 = 0;
/// The producer counts what is inside.
const COUNTING: u8 = 1;
/// The receiver has emptied the ring: whoever has the producer's end frees it.
const EMPTIED: u8 = 2;

/// A ring that its producer has left. Both ends of the lane hold one of these.
#[derive(Debug)]
pub(super) struct LeftRing<T> {
    state: AtomicU8,
    ring: UnsafeCell<Option<RingProducer<T>>>,
}

// SAFETY: the ring is used by whoever the state says, one at a time; a message in it moves from one thread to another,
// so it must be `Send`.
unsafe impl<T: Send> Send for LeftRing<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for LeftRing<T> {}

impl<T> LeftRing<T> {
    fn new(ring: RingProducer<T>) -> Self {
        Self {
            state: AtomicU8::new(LEFT),
            ring: UnsafeCell::new(Some(ring)),
        }
    }

    /// The receiver has emptied the ring and does not look into it again. Frees the producer's end, unless the producer
    /// does.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this, once.
    pub(super) unsafe fn emptied(&self) {
        let before = if mutant("emptied_exchange") {
            let before = self.state.load(Ordering::Acquire);
            self.state.store(EMPTIED, Ordering::Release);
            before
        } else {
            // ORDERING: Release: what the receiver has taken from the ring is visible to the producer that learns of
            // this. Acquire: the producer is done with its last count.
            self.state.swap(EMPTIED, Ordering::AcqRel)
        };
        if before == LEFT {
            // SAFETY: the exchange has taken the ring from the producer.
            unsafe { self.free() };
        }
    }

    /// Messages inside, by a new look at the receiver's position.
    ///
    /// # Safety
    ///
    /// Only the producer may call this, and not twice at the same time.
    unsafe fn used(&self) -> usize {
        // ORDERING: Acquire, on failure: pairs with the Release in `emptied`. All that the receiver did while it held the
        // lane, up to then, is visible: `LaneTx::clear` relies on it. Relaxed on success: the ring is the producer's.
        let exchange =
            self.state
                .compare_exchange(LEFT, COUNTING, Ordering::Relaxed, Ordering::Acquire);
        if exchange.is_err() && !mutant("count_exchange") {
            return 0;
        }
        // SAFETY: the exchange has reserved the ring for the producer.
        let used = self
            .ring
            .with(|ring| unsafe { (*ring).as_ref() }.map_or(0, RingProducer::used));
        // ORDERING: Release: the count is done, for the receiver that then frees the ring. Acquire, on failure, as above.
        let exchange =
            self.state
                .compare_exchange(COUNTING, LEFT, Ordering::Release, Ordering::Acquire);
        if exchange.is_err() {
            // SAFETY: the receiver has left the ring to the producer.
            unsafe { self.free() };
            return 0;
        }
        used
    }

    /// # Safety
    ///
    /// The ring must be the caller's.
    unsafe fn free(&self) {
        // SAFETY: as this function's contract says. A ring drops no messages.
        drop(self.ring.with_mut(|ring| unsafe { (*ring).take() }));
    }
}

/// The rings that one producer has left and the receiver may not have emptied, oldest first, as the producer sees them.
#[derive(Debug)]
pub(super) struct LeftRings<T> {
    /// Each with the messages that it held when it was left.
    rings: VecDeque<(Arc<LeftRing<T>>, usize)>,
    /// The sum of those messages.
    messages: usize,
}

impl<T> LeftRings<T> {
    pub(super) fn new() -> Self {
        Self {
            rings: VecDeque::new(),
            messages: 0,
        }
    }

    /// Leaves a ring, and returns what the receiver keeps of it.
    pub(super) fn leave(&mut self, ring: RingProducer<T>) -> Arc<LeftRing<T>> {
        let messages = ring.used();
        let left = Arc::new(LeftRing::new(ring));
        self.rings.push_back((left.clone(), messages));
        self.messages += messages;
        left
    }

    /// Messages in all of them. Forgets those that are empty.
    #[inline]
    pub(super) fn used(&mut self) -> usize {
        if self.rings.is_empty() {
            return 0;
        }
        self.used_of_some()
    }

    #[cold]
    fn used_of_some(&mut self) -> usize {
        while let Some((ring, messages)) = self.rings.front() {
            // SAFETY: this is the producer, and `&mut self` says that nobody else counts.
            let used = unsafe { ring.used() };
            if used > 0 {
                // The receiver empties them in turn, so the others are as they were left.
                return self.messages - messages + used;
            }
            self.messages -= messages;
            self.rings.pop_front();
        }
        self.rings = VecDeque::new();
        0
    }

    /// As `used`, through a shared reference.
    ///
    /// # Safety
    ///
    /// Nobody else may count at the same time.
    pub(super) unsafe fn count(&self) -> usize {
        let mut messages = self.messages;
        for (ring, left) in &self.rings {
            messages -= left;
            // SAFETY: as this function's contract says.
            let used = unsafe { ring.used() };
            if used > 0 {
                return messages + used;
            }
        }
        0
    }
}
