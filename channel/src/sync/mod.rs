//! Building blocks of the protocol, and the atomics, cells and locks below them: std's, or loom's
//! under `cfg(loom)`.
//!
//! Outside of this folder nothing names `std::sync::atomic` or `loom`.

pub(crate) mod clock;
pub(crate) mod membarrier;
pub(crate) mod park;
pub(crate) mod ring;
#[cfg(any(loom, test))]
mod ring_loom;
#[cfg(test)]
mod ring_tests;
pub(crate) mod semaphore;
pub(crate) mod spin;
pub(crate) mod stall;
pub(crate) mod wake_all;
pub(crate) mod wake_cell;

#[cfg(loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    hint::spin_loop,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{
            AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        },
    },
    thread::yield_now,
};
#[cfg(not(loom))]
pub(crate) use std::{
    hint::spin_loop,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{
            AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        },
    },
    thread::yield_now,
};

/// For counts that decide nothing. Models use std's, too: each access that loom tracks would multiply
/// the interleavings.
pub(crate) mod statistic {
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64};
}

/// std's `UnsafeCell` with the interface of loom's, which tracks every access.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A value that is used only through `&mut`, and so may be shared whatever it is.
#[derive(Debug)]
pub(crate) struct Exclusive<T>(T);

// SAFETY: `&Exclusive<T>` gives no access to the value, except to the length of a vector below.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Exclusive<Vec<T>> {
    /// The length of the vector, which is found without looking at an element.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> Exclusive<T> {
    pub(crate) fn get(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Default> Default for Exclusive<T> {
    fn default() -> Self {
        Self(T::default())
    }
}

/// Locks, whether or not a thread panicked while it held the lock: every value that this crate
/// keeps behind a lock is consistent between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Whether the mutant `name` is on: a model then runs with weaker code at that point, to show that
/// it fails. It is on if the environment variable `LANEMESH_MUTANT` names it.
#[cfg(loom)]
pub(crate) fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("LANEMESH_MUTANT").ok());
    CHOSEN.as_deref() == Some(name)
}

/// Whether the mutant `name` is on: only in models.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) const fn mutant(_name: &str) -> bool {
    false
}

/// Orders the stores before it against the loads after it (StoreLoad), for the pattern in which two
/// threads each store one word and then load the other's: at least one of them sees the other's
/// store.
///
/// `mutant` names this fence, so that a model can run without it.
macro_rules! store_load_fence {
    ($mutant:literal) => {
        if !$crate::sync::mutant($mutant) {
            // ORDERING: pairs with another `store_load_fence!`; the call's comment names it.
            $crate::sync::fence($crate::sync::Ordering::SeqCst);
        }
    };
}
pub(crate) use store_load_fence;
