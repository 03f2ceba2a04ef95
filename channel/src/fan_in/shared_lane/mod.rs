//! A lane that takes many producers: one bound and one order for all who send through it.
//!
//! A bounded array queue in the manner of Vyukov's. A producer claims a place of the ring by the one exchange that
//! acquires a permit of the bound (`sync/semaphore/mod.rs`: free permits, position, flags in one word), writes its message there, and
//! publishes it by one swap of the place's state. The receiver reads the places in order.
//!
//! | state of a place | who may change it, and to what |
//! |---|---|
//! | `EMPTY` | its producer: `FULL`, `NEXT`, `END`; the receiver: `WATCHED` |
//! | `WATCHED` | its producer: `FULL`, `NEXT`, `END`, and that one lists the lane |
//! | `FULL` | the receiver, which has taken the message: `EMPTY` |
//! | `NEXT` | nobody: the lane goes on in the next ring, and the receiver frees this one |
//! | `END` | nobody: the last producer has gone |
//!
//! **Exactly one lists the lane.** The receiver gives the lane up only by an exchange of the place that it would read
//! next, from `EMPTY` to `WATCHED`. Whoever publishes in that place finds that, and no one else: it puts the lane on
//! the ready list. There is no fence, and nothing is decided by two words.
//!
//! **A place that is claimed is empty.** A permit is released only after the message was taken out of its place, and
//! messages are taken in order, so at most as many places are in use as there are permits. A ring has one place more
//! than permits, so `NEXT` and `END` find one too.
//!
//! **A closed lane takes no claim**, because the flag is in the word that claims: what was claimed before is the
//! receiver's, which waits for the last of it to be written.
//!
//! A producer that is stopped between its claim and its publication holds back what others publish behind it, as in
//! every queue of this kind; other lanes are not concerned.
//!
//! The first ring is small. When all permits of a ring are acquired and the bound allows more, a sender allocates one of
//! four times the size, and one exchange turns claims to it; then `NEXT` is published in the ring before.

// One thing: mod, registry, ring, rx: the lane consists of its places, what the receiver reads, and its links.
pub(crate) mod registry;
mod ring;
mod rx;
pub(crate) mod tx;

use std::{
    fmt,
    ptr::{self, NonNull},
};

use crossbeam_utils::CachePadded;

use self::{registry::Links, ring::Place, rx::Reading};
use crate::{
    config::Config,
    fan_in::lane::Lane,
    sync::{
        AtomicPtr, AtomicUsize, Ordering, UnsafeCell,
        semaphore::{MAX_PERMITS, Semaphore},
    },
};

// The states of a place.
const EMPTY: u8 = 0;
const WATCHED: u8 = 1;
const FULL: u8 = 2;
const NEXT: u8 = 3;
const END: u8 = 4;

/// Messages that a lane of many producers holds at most.
pub(crate) const MAX_CAPACITY: usize = MAX_PERMITS;

/// Rings that a lane may come to have, and one in front of them that has no place.
const RINGS: usize = 16;

/// Where a message goes or comes from: a ring, counted from 1 (0 is before the first), and a place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    ring: usize,
    place: usize,
}

impl Position {
    /// Bits for the place.
    const PLACE: u32 = 29;

    #[inline]
    fn unpack(bits: u64) -> Self {
        Self {
            ring: (bits >> Self::PLACE) as usize,
            place: (bits & ((1 << Self::PLACE) - 1)) as usize,
        }
    }

    #[inline]
    fn pack(self) -> u64 {
        ((self.ring as u64) << Self::PLACE) | self.place as u64
    }
}

/// A lane that many producers share with the receiver.
#[repr(C, align(128))]
pub(crate) struct SharedLane<T> {
    /// By this part the ready list and the receiver's lists link the lane. Its state is always `SHARED`.
    link: Lane<T>,
    /// The owner's bits are the next [`Position`] that is claimed.
    pub(super) permits: CachePadded<Semaphore>,
    /// The receiver's own.
    reading: CachePadded<Reading<T>>,
    /// Permits with the first ring.
    first: usize,
    /// Permits with the last one.
    capacity: usize,
    /// The rings that are in use, by their number.
    rings: [AtomicPtr<Place<T>>; RINGS],
    /// For each ring the place that said `NEXT`; for counting.
    ends: [AtomicUsize; RINGS],
    /// Its neighbours among the shared lanes of the fan-in; used under the lock of those.
    registered: UnsafeCell<Links<T>>,
}

// SAFETY: a place is used by its producer or by the receiver, as its state says; the reader's part by the receiver
// alone; the links under a lock. A `T` that goes from one thread to another is `Send`.
unsafe impl<T: Send> Send for SharedLane<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedLane<T> {}

impl<T> SharedLane<T> {
    /// A lane without a ring.
    pub(crate) fn new(config: &Config) -> Self {
        let capacity = config.lane_capacity.min(MAX_CAPACITY);
        let before_first = Position { ring: 0, place: 0 };
        Self {
            link: Lane::new_shared(),
            permits: CachePadded::new(Semaphore::new(0, before_first.pack())),
            reading: CachePadded::new(Reading::new()),
            // Two at least: so that fifteen rings come to any capacity.
            first: config.first_ring.max(2).min(capacity),
            capacity,
            rings: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            ends: std::array::from_fn(|_| AtomicUsize::new(0)),
            registered: UnsafeCell::new(Links::new()),
        }
    }

    /// The lane of which this is the link.
    ///
    /// # Safety
    ///
    /// The link must be that of a shared lane, and valid.
    pub(crate) unsafe fn of(link: NonNull<Lane<T>>) -> NonNull<Self> {
        // The link comes first.
        link.cast()
    }

    /// The part by which lists link the lane.
    pub(crate) fn as_link(&self) -> NonNull<Lane<T>> {
        NonNull::from(self).cast()
    }

    /// Permits with the ring of this number.
    #[inline]
    fn size(&self, ring: usize) -> usize {
        if ring == 0 {
            return 0;
        }
        // At most 2^29 << 28.
        let size = (self.first as u64) << (2 * (ring - 1));
        size.min(self.capacity as u64) as usize
    }

    /// The position behind this one, in the same ring.
    #[inline]
    fn behind(&self, position: Position) -> Position {
        let place = if position.place == self.size(position.ring) {
            0
        } else {
            position.place + 1
        };
        Position { place, ..position }
    }

    /// # Safety
    ///
    /// The ring must have been opened and not freed.
    #[inline]
    unsafe fn place(&self, position: Position) -> *mut Place<T> {
        // ORDERING: Acquire pairs with the Release in `ring_or_open`: the places are initialised.
        let ring = self.rings[position.ring].load(Ordering::Acquire);
        // SAFETY: the ring is there, and has a place for each position.
        unsafe { ring.add(position.place) }
    }

    /// Messages between two positions.
    fn between(&self, from: Position, to: Position) -> usize {
        let len = |ring| self.size(ring) + 1;
        // ORDERING: Relaxed; for counting.
        let end = |ring: usize| self.ends[ring].load(Ordering::Relaxed);
        if from.ring == to.ring {
            return (to.place + len(to.ring) - from.place) % len(to.ring);
        }
        if from.ring > to.ring {
            return 0;
        }
        let first = (end(from.ring) + len(from.ring) - from.place) % len(from.ring);
        first + (from.ring + 1..to.ring).map(end).sum::<usize>() + to.place
    }

    /// Messages that were claimed and that the receiver has not taken; a snapshot.
    pub(crate) fn len(&self) -> usize {
        let read = self.reading.position();
        let claimed = Position::unpack(self.permits.load().owners());
        self.between(read, claimed).min(self.capacity)
    }
}

impl<T> Drop for SharedLane<T> {
    fn drop(&mut self) {
        for ring in 1..RINGS {
            // ORDERING: Relaxed; `&mut self` says that nobody else is here.
            let places = self.rings[ring].load(Ordering::Relaxed);
            // SAFETY: nobody uses the ring any more, and the receiver has taken what was in it.
            unsafe { ring::free(places, self.size(ring) + 1) };
        }
    }
}

impl<T> fmt::Debug for SharedLane<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLane")
            .field("capacity", &self.capacity)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
