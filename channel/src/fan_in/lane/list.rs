//! Lists of lanes, which are linked through the lanes themselves.

use std::ptr::{self, NonNull};

use super::Lane;

/// The list onto which a producer pushes its lane to make it known to the receiver.
///
/// A trait, so that lanes do not depend on the list that links them.
pub(crate) trait ReadyQueue<T> {
    /// Makes a lane known to the receiver, and wakes it if it sleeps.
    ///
    /// # Safety
    ///
    /// The caller must own the lane's link: it has changed the lane's state from idle to queued,
    /// and nobody else pushes the lane until the receiver has changed it back. With `Ok` the lane
    /// is the receiver's.
    unsafe fn push(&self, lane: NonNull<Lane<T>>) -> Result<(), Closed>;
}

/// The push failed because the receiver has closed the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// Lanes that the receiver has taken, newest first, walked one by one.
#[derive(Debug)]
pub(crate) struct Chain<T> {
    first: *mut Lane<T>,
}

impl<T> Chain<T> {
    /// The lanes from `first` on, which may be null.
    #[inline]
    pub(in crate::fan_in) fn from_first(first: *mut Lane<T>) -> Self {
        Self { first }
    }

    pub(crate) fn empty() -> Self {
        Self {
            first: ptr::null_mut(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// The next lane. Its link is the receiver's to use from then on.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<NonNull<Lane<T>>> {
        let lane = NonNull::new(self.first)?;
        // SAFETY: a lane that the receiver has taken is its own until it marks the lane idle.
        self.first = unsafe { lane.as_ref() }.next();
        Some(lane)
    }

    /// A second view of the same lanes, to look at them without taking them.
    pub(crate) fn view(&self) -> Self {
        Self { first: self.first }
    }
}

/// A queue of lanes owned by the receiver, linked through the lanes themselves.
#[derive(Debug)]
pub(crate) struct LaneQueue<T> {
    first: *mut Lane<T>,
    last: *mut Lane<T>,
    len: u32,
}

impl<T> LaneQueue<T> {
    pub(crate) fn new() -> Self {
        Self {
            first: ptr::null_mut(),
            last: ptr::null_mut(),
            len: 0,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Lanes in the queue. More than `u32::MAX` would not fit in memory.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Appends a lane.
    ///
    /// # Safety
    ///
    /// The lane must be the receiver's, and in no list.
    #[inline]
    pub(crate) unsafe fn push(&mut self, lane: NonNull<Lane<T>>) {
        // SAFETY: the lane is the receiver's.
        unsafe { lane.as_ref() }.set_next(ptr::null_mut());
        match NonNull::new(self.last) {
            // SAFETY: as above, of the last lane.
            Some(last) => unsafe { last.as_ref() }.set_next(lane.as_ptr()),
            None => self.first = lane.as_ptr(),
        }
        self.last = lane.as_ptr();
        self.len += 1;
    }

    /// Takes all lanes, in order.
    #[inline]
    pub(crate) fn take(&mut self) -> Chain<T> {
        let first = self.first;
        *self = Self::new();
        Chain { first }
    }

    /// A view of the lanes, to look at them without taking them.
    pub(crate) fn view(&self) -> Chain<T> {
        Chain { first: self.first }
    }
}
