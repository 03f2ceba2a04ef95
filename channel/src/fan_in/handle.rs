//! A counted reference to a fan-in, which every handle of a channel holds.
//!
//! It is an `Arc` whose count lies among the other counts of the fan-in. The two counts that an `Arc` has in front of its
//! value would take a cache line of their own, because a fan-in begins at one. It promises that the fan-in is
//! dropped when the last reference to it is; how many senders there are is not its affair.

use std::{fmt, marker::PhantomData, ops::Deref, ptr::NonNull};

use super::FanIn;
use crate::config::Config;

pub(crate) struct FanInRef<T> {
    fan_in: NonNull<FanIn<T>>,
    /// The last reference drops it.
    owned: PhantomData<FanIn<T>>,
}

// SAFETY: as an `Arc` is: references share the fan-in, and the last one drops it, in whichever thread.
unsafe impl<T> Send for FanInRef<T> where FanIn<T>: Send + Sync {}
// SAFETY: as above; `&FanInRef` gives a reference of its own to whoever clones it.
unsafe impl<T> Sync for FanInRef<T> where FanIn<T>: Send + Sync {}

impl<T> FanInRef<T> {
    /// A fan-in with one sender, constructed in place in its allocation.
    #[inline]
    pub(crate) fn new(config: Config) -> Self {
        let mut place = Box::new_uninit();
        place.write(FanIn::new(config));
        // SAFETY: it was written just now.
        let fan_in = Box::leak(unsafe { place.assume_init() });
        Self {
            fan_in: NonNull::from(fan_in),
            owned: PhantomData,
        }
    }

    /// Whether both lead to the same fan-in.
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        self.fan_in == other.fan_in
    }

    /// Frees the fan-in.
    ///
    /// # Safety
    ///
    /// This must have been the last reference, and none may be used afterwards.
    #[cold]
    #[inline(never)]
    unsafe fn free(&mut self) {
        // SAFETY: no other reference is left, and fan-ins come from a box.
        drop(unsafe { Box::from_raw(self.fan_in.as_ptr()) });
    }
}

impl<T> Deref for FanInRef<T> {
    type Target = FanIn<T>;

    #[inline]
    fn deref(&self) -> &FanIn<T> {
        // SAFETY: this reference is counted, so the fan-in lives.
        unsafe { self.fan_in.as_ref() }
    }
}

impl<T> Clone for FanInRef<T> {
    #[inline]
    fn clone(&self) -> Self {
        self.references.add();
        Self {
            fan_in: self.fan_in,
            owned: PhantomData,
        }
    }
}

impl<T> Drop for FanInRef<T> {
    #[inline]
    fn drop(&mut self) {
        if self.references.remove() {
            // SAFETY: it was the last.
            unsafe { self.free() };
        }
    }
}

impl<T> fmt::Debug for FanInRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
