//! The count of the references to a fan-in, which it holds for them.

use std::process;

#[cfg(loom)]
use crate::sync::UnsafeCell;
use crate::sync::{AtomicUsize, Ordering, mutant};

#[derive(Debug)]
pub(super) struct References {
    count: AtomicUsize,
    /// Shows a model whether all other references were done with the fan-in when the last one freed it.
    #[cfg(loom)]
    used: UnsafeCell<()>,
}

// SAFETY: nothing is kept in the cell.
#[cfg(loom)]
unsafe impl Sync for References {}

impl References {
    /// One reference.
    #[inline]
    pub(super) fn one() -> Self {
        Self {
            count: AtomicUsize::new(1),
            #[cfg(loom)]
            used: UnsafeCell::new(()),
        }
    }

    /// Counts one more. The caller must have one.
    #[inline]
    pub(super) fn add(&self) {
        // ORDERING: Relaxed; the caller has a reference, so the count cannot be zero.
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        // Handles that are forgotten are counted still: long before the count wraps, this is the end.
        if before > isize::MAX as usize {
            process::abort();
        }
    }

    /// Counts one less. `true` if it was the last: all that was done through the others has happened.
    #[inline]
    pub(super) fn remove(&self) -> bool {
        #[cfg(loom)]
        self.used.with(drop);
        let order = if mutant("references_release") {
            Ordering::Relaxed
        } else {
            Ordering::AcqRel
        };
        // ORDERING: AcqRel: what was done through any other reference happens before the last one frees the fan-in.
        let is_last = self.count.fetch_sub(1, order) == 1;
        #[cfg(loom)]
        if is_last {
            self.used.with_mut(drop);
        }
        is_last
    }
}
