//! The receiver's end of a lane.

use std::{fmt, mem, ptr::NonNull};

use super::{
    CLOSING, IDLE, Lane, QUEUED, QUEUED_SLOT, RingSegment, SEALED, SEALED_ALL, SHARED, UNFENCED,
    held::Held,
};
#[cfg(feature = "quanta")]
use crate::delay::Stamp;
use crate::sync::{Ordering, mutant, store_load_fence};

/// A lane that the receiver holds: taken from the ready list, and not given up yet.
pub(crate) struct LaneRx<T> {
    lane: NonNull<Lane<T>>,
    /// Where the next message is.
    front: Front,
    /// The producer sends without a fence.
    unfenced: bool,
    /// The producer has claimed for the receiver all that it pushed, although the channel closed.
    sealed_all: bool,
    /// The producer waited for room and was woken, since `take_woken`.
    woken: bool,
    /// Messages received since the receiver last checked whether the producer waits for room.
    taken: usize,
}

/// Where the next message of a lane is. One word, because every receive looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Front {
    /// In a ring.
    Ring,
    /// In the slot; it comes before those in the rings.
    Slot,
    /// Elsewhere: this is the link of a lane with many producers. It holds nothing itself, and must not be
    /// retired or sealed.
    Shared,
}

/// What became of a lane that was found empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Emptied {
    /// Given up: the producer lists it when it sends again. Wake the producer if it waits, and do
    /// not use the lane.
    Idle,
    /// A message came meanwhile: the lane is still the receiver's.
    Kept,
    /// Ended, with nothing more to come: the receiver must release its half.
    Finished,
}

impl<T> LaneRx<T> {
    /// Takes a lane from a list.
    ///
    /// # Safety
    ///
    /// The lane must come from the ready list or from one of the receiver's own lists, and no other
    /// `LaneRx` may be in use for it.
    #[inline]
    pub(crate) unsafe fn new(lane: NonNull<Lane<T>>) -> Self {
        // SAFETY: the lists contain valid lanes.
        // ORDERING: Relaxed; taking the list acquired it, and from there only the receiver changes
        // it.
        let state = unsafe { lane.as_ref() }.state.load(Ordering::Relaxed);
        Self {
            lane,
            front: match state {
                QUEUED_SLOT => Front::Slot,
                SHARED => Front::Shared,
                _ => Front::Ring,
            },
            unfenced: state == UNFENCED,
            sealed_all: state == SEALED_ALL,
            woken: false,
            taken: 0,
        }
    }

    #[inline]
    fn lane(&self) -> &Lane<T> {
        // SAFETY: the receiver holds its half as long as it has this.
        unsafe { self.lane.as_ref() }
    }

    /// The lane itself, for the receiver's own lists.
    #[inline]
    pub(crate) fn as_lane(&self) -> NonNull<Lane<T>> {
        self.lane
    }

    /// What the lane has borrowed ahead.
    #[inline]
    pub(crate) fn held(&self) -> &Held {
        &self.lane().held
    }

    /// Whether this is the link of a lane with many producers.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        self.front == Front::Shared
    }

    /// When the lane was pushed onto the ready list.
    #[cfg(feature = "quanta")]
    pub(crate) fn stamp(&self) -> &Stamp {
        &self.lane().stamp
    }

    /// Whether the next message can only be in a ring.
    #[inline]
    pub(crate) fn is_at_ring(&self) -> bool {
        self.front == Front::Ring
    }

    /// Pops the oldest message.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        match self.pop_slot() {
            Some(message) => Some(message),
            None => self.pop_ring(),
        }
    }

    /// Appends up to `limit` of the oldest messages to `into`, and returns how many.
    #[inline]
    pub(crate) fn pop_into(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        let mut count = 0;
        if limit > 0 && self.has_slot() {
            into.extend(self.pop_slot());
            count = 1;
        }
        while count < limit {
            let Some(segment) = self.segment() else { break };
            // SAFETY: the receiver holds the lane, and with it the consumer.
            let popped = segment
                .consumer
                .with_mut(|ring| unsafe { (*ring).pop_into(into, limit - count) });
            count += popped;
            if popped == 0 && !self.advance() {
                break;
            }
        }
        count
    }

    #[inline]
    fn has_slot(&self) -> bool {
        self.front == Front::Slot
    }

    #[inline]
    fn pop_slot(&mut self) -> Option<T> {
        if !self.has_slot() {
            return None;
        }
        self.front = Front::Ring;
        // SAFETY: the state was `QUEUED_SLOT` when the receiver took the lane, so the producer has
        // written the slot, and leaves it alone until the lane is idle.
        let message = self
            .lane()
            .slot
            .with(|slot| unsafe { (*slot).assume_init_read() });
        // ORDERING: Release: the slot has been read. From here the producer counts it as free.
        self.lane().state.store(QUEUED, Ordering::Release);
        Some(message)
    }

    /// Pops the oldest message of the rings.
    #[inline]
    pub(crate) fn pop_ring(&mut self) -> Option<T> {
        loop {
            // SAFETY: the receiver holds the lane, and with it the consumer.
            let message = self
                .segment()?
                .consumer
                .with_mut(|ring| unsafe { (*ring).pop() });
            if message.is_some() {
                return message;
            }
            if !self.advance() {
                return None;
            }
        }
    }

    /// The ring that is being read.
    #[inline]
    fn segment(&self) -> Option<&RingSegment<T>> {
        // ORDERING: Acquire pairs with the Release by which the producer opens the first ring.
        // SAFETY: a segment lives until the receiver moves on from it.
        unsafe { self.lane().ring.load(Ordering::Acquire).as_ref() }
    }

    /// Moves on to the next ring, once the present one is permanently empty. `false` if there
    /// is none; `true` also if the present ring turns out to have a message after all.
    #[cold]
    fn advance(&mut self) -> bool {
        let Some(segment) = self.segment() else {
            return false;
        };
        let acquire = if mutant("growth_acquire") {
            Ordering::Relaxed
        } else {
            Ordering::Acquire
        };
        // ORDERING: Acquire pairs with the Release by which the producer links the next ring: all
        // that it pushed to this ring before is visible, so one more look decides.
        let next = segment.next.load(acquire);
        if next.is_null() {
            return false;
        }
        // SAFETY: the receiver holds the lane, and with it the consumer.
        if !mutant("growth_look") && segment.consumer.with(|ring| unsafe { (*ring).len() }) > 0 {
            return true;
        }
        // ORDERING: Relaxed; the producer reads `ring` only to open the first.
        let old = self.lane().ring.swap(next, Ordering::Relaxed);
        // SAFETY: segments come from boxes; the producer stopped using this one when it linked the
        // next.
        let old = unsafe { Box::from_raw(old) };
        // SAFETY: the producer has written this before it linked the next ring.
        if let Some(left) = old.left.with(|left| unsafe { &*left }) {
            // SAFETY: this is the receiver, which has emptied the ring.
            unsafe { left.emptied() };
        }
        true
    }

    /// Messages in the lane, by a look at the producer's position.
    pub(crate) fn backlog(&self) -> usize {
        let mut count = usize::from(self.has_slot());
        let mut segment = self.segment();
        while let Some(ring) = segment {
            // SAFETY: the receiver holds the lane, and with it the consumers of all its rings.
            count += ring.consumer.with(|ring| unsafe { (*ring).len() });
            // ORDERING: Acquire as in `advance`. SAFETY: linked segments live until the receiver
            // moves past them.
            segment = unsafe { ring.next.load(Ordering::Acquire).as_ref() };
        }
        count
    }

    /// Whether there is, or may be, a message in the rings.
    pub(crate) fn has_more(&self) -> bool {
        let Some(segment) = self.segment() else {
            return false;
        };
        // ORDERING: Acquire as in `advance`. SAFETY: the receiver alone uses the consumer.
        segment.consumer.with(|ring| unsafe { (*ring).len() }) > 0
            || !segment.next.load(Ordering::Acquire).is_null()
    }

    /// Records that `messages` were received.
    #[inline]
    pub(crate) fn record_taken(&mut self, messages: usize) {
        self.taken += messages;
    }

    /// How many more messages to receive before the next check at `enough` messages; if that check
    /// is due, before the one after it.
    #[inline]
    pub(crate) fn until_check(&self, enough: usize) -> usize {
        match enough.saturating_sub(self.taken) {
            0 => enough,
            more => more,
        }
    }

    /// Wakes a producer that waits for room, if at least `enough` messages were received since the
    /// last check.
    ///
    /// A waker may panic, so the lane must be where it belongs before this is called; likewise for
    /// `wake_waiting`.
    #[inline]
    pub(crate) fn wake_if_room(&mut self, enough: usize) {
        if self.taken < enough {
            return;
        }
        self.taken = 0;
        // Pairs with the fence in `LaneTx::wait`: either the producer sees the room, or this sees
        // that it waits.
        store_load_fence!("room_fence_rx");
        self.woken |= self.lane().wake_waiting();
    }

    /// Whether the producer was woken since the last call.
    pub(crate) fn take_woken(&mut self) -> bool {
        mem::take(&mut self.woken)
    }

    /// Wakes the producer if it waits for room, and returns whether it did.
    ///
    /// The caller must have given the lane up, or closed the channel, and then passed a fence.
    pub(crate) fn wake_waiting(&self) -> bool {
        self.lane().wake_waiting()
    }

    /// Lets the producer send without a fence. `false` if that is not possible now.
    pub(crate) fn set_unfenced(&mut self) -> bool {
        if self.front != Front::Ring || self.sealed_all || self.unfenced {
            return false;
        }
        self.unfenced = true;
        // ORDERING: Relaxed; the lane is the receiver's, and stays so until `set_fenced`.
        self.lane().state.store(UNFENCED, Ordering::Relaxed);
        true
    }

    #[inline]
    pub(crate) fn is_unfenced(&self) -> bool {
        self.unfenced
    }

    /// Makes the producer pass its fences again. It is certain to do so only after a heavy fence.
    pub(crate) fn set_fenced(&mut self) {
        if self.unfenced {
            self.unfenced = false;
            // ORDERING: Relaxed; the heavy fence comes after it.
            self.lane().state.store(QUEUED, Ordering::Relaxed);
        }
    }

    /// What becomes of an empty lane if its producer is gone; `None` if it is not.
    #[inline]
    pub(crate) fn ended(&self) -> Option<Emptied> {
        // ORDERING: Acquire pairs with the Release in `LaneTx::close`: all that was pushed is
        // visible.
        if !self.lane().gone.load(Ordering::Acquire) {
            return None;
        }
        Some(if self.has_more() {
            Emptied::Kept
        } else {
            Emptied::Finished
        })
    }

    /// Gives up an empty lane, so that the producer lists it when it sends again.
    ///
    /// # Safety
    ///
    /// With `Idle` the lane is no longer the receiver's, and the producer must be woken if it
    /// waits. With `Finished` the receiver's half must be released.
    #[inline]
    pub(crate) unsafe fn retire(&mut self) -> Emptied {
        debug_assert!(self.front == Front::Ring);
        self.taken = 0;
        if let Some(emptied) = self.ended() {
            return emptied;
        }
        debug_assert!(!self.unfenced);
        let lane = self.lane();
        // ORDERING: Release: the slot and the ring have been read; pairs with the Acquire in
        // `LaneTx::clear` and in `LaneTx::publish`.
        lane.state.store(IDLE, Ordering::Release);
        // From here the lane may be on the ready list again at any moment. The receiver still reads
        // its atomics, and the consumers of its rings, which are the receiver's whatever the state
        // is; nobody frees the lane before it comes back to the receiver.
        //
        // Pairs with the fences in `LaneTx::publish` and `LaneTx::close`: either the producer sees
        // *idle*, or this sees what it pushed.
        store_load_fence!("retire_fence");
        // ORDERING: Acquire as above.
        let gone = lane.gone.load(Ordering::Acquire);
        if !gone && !self.has_more() {
            return Emptied::Idle;
        }
        // The producer may have seen *idle* too: the exchange decides who goes on.
        if mutant("retire_exchange") {
            lane.state.store(QUEUED, Ordering::Relaxed);
            // ORDERING: Relaxed is enough to win; what the receiver then reads, it acquires
            // elsewhere.
        } else if lane
            .state
            .compare_exchange(IDLE, QUEUED, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
        {
            return Emptied::Idle;
        }
        if gone && !self.has_more() {
            Emptied::Finished
        } else {
            Emptied::Kept
        }
    }

    /// Ends an empty lane of a closed channel, or finds that a message was accepted meanwhile.
    ///
    /// # Safety
    ///
    /// The channel must be closed. With `Finished` the receiver's half must be released.
    pub(crate) unsafe fn seal(&mut self) -> Emptied {
        debug_assert!(self.front == Front::Ring && !self.unfenced);
        if self.sealed_all {
            return Emptied::Finished;
        }
        let lane = self.lane();
        // ORDERING: Release: the ring has been read, and the channel was closed before.
        lane.state.store(CLOSING, Ordering::Release);
        // Pairs with the fence in `LaneTx::publish`: either the producer sees *closing*, or this
        // sees what it pushed.
        store_load_fence!("seal_fence");
        let more = self.has_more();
        let next = if more { QUEUED } else { SEALED };
        if mutant("seal_exchange") {
            lane.state.store(next, Ordering::Release);
            return if more {
                Emptied::Kept
            } else {
                Emptied::Finished
            };
        }
        // ORDERING: Release: the receiver does not touch the ring after it has sealed. Acquire, on
        // failure: pairs with the producer's Release exchange, so that all that it pushed is
        // visible.
        match lane
            .state
            .compare_exchange(CLOSING, next, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) if more => Emptied::Kept,
            Ok(_) => Emptied::Finished,
            Err(_) => {
                self.sealed_all = true;
                if self.has_more() {
                    Emptied::Kept
                } else {
                    Emptied::Finished
                }
            }
        }
    }
}

impl<T> fmt::Debug for LaneRx<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LaneRx").field(self.lane()).finish()
    }
}
