//! A cell for the waker of one sleeper, which is told of its wake-up by a flag elsewhere.
//!
//! The flag (an armed list head, a lane's `waiting` byte) carries the index of the waker, so that
//! whoever clears the flag knows which waker is meant, and needs no read-modify-write here. There
//! are two slots, because the sleeper may be awake, polled by another task, and about to sleep
//! again, while whoever cleared the flag has not yet taken the waker out. A slot holds a waker only
//! during a wait: `wake` takes it out, and a sleeper that ends its wait otherwise calls `release`.
//! This file does not decide when to sleep.

use std::{
    ptr::{self, NonNull},
    task::{RawWakerVTable, Waker},
};

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
    /// The flag names this slot, or whoever cleared the flag has not yet taken the waker out.
    busy: AtomicBool,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: a waker is `Send + Sync`; the cell that holds it is used by one thread at a time: while
// `busy`, by the one that cleared the flag, else by the sleeper.
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

    /// Puts a clone of `waker` into a free slot, which the sleeper's flag must name next. `None` if
    /// earlier wake-ups have not yet emptied both slots: then the sleeper must stay awake.
    ///
    /// # Safety
    ///
    /// Only the sleeper may call this, and not while its flag is set.
    #[inline]
    pub(crate) unsafe fn prepare(&self, waker: &Waker) -> Option<WakerIndex> {
        let index = if self.is_free(WakerIndex::First) {
            WakerIndex::First
        } else if self.is_free(WakerIndex::Second) {
            WakerIndex::Second
        } else {
            return None;
        };
        // First, because it is code of others, which may panic.
        let waker = waker.clone();
        let slot = &self.slots[index as usize];
        slot.waker.with_mut(|held| {
            // SAFETY: the slot is free, so nobody else uses it, and the caller is the only sleeper. It
            // is empty: `wake` and `release` leave it so. What is overwritten needs no drop.
            unsafe {
                debug_assert!((*held).is_none());
                ptr::write(held, Some(waker));
            }
        });
        // ORDERING: Relaxed; the operation that sets the flag publishes it, and the waker.
        slot.busy.store(true, Ordering::Relaxed);
        Some(index)
    }

    /// Whether a prepared slot wakes the same task as `waker`.
    ///
    /// # Safety
    ///
    /// Only the sleeper may call this, with a slot that its own cleared flag named.
    #[inline]
    pub(crate) unsafe fn holds(&self, index: WakerIndex, waker: &Waker) -> bool {
        // SAFETY: by this function's contract, nobody else uses the slot.
        self.slots[index as usize]
            .waker
            .with(|held| unsafe { (*held).as_ref().is_some_and(|held| held.will_wake(waker)) })
    }

    #[inline]
    fn is_free(&self, index: WakerIndex) -> bool {
        // ORDERING: Acquire pairs with the Release in `wake`: the waker has been taken out.
        mutant("wake_slot_busy") || !self.slots[index as usize].busy.load(Ordering::Acquire)
    }

    /// Takes the waker out of a slot.
    ///
    /// # Safety
    ///
    /// The caller must be the sleeper, with a free slot or one that its own cleared flag named, or have cleared the
    /// flag that named the slot.
    #[inline]
    pub(crate) unsafe fn take(&self, index: WakerIndex) -> Option<Waker> {
        // SAFETY: nobody else uses the slot, by this function's contract.
        self.slots[index as usize]
            .waker
            .with_mut(|held| unsafe { (*held).take() })
    }

    /// Frees a prepared slot, and drops the waker: the sleeper's flag was not set, or the sleeper cleared it itself.
    ///
    /// # Safety
    ///
    /// Only the sleeper may call this, with a slot that no set flag names, and that it prepared last.
    #[inline]
    pub(crate) unsafe fn release(&self, index: WakerIndex) {
        // SAFETY: by this function's contract.
        let waker = unsafe { self.take(index) };
        // ORDERING: Relaxed; the sleeper is the next to look at it.
        self.slots[index as usize]
            .busy
            .store(false, Ordering::Relaxed);
        drop(waker);
    }

    /// Wakes the sleeper, and drops its waker: a wait that is over keeps nothing alive.
    ///
    /// The slot is free again before the waker runs, which may take as long as it likes.
    ///
    /// # Safety
    ///
    /// The caller must have cleared the flag that named this waker, with at least Acquire.
    #[inline]
    pub(crate) unsafe fn wake(&self, index: WakerIndex) {
        // SAFETY: the caller cleared the flag that named the slot, so the sleeper does not use it until it is free.
        let waker = unsafe { self.take(index) };
        let release = if mutant("wake_slot_release") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        // ORDERING: Release pairs with the Acquire in `is_free`: the waker has been taken out.
        self.slots[index as usize].busy.store(false, release);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Which task a waker wakes, without keeping the task alive.
///
/// It says something only as long as that waker exists, for example while the flag is up that it was prepared for.
#[derive(Debug, Default)]
pub(crate) struct WakerId(Option<(*const (), NonNull<RawWakerVTable>)>);

impl WakerId {
    pub(crate) fn of(waker: &Waker) -> Self {
        Self(Some((waker.data(), NonNull::from(waker.vtable()))))
    }

    /// Whether `waker` wakes the same task, by the same code.
    #[inline]
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        self.0.is_some_and(|(data, table)| {
            data == waker.data() && table == NonNull::from(waker.vtable())
        })
    }
}
