//! The places of a ring.

use std::{mem::MaybeUninit, ptr};

use crate::sync::{AtomicU8, UnsafeCell};

use super::EMPTY;

/// One place.
pub(super) struct Place<T> {
    pub(super) state: AtomicU8,
    pub(super) message: UnsafeCell<MaybeUninit<T>>,
}

/// So many empty places; `None` when there is no memory for them.
pub(super) fn allocate<T>(len: usize) -> Option<*mut Place<T>> {
    let mut places: Vec<Place<T>> = Vec::new();
    places.try_reserve_exact(len).ok()?;
    places.extend((0..len).map(|_| Place {
        state: AtomicU8::new(EMPTY),
        message: UnsafeCell::new(MaybeUninit::uninit()),
    }));
    Some(Box::into_raw(places.into_boxed_slice()).cast())
}

/// Frees the places, if there are any. Messages in them are not dropped.
///
/// # Safety
///
/// They must be null, or come from `allocate` with the same length, and nobody may use them any more.
pub(super) unsafe fn free<T>(places: *mut Place<T>, len: usize) {
    if !places.is_null() {
        // SAFETY: a box of this length was made into the pointer.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(places, len)) });
    }
}
