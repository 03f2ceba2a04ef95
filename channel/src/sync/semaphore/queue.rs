//! A queue of those who wait, linked through nodes that the waiting futures own.
//!
//! It promises first in, first out, removal of any node in constant time, and that it neither allocates nor runs
//! foreign code: wakers go in and come out by value, and are cloned, woken and dropped by the caller, outside of
//! the lock that guards the queue. It does not decide who waits or for how long.

use std::{marker::PhantomPinned, pin::Pin, ptr, task::Waker};

use crate::sync::{AtomicU8, Ordering, UnsafeCell};

/// What has become of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// In no queue.
    Idle = 0,
    /// In a queue.
    Waiting = 1,
    /// Taken out of the queue, with what it waited for.
    Granted = 2,
    /// Taken out of the queue, without it: nothing more will come.
    Closed = 3,
}

/// The node of one who waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// A [`State`]. Changed under the lock, but for the owner's change from granted or closed back to idle.
    state: AtomicU8,
    /// Used under the lock.
    links: UnsafeCell<Links>,
    /// The queue points here.
    _pinned: PhantomPinned,
}

#[derive(Debug)]
struct Links {
    previous: *const Waiter,
    next: *const Waiter,
    waker: Option<Waker>,
    /// How many of what is waited for; at least 1.
    wanted: usize,
}

// SAFETY: the links are used under the lock of the queue that the node is in, or by its owner alone when it is in
// none. A waker is `Send` and `Sync`.
unsafe impl Send for Waiter {}
// SAFETY: as above.
unsafe impl Sync for Waiter {}

impl Waiter {
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU8::new(State::Idle as u8),
            links: UnsafeCell::new(Links {
                previous: ptr::null(),
                next: ptr::null(),
                waker: None,
                wanted: 0,
            }),
            _pinned: PhantomPinned,
        }
    }

    /// What has become of the wait. Only its owner asks without the lock: any answer but `Waiting` is final, and
    /// nobody else touches the node after it.
    #[inline]
    pub(crate) fn state(&self) -> State {
        // ORDERING: Acquire pairs with the Release in `Queue::pop`: what was granted is visible, and the queue
        // is done with the node.
        match self.state.load(Ordering::Acquire) {
            0 => State::Idle,
            1 => State::Waiting,
            2 => State::Granted,
            _ => State::Closed,
        }
    }

    /// The owner has learnt that the wait is over.
    pub(crate) fn reset(&self) {
        // ORDERING: Relaxed; the node is in no queue.
        self.state.store(State::Idle as u8, Ordering::Relaxed);
    }
}

/// Some waits at the front of a queue.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) waits: usize,
    /// What they want together.
    pub(crate) wanted: usize,
    /// There are no others.
    pub(crate) is_all: bool,
}

/// Those who wait, the first in front. To be kept behind a lock.
#[derive(Debug)]
pub(crate) struct Queue {
    first: *const Waiter,
    last: *const Waiter,
}

// SAFETY: the nodes are `Send` and `Sync`.
unsafe impl Send for Queue {}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            first: ptr::null(),
            last: ptr::null(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// As many from the front as want no more than `limit` together, and at most `most` of them.
    pub(crate) fn front(&self, limit: usize, most: usize) -> Front {
        let mut front = Front {
            waits: 0,
            wanted: 0,
            is_all: false,
        };
        let mut waiter = self.first;
        while front.waits < most && !waiter.is_null() {
            // SAFETY: nodes in the queue are valid, and their links are this queue's.
            let (wanted, next) = unsafe { &*waiter }
                .links
                .with(|links| unsafe { ((*links).wanted, (*links).next) });
            if wanted > limit - front.wanted {
                return front;
            }
            front.waits += 1;
            front.wanted += wanted;
            waiter = next;
        }
        front.is_all = waiter.is_null();
        front
    }

    /// Appends a node that wants so many.
    ///
    /// # Safety
    ///
    /// The node must be in no queue, and its owner must take it out of this one (or see that it has come out) before
    /// the node goes away. The node must always be used with the lock of this queue.
    pub(crate) unsafe fn push(&mut self, waiter: Pin<&Waiter>, waker: Waker, wanted: usize) {
        let waiter = waiter.get_ref();
        // SAFETY: the node is in no queue, so its links are its owner's, who is the caller.
        waiter.links.with_mut(|links| unsafe {
            *links = Links {
                previous: self.last,
                next: ptr::null(),
                waker: Some(waker),
                wanted,
            };
        });
        self.set_next(self.last, waiter);
        self.last = waiter;
        // ORDERING: Relaxed; the lock publishes it.
        waiter.state.store(State::Waiting as u8, Ordering::Relaxed);
    }

    /// Takes the first node out, and tells its owner what has become of the wait. The caller wakes the waker, outside
    /// of the lock.
    pub(crate) fn pop(&mut self, state: State) -> Option<Waker> {
        if self.first.is_null() {
            return None;
        }
        // SAFETY: nodes in the queue are valid.
        let waiter = unsafe { &*self.first };
        // SAFETY: the node is in this queue.
        let waker = unsafe { self.unlink(waiter) };
        // ORDERING: Release pairs with the Acquire in `Waiter::state`. The node may be gone after this.
        waiter.state.store(state as u8, Ordering::Release);
        waker
    }

    /// Takes a node out for its owner, who waits no more. The caller drops the waker, outside of the lock.
    ///
    /// # Safety
    ///
    /// The node must be in this queue.
    pub(crate) unsafe fn remove(&mut self, waiter: &Waiter) -> Option<Waker> {
        // SAFETY: as this function's contract says.
        let waker = unsafe { self.unlink(waiter) };
        waiter.reset();
        waker
    }

    /// Gives a node another waker, unless it wakes the same task. What is left over is returned, to be dropped outside
    /// of the lock.
    ///
    /// # Safety
    ///
    /// The node must be in this queue.
    pub(crate) unsafe fn set_waker(&mut self, waiter: &Waiter, waker: Waker) -> Option<Waker> {
        // SAFETY: the links of a node in the queue are used under its lock, which the caller holds.
        waiter.links.with_mut(|links| unsafe {
            let held = &mut (*links).waker;
            if held.as_ref().is_some_and(|held| held.will_wake(&waker)) {
                return Some(waker);
            }
            held.replace(waker)
        })
    }

    /// # Safety
    ///
    /// The node must be in this queue.
    unsafe fn unlink(&mut self, waiter: &Waiter) -> Option<Waker> {
        // SAFETY: the links of a node in the queue are used under its lock, which the caller holds.
        let (previous, next, waker) = waiter.links.with_mut(|links| unsafe {
            let links = &mut *links;
            (links.previous, links.next, links.waker.take())
        });
        self.set_next(previous, next);
        if next.is_null() {
            self.last = previous;
        } else {
            // SAFETY: nodes in the queue are valid, and their links are this queue's.
            unsafe { &*next }
                .links
                .with_mut(|links| unsafe { (*links).previous = previous });
        }
        waker
    }

    /// Links `next` behind `previous`, or in front when that is null.
    fn set_next(&mut self, previous: *const Waiter, next: *const Waiter) {
        if previous.is_null() {
            self.first = next;
        } else {
            // SAFETY: nodes in the queue are valid, and their links are this queue's.
            unsafe { &*previous }
                .links
                .with_mut(|links| unsafe { (*links).next = next });
        }
    }
}
