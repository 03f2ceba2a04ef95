//! Slots for single messages, shared by all producers of a fan-in, for those that send only
//! occasionally.
//!
//! A producer whose lane is empty claims a slot with the same single compare-and-swap that would
//! have listed the lane, writes its message there and does not touch its lane, so that sparse
//! traffic of many producers stays within a few cache lines. The slots come in two sets: one is
//! open to producers while the receiver empties the other. The head of the ready list counts the
//! claims of the open set, and so decides who wins; this file keeps the messages, and the
//! receiver's view of the slots.

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

/// The most slots in a set. The head of the ready list can count to 63, which means that the set is
/// shut.
#[cfg(not(loom))]
pub(crate) const MAX_SLOTS: usize = 62;
/// Few, so that a model can fill them.
#[cfg(loom)]
pub(crate) const MAX_SLOTS: usize = 2;

/// The most bytes that both sets take together, unless one slot of each takes more.
const BYTES: usize = 2048;

/// One of the two sets.
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

/// A bit beside the lane's address in `owner`: whoever takes this message checks whether its
/// producer waits.
const NOTIFY: usize = 1;

/// A slot for one message.
#[derive(Debug)]
struct SharedSlot<T> {
    /// The lane of the producer whose message is here, possibly with `NOTIFY`; null if the slot is
    /// empty.
    owner: AtomicPtr<Lane<T>>,
    message: UnsafeCell<MaybeUninit<T>>,
    /// When the message was written.
    stamp: Stamp,
}

/// All shared slots of a fan-in.
#[derive(Debug)]
pub(crate) struct SharedSlots<T> {
    /// Slot `n` of one set lies beside slot `n` of the other, so that sparse traffic uses the first
    /// few. Null until the first message needs a slot.
    slots: AtomicPtr<SharedSlot<T>>,
    /// Slots per set; 0 turns shared slots off.
    limit: usize,
}

// SAFETY: a slot is written by the producer that claimed it and read by the receiver afterwards, as
// `owner` says; the message moves from one thread to the other, so it must be `Send`.
unsafe impl<T: Send> Send for SharedSlots<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedSlots<T> {}

/// What the receiver took from a slot.
#[derive(Debug)]
pub(crate) struct Taken<'a, T> {
    pub(crate) message: T,
    #[cfg_attr(
        not(feature = "quanta"),
        expect(dead_code, reason = "a stamp is nothing then")
    )]
    pub(crate) stamp: &'a Stamp,
    /// The lane of the message's producer, if the message is marked: the producer may be waiting
    /// for room. The lane is kept alive by the producer or by this class's ready list, unless the
    /// channel is closed.
    pub(crate) notify: Option<NonNull<Lane<T>>>,
}

/// Identifies a claimed slot, while it is the producer's or holds its message.
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
    /// `wanted` slots per set, or fewer: as many as fit the bounds, and not more than
    /// `lane_capacity`.
    pub(crate) fn new(wanted: usize, lane_capacity: usize) -> Self {
        let fit = (BYTES / 2 / size_of::<SharedSlot<T>>()).clamp(1, MAX_SLOTS);
        Self {
            slots: AtomicPtr::new(ptr::null_mut()),
            limit: wanted.min(fit).min(lane_capacity),
        }
    }

    /// Slots per set.
    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The slots; empty before `open`.
    #[inline]
    fn slots(&self) -> &[SharedSlot<T>] {
        // ORDERING: Acquire pairs with the Release in `allocate`.
        match NonNull::new(self.slots.load(Ordering::Acquire)) {
            // SAFETY: `allocate` has made `2 * limit` slots, which live as long as `self`.
            Some(first) => unsafe { slice::from_raw_parts(first.as_ptr(), 2 * self.limit) },
            None => &[],
        }
    }

    /// Allocates the slots if no producer has yet. Must be called before a slot is claimed.
    #[inline]
    pub(crate) fn open(&self) {
        // ORDERING: Relaxed; whoever uses the slots loads the pointer again, with Acquire.
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
        // ORDERING: Release pairs with the Acquire in `slots`: all of them are initialised and
        // empty.
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
    /// `first` must come from `allocate`, and must not be used afterwards.
    unsafe fn free(&self, first: *mut SharedSlot<T>) {
        let slots = ptr::slice_from_raw_parts_mut(first, 2 * self.limit);
        // SAFETY: `allocate` made the pointer from a box of this length.
        drop(unsafe { Box::from_raw(slots) });
    }

    /// Fills a slot with a message of the producer of `lane`. With `notify`, the receiver that
    /// takes the message checks whether that producer waits for room.
    ///
    /// # Safety
    ///
    /// The caller must have won the claim from the ready list of the same fan-in, with at least
    /// Acquire, and call this once per claim. The lane must be the caller's own, and open.
    #[inline]
    pub(crate) unsafe fn put(&self, claim: &SlotIndex, lane: LaneId<T>, notify: bool, message: T) {
        let slot = &self.slots()[claim.index()];
        slot.stamp.set();
        // SAFETY: only the claimant may write here until the slot has an owner.
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

    /// Messages of the producer of `lane` that the receiver has not taken. Exact if that producer
    /// asks.
    #[cold]
    pub(crate) fn count_of(&self, lane: LaneId<T>) -> usize {
        let lane = lane.get().as_ptr();
        // ORDERING: Acquire pairs with the Release in `take`: what the caller does next comes after
        // the receiver's read.
        let owner =
            |slot: &SharedSlot<T>| slot.owner.load(Ordering::Acquire).map_addr(|a| a & !NOTIFY);
        self.slots()
            .iter()
            .filter(|slot| owner(slot) == lane)
            .count()
    }

    /// Whether the slot of this index has a message of the producer of `lane`. Exact if that
    /// producer asks.
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
    /// The lane of the producer whose message is here, possibly with `NOTIFY`; `None` before it is
    /// written.
    #[inline]
    fn owner(&self) -> Option<NonNull<Lane<T>>> {
        // ORDERING: Acquire pairs with the Release in `put`: the message is written.
        NonNull::new(self.owner.load(Ordering::Acquire))
    }

    /// Takes the message.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this, with what `owner` returned.
    #[inline]
    unsafe fn take(&self, owner: NonNull<Lane<T>>) -> Taken<'_, T> {
        // SAFETY: the producer has written the message and passed the slot to the receiver.
        let message = self
            .message
            .with(|cell| unsafe { (*cell).assume_init_read() });
        // ORDERING: Release pairs with the Acquire in `count_of`. The next producer of this slot
        // gets it by a claim, which acquires what the receiver released when it opened the set.
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
            // SAFETY: nobody else is here, and the receiver has taken all messages.
            unsafe { self.free(first) };
        }
    }
}

/// The receiver's view of the slots.
#[derive(Debug)]
pub(crate) struct SlotReader {
    /// For each set, a bit for each slot that was claimed and not yet emptied.
    claimed: [u64; 2],
    /// The set that producers claim from. The claimed slots known here of that set date from when
    /// it was open before, so they are older than those of the other set.
    open: Set,
    /// The open set is shut: one of its slots had not been written when the set was to be opened,
    /// so none can be claimed before the next switch.
    shut: bool,
}

/// A claimed slot whose message has been written.
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

    /// The set to open next, and whether it must be opened shut.
    #[inline]
    pub(crate) fn next(&self) -> (Set, bool) {
        let next = self.open.other();
        (next, self.claimed[next as usize] != 0)
    }

    /// Records that `next` was opened, after `count` slots of the set before it had been claimed.
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

    /// Records that the channel was closed, after `count` slots of the open set had been claimed.
    pub(crate) fn close(&mut self, count: usize) {
        self.record_claims(count);
        if !self.shut {
            // What is left of the other set is older, and so comes first.
            self.open = self.open.other();
        }
    }

    /// Whether a claimed slot has not been emptied yet.
    #[inline]
    pub(crate) fn has_claimed(&self) -> bool {
        self.claimed != [0; 2]
    }

    /// The first claimed slot whose message has been written.
    #[inline]
    fn written<'a, T>(&self, slots: &'a SharedSlots<T>) -> Option<Written<'a, T>> {
        if !self.has_claimed() {
            return None;
        }
        let slots = slots.slots();
        self.written_of(self.open, slots)
            .or_else(|| self.written_of(self.open.other(), slots))
    }

    #[inline]
    fn written_of<'a, T>(&self, set: Set, slots: &'a [SharedSlot<T>]) -> Option<Written<'a, T>> {
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
        None
    }

    /// Whether a claimed slot has been written.
    pub(crate) fn has_written<T>(&self, slots: &SharedSlots<T>) -> bool {
        self.written(slots).is_some()
    }

    /// Takes one message from the claimed slots, if one of them has been written.
    ///
    /// # Safety
    ///
    /// Only the receiver of the fan-in of `slots` may call this, with its own reader.
    #[inline(always)]
    pub(crate) unsafe fn take<'a, T>(&mut self, slots: &'a SharedSlots<T>) -> Option<Taken<'a, T>> {
        let Written { claim, slot, owner } = self.written(slots)?;
        self.claimed[claim.set as usize] &= !(1 << claim.number);
        // SAFETY: the caller is the receiver, and the message is written.
        Some(unsafe { slot.take(owner) })
    }
}
