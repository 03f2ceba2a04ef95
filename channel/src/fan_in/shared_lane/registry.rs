//! The shared lanes of a fan-in: by this list the receiver comes to all of them when it closes.
//!
//! A lane with one producer is known to that one alone until it is listed. Of a shared lane the receiver must know in
//! any case: several senders may be told that their messages were accepted before the one who lists the lane is told
//! that the list is closed.

use std::ptr::{self, NonNull};

use super::SharedLane;
use crate::sync::{Arc, UnsafeCell};

/// The neighbours of a lane.
pub(super) struct Links<T> {
    previous: *const SharedLane<T>,
    next: *const SharedLane<T>,
    /// The reference that the list holds.
    held: *const SharedLane<T>,
}

impl<T> Links<T> {
    pub(super) fn new() -> Self {
        Self {
            previous: ptr::null(),
            next: ptr::null(),
            held: ptr::null(),
        }
    }
}

/// Shared lanes, each held by a reference of its own. To be kept behind a lock, or by the receiver alone.
pub(crate) struct SharedLanes<T> {
    first: *const SharedLane<T>,
    /// No lane comes in any more.
    closed: bool,
}

// SAFETY: the list holds references to lanes that are `Send` and `Sync` for `T: Send`.
unsafe impl<T: Send> Send for SharedLanes<T> {}
// SAFETY: as above; `&self` gives access to nothing but lanes.
unsafe impl<T: Send> Sync for SharedLanes<T> {}

impl<T> SharedLanes<T> {
    pub(crate) fn new() -> Self {
        Self {
            first: ptr::null(),
            closed: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Links a lane. `false` when no lane comes in any more.
    pub(crate) fn add(&mut self, lane: &Arc<SharedLane<T>>) -> bool {
        if self.closed {
            return false;
        }
        let lane = Arc::into_raw(lane.clone());
        let links = Links {
            previous: ptr::null(),
            next: self.first,
            held: lane,
        };
        if !self.first.is_null() {
            // SAFETY: lanes in the list are held by it, and their links are the list's.
            unsafe { links_of(self.first).with_mut(|links| (*links).previous = lane) };
        }
        // SAFETY: as above.
        unsafe { links_of(lane).with_mut(|cell| *cell = links) };
        self.first = lane;
        true
    }

    /// Unlinks a lane, and returns the list's reference to it; `None` if it has been closed, and has no lanes.
    ///
    /// # Safety
    ///
    /// The lane must have been added to this list, and not be removed, unless the list has been closed.
    pub(crate) unsafe fn remove(&mut self, lane: &SharedLane<T>) -> Option<Arc<SharedLane<T>>> {
        if self.closed {
            return None;
        }
        // SAFETY: the lane is in this list, and its links are the list's.
        let links = (lane.registered)
            .with_mut(|links| unsafe { std::mem::replace(&mut *links, Links::new()) });
        if links.previous.is_null() {
            self.first = links.next;
        } else {
            // SAFETY: lanes in the list are held by it, and their links are the list's.
            unsafe { links_of(links.previous).with_mut(|cell| (*cell).next = links.next) };
        }
        if !links.next.is_null() {
            // SAFETY: as above.
            unsafe { links_of(links.next).with_mut(|cell| (*cell).previous = links.previous) };
        }
        // SAFETY: made into a pointer by `add`.
        Some(unsafe { Arc::from_raw(links.held) })
    }

    /// All lanes, in a list of the caller's; none comes into this one after this.
    pub(crate) fn close(&mut self) -> Self {
        self.closed = true;
        Self {
            first: std::mem::replace(&mut self.first, ptr::null()),
            closed: false,
        }
    }

    /// Calls `f` with each lane, until it says `true` of one, which is returned.
    pub(crate) fn find(
        &self,
        mut f: impl FnMut(&SharedLane<T>) -> bool,
    ) -> Option<NonNull<SharedLane<T>>> {
        let mut lane = self.first;
        // SAFETY: lanes in the list are held by it.
        while let Some(found) = unsafe { lane.as_ref() } {
            // SAFETY: their links are the list's. Read before the call, which may run wakers.
            lane = found.registered.with(|links| unsafe { (*links).next });
            if f(found) {
                return Some(NonNull::from(found));
            }
        }
        None
    }
}

/// # Safety
///
/// The lane must be valid.
unsafe fn links_of<'a, T>(lane: *const SharedLane<T>) -> &'a UnsafeCell<Links<T>> {
    // SAFETY: as this function's contract says.
    unsafe { &(*lane).registered }
}
