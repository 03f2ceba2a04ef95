//! rtrb's ring as loom sees it: the same positions, caches and orderings, with loom's atomics and cells.
//!
//! rtrb has no hook for loom, so the models run on this; `tests/ring.rs`'s conformance suite runs on both.

use std::{cell::Cell, mem::MaybeUninit};

use rtrb::{PopError, PushError};

use crate::sync::{Arc, AtomicUsize, Ordering, UnsafeCell};

#[derive(Debug)]
pub(super) struct RingBuffer<T> {
    /// Messages popped so far.
    head: AtomicUsize,
    /// Messages pushed so far.
    tail: AtomicUsize,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is written by the producer before it moves `tail` and read by the consumer after.
unsafe impl<T: Send> Send for RingBuffer<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for RingBuffer<T> {}

impl<T> RingBuffer<T> {
    #[allow(clippy::new_ret_no_self)]
    pub(super) fn new(capacity: usize) -> (Producer<T>, Consumer<T>) {
        let slots = (0..capacity)
            .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
            .collect();
        let ring = Arc::new(Self {
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            slots,
        });
        let position = || Cell::new(0);
        let producer = Producer {
            ring: ring.clone(),
            head: position(),
            tail: position(),
        };
        (
            producer,
            Consumer {
                ring,
                head: position(),
                tail: position(),
            },
        )
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    fn slot(&self, position: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[position % self.slots.len()]
    }
}

#[derive(Debug)]
pub(super) struct Producer<T> {
    ring: Arc<RingBuffer<T>>,
    head: Cell<usize>,
    tail: Cell<usize>,
}

impl<T> Producer<T> {
    pub(super) fn buffer(&self) -> &RingBuffer<T> {
        &self.ring
    }

    pub(super) fn cached_slots(&self) -> usize {
        self.ring.capacity() - (self.tail.get() - self.head.get())
    }

    pub(super) fn slots(&self) -> usize {
        // ORDERING: as rtrb: Acquire pairs with the consumer's Release in `pop`.
        self.head.set(self.ring.head.load(Ordering::Acquire));
        self.cached_slots()
    }

    pub(super) fn push(&mut self, value: T) -> Result<(), PushError<T>> {
        if self.cached_slots() == 0 && self.slots() == 0 {
            return Err(PushError::Full(value));
        }
        let value = MaybeUninit::new(value);
        // SAFETY: one initialised value, and a free slot for it.
        unsafe { self.push_chunk(&raw const value as *const T, 1) };
        Ok(())
    }

    /// # Safety
    ///
    /// `source` must hold `count` values, which are moved out of it; the ring must have as many free slots.
    pub(super) unsafe fn push_chunk(&mut self, source: *const T, count: usize) {
        let tail = self.tail.get();
        for n in 0..count {
            // SAFETY: the slot is free, and `source` holds the value, both by the contract.
            self.ring
                .slot(tail + n)
                .with_mut(|slot| unsafe { (*slot).write(source.add(n).read()) });
        }
        // ORDERING: as rtrb: Release pairs with the consumer's Acquire of `tail`.
        self.ring.tail.store(tail + count, Ordering::Release);
        self.tail.set(tail + count);
    }
}

#[derive(Debug)]
pub(super) struct Consumer<T> {
    ring: Arc<RingBuffer<T>>,
    head: Cell<usize>,
    tail: Cell<usize>,
}

impl<T> Consumer<T> {
    pub(super) fn cached_slots(&self) -> usize {
        self.tail.get() - self.head.get()
    }

    pub(super) fn slots(&self) -> usize {
        // ORDERING: as rtrb: Acquire pairs with the producer's Release of `tail`.
        self.tail.set(self.ring.tail.load(Ordering::Acquire));
        self.cached_slots()
    }

    pub(super) fn pop(&mut self) -> Result<T, PopError> {
        if self.cached_slots() == 0 && self.slots() == 0 {
            return Err(PopError::Empty);
        }
        let head = self.head.get();
        // SAFETY: the producer has written the slot and moved `tail` past it.
        let value = self
            .ring
            .slot(head)
            .with(|slot| unsafe { (*slot).assume_init_read() });
        self.head.set(head + 1);
        // ORDERING: as rtrb: Release pairs with the producer's Acquire of `head`.
        self.ring.head.store(head + 1, Ordering::Release);
        Ok(value)
    }
}
