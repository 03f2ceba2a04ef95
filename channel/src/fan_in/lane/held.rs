//! Slots of the channel's total bound that a lane has borrowed ahead, for the next messages of its
//! producer.
//!
//! The producer adds slots and takes them, the receiver reclaims all that are left: every change is
//! one exchange, so a slot goes to exactly one of them. The producer adds slots only when it is
//! about to push a message to the lane's ring, so the receiver comes to the lane after it, and
//! reclaims what is left when it gives the lane up.

use crate::sync::{AtomicUsize, Ordering, mutant};

#[derive(Debug)]
pub(crate) struct Held(AtomicUsize);

impl Held {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Adds slots. Only the producer calls this, before it pushes a message.
    #[inline]
    pub(crate) fn add(&self, slots: usize) {
        // ORDERING: Relaxed; the push that follows publishes it to the receiver that takes the
        // message. The slots themselves carry no data.
        self.0.fetch_add(slots, Ordering::Relaxed);
    }

    /// Takes up to `wanted` slots, and says how many. Only the producer calls this.
    #[inline]
    pub(crate) fn take(&self, wanted: usize) -> usize {
        // ORDERING: Relaxed throughout, as in `add`: the exchange decides whose the slots are.
        let mut held = self.0.load(Ordering::Relaxed);
        while held > 0 {
            let count = held.min(wanted);
            if mutant("held_exchange") {
                self.0.store(held - count, Ordering::Relaxed);
                return count;
            }
            match self.0.compare_exchange_weak(
                held,
                held - count,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return count,
                Err(now) => held = now,
            }
        }
        0
    }

    /// Takes all slots.
    #[inline]
    pub(crate) fn reclaim(&self) -> usize {
        // ORDERING: Relaxed; what was added before a message that the receiver has taken is visible
        // to it, and what is added later comes before another message. Releasing the slots to
        // others is the pool's affair.
        if mutant("reclaim") || self.0.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.0.swap(0, Ordering::Relaxed)
    }
}
