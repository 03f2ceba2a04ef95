//! The producers' end of a shared lane.

use std::ptr;

use super::{END, FULL, NEXT, Place, Position, SharedLane, WATCHED, ring};
use crate::{
    error::TrySendError,
    fan_in::lane::list::ReadyQueue,
    sync::{
        Ordering, mutant,
        semaphore::{Acquire, Word},
        wake_all::WakeAll,
    },
};

impl<T> SharedLane<T> {
    /// Messages that the lane holds at most.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Permits that are not acquired.
    pub(crate) fn free(&self) -> usize {
        let owed = self.owed();
        let word = self.permits.load();
        let ring = Position::unpack(word.owners()).ring;
        (owed + word.free() + self.capacity - self.size(ring)).min(self.capacity)
    }

    /// Sends a message if a permit is free, and nobody waits for one.
    #[inline]
    pub(crate) fn try_send(
        &self,
        ready: &impl ReadyQueue<T>,
        message: T,
    ) -> Result<(), TrySendError<T>> {
        let claim = |bits| self.behind(Position::unpack(bits)).pack();
        match self.permits.try_acquire(1, claim) {
            Ok(word) => {
                self.send_to(ready, Position::unpack(word.owners()), message);
                Ok(())
            }
            Err(_) => self.try_send_slow(ready, message),
        }
    }

    #[cold]
    fn try_send_slow(&self, ready: &impl ReadyQueue<T>, message: T) -> Result<(), TrySendError<T>> {
        match self.try_acquire(ready, 1) {
            Ok(()) => self.send(ready, message).map_err(TrySendError::Closed),
            Err(error) => Err(error.map(|()| message)),
        }
    }

    /// Acquires permits, each to be sent with or released, if so many are free and nobody waits for some.
    pub(crate) fn try_acquire(
        &self,
        ready: &impl ReadyQueue<T>,
        wanted: usize,
    ) -> Result<(), TrySendError<()>> {
        loop {
            match self.permits.try_acquire(wanted, |bits| bits) {
                Ok(_) => return Ok(()),
                Err(word) if word.is_closed() => return Err(TrySendError::Closed(())),
                Err(word) if word.has_waiters() || !self.make_room(ready, word) => {
                    return Err(TrySendError::Full(()));
                }
                Err(_) => {}
            }
        }
    }

    /// Sends a message with a permit that was acquired for it. When the lane is closed, returns the message, and
    /// releases the permit.
    #[inline]
    pub(crate) fn send(&self, ready: &impl ReadyQueue<T>, message: T) -> Result<(), T> {
        let claim = |bits| self.behind(Position::unpack(bits)).pack();
        match self.permits.change(claim) {
            Ok(word) => {
                self.send_to(ready, Position::unpack(word.owners()), message);
                Ok(())
            }
            Err(_) => {
                self.release(1);
                Err(message)
            }
        }
    }

    /// Releases permits that were acquired.
    pub(crate) fn release(&self, permits: usize) {
        self.permits.release(permits);
    }

    /// A wait for so many permits.
    pub(crate) fn acquire(&self, wanted: usize) -> Acquire<'_> {
        Acquire::new(&self.permits, wanted)
    }

    /// Whether there may be more permits than the word says: those of messages that were taken, or of a larger ring.
    pub(crate) fn may_have_room(&self, word: Word) -> bool {
        self.can_grow(word) || self.owed() > 0
    }

    fn can_grow(&self, word: Word) -> bool {
        self.size(Position::unpack(word.owners()).ring) < self.capacity
    }

    /// Makes more permits, or finds that somebody else has changed the word. `false` when there can be no more now.
    #[cold]
    pub(crate) fn make_room(&self, ready: &impl ReadyQueue<T>, word: Word) -> bool {
        match self.release_taken() {
            Some(waited) => {
                if waited {
                    self.serve();
                }
                true
            }
            None => self.grow(ready, word) || self.permits.load() != word,
        }
    }

    /// Ends the lane: its last sender has gone. `false` when nothing was ever sent through it, so that the receiver does
    /// not know it.
    pub(crate) fn end(&self, ready: &impl ReadyQueue<T>) -> bool {
        let position = Position::unpack(self.permits.load().owners());
        if position.ring == 0 {
            return false;
        }
        // SAFETY: there is no sender to claim the place.
        unsafe { self.publish(ready, self.place(position), END) };
        true
    }

    /// Writes a message to a place that was claimed for it, and publishes it.
    #[inline]
    fn send_to(&self, ready: &impl ReadyQueue<T>, position: Position, message: T) {
        // SAFETY: a ring in which a place is claimed is there until the receiver has taken what is published in it.
        let place = unsafe { self.place(position) };
        // SAFETY: the claim gives the place to this producer alone, and it is empty.
        unsafe { &*place }
            .message
            .with_mut(|cell| unsafe { (*cell).write(message) });
        // SAFETY: this producer's.
        unsafe { self.publish(ready, place, FULL) };
    }

    /// Publishes a place that is the caller's, and lists the lane if the receiver has given it up.
    ///
    /// # Safety
    ///
    /// The place must be the caller's, and with `FULL` have a message. It is the receiver's afterwards.
    #[inline]
    unsafe fn publish(&self, ready: &impl ReadyQueue<T>, place: *mut Place<T>, state: u8) {
        let order = if mutant("publish_release") {
            Ordering::Acquire
        } else {
            Ordering::AcqRel
        };
        // ORDERING: Release pairs with the Acquire of the receiver's look: the message is written. Acquire pairs with
        // the Release in `retire`: the receiver is done with the link.
        // SAFETY: the ring is there until this is done.
        if unsafe { &*place }.state.swap(state, order) == WATCHED {
            self.list(ready);
        }
    }

    /// Puts the lane on the ready list, which wakes the receiver if it sleeps. Its waker may panic.
    #[cold]
    fn list(&self, ready: &impl ReadyQueue<T>) {
        self.link.set_stamp();
        // SAFETY: the receiver has given the lane up, and only the one who found that comes here. If the list is closed,
        // the receiver has the lane by the registry.
        let _ = unsafe { ready.push(self.as_link()) };
    }

    /// Makes more permits by a larger ring, or finds that somebody else has changed the word. `false` when there can be
    /// no more, or no memory for them.
    fn grow(&self, ready: &impl ReadyQueue<T>, mut word: Word) -> bool {
        if !self.can_grow(word) {
            return false;
        }
        let position = Position::unpack(word.owners());
        let ring = position.ring + 1;
        if !self.open_ring(ring) {
            return false;
        }
        let first = Position { ring, place: 0 };
        let more = self.size(ring) - self.size(position.ring);
        loop {
            let now = Position::unpack(word.owners());
            if now.ring != position.ring || word.is_closed() {
                return true;
            }
            let new = word.more(more).with_owners(first.pack());
            match self.permits.exchange(word, new) {
                Ok(()) => {
                    self.turned(ready, now, word);
                    return true;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Claims were turned from this position to the next ring.
    fn turned(&self, ready: &impl ReadyQueue<T>, from: Position, word: Word) {
        if from.ring > 0 {
            // ORDERING: Relaxed; for counting.
            self.ends[from.ring].store(from.place, Ordering::Relaxed);
        }
        let mut all = WakeAll::default();
        if from.ring > 0 {
            // SAFETY: the exchange took the position, so the place is this producer's, and its ring is there.
            all.run(|| unsafe { self.publish(ready, self.place(from), NEXT) });
        }
        if word.has_waiters() {
            all.run(|| self.permits.serve());
        }
        all.done();
    }

    /// Makes sure that there is a ring of this number. `false` when there is no memory for it.
    fn open_ring(&self, number: usize) -> bool {
        // ORDERING: Acquire: who turns claims to the ring releases it to those who claim.
        if !self.rings[number].load(Ordering::Acquire).is_null() {
            return true;
        }
        let len = self.size(number) + 1;
        let Some(places) = ring::allocate::<T>(len) else {
            return false;
        };
        if number == 1 {
            // The receiver does not know the lane yet.
            // SAFETY: nobody else has seen these.
            unsafe { &*places }.state.store(WATCHED, Ordering::Relaxed);
        }
        // ORDERING: Release pairs with the Acquire of those who use the ring. Acquire on failure, as above.
        let exchange = self.rings[number].compare_exchange(
            ptr::null_mut(),
            places,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if exchange.is_err() {
            // SAFETY: nobody else has seen these.
            unsafe { ring::free(places, len) };
        }
        true
    }
}
