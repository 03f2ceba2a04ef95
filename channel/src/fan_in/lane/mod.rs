//! One producer's lane: a slot for a single message, rings for more, and the handshake by which its
//! two ends agree on who looks next.
//!
//! A lane gives each message to exactly one end: once a send has returned `Ok` it is the
//! receiver's, once it has returned `Closed` it is the sender's. It knows nothing of other lanes,
//! except for the link by which lists chain it.
//!
//! | state | the lane is | who may change it, and to what |
//! |---|---|---|
//! | `IDLE` | the producer's; the slot is empty | producer: `QUEUED_SLOT`; either by CAS: `QUEUED` |
//! | `QUEUED_SLOT` | listed or the receiver's; a message is in the slot | receiver: `QUEUED` |
//! | `QUEUED` | listed or the receiver's; the slot is empty | receiver: `IDLE`, `CLOSING`, `UNFENCED` |
//! | `UNFENCED` | the receiver's, which keeps visiting it; the slot is empty | receiver: `QUEUED` |
//! | `CLOSING` | the receiver's, which looks for the last time | receiver by CAS: `QUEUED`, `SEALED`; producer by CAS: `SEALED_ALL` |
//! | `SEALED` | ended: what is still in the ring is the producer's | nobody |
//! | `SEALED_ALL` | the receiver's: all that is in the ring was accepted | nobody |
//! | `SHARED` | the link of a lane with many producers, which has a protocol of its own | nobody |

pub(crate) mod held;
mod left_rings;
pub(crate) mod list;
mod rings;
pub(crate) mod rx;
#[cfg(all(test, not(loom)))]
mod tests;
pub(crate) mod tx;

use std::{
    fmt,
    mem::MaybeUninit,
    ptr::{self, NonNull},
};

use self::{held::Held, left_rings::LeftRing};
use crate::{
    delay::Stamp,
    sync::{
        Arc, AtomicBool, AtomicPtr, AtomicU8, Ordering, UnsafeCell, mutant,
        ring::RingConsumer,
        wake_cell::{WakeCell, WakerIndex},
    },
};

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const QUEUED_SLOT: u8 = 2;
const CLOSING: u8 = 3;
const SEALED: u8 = 4;
const SEALED_ALL: u8 = 5;
const UNFENCED: u8 = 6;
const SHARED: u8 = 7;

/// The shared part of a lane. Sparse traffic touches only its first cache line.
#[repr(C, align(128))]
pub(crate) struct Lane<T> {
    /// The link in the ready list or in the receiver's own lists; whoever owns the lane by its
    /// state may use it.
    next: AtomicPtr<Lane<T>>,
    /// The ring that the receiver reads; null until the producer opens the first one.
    ring: AtomicPtr<RingSegment<T>>,
    state: AtomicU8,
    /// The producer has been dropped and will send no more.
    gone: AtomicBool,
    /// The index in `wake` of the waker to call when there is room, plus one; 0 if the producer
    /// does not wait.
    waiting: AtomicU8,
    /// Halves that still hold the lane, the producer's and the receiver's: 0 to 2. The last one
    /// frees it.
    halves: AtomicU8,
    /// When the lane was last pushed onto the ready list.
    stamp: Stamp,
    /// The message that comes with the lane when it is pushed onto the ready list.
    slot: UnsafeCell<MaybeUninit<T>>,
    /// The producer's waker, while it waits for room.
    wake: WakeCell,
    /// What the producer has borrowed ahead. It writes this often, so it stands away from what the receiver reads.
    held: Held,
}

/// One of the rings of a lane, linked by the one before.
pub(crate) struct RingSegment<T> {
    consumer: UnsafeCell<RingConsumer<T>>,
    /// The producer's end, once `next` is linked.
    left: UnsafeCell<Option<Arc<LeftRing<T>>>>,
    next: AtomicPtr<RingSegment<T>>,
}

/// A lane's address, which identifies its producer. It gives no access to the lane.
#[derive(Debug)]
pub(crate) struct LaneId<T>(NonNull<Lane<T>>);

impl<T> LaneId<T> {
    #[inline]
    pub(crate) fn get(self) -> NonNull<Lane<T>> {
        self.0
    }
}

impl<T> Clone for LaneId<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for LaneId<T> {}

// SAFETY: only an address, which gives no access.
unsafe impl<T> Send for LaneId<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for LaneId<T> {}

// SAFETY: the slot and the consumers are used by one end at a time, as the state says; a `T` that
// moves from one thread to another through them is `Send`.
unsafe impl<T: Send> Send for Lane<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Lane<T> {}

impl<T> Lane<T> {
    /// A new idle lane, held by both halves.
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self::in_state(IDLE))
    }

    /// The link of a lane with many producers.
    pub(crate) fn new_shared() -> Self {
        Self::in_state(SHARED)
    }

    #[inline]
    fn in_state(state: u8) -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            ring: AtomicPtr::new(ptr::null_mut()),
            state: AtomicU8::new(state),
            gone: AtomicBool::new(false),
            waiting: AtomicU8::new(0),
            halves: AtomicU8::new(2),
            stamp: Stamp::new(),
            slot: UnsafeCell::new(MaybeUninit::uninit()),
            wake: WakeCell::new(),
            held: Held::new(),
        }
    }

    /// It is about to be put on the ready list.
    pub(crate) fn set_stamp(&self) {
        self.stamp.set();
    }

    #[inline]
    pub(crate) fn next(&self) -> *mut Lane<T> {
        // ORDERING: Relaxed; the link was written before the lane was published in the list.
        self.next.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_next(&self, next: *mut Lane<T>) {
        // ORDERING: Relaxed; the exchange that publishes the lane publishes the link.
        self.next.store(next, Ordering::Relaxed);
    }

    /// Releases one half. `Some` for the last one: the lane, reset, to be reused or freed.
    ///
    /// # Safety
    ///
    /// The caller must hold a half, and must not use the lane afterwards. Both halves must be done
    /// with its messages: what the rings still hold is not dropped.
    pub(crate) unsafe fn release(lane: NonNull<Self>) -> Option<Box<Self>> {
        // SAFETY: the caller's half keeps the lane alive up to here.
        let halves = unsafe { &lane.as_ref().halves };
        let order = if mutant("release_halves") {
            Ordering::Relaxed
        } else {
            Ordering::AcqRel
        };
        // ORDERING: AcqRel: what the first half did happens before the last one frees the lane.
        if halves.fetch_sub(1, order) != 1 {
            return None;
        }
        // SAFETY: no half is left, and all lanes come from a box.
        let mut lane = unsafe { Box::from_raw(lane.as_ptr()) };
        lane.free_segments();
        lane.reset();
        Some(lane)
    }

    /// Wakes the producer if it waits for room, and returns whether it did.
    ///
    /// The caller must have made room, or closed the channel, and then passed a fence.
    pub(crate) fn wake_waiting(&self) -> bool {
        // ORDERING: Relaxed is enough to look after the caller's fence, which pairs with the
        // producer's; the swap below does the ordering.
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return false;
        }
        // ORDERING: Acquire pairs with the producer's Release store: the waker is written.
        let slot = match self.waiting.swap(0, Ordering::AcqRel) {
            0 => return false,
            1 => WakerIndex::First,
            _ => WakerIndex::Second,
        };
        // SAFETY: the swap cleared the flag that named the waker.
        unsafe { self.wake.wake(slot) };
        true
    }

    fn free_segments(&mut self) {
        // ORDERING: Relaxed; `&mut self` says that nobody else is here.
        let mut segment = self.ring.load(Ordering::Relaxed);
        while let Some(first) = NonNull::new(segment) {
            // SAFETY: segments come from boxes, each is linked once, and nobody else is here.
            let freed = unsafe { Box::from_raw(first.as_ptr()) };
            segment = freed.next.load(Ordering::Relaxed);
        }
        self.ring.store(ptr::null_mut(), Ordering::Relaxed);
    }

    fn reset(&mut self) {
        // ORDERING: Relaxed throughout; `&mut self` says that nobody else is here.
        self.state.store(IDLE, Ordering::Relaxed);
        self.gone.store(false, Ordering::Relaxed);
        self.waiting.store(0, Ordering::Relaxed);
        self.halves.store(2, Ordering::Relaxed);
        self.wake = WakeCell::new();
        self.held = Held::new();
        // Stores nothing. In a model, this write shows whether the other half was done with the
        // slot.
        // SAFETY: nobody else is here.
        self.slot
            .with_mut(|slot| unsafe { *slot = MaybeUninit::uninit() });
    }
}

impl<T> Drop for Lane<T> {
    fn drop(&mut self) {
        self.free_segments();
    }
}

impl<T> fmt::Debug for Lane<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
