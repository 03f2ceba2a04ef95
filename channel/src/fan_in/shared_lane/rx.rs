//! The receiver's end of a shared lane. Only the receiver calls this.

use std::ptr;

use super::{EMPTY, END, FULL, NEXT, Place, Position, SharedLane, WATCHED, ring};
use crate::{
    fan_in::lane::rx::Emptied,
    sync::{AtomicU64, Ordering, UnsafeCell, mutant},
};

/// Where the receiver reads.
pub(super) struct Reading<T> {
    own: UnsafeCell<Own<T>>,
    /// The position of `own`, for those who count.
    position: AtomicU64,
    /// Messages that were taken. The receiver alone writes it.
    taken: AtomicU64,
    /// Messages whose permits were released.
    released: AtomicU64,
}

struct Own<T> {
    /// The ring that is read; null before the first.
    ring: *mut Place<T>,
    position: Position,
    /// Messages that were taken.
    taken: u64,
}

impl<T> Reading<T> {
    pub(super) fn new() -> Self {
        let position = Position { ring: 1, place: 0 };
        Self {
            own: UnsafeCell::new(Own {
                ring: ptr::null_mut(),
                position,
                taken: 0,
            }),
            position: AtomicU64::new(position.pack()),
            taken: AtomicU64::new(0),
            released: AtomicU64::new(0),
        }
    }

    pub(super) fn position(&self) -> Position {
        // ORDERING: Acquire pairs with the Release in `pop`: the message was taken. A position that is loaded after
        // this one is not before it.
        Position::unpack(self.position.load(Ordering::Acquire))
    }
}

impl<T> SharedLane<T> {
    /// Goes on to where the next message is or comes, and says what state that place is in.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this, while it has the lane.
    #[inline]
    unsafe fn head(&self, own: &mut Own<T>) -> (u8, *mut Place<T>) {
        loop {
            if own.ring.is_null() {
                // ORDERING: Acquire pairs with the Release in `ring_or_open`.
                own.ring = self.rings[own.position.ring].load(Ordering::Acquire);
                if own.ring.is_null() {
                    return (EMPTY, ptr::null_mut());
                }
            }
            // SAFETY: the ring is the receiver's to free, and has a place for each position.
            let place = unsafe { own.ring.add(own.position.place) };
            // ORDERING: Acquire pairs with the Release in `publish`: the message is written.
            // SAFETY: as above.
            let state = unsafe { &*place }.state.load(Ordering::Acquire);
            if state != NEXT {
                return (state, place);
            }
            // SAFETY: as this function's contract says.
            unsafe { self.next_ring(own) };
        }
    }

    /// Goes on to the next ring, and frees the one before.
    ///
    /// # Safety
    ///
    /// The place that would be read next must say `NEXT`: all before it were published and taken, so nobody has
    /// business in this ring any more.
    #[cold]
    unsafe fn next_ring(&self, own: &mut Own<T>) {
        let ring = own.position.ring;
        // ORDERING: Relaxed; nobody else looks at the pointer any more.
        self.rings[ring].store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: as this function's contract says.
        unsafe { ring::free(own.ring, self.size(ring) + 1) };
        own.ring = ptr::null_mut();
        own.position = Position {
            ring: ring + 1,
            place: 0,
        };
        // ORDERING: as in `pop`.
        self.reading
            .position
            .store(own.position.pack(), Ordering::Release);
    }

    /// The oldest message, if it is published.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this, while it has the lane.
    #[inline]
    pub(crate) unsafe fn pop(&self) -> Option<T> {
        self.reading.own.with_mut(|own| {
            // SAFETY: only the receiver uses its own part.
            let own = unsafe { &mut *own };
            // SAFETY: as this function's contract says.
            let (state, place) = unsafe { self.head(own) };
            if state != FULL {
                return None;
            }
            // SAFETY: the ring is there, as the message shows.
            let place = unsafe { &*place };
            // SAFETY: the producer has written the message, and passed the place to the receiver.
            let message = place
                .message
                .with(|message| unsafe { (*message).assume_init_read() });
            // ORDERING: Relaxed; the count is released, and so is the permit; who takes it acquires.
            place.state.store(EMPTY, Ordering::Relaxed);
            own.position = self.behind(own.position);
            own.taken += 1;
            let release = if mutant("taken_release") {
                Ordering::Relaxed
            } else {
                Ordering::Release
            };
            // ORDERING: Release pairs with the Acquire in `release_taken`: the place is empty.
            self.reading.taken.store(own.taken, release);
            // ORDERING: Release pairs with the Acquire in `Reading::position`: the message was taken.
            self.reading
                .position
                .store(own.position.pack(), Ordering::Release);
            Some(message)
        })
    }

    /// Whether a message is published that was not taken.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this, while it has the lane.
    pub(crate) unsafe fn has_message(&self) -> bool {
        // SAFETY: only the receiver uses its own part, and nobody changes it meanwhile.
        let (mut ring, mut position) = self
            .reading
            .own
            .with(|own| unsafe { ((*own).ring, (*own).position) });
        loop {
            if ring.is_null() {
                // ORDERING: Acquire pairs with the Release in `ring_or_open`.
                ring = self.rings[position.ring].load(Ordering::Acquire);
            }
            if ring.is_null() {
                return false;
            }
            // ORDERING: Acquire, as in `head`. SAFETY: the receiver has not freed this ring.
            let state = unsafe { &*ring.add(position.place) }
                .state
                .load(Ordering::Acquire);
            if state != NEXT {
                return state == FULL;
            }
            position = Position {
                ring: position.ring + 1,
                place: 0,
            };
            ring = ptr::null_mut();
        }
    }

    /// Releases the permits of what was taken; senders that find none free do so as well. `Some` when there were any,
    /// and `true` when senders wait for them: [`serve`](Self::serve) must be called.
    pub(crate) fn release_taken(&self) -> Option<bool> {
        let Reading {
            taken, released, ..
        } = &*self.reading;
        // ORDERING: Relaxed; the exchange decides.
        let mut before = released.load(Ordering::Relaxed);
        loop {
            // ORDERING: Acquire pairs with the Release in `pop`: the places are empty.
            let now = taken.load(Ordering::Acquire);
            // Another may have released more than this one has seen to be taken.
            let owed = now.wrapping_sub(before) as i64;
            if owed <= 0 {
                return None;
            }
            // ORDERING: Relaxed; whoever wins has seen what was taken, and releases it with the permits.
            let exchange =
                released.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed);
            match exchange {
                Ok(_) => return Some(self.permits.add(owed as usize)),
                Err(other) => before = other,
            }
        }
    }

    /// Messages that were taken, and whose permits were not released.
    pub(crate) fn owed(&self) -> usize {
        let Reading {
            taken, released, ..
        } = &*self.reading;
        // ORDERING: Relaxed; a count.
        let before = released.load(Ordering::Relaxed);
        let now = taken.load(Ordering::Relaxed);
        usize::try_from(now.wrapping_sub(before) as i64).unwrap_or(0)
    }

    /// Closes the lane: nothing is claimed from now on. The caller must serve those who wait.
    pub(crate) fn close(&self) {
        self.permits.close();
    }

    /// Whether senders wait for permits.
    pub(crate) fn has_waiters(&self) -> bool {
        self.permits.load().has_waiters()
    }

    /// Hands free permits to senders that wait. Their wakers may panic.
    pub(crate) fn serve(&self) {
        self.permits.serve();
    }

    /// Gives up a lane in which nothing was found, so that whoever publishes next lists it.
    ///
    /// Permits have been released meanwhile: with `Idle` and `Kept` the caller must serve those who wait.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this, while it has the lane. With `Idle` the lane is not the receiver's any more, with
    /// `Finished` it must be taken out of the registry.
    pub(crate) unsafe fn retire(&self) -> Emptied {
        self.release_taken();
        // SAFETY: only the receiver uses its own part.
        let (state, place) = self
            .reading
            .own
            .with_mut(|own| unsafe { self.head(&mut *own) });
        match state {
            FULL => return Emptied::Kept,
            END => return Emptied::Finished,
            _ => {}
        }
        // SAFETY: the lane was listed, so its ring is there.
        let place = unsafe { &*place };
        if mutant("watch_exchange") {
            place.state.store(WATCHED, Ordering::Release);
            return Emptied::Idle;
        }
        // ORDERING: Release pairs with the Acquire in `publish`: the receiver is done with the link. On failure the
        // state is looked at again, with Acquire.
        match place
            .state
            .compare_exchange(EMPTY, WATCHED, Ordering::Release, Ordering::Relaxed)
        {
            Ok(_) => Emptied::Idle,
            Err(END) => Emptied::Finished,
            // A message, or the next ring.
            Err(_) => Emptied::Kept,
        }
    }

    /// Whether all that was claimed before the lane was closed has been taken.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this, after it has closed the lane.
    pub(crate) unsafe fn is_drained(&self) -> bool {
        // SAFETY: only the receiver uses its own part.
        self.reading.own.with_mut(|own| unsafe {
            let _ = self.head(&mut *own);
        });
        let claimed = Position::unpack(self.permits.load().owners());
        claimed.ring == 0 || self.reading.position() == claimed
    }
}
