//! A stand-in for rtrb's ring whose atomics and cells loom can see.
//!
//! rtrb has no hook for loom, so the models run on this. `ring_tests.rs` runs one suite on both and
//! compares every result, cached counts included, with a model: in `cargo test` on rtrb, and on
//! this with std's atomics; in `cargo loom` on this with loom's. A suite cannot compare orderings,
//! so here they are side by side:
//!
//! | step | rtrb 0.4.1 | here | equal because |
//! |---|---|---|---|
//! | `push`, `Producer::slots`: look for room | own copy of `head`, then `head.load(Acquire)` | the same | the load pairs with the consumer's Release: a slot is written only after it was read |
//! | `push`: publish | slot written, `tail.store(Release)` | the same | pairs with the consumer's Acquire: a slot is read only after it was written |
//! | `write_chunk_uninit`, `commit_all` | slots written, one `tail.store(Release)` | `push_chunk`: the same | one publication for the whole chunk |
//! | `pop`, `Consumer::slots`: look for a message | own copy of `tail`, then `tail.load(Acquire)` | the same | as for `push` |
//! | `pop`: give the slot back | slot read, `head.store(Release)` | the same | as for `push` |
//! | `read_chunk`, `commit_all` | slots read, one `head.store(Release)` | `pop_chunk`: the same | one publication for the whole chunk |
//! | a slot | raw pointer | `UnsafeCell` | loom's cell reports two accesses that no Release and Acquire order |
//! | positions | `0..2 * capacity`, wrapping | counted from 0 | only their distance is used, which is the same |
//! | drop of a half | `fetch_or(Release)` of a flag; the second half to go loads it with Acquire and frees | `Arc` | both order all that the first half did before the free |
//! | drop of the consumer | stores `head` once more, with Release | no store | the value is already there: nobody can tell, and loom sees one synchronization less, not more |
//!
//! The ring is used only with `MaybeUninit`, so neither ring drops a message that is still inside.
//! rtrb's `is_abandoned` is not here, because lanes do not use it.

use std::{cell::Cell, mem::MaybeUninit};

use rtrb::{PopError, PushError};

use crate::sync::{Arc, AtomicUsize, Ordering, UnsafeCell, mutant};

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
    /// `source` must hold `count` values, which are moved out of it. By the last look the ring must
    /// have `count` free slots.
    pub(super) unsafe fn push_chunk(&mut self, source: *const T, count: usize) {
        let tail = self.tail.get();
        for n in 0..count {
            // SAFETY: the slot is free, and `source` holds the value, both by the contract.
            self.ring
                .slot(tail + n)
                .with_mut(|slot| unsafe { (*slot).write(source.add(n).read()) });
        }
        let release = if mutant("ring_tail_release") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        // ORDERING: as rtrb: Release pairs with the consumer's Acquire of `tail`.
        self.ring.tail.store(tail + count, release);
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
        let mut popped = None;
        // SAFETY: the ring has a message.
        unsafe { self.pop_chunk(1, |value| popped = Some(value)) };
        popped.ok_or(PopError::Empty)
    }

    /// Hands `count` values to `take`, in order, then gives their slots back with one store.
    ///
    /// # Safety
    ///
    /// By the last look the ring must hold `count` values. `take` must not panic.
    pub(super) unsafe fn pop_chunk(&mut self, count: usize, mut take: impl FnMut(T)) {
        let head = self.head.get();
        for n in 0..count {
            let slot = self.ring.slot(head + n);
            // SAFETY: the producer has written the slot and moved `tail` past it, and this end has
            // seen that.
            take(slot.with(|slot| unsafe { (*slot).assume_init_read() }));
        }
        self.head.set(head + count);
        let release = if mutant("ring_head_release") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        // ORDERING: as rtrb: Release pairs with the producer's Acquire of `head`.
        self.ring.head.store(head + count, release);
    }
}
