//! One bound for all lanes: a pool of slots, of which every message borrows one until the receiver
//! has taken it.
//!
//! It promises that no more messages wait than the pool has slots, and that senders that wait for a
//! slot get one in the order in which they began to wait. A slot is always in exactly one place:
//! free in the pool, granted to a wait, in a sender's hands, held by a lane for the next messages
//! of its producer, or borrowed by a message. This file does not decide when a lane borrows ahead
//! or when the receiver reclaims what a lane holds.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use crate::sync::{
    Arc,
    semaphore::{Acquire, Acquired, Semaphore},
};

/// Slots that a pool has at most.
pub(crate) use crate::sync::semaphore::MAX_PERMITS as MAX_TOTAL;

/// Slots that a busy lane borrows at a time, at most.
const MAX_CHUNK: usize = 32;
/// A lane borrows at most this part of the pool at a time.
const SHARE: usize = if cfg!(loom) { 1 } else { 128 };
/// And at most this part of what is free, so that the last slots are lent one by one.
const FREE_SHARE: usize = if cfg!(loom) { 1 } else { 8 };

/// The part of the free slots that is handed to those who wait, as long as the receiver is awake; and of half of the
/// slots, which the receiver gives back at a time then.
const PART: usize = 8;

#[derive(Debug)]
pub(crate) struct Bound {
    slots: Semaphore,
    /// Slots that a busy lane borrows at a time, at most; also the slots of taken messages that the
    /// receiver gives back together.
    chunk: usize,
    /// Half of all slots.
    half: usize,
}

impl Bound {
    pub(crate) fn new(total: usize) -> Self {
        Self {
            slots: Semaphore::new(total, 0),
            chunk: (total / SHARE).clamp(1, MAX_CHUNK),
            half: total.div_ceil(2),
        }
    }

    #[inline]
    pub(crate) fn chunk(&self) -> usize {
        self.chunk
    }

    /// Slots of taken messages that the receiver gives back together while senders wait.
    #[inline]
    pub(crate) fn batch(&self) -> usize {
        (self.half / PART).clamp(1, MAX_CHUNK)
    }

    #[inline]
    pub(crate) fn half(&self) -> usize {
        self.half
    }

    /// Slots that are free, for a sender that does not wait: none while others wait, or once the
    /// channel is closed.
    pub(crate) fn free(&self) -> usize {
        let word = self.slots.load();
        if word.is_closed() || word.has_waiters() {
            return 0;
        }
        word.free()
    }

    /// Borrows up to `wanted` slots, and says how many. While others wait, one, if it may overtake them.
    #[inline]
    pub(crate) fn borrow(&self, wanted: usize) -> usize {
        self.borrow_some(|free| free.min(wanted))
            .unwrap_or_else(|| self.overtake())
    }

    /// Borrows `wanted` slots, or none if fewer are free. None while others wait. Says how many.
    pub(crate) fn borrow_exactly(&self, wanted: usize) -> usize {
        self.borrow_some(|free| if free < wanted { 0 } else { wanted })
            .unwrap_or(0)
    }

    /// Borrows slots for a lane: one at least if one is free, and a chunk where many are. While others wait,
    /// one, if it may overtake them.
    #[inline]
    pub(crate) fn borrow_ahead(&self) -> usize {
        self.borrow_some(|free| (free / FREE_SHARE).clamp(1, self.chunk).min(free))
            .unwrap_or_else(|| self.overtake())
    }

    #[cold]
    fn overtake(&self) -> usize {
        self.slots.overtake().into()
    }

    /// Borrows as many as `wanted` says of those that are free. `None` while others wait.
    #[inline]
    fn borrow_some(&self, wanted: impl Fn(usize) -> usize) -> Option<usize> {
        let mut word = self.slots.load();
        loop {
            if word.is_closed() {
                return Some(0);
            }
            if word.has_waiters() {
                return None;
            }
            let count = wanted(word.free());
            if count == 0 {
                return Some(0);
            }
            match self.slots.exchange(word, word.less(count)) {
                Ok(()) => return Some(count),
                Err(now) => word = now,
            }
        }
    }

    /// Gives slots back, and says whether senders wait for some. Until they are [served](Self::serve), a few
    /// newcomers may borrow them.
    #[inline]
    pub(crate) fn add(&self, slots: usize) -> bool {
        self.slots.add(slots)
    }

    /// Whether slots are free although senders wait.
    #[inline]
    pub(crate) fn is_unserved(&self) -> bool {
        let word = self.slots.load();
        word.has_waiters() && word.free() > 0
    }

    /// Hands free slots to the senders that wait, and wakes them. Says whether there were both.
    ///
    /// A waker may panic, when all is done.
    pub(crate) fn serve(&self) -> bool {
        let unserved = self.is_unserved();
        if unserved {
            self.slots.serve();
        }
        unserved
    }

    /// As [`serve`](Self::serve), but leaves most free slots to those who then run.
    pub(crate) fn serve_some(&self) -> bool {
        let word = self.slots.load();
        let unserved = word.has_waiters() && word.free() > 0;
        if unserved {
            self.slots.serve_first(word.free().div_ceil(PART));
        }
        unserved
    }

    /// Gives slots back, and says whether senders waited for some: those that now have one are
    /// woken.
    ///
    /// A waker may panic, when all is done.
    #[inline]
    pub(crate) fn give(&self, slots: usize) -> bool {
        let waited = slots > 0 && self.slots.add(slots);
        if waited {
            self.slots.serve();
        }
        waited
    }

    /// A wait for so many slots at once.
    pub(crate) fn acquire(&self, wanted: usize) -> Acquire<'_> {
        Acquire::new(&self.slots, wanted)
    }

    /// Whether senders wait for slots.
    #[inline]
    pub(crate) fn has_waiters(&self) -> bool {
        self.slots.load().has_waiters()
    }

    /// Lends no slot any more, and wakes those who wait. The channel is closed.
    ///
    /// A waker may panic, when all is done.
    pub(crate) fn close(&self) {
        if self.slots.close().has_waiters() {
            self.slots.serve();
        }
    }
}

/// A sender's wait for slots. When it is dropped, the place in the queue, or what it was granted,
/// goes to the next.
#[derive(Debug)]
pub(crate) struct SlotWait {
    /// Borrows from `bound`, so it is dropped first.
    acquire: Pin<Box<Acquire<'static>>>,
    _bound: Arc<Bound>,
    /// Slots that it waits for.
    wanted: usize,
}

impl SlotWait {
    /// A wait for `wanted` slots, which begins when it is polled.
    pub(crate) fn new(bound: &Arc<Bound>, wanted: usize) -> Self {
        let bound = bound.clone();
        // SAFETY: the slots live as long as the `Arc` that is kept beside the borrow, at an address
        // that does not change; the borrow does not leave this struct, and ends first.
        let slots = unsafe { &*std::ptr::from_ref(&bound.slots) };
        Self {
            acquire: Box::pin(Acquire::new(slots, wanted)),
            _bound: bound,
            wanted,
        }
    }

    /// Slots that it waits for.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// With `Ready(true)` the slots are the caller's; with `Ready(false)` the channel is closed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.acquire
            .as_mut()
            .poll(cx, |_| true)
            .map(|acquired| acquired == Acquired::Permits)
    }

    /// Whether it is in the queue, or has been granted slots that were not taken yet.
    pub(crate) fn has_begun(&self) -> bool {
        self.acquire.has_begun()
    }

    /// Takes the slots that were granted, and says how many: 0 if it still waits.
    pub(crate) fn take_granted(&mut self) -> usize {
        if self.acquire.as_mut().take_granted() {
            self.wanted
        } else {
            0
        }
    }
}
