//! The ready list: the lanes that have something for the receiver, and the receiver's sleep, in one word.
//!
//! An intrusive stack (Treiber's): a producer pushes a lane with one compare-and-swap, the receiver takes
//! the whole stack with one swap, so there is no ABA and no window in which a stopped producer hides the
//! lanes of others. Instead of a lane the head may hold *armed* (the receiver sleeps; the push that
//! replaces it wakes), *express* (the bottom of the stack is a message in the express place), or *closed*
//! (no push succeeds any more). This file does not look into lanes.

use std::{
    ptr::{self, NonNull},
    task::Waker,
};

use crate::{
    lane::Lane,
    sync::{AtomicPtr, Ordering},
    wake::{Slot, WakeCell},
};

// What the head may hold beside the address of a lane, which is a multiple of 64.
const EMPTY: usize = 0;
const ARMED_FIRST: usize = 1;
const ARMED_SECOND: usize = 2;
const CLOSED: usize = 3;
const EXPRESS: usize = 4;
/// Set beside any of the others but *closed* when the last sender has gone.
const HUNG_UP: usize = 32;

#[derive(Debug)]
pub(crate) struct ReadyList<T> {
    head: AtomicPtr<Lane<T>>,
    wake: WakeCell,
}

/// The push came too late: the receiver has closed the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// What `arm` came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    /// The next push wakes the waker.
    Armed,
    /// There is something to take.
    Ready,
    /// Those who woke the receiver before are still reading its wakers: stay awake and try again.
    Busy,
}

/// Lanes that the receiver has taken, newest first, walked one by one.
#[derive(Debug)]
pub(crate) struct Chain<T> {
    first: *mut Lane<T>,
}

/// What the receiver got from the list.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) chain: Chain<T>,
    pub(crate) hung_up: bool,
}

/// The right to the express place, won from a sleeping receiver. It must be filled, then rung.
#[derive(Debug)]
#[must_use]
pub(crate) struct ExpressRight(Slot);

fn word<T>(value: usize) -> *mut Lane<T> {
    ptr::without_provenance_mut(value)
}

fn armed_slot<T>(head: *mut Lane<T>) -> Option<Slot> {
    match head.addr() {
        ARMED_FIRST => Some(Slot::First),
        ARMED_SECOND => Some(Slot::Second),
        _ => None,
    }
}

fn armed_word<T>(slot: Slot) -> *mut Lane<T> {
    word(match slot {
        Slot::First => ARMED_FIRST,
        Slot::Second => ARMED_SECOND,
    })
}

impl<T> ReadyList<T> {
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicPtr::new(word(EMPTY)),
            wake: WakeCell::new(),
        }
    }

    /// Makes a lane known to the receiver, and wakes it if it sleeps.
    ///
    /// # Safety
    ///
    /// The caller must own the lane's place in the list: it has turned its state from idle to queued, and
    /// nobody else pushes it until the receiver has turned it back. With `Ok` the lane is the receiver's.
    #[inline]
    pub(crate) unsafe fn push(&self, lane: NonNull<Lane<T>>) -> Result<(), Closed> {
        // ORDERING: Acquire, for a head that is *closed*: what the receiver did before it closed is
        // visible to the sender, which now owns the lane. A head that is a lane is never looked into.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let slot = armed_slot(head);
            if head.addr() == CLOSED {
                return Err(Closed);
            }
            let below = if slot.is_some() { word(EMPTY) } else { head };
            // SAFETY: the caller owns the lane's link until the exchange succeeds.
            unsafe { lane.as_ref() }.set_next(below);
            // A producer that stops here delays nobody: the list is whole before and after.
            let release = if cfg!(mutant = "push_release") {
                Ordering::Relaxed
            } else {
                Ordering::AcqRel
            };
            // ORDERING: Release pairs with the Acquire of `take`: the lane and its message are written.
            // Acquire, because the head may be *armed*: pairs with the Release in `arm`, for the waker.
            match self
                .head
                .compare_exchange_weak(head, lane.as_ptr(), release, Ordering::Acquire)
            {
                Ok(_) => {
                    if let Some(slot) = slot {
                        // SAFETY: this exchange took down the flag that named the slot.
                        unsafe { self.wake.wake(slot) };
                    }
                    return Ok(());
                }
                Err(now) => head = now,
            }
        }
    }

    /// Wins the express place, if the receiver sleeps.
    #[inline]
    pub(crate) fn claim_express(&self) -> Option<ExpressRight> {
        // ORDERING: Relaxed; the exchange below does the ordering.
        let head = self.head.load(Ordering::Relaxed);
        let slot = armed_slot(head)?;
        // ORDERING: Acquire pairs with the Release in `arm`: the express place is empty and the waker
        // written. Release keeps the order of this sender's earlier work for whoever takes the list.
        self.head
            .compare_exchange(head, word(EXPRESS), Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .map(|_| ExpressRight(slot))
    }

    /// Wakes the receiver, after the express place was filled.
    #[inline]
    pub(crate) fn ring_express(&self, right: ExpressRight) {
        // SAFETY: the right was won by taking down the flag that named the slot.
        unsafe { self.wake.wake(right.0) };
    }

    /// Says that the last sender has gone, and wakes the receiver if it sleeps.
    pub(crate) fn hang_up(&self) {
        // ORDERING: Relaxed; the exchange does the ordering.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head.addr() == CLOSED {
                return;
            }
            let slot = armed_slot(head);
            let next = if slot.is_some() {
                word(HUNG_UP)
            } else {
                head.map_addr(|a| a | HUNG_UP)
            };
            // ORDERING: Release pairs with the Acquire of `take`: all that any sender did is visible to
            // the receiver that sees this. Acquire for the waker, as in `push`.
            match self
                .head
                .compare_exchange(head, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => {
                    if let Some(slot) = slot {
                        // SAFETY: this exchange took down the flag that named the slot.
                        unsafe { self.wake.wake(slot) };
                    }
                    return;
                }
                Err(now) => head = now,
            }
        }
    }

    /// Whether `take` would bring something.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        // ORDERING: Relaxed; a stale answer only delays, and whoever acts on a fresh one takes.
        let head = self.head.load(Ordering::Relaxed).addr();
        head > CLOSED
    }

    /// Takes all that is in the list. Only the receiver calls this, and not after `close`.
    #[inline]
    pub(crate) fn take(&self) -> Taken<T> {
        let acquire = if cfg!(mutant = "take_acquire") {
            Ordering::Relaxed
        } else {
            Ordering::AcqRel
        };
        // ORDERING: Acquire pairs with the Release of every push since the last take: each push is a
        // read-modify-write, so all of them belong to one release sequence. Release: what the receiver
        // read before is done before the next producer's claim of the express place.
        self.unpack(self.head.swap(word(EMPTY), acquire))
    }

    /// Lays the receiver to sleep, unless there is something to take.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this, after it has emptied and given up every lane, and the express
    /// place, and not after `close`.
    #[inline]
    pub(crate) unsafe fn arm(&self, waker: &Waker) -> Arm {
        // ORDERING: Relaxed; only the receiver arms, so an armed head is its own store, and anything
        // else is taken with Acquire.
        let head = self.head.load(Ordering::Relaxed);
        if let Some(slot) = armed_slot(head) {
            // SAFETY: the receiver prepared this slot when it armed.
            if unsafe { self.wake.holds(slot, waker) } {
                return Arm::Armed;
            }
            if !self.disarm(slot) {
                return Arm::Ready;
            }
        } else if head.addr() != EMPTY {
            return Arm::Ready;
        }
        // SAFETY: only the receiver sleeps here, and the list is not armed.
        let Some(slot) = (unsafe { self.wake.prepare(waker) }) else {
            return Arm::Busy;
        };
        if cfg!(mutant = "arm_store") {
            // ORDERING: the mutant: a plain store overwrites a push that came in between.
            self.head.store(armed_word(slot), Ordering::Release);
            return Arm::Armed;
        }
        // ORDERING: Release pairs with the Acquire of the exchange that takes the flag down: the waker
        // and the empty express place. A failure is followed by `take`.
        match self.head.compare_exchange(
            word(EMPTY),
            armed_word(slot),
            if cfg!(mutant = "arm_release") {
                Ordering::Relaxed
            } else {
                Ordering::AcqRel
            },
            Ordering::Relaxed,
        ) {
            Ok(_) => Arm::Armed,
            Err(_) => {
                self.wake.cancel(slot);
                Arm::Ready
            }
        }
    }

    /// Takes the receiver's own flag down. `false` when somebody was faster, and wakes.
    fn disarm(&self, slot: Slot) -> bool {
        // ORDERING: Relaxed; the flag is the receiver's own, and on failure `take` follows.
        let exchange = self.head.compare_exchange(
            armed_word(slot),
            word(EMPTY),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if exchange.is_ok() {
            self.wake.cancel(slot);
        }
        exchange.is_ok()
    }

    /// Makes every later push fail, and takes what is there. Only the receiver calls this, once.
    pub(crate) fn close(&self) -> Taken<T> {
        // ORDERING: Acquire as in `take`; Release pairs with the Acquire of a push that finds *closed*.
        let head = self.head.swap(word(CLOSED), Ordering::AcqRel);
        if let Some(slot) = armed_slot(head) {
            self.wake.cancel(slot);
        }
        // SAFETY: the receiver is here and awake, and the flag is down for good.
        unsafe { self.wake.clear() };
        self.unpack(head)
    }

    fn unpack(&self, head: *mut Lane<T>) -> Taken<T> {
        let hung_up = head.addr() & HUNG_UP != 0;
        let first = head.map_addr(|a| a & !HUNG_UP);
        let first = if armed_slot(first).is_some() {
            word(EMPTY)
        } else {
            first
        };
        Taken {
            chain: Chain { first },
            hung_up,
        }
    }

    /// The lanes in the list now, for counting.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this: nobody else takes lanes out, so they stay valid meanwhile.
    pub(crate) unsafe fn peek(&self) -> Chain<T> {
        // ORDERING: Acquire, as in `take`.
        self.unpack(self.head.load(Ordering::Acquire)).chain
    }
}

impl<T> Chain<T> {
    pub(crate) fn empty() -> Self {
        Self { first: word(EMPTY) }
    }

    /// Whether the walk has come to the mark that a message is in the express place, or on its way there.
    #[inline]
    pub(crate) fn is_at_express(&self) -> bool {
        self.first.addr() == EXPRESS
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.addr() <= EXPRESS
    }

    /// The next lane, whose link is the receiver's from now on.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<NonNull<Lane<T>>> {
        if self.is_empty() {
            return None;
        }
        let lane = NonNull::new(self.first)?;
        // SAFETY: a lane that the receiver has taken is its own until it marks it idle.
        self.first = unsafe { lane.as_ref() }.next();
        Some(lane)
    }

    /// The same lanes once more, to look at without taking them.
    pub(crate) fn again(&self) -> Self {
        Self { first: self.first }
    }
}

/// A queue of lanes that are the receiver's, linked through the lanes themselves.
#[derive(Debug)]
pub(crate) struct LaneQueue<T> {
    first: *mut Lane<T>,
    last: *mut Lane<T>,
}

impl<T> LaneQueue<T> {
    pub(crate) fn new() -> Self {
        Self {
            first: word(EMPTY),
            last: word(EMPTY),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Appends a lane.
    ///
    /// # Safety
    ///
    /// The lane must be the receiver's, and in no list.
    #[inline]
    pub(crate) unsafe fn push(&mut self, lane: NonNull<Lane<T>>) {
        // SAFETY: the lane is the receiver's.
        unsafe { lane.as_ref() }.set_next(word(EMPTY));
        match NonNull::new(self.last) {
            // SAFETY: as above, of the last lane.
            Some(last) => unsafe { last.as_ref() }.set_next(lane.as_ptr()),
            None => self.first = lane.as_ptr(),
        }
        self.last = lane.as_ptr();
    }

    /// All of it, in order.
    #[inline]
    pub(crate) fn take(&mut self) -> Chain<T> {
        let first = self.first;
        *self = Self::new();
        Chain { first }
    }

    /// The same lanes, to look at without taking them.
    pub(crate) fn peek(&self) -> Chain<T> {
        Chain { first: self.first }
    }
}
