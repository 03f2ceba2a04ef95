//! One message that rides the doorbell: a place in the shared part of the mesh for the message that
//! wakes a sleeping receiver.
//!
//! A receiver that sleeps has emptied everything, so the producer whose compare-and-swap takes down the
//! *armed* flag also wins the sole right to this place, until the receiver has read it and sleeps again.
//! A producer that sends now and then touches no lane of its own at all. Who has won is the ready list's
//! affair; this file only keeps the message and its generation.

use std::mem::MaybeUninit;

use crate::sync::{AtomicUsize, Ordering, UnsafeCell};

#[derive(Debug)]
pub(crate) struct Express<T> {
    /// Even: free. Odd: holds a message. It grows by one at each change, so that the producer can tell
    /// its own message from a later one.
    generation: AtomicUsize,
    place: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the place is written by the producer that won it and read by the receiver after, as the
// generation says; the message goes from one thread to the other, so it must be `Send`.
unsafe impl<T: Send> Send for Express<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Express<T> {}

/// What a producer remembers of a message that it put here; `0` is none.
pub(crate) type Ticket = usize;

impl<T> Express<T> {
    pub(crate) fn new() -> Self {
        Self {
            generation: AtomicUsize::new(0),
            place: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Puts the message that wakes the receiver.
    ///
    /// # Safety
    ///
    /// The caller must have replaced *armed* by *express* in the ready list, with at least Acquire, and
    /// call this once for that.
    #[inline]
    pub(crate) unsafe fn put(&self, message: T) -> Ticket {
        // SAFETY: the caller alone may write until the generation turns odd.
        self.place
            .with_mut(|place| unsafe { (*place).write(message) });
        // ORDERING: Relaxed; the last change was made by the receiver before it armed the list, which
        // the caller acquired.
        let full = self.generation.load(Ordering::Relaxed).wrapping_add(1);
        // ORDERING: Release pairs with the Acquire in `take`: the message is written.
        self.generation.store(full, Ordering::Release);
        full
    }

    /// Takes the message, when one is there and written.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this.
    #[inline]
    pub(crate) unsafe fn take(&self) -> Option<T> {
        // ORDERING: Acquire pairs with the Release in `put`.
        let full = self.generation.load(Ordering::Acquire);
        if full & 1 == 0 {
            return None;
        }
        // SAFETY: odd, so the producer has written the message and given the place to the receiver.
        let message = self
            .place
            .with(|place| unsafe { (*place).assume_init_read() });
        // ORDERING: Release pairs with the Acquire in `holds`: what follows in the producer comes after.
        self.generation
            .store(full.wrapping_add(1), Ordering::Release);
        Some(message)
    }

    /// Whether a message is here.
    pub(crate) fn is_full(&self) -> bool {
        // ORDERING: Acquire, as in `take`, for callers that go on to take it.
        self.generation.load(Ordering::Acquire) & 1 == 1
    }

    /// Whether the message of `ticket` has not been taken yet.
    pub(crate) fn holds(&self, ticket: Ticket) -> bool {
        // ORDERING: Acquire pairs with the Release in `take`.
        ticket & 1 == 1 && self.generation.load(Ordering::Acquire) == ticket
    }
}
