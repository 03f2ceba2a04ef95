//! The rings of a lane as its producer sees them: how they grow, and how many messages are in them.
//!
//! Only the last one is pushed to. Those before it are the receiver's to empty and free (`left_rings`).

use std::{
    mem::{self, MaybeUninit},
    ptr::{self, NonNull},
};

use super::{RingSegment, left_rings::LeftRings};
use crate::{
    config::{Config, UNBOUNDED},
    sync::{
        AtomicPtr, Mutex, Ordering, UnsafeCell, lock,
        ring::{RingProducer, ring},
    },
};

/// A full ring is followed by one that holds so many times as many messages.
const GROWTH: usize = 4;
/// And that takes at most so many bytes, unless the first ring takes more: a lane keeps its last ring when it is empty.
const RING_BYTES: usize = 64 * 1024;
/// Messages that the largest ring holds, however large they are.
const RING_MESSAGES: usize = 32;

/// The rings of a lane as the producer sees them.
pub(super) struct Rings<T> {
    current: RingProducer<T>,
    /// Rings from before `current`.
    left: LeftRings<T>,
    /// The receiver's end of `current`.
    segment: NonNull<RingSegment<T>>,
    /// What the lane may hold in all.
    limit: usize,
    /// Messages in the largest ring.
    most: usize,
    activity: Activity,
    /// `current` was made smaller than it would have been, for what the lane may hold in all.
    clipped: bool,
    /// Held to count through `&self`: counting refreshes cached positions, which are not atomic.
    count: Mutex<()>,
}

/// What the rings have been used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Activity {
    /// Something was pushed since they were last known to be empty.
    Pushed,
    /// They were found empty.
    Emptied,
    /// And so many messages did without them since.
    Quiet(u32),
}

impl<T> Rings<T> {
    /// The first ring of a lane.
    pub(super) fn open(config: &Config) -> Self {
        let (first, limit) = (config.first_ring, config.lane_capacity);
        let (current, segment) = RingSegment::new(first.min(limit));
        Self {
            current,
            left: LeftRings::new(),
            segment,
            limit,
            most: (RING_BYTES / size_of::<T>().max(1))
                .max(RING_MESSAGES)
                .max(first)
                .min(limit),
            activity: Activity::Emptied,
            clipped: false,
            count: Mutex::new(()),
        }
    }

    /// The ring for the next messages.
    #[inline]
    pub(super) fn current(&mut self) -> &mut RingProducer<T> {
        &mut self.current
    }

    /// The receiver's end of the current ring.
    pub(super) fn segment(&self) -> NonNull<RingSegment<T>> {
        self.segment
    }

    /// Something is about to be pushed to the current ring.
    #[inline]
    pub(super) fn use_current(&mut self) {
        self.activity = Activity::Pushed;
    }

    /// Whether the receiver has taken all that was pushed.
    #[inline]
    pub(super) fn are_clear(&mut self) -> bool {
        if self.activity == Activity::Pushed {
            if self.used() > 0 {
                return false;
            }
            self.activity = Activity::Emptied;
        }
        true
    }

    /// Records that the last `messages` messages did without a ring, unless some did not, and says whether `enough` in a row
    /// did.
    pub(super) fn are_quiet(&mut self, messages: u32, enough: u32) -> bool {
        self.activity = match self.activity {
            Activity::Quiet(before) => Activity::Quiet(before + messages),
            _ => Activity::Quiet(0),
        };
        self.activity >= Activity::Quiet(enough)
    }

    /// As `used`, through a shared reference.
    pub(super) fn count(&self) -> usize {
        let _guard = lock(&self.count);
        // SAFETY: the lock is held, and the producer counts only with `&mut self`.
        self.current.used() + unsafe { self.left.count() }
    }

    /// Messages in all rings.
    // Not inlined, so that a send, which seldom needs it, saves fewer registers.
    #[inline(never)]
    pub(super) fn used(&mut self) -> usize {
        self.current.used() + self.left.used()
    }

    /// Opens another ring for a message that the current one has refused, and pushes it there. `false` if the
    /// lane has no bound, and there is no memory for the ring: then nothing has changed. Drops the message
    /// if this panics.
    ///
    /// # Safety
    ///
    /// `message` must be initialised. With `true`, or if this panics, no other copy of it may be used.
    #[cold]
    pub(super) unsafe fn push_to_next(&mut self, message: MaybeUninit<T>) -> bool {
        if self.limit == UNBOUNDED && !has_memory_for::<T>(self.most) {
            return false;
        }
        // SAFETY: initialised by this function's contract.
        let message = unsafe { message.assume_init() };
        self.grow();
        let pushed = self.current().push(MaybeUninit::new(message)).is_ok();
        debug_assert!(pushed, "the ring is new");
        pushed
    }

    /// Opens another ring for the messages that follow: of [`GROWTH`] times the size, up to the
    /// largest.
    #[cold]
    pub(super) fn grow(&mut self) {
        let current = self.current.capacity();
        let size = (current * GROWTH).min(self.most);
        // The last ring of a lane that fills up need not be larger than what the lane may hold. But if that one fills as
        // well, the lane stays full while messages come and go, and one ring for all saves further ones.
        let fits = self.limit.saturating_sub(self.used()).max(current);
        let clipped = !self.clipped && fits < size;
        let (producer, segment) = RingSegment::new(if clipped { fits } else { size });
        self.clipped = clipped;
        // SAFETY: the receiver frees a segment only after it has seen the next one linked.
        let old = unsafe { self.segment.as_ref() };
        let left = self.left.leave(mem::replace(&mut self.current, producer));
        // SAFETY: the receiver looks at this only once the next ring is linked.
        old.left.with_mut(|place| unsafe { *place = Some(left) });
        // ORDERING: Release pairs with the Acquire in `LaneRx::advance`.
        old.next.store(segment.as_ptr(), Ordering::Release);
        self.segment = segment;
    }
}

/// Whether there is memory for a ring of this size. rtrb would end the process if not.
fn has_memory_for<T>(messages: usize) -> bool {
    #[cfg(all(test, not(loom)))]
    if super::tests::is_out_of_memory() {
        return false;
    }
    Vec::<T>::new().try_reserve_exact(messages).is_ok()
}

impl<T> RingSegment<T> {
    fn new(size: usize) -> (RingProducer<T>, NonNull<Self>) {
        #[cfg(all(test, not(loom)))]
        super::tests::allocate_ring();
        let (producer, consumer) = ring(size);
        let segment = Box::new(Self {
            consumer: UnsafeCell::new(consumer),
            left: UnsafeCell::new(None),
            next: AtomicPtr::new(ptr::null_mut()),
        });
        (producer, NonNull::from(Box::leak(segment)))
    }
}
