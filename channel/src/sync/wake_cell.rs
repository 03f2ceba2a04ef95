//! A cell for the waker of one sleeper, which is told of its wake-up by a flag elsewhere.
//!
//! The flag (an armed list head, a lane's `waiting` byte) carries the index of the waker, so that
//! whoever clears the flag knows which waker is meant, and needs no read-modify-write here. There
//! are two slots, because the sleeper may be awake, polled by another task, and about to sleep
//! again, while whoever woke it is still inside `Waker::wake_by_ref`. This file does not decide
//! when to sleep.

use std::task::Waker;

use crate::sync::{AtomicBool, Ordering, UnsafeCell, mutant};

/// Which of the two wakers a flag names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WakerIndex {
    First = 0,
    Second = 1,
}

#[derive(Debug)]
pub(crate) struct WakeCell {
    slots: [WakerSlot; 2],
}

#[derive(Debug)]
struct WakerSlot {
    /// The flag names this slot, or whoever cleared the flag is still reading it.
    busy: AtomicBool,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: a waker is `Send + Sync`; the cell that holds it is written only by the sleeper, and only
// while `busy` says that nobody reads it.
unsafe impl Send for WakeCell {}
// SAFETY: as above.
unsafe impl Sync for WakeCell {}

impl WakeCell {
    pub(crate) fn new() -> Self {
        let slot = || WakerSlot {
            busy: AtomicBool::new(false),
            waker: UnsafeCell::new(None),
        };
        Self {
            slots: [slot(), slot()],
        }
    }

    /// Puts `waker` into a free slot, which the sleeper's flag must name next. `None` if earlier
    /// wake-ups are still reading both slots: then the sleeper must stay awake.
    ///
    /// # Safety
    ///
    /// Only the sleeper may call this, and not while its flag is set.
    #[inline]
    pub(crate) unsafe fn prepare(&self, waker: &Waker) -> Option<WakerIndex> {
        // SAFETY: the slot is free, so nobody else writes, and the caller is the only sleeper.
        let fits = |index| self.is_free(index) && unsafe { self.holds(index, waker) };
        let index = if fits(WakerIndex::First) {
            WakerIndex::First
        } else if fits(WakerIndex::Second) {
            WakerIndex::Second
        } else {
            // SAFETY: guaranteed by this function's contract.
            unsafe { self.fill(waker) }?
        };
        // ORDERING: Relaxed; the operation that sets the flag publishes this and the waker.
        self.slots[index as usize]
            .busy
            .store(true, Ordering::Relaxed);
        Some(index)
    }

    #[inline]
    fn is_free(&self, index: WakerIndex) -> bool {
        // ORDERING: Acquire pairs with the Release in `wake`: the reader is done with the waker.
        mutant("wake_slot_busy") || !self.slots[index as usize].busy.load(Ordering::Acquire)
    }

    /// Puts a clone of `waker` into a free slot, if there is one.
    ///
    /// # Safety
    ///
    /// As for `prepare`.
    #[cold]
    unsafe fn fill(&self, waker: &Waker) -> Option<WakerIndex> {
        let index = [WakerIndex::First, WakerIndex::Second]
            .into_iter()
            .find(|index| self.is_free(*index))?;
        let waker = waker.clone();
        // SAFETY: the slot is free, so nobody else reads or writes, and the caller is the only
        // sleeper.
        let old = self.slots[index as usize]
            .waker
            .with_mut(|held| unsafe { (*held).replace(waker) });
        drop(old);
        Some(index)
    }

    /// Whether the given slot holds a waker that wakes the same task as `waker`.
    ///
    /// # Safety
    ///
    /// Only the sleeper may call this, with a slot that it last prepared or that is not busy.
    #[inline]
    pub(crate) unsafe fn holds(&self, index: WakerIndex, waker: &Waker) -> bool {
        // SAFETY: only the sleeper writes the slot, and that is the caller; others at most read it.
        self.slots[index as usize]
            .waker
            .with(|held| unsafe { (*held).as_ref().is_some_and(|w| w.will_wake(waker)) })
    }

    /// Frees a prepared slot: the sleeper's flag was not set, or the sleeper cleared it itself.
    #[inline]
    pub(crate) fn cancel(&self, index: WakerIndex) {
        // ORDERING: Relaxed; the sleeper is the next to look at it.
        self.slots[index as usize]
            .busy
            .store(false, Ordering::Relaxed);
    }

    /// Wakes the sleeper.
    ///
    /// # Safety
    ///
    /// The caller must have cleared the flag that named this waker, with at least Acquire.
    #[inline]
    pub(crate) unsafe fn wake(&self, index: WakerIndex) {
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            #[inline]
            fn drop(&mut self) {
                // ORDERING: Release pairs with the Acquire in `prepare`: the waker has been read.
                self.0.store(false, Ordering::Release);
            }
        }
        let slot = &self.slots[index as usize];
        let _done = Done(&slot.busy);
        // SAFETY: the slot is busy on behalf of the flag that the caller cleared, so the sleeper
        // does not write it until `_done` is dropped.
        slot.waker
            .with(|held| unsafe { (*held).as_ref().map(Waker::wake_by_ref) });
    }

    /// Drops the wakers that nobody is reading, so that the cell does not keep a finished task
    /// alive.
    ///
    /// # Safety
    ///
    /// Only the sleeper may call this, and not while its flag is set.
    pub(crate) unsafe fn clear(&self) {
        for slot in &self.slots {
            // ORDERING: Acquire pairs with the Release in `wake`.
            if !slot.busy.load(Ordering::Acquire) {
                // SAFETY: not busy, so nobody else reads or writes; the caller is the only sleeper.
                drop(slot.waker.with_mut(|held| unsafe { (*held).take() }));
            }
        }
    }
}
