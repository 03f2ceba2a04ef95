//! Slots in the shared part of the fan-in for messages of producers that send now and then.
//!
//! A producer whose lane is empty wins a slot with the one compare-and-swap by which it would have listed
//! the lane, writes its message there and touches no lane at all, so that sparse traffic of many producers
//! stays within a few cache lines. The slots come in two sets: one is open to producers while the receiver
//! empties the other. How many slots of the open set are claimed is counted in the head of the ready
//! list, which decides who wins; this file keeps the messages, and what the receiver knows of them.

use std::{
    mem::MaybeUninit,
    ptr::{self, NonNull},
    slice,
};

use super::lane::{Lane, LaneId};
use crate::{
    delay::Stamp,
    sync::{AtomicPtr, Ordering, UnsafeCell, mutant},
};

/// Slots of one set at most; the head of the ready list counts to 63, which is for a set that is shut.
#[cfg(not(loom))]
pub(crate) const MAX_SLOTS: usize = 62;
/// Few, so that a model comes to the end of them.
#[cfg(loom)]
pub(crate) const MAX_SLOTS: usize = 2;

/// Bytes that all slots together take at most, unless one message of each set is more.
const BYTES: usize = 2048;

/// Which of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    First = 0,
    Second = 1,
}

impl Set {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// In `owner`, beside a lane's address: whoever takes this message looks whether its producer waits.
const NOTIFY: usize = 1;

/// One slot.
#[derive(Debug)]
struct SharedSlot<T> {
    /// The lane of the producer whose message is here, perhaps with `NOTIFY`; null when there is none.
    owner: AtomicPtr<Lane<T>>,
    message: UnsafeCell<MaybeUninit<T>>,
    /// When the message was put there.
    stamp: Stamp,
}

/// All slots of a fan_in.
#[derive(Debug)]
pub(crate) struct SharedSlots<T> {
    /// Slot `n` of a set beside slot `n` of the other: sparse traffic stays in front. Null until the
    /// first message comes this way.
    slots: AtomicPtr<SharedSlot<T>>,
    /// Slots of one set.
    limit: usize,
}

// SAFETY: a slot is written by the producer that won it and read by the receiver after, as `owner`
// says; the message goes from one thread to the other, so it must be `Send`.
unsafe impl<T: Send> Send for SharedSlots<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedSlots<T> {}

/// What the receiver has taken out of a slot.
#[derive(Debug)]
pub(crate) struct Taken<'a, T> {
    pub(crate) message: T,
    #[cfg_attr(
        not(feature = "quanta"),
        expect(dead_code, reason = "a stamp is nothing then")
    )]
    pub(crate) stamp: &'a Stamp,
    /// The lane of the message's producer, which may be waiting for room. The producer, or else this class's
    /// ready list, keeps it alive unless the channel is closed.
    pub(crate) notify: Option<NonNull<Lane<T>>>,
}

/// A slot that a producer has won, for as long as it is the producer's or holds its message.
#[derive(Debug)]
pub(crate) struct SlotIndex {
    pub(crate) set: Set,
    pub(crate) number: usize,
}

impl SlotIndex {
    #[inline]
    pub(super) fn index(&self) -> usize {
        2 * self.number + self.set as usize
    }
}

impl<T> SharedSlots<T> {
    /// Room for `wanted` messages a set, or as many as the bounds allow, for producers that may have up to
    /// `lane_capacity` messages waiting.
    pub(crate) fn new(wanted: usize, lane_capacity: usize) -> Self {
        let fit = (BYTES / 2 / size_of::<SharedSlot<T>>()).clamp(1, MAX_SLOTS);
        Self {
            slots: AtomicPtr::new(ptr::null_mut()),
            limit: wanted.min(fit).min(lane_capacity),
        }
    }

    /// Slots of one set.
    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The slots, if there are any yet.
    #[inline]
    fn slots(&self) -> &[SharedSlot<T>] {
        // ORDERING: Acquire pairs with the Release in `allocate`.
        match NonNull::new(self.slots.load(Ordering::Acquire)) {
            // SAFETY: `allocate` has made as many, which live as long as this.
            Some(first) => unsafe { slice::from_raw_parts(first.as_ptr(), 2 * self.limit) },
            None => &[],
        }
    }

    /// Makes the slots, unless another producer is faster. To be called before a slot is claimed.
    #[inline]
    pub(crate) fn open(&self) {
        // ORDERING: Relaxed; who goes on to use the slots loads the pointer again.
        if self.slots.load(Ordering::Relaxed).is_null() {
            self.allocate();
        }
    }

    #[cold]
    fn allocate(&self) {
        let slot = |_| SharedSlot {
            owner: AtomicPtr::new(ptr::null_mut()),
            message: UnsafeCell::new(MaybeUninit::uninit()),
            stamp: Stamp::new(),
        };
        let slots: Box<[SharedSlot<T>]> = (0..2 * self.limit).map(slot).collect();
        let first = Box::into_raw(slots).cast();
        // ORDERING: Release pairs with the Acquire in `slots`: they are all free.
        let exchange = self.slots.compare_exchange(
            ptr::null_mut(),
            first,
            Ordering::Release,
            Ordering::Relaxed,
        );
        if exchange.is_err() {
            // SAFETY: nobody else has seen these.
            unsafe { self.free(first) };
        }
    }

    /// # Safety
    ///
    /// `first` must come from `allocate`, and nobody may use it any more.
    unsafe fn free(&self, first: *mut SharedSlot<T>) {
        let slots = ptr::slice_from_raw_parts_mut(first, 2 * self.limit);
        // SAFETY: a box of this length was made into the pointer.
        drop(unsafe { Box::from_raw(slots) });
    }

    /// Fills a slot with a message of the producer of `lane`. With `notify` the receiver looks, once it has taken
    /// the message, whether that producer waits for room.
    ///
    /// # Safety
    ///
    /// The caller must have won the claim from the ready list of the same fan-in, with at least Acquire, and
    /// call this once for it. The lane must be open, and its own.
    #[inline]
    pub(crate) unsafe fn put(&self, claim: &SlotIndex, lane: LaneId<T>, notify: bool, message: T) {
        let slot = &self.slots()[claim.index()];
        slot.stamp.set();
        // SAFETY: the caller alone may write here until the slot has an owner.
        slot.message
            .with_mut(|cell| unsafe { (*cell).write(message) });
        let release = if mutant("slot_release") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        let owner = lane
            .get()
            .as_ptr()
            .map_addr(|a| a | (usize::from(notify) * NOTIFY));
        // ORDERING: Release pairs with the Acquire in `owner`: the message is written.
        slot.owner.store(owner, release);
    }

    /// Messages of the producer of `lane` that the receiver has not taken. Exact if that producer asks.
    #[cold]
    pub(crate) fn count_of(&self, lane: LaneId<T>) -> usize {
        let lane = lane.get().as_ptr();
        // ORDERING: Acquire pairs with the Release in `take`: what the caller does comes after.
        let owner =
            |slot: &SharedSlot<T>| slot.owner.load(Ordering::Acquire).map_addr(|a| a & !NOTIFY);
        self.slots()
            .iter()
            .filter(|slot| owner(slot) == lane)
            .count()
    }

    /// Whether the slot of this index has a message of the producer of `lane`. Exact if that producer asks.
    #[inline]
    pub(super) fn is_owner(&self, lane: LaneId<T>, index: u8) -> bool {
        // ORDERING: Acquire as in `count_of`.
        let owner = self.slots()[usize::from(index)]
            .owner
            .load(Ordering::Acquire);
        owner.map_addr(|a| a & !NOTIFY) == lane.get().as_ptr()
    }

    /// Messages in all slots; a snapshot.
    pub(crate) fn count(&self) -> usize {
        // ORDERING: Acquire, for callers that go on to take them.
        let full = |slot: &&SharedSlot<T>| !slot.owner.load(Ordering::Acquire).is_null();
        self.slots().iter().filter(full).count()
    }
}

impl<T> SharedSlot<T> {
    /// The lane of the producer whose message is here, perhaps with `NOTIFY`, if it is written.
    #[inline]
    fn owner(&self) -> Option<NonNull<Lane<T>>> {
        // ORDERING: Acquire pairs with the Release in `put`: the message is written.
        NonNull::new(self.owner.load(Ordering::Acquire))
    }

    /// Takes the message out.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this, after `owner` has said that this is the owner.
    #[inline]
    unsafe fn take(&self, owner: NonNull<Lane<T>>) -> Taken<'_, T> {
        // SAFETY: the producer has written the message and given the slot to the receiver.
        let message = self
            .message
            .with(|cell| unsafe { (*cell).assume_init_read() });
        // ORDERING: Release pairs with the Acquire in `count_of`. The next producer of this slot comes
        // by a claim, which acquires what the receiver released when it opened the set.
        self.owner.store(ptr::null_mut(), Ordering::Release);
        let notifies = owner.addr().get() & NOTIFY != 0;
        let lane = NonNull::new(owner.as_ptr().map_addr(|a| a & !NOTIFY));
        Taken {
            message,
            stamp: &self.stamp,
            notify: lane.filter(|_| notifies),
        }
    }
}

impl<T> Drop for SharedSlots<T> {
    fn drop(&mut self) {
        // ORDERING: Relaxed; `&mut self` says that nobody else is here.
        let first = self.slots.load(Ordering::Relaxed);
        if !first.is_null() {
            // SAFETY: nobody else is here. The receiver has taken what was in them.
            unsafe { self.free(first) };
        }
    }
}

/// What the receiver knows of the slots.
#[derive(Debug)]
pub(crate) struct SlotReader {
    /// Slots of each set that were claimed and not yet emptied, a bit for each.
    claimed: [u64; 2],
    /// The set that producers claim from. Its claimed slots that are known here are from its turn before,
    /// older than those of the other set.
    open: Set,
    /// None can be claimed before the next turn: a slot of the open set was not yet written when its turn
    /// came.
    shut: bool,
}

/// A claimed slot that has a message.
struct Written<'a, T> {
    claim: SlotIndex,
    slot: &'a SharedSlot<T>,
    owner: NonNull<Lane<T>>,
}

impl SlotReader {
    pub(crate) fn new() -> Self {
        Self {
            claimed: [0; 2],
            open: Set::First,
            shut: false,
        }
    }

    /// The set that producers claim from, and whether it is shut.
    #[inline]
    pub(crate) fn open(&self) -> (Set, bool) {
        (self.open, self.shut)
    }

    #[inline]
    pub(crate) fn is_shut(&self) -> bool {
        self.shut
    }

    /// The set to be opened next, and whether it must stay shut.
    #[inline]
    pub(crate) fn next(&self) -> (Set, bool) {
        let next = self.open.other();
        (next, self.claimed[next as usize] != 0)
    }

    /// The open set was replaced by `next`, after `count` of its slots had been claimed.
    #[inline]
    pub(crate) fn switch(&mut self, count: usize) {
        let (next, shut) = self.next();
        self.record_claims(count);
        (self.open, self.shut) = (next, shut);
    }

    #[inline]
    fn record_claims(&mut self, count: usize) {
        if !self.shut {
            self.claimed[self.open as usize] = (1 << count) - 1;
        }
    }

    /// The channel was closed, after `count` slots of the open set had been claimed.
    pub(crate) fn close(&mut self, count: usize) {
        self.record_claims(count);
        if !self.shut {
            // What is left of the other set is older.
            self.open = self.open.other();
        }
    }

    /// Whether a claimed slot has not been emptied.
    #[inline]
    pub(crate) fn has_claimed(&self) -> bool {
        self.claimed != [0; 2]
    }

    /// A claimed slot whose message is written.
    #[inline]
    fn written<'a, T>(&self, slots: &'a SharedSlots<T>) -> Option<Written<'a, T>> {
        if !self.has_claimed() {
            return None;
        }
        let slots = slots.slots();
        for set in [self.open, self.open.other()] {
            let mut rest = self.claimed[set as usize];
            while rest != 0 {
                let number = rest.trailing_zeros() as usize;
                let claim = SlotIndex { set, number };
                let slot = &slots[claim.index()];
                if let Some(owner) = slot.owner() {
                    return Some(Written { claim, slot, owner });
                }
                rest &= rest - 1;
            }
        }
        None
    }

    /// Whether one of the claimed slots is written.
    pub(crate) fn has_written<T>(&self, slots: &SharedSlots<T>) -> bool {
        self.written(slots).is_some()
    }

    /// Takes one message out of the claimed slots, if one of them is written.
    ///
    /// # Safety
    ///
    /// Only the receiver of the fan-in of `slots` may call this, with its own reader.
    #[inline]
    pub(crate) unsafe fn take<'a, T>(&mut self, slots: &'a SharedSlots<T>) -> Option<Taken<'a, T>> {
        let Written { claim, slot, owner } = self.written(slots)?;
        self.claimed[claim.set as usize] &= !(1 << claim.number);
        // SAFETY: the caller is the receiver, and the message is written.
        Some(unsafe { slot.take(owner) })
    }
}
