//! The producer's end of a lane.

use std::{
    fmt,
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr::{self, NonNull},
    task::Waker,
};

use super::{
    CLOSING, IDLE, Lane, LaneId, QUEUED, QUEUED_SLOT, SEALED, SEALED_ALL, UNFENCED, held::Held,
    list::ReadyQueue, rings::Rings,
};
use crate::{
    config::Config,
    error::TrySendError,
    sync::{
        Ordering, membarrier, mutant, store_load_fence, wake_all::WakeAll, wake_cell::WakerIndex,
    },
};

/// The producer's half of a lane. It must be closed before it is dropped.
pub(crate) struct LaneTx<T> {
    lane: NonNull<Lane<T>>,
    rings: Option<Box<Rings<T>>>,
}

// SAFETY: the shared part of the lane is `Send + Sync` for `T: Send`; the rest is used through
// `&mut self`, or under the lock.
unsafe impl<T: Send> Send for LaneTx<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for LaneTx<T> {}

impl<T> LaneTx<T> {
    pub(crate) fn new(lane: Box<Lane<T>>) -> Self {
        Self {
            lane: NonNull::from(Box::leak(lane)),
            rings: None,
        }
    }

    /// What the lane has borrowed ahead.
    #[inline]
    pub(crate) fn held(&self) -> &Held {
        &self.lane().held
    }

    pub(crate) fn id(&self) -> LaneId<T> {
        LaneId(self.lane)
    }

    #[inline]
    fn lane(&self) -> &Lane<T> {
        // SAFETY: the producer holds its half until `close`.
        unsafe { self.lane.as_ref() }
    }

    /// The right to send a message in the lane's slot: given if the receiver has taken all that was
    /// sent, and has given the lane up.
    #[inline]
    pub(crate) fn clear(&mut self) -> Option<ClearLane<'_, T>> {
        // ORDERING: Relaxed; this only saves the look at the rings.
        if self.lane().state.load(Ordering::Relaxed) != IDLE {
            return None;
        }
        if let Some(rings) = &mut self.rings
            && !rings.are_clear()
        {
            return None;
        }
        // The rings were looked at first: having seen them empty, this cannot read an *idle* from
        // before the receiver came back to empty them.
        // ORDERING: Acquire pairs with the Release of *idle*: the slot has been read.
        (self.lane().state.load(Ordering::Acquire) == IDLE).then_some(ClearLane(self))
    }

    /// Messages that the receiver has not taken.
    pub(crate) fn used(&mut self) -> usize {
        self.rings.as_mut().map_or(0, |rings| rings.used()) + self.used_slot()
    }

    /// As `used`, through a shared reference.
    pub(crate) fn count(&self) -> usize {
        let rings = self.rings.as_ref().map_or(0, |rings| rings.count());
        rings + self.used_slot()
    }

    /// Whether it has a ring.
    pub(crate) fn has_ring(&self) -> bool {
        self.rings.is_some()
    }

    /// Records that the last `messages` messages of the producer did not use the ring, unless some did, and says whether
    /// `enough` in a row did without.
    pub(crate) fn is_quiet(&mut self, messages: u32, enough: u32) -> bool {
        self.rings
            .as_mut()
            .is_some_and(|rings| rings.are_quiet(messages, enough))
    }

    #[inline]
    fn used_slot(&self) -> usize {
        // ORDERING: Acquire pairs with the Release of the receiver that has read the slot.
        usize::from(self.lane().state.load(Ordering::Acquire) == QUEUED_SLOT)
    }

    /// Sends a message through the ring, or returns it if the channel is closed; or if the lane has no
    /// bound, and there is no memory for its next ring.
    ///
    /// The lane must have room for it.
    #[inline]
    pub(crate) fn send_ring(
        &mut self,
        ready: &impl ReadyQueue<T>,
        config: &Config,
        message: T,
    ) -> Result<(), TrySendError<T>> {
        // Before the message is copied: if this panics, it is dropped.
        let rings = self.rings_or_open(config);
        let message = MaybeUninit::new(message);
        // SAFETY: a bitwise copy; only one of the two is used as a message, as the result of
        // `publish` says.
        let copy = unsafe { ptr::read(&message) };
        if let Err(copy) = rings.current().push(copy) {
            // SAFETY: the copy was not pushed; the original is used only if it was not pushed then, either.
            let pushed = unsafe { rings.push_to_next(copy) };
            if !pushed {
                // SAFETY: it was not pushed.
                return Err(unsafe { not_sent(message, TrySendError::Full) });
            }
        }
        if self.publish(ready, 1) == 1 {
            Ok(())
        } else {
            // SAFETY: the message was not accepted, so nobody reads the copy in the ring.
            Err(unsafe { not_sent(message, TrySendError::Closed) })
        }
    }

    /// Sends the first `count` messages of `items` through the ring, with one publication if the
    /// ring is large enough, and removes those that were accepted from `items`: all of them, unless
    /// the channel is closed.
    ///
    /// If a ring cannot be allocated, those that were pushed before are sent, and the others are
    /// still in `items`.
    ///
    /// The lane must have room for them, and `items` must hold at least `count`.
    pub(crate) fn send_ring_vec(
        &mut self,
        ready: &impl ReadyQueue<T>,
        config: &Config,
        items: &mut Vec<T>,
        count: usize,
    ) -> usize {
        let len = items.len();
        assert!(count <= len, "a batch of {count} from {len} messages");
        let source = items.as_mut_ptr();
        // SAFETY: zero is not more than the length; `rest` restores the others.
        unsafe { items.set_len(0) };
        // A waker may panic after the messages were published: the others must survive that.
        let mut rest = Rest {
            items,
            len,
            accepted: 0,
        };
        let mut pushed = 0;
        while pushed < count {
            let rings = self.rings_or_open(config);
            // SAFETY: `source` has `count` messages, of which the first `pushed` are in the ring
            // already.
            let went = unsafe {
                rings
                    .current()
                    .push_from(source.add(pushed), count - pushed)
            };
            pushed += went;
            rest.accepted = pushed;
            if pushed < count
                && went == 0
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| rings.grow()))
            {
                if pushed > 0 {
                    rest.accepted = self.publish(ready, pushed);
                }
                resume_unwind(panic);
            }
        }
        if count > 0 {
            rest.accepted = self.publish(ready, count);
        }
        rest.accepted
    }

    #[inline]
    fn rings_or_open(&mut self, config: &Config) -> &mut Rings<T> {
        if self.rings.is_none() {
            self.open_rings(config);
        }
        let Some(rings) = &mut self.rings else {
            unreachable!("the ring was opened above")
        };
        rings.use_current();
        rings
    }

    #[cold]
    fn open_rings(&mut self, config: &Config) {
        let rings = Rings::open(config);
        // ORDERING: Release pairs with the Acquire of the receiver's look.
        self.lane()
            .ring
            .store(rings.segment().as_ptr(), Ordering::Release);
        self.rings = Some(Box::new(rings));
    }

    /// Makes sure that the receiver sees the `count` messages that were just pushed to the ring,
    /// and returns how many it accepted: all of them, unless the channel is closed.
    #[inline]
    fn publish(&mut self, ready: &impl ReadyQueue<T>, count: usize) -> usize {
        // Pairs with the heavy fence after which the receiver's lanes are fenced again: either this
        // sees the state stored before that fence, or the receiver sees the messages after it.
        if membarrier::is_possible() {
            membarrier::light_fence();
            // ORDERING: Acquire as below.
            if self.lane().state.load(Ordering::Acquire) == UNFENCED {
                return count;
            }
        }
        // Pairs with the fences in `LaneRx::retire` and `LaneRx::seal`: either this sees the state
        // that the receiver stored, or the receiver sees the messages.
        store_load_fence!("send_fence");
        // ORDERING: Acquire pairs with the Release of *idle*, *closing* and *sealed*, so that the
        // ring's positions below are those that the receiver left.
        match self.lane().state.load(Ordering::Acquire) {
            QUEUED | QUEUED_SLOT | UNFENCED => count,
            _ => self.publish_unseen(ready, count),
        }
    }

    #[cold]
    fn publish_unseen(&mut self, ready: &impl ReadyQueue<T>, count: usize) -> usize {
        let lane = self.lane;
        // SAFETY: the producer holds its half.
        let lane = unsafe { lane.as_ref() };
        // ORDERING: Acquire as in `publish`.
        match lane.state.load(Ordering::Acquire) {
            IDLE => {
                // Messages from before these were accepted because the receiver was certain to see
                // them. It has not popped them, so it is about to take the lane back, and will see
                // these too when it next gives the lane up.
                if !mutant("requeue_rule") && self.rings_used() > count {
                    return count;
                }
                if self.requeue(ready) {
                    count
                } else {
                    self.accepted_of(count)
                }
            }
            CLOSING if mutant("publish_exchange") => {
                lane.state.store(SEALED_ALL, Ordering::Release);
                count
            }
            CLOSING => {
                // ORDERING: Release pairs with the receiver's failed exchange: all that was pushed
                // is visible to it. Acquire, on failure, for the positions of a sealed ring.
                match lane.state.compare_exchange(
                    CLOSING,
                    SEALED_ALL,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                ) {
                    Err(SEALED) => self.accepted_of(count),
                    _ => count,
                }
            }
            SEALED => self.accepted_of(count),
            _ => count,
        }
    }

    /// How many of the last `count` messages the receiver has taken from a lane that it will not
    /// look into again. The others are the sender's, and the rings that hold them are discarded.
    fn accepted_of(&mut self, count: usize) -> usize {
        let refused = self.rings_used().min(count);
        if refused > 0 {
            self.rings = None;
        }
        count - refused
    }

    fn rings_used(&mut self) -> usize {
        self.rings.as_mut().map_or(0, |rings| rings.used())
    }

    /// Pushes a clear lane onto the ready list with no message in it. `false` if the channel is
    /// closed.
    #[cold]
    pub(crate) fn push_empty(&mut self, ready: &impl ReadyQueue<T>) -> bool {
        self.requeue(ready)
    }

    /// Pushes an idle lane onto the ready list, unless the receiver takes it back first. `false` if
    /// the channel is closed: then the lane and all that is in it are the producer's.
    fn requeue(&mut self, ready: &impl ReadyQueue<T>) -> bool {
        let lane = self.lane();
        if mutant("requeue_exchange") {
            lane.state.store(QUEUED, Ordering::Relaxed);
            // ORDERING: Acquire as in `publish`; the push publishes what is in the lane.
        } else if lane
            .state
            .compare_exchange(IDLE, QUEUED, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return true;
        }
        lane.stamp.set();
        // SAFETY: the exchange changed the state from idle to queued.
        let pushed = unsafe { ready.push(self.lane) }.is_ok();
        if !pushed {
            // ORDERING: Relaxed; the receiver has closed and does not know the lane.
            self.lane().state.store(IDLE, Ordering::Relaxed);
        }
        pushed
    }

    /// Asks to be woken when there is room, or when the channel closes. `false` if the receiver is
    /// waking this producer at this moment: try again.
    ///
    /// Afterwards the caller must check again for room, and whether the channel is closed.
    pub(crate) fn wait(&mut self, waker: &Waker) -> bool {
        let waited = self.stop_waiting();
        let lane = self.lane();
        let kept = waited.filter(|&slot| {
            // SAFETY: this is the producer, which has cleared its flag.
            unsafe { lane.wake.holds(slot, waker) }
        });
        let slot = match kept {
            Some(slot) => slot,
            None => {
                if let Some(slot) = waited {
                    // SAFETY: as above.
                    unsafe { lane.wake.release(slot) };
                }
                // SAFETY: only the producer waits here, and its flag is down.
                match unsafe { lane.wake.prepare(waker) } {
                    Some(slot) => slot,
                    None => return false,
                }
            }
        };
        // ORDERING: Release pairs with the Acquire of the receiver's swap: the waker is written.
        lane.waiting.store(slot as u8 + 1, Ordering::Release);
        // Pairs with the fences in `LaneRx::wake_if_room`, `LaneRx::retire` and `Inbox::close`: either
        // the receiver sees that this producer waits, or the producer sees the room.
        store_load_fence!("room_fence_tx");
        true
    }

    /// Ends a wait: the receiver does not wake this producer, and no waker is left in the lane, except
    /// one that the receiver is waking right now and then drops.
    #[cold]
    pub(crate) fn forget_waker(&mut self) {
        if let Some(index) = self.stop_waiting() {
            // SAFETY: this is the producer, which has cleared its flag.
            unsafe { self.lane().wake.release(index) };
        }
    }

    /// Clears the waiting flag, unless the receiver has, and returns the slot that it named.
    #[inline]
    fn stop_waiting(&mut self) -> Option<WakerIndex> {
        let lane = self.lane();
        // ORDERING: Relaxed; only the producer sets the flag.
        if lane.waiting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // ORDERING: Relaxed; the flag is the producer's own, and whoever clears it wakes.
        match lane.waiting.swap(0, Ordering::Relaxed) {
            0 => None,
            1 => Some(WakerIndex::First),
            _ => Some(WakerIndex::Second),
        }
    }

    /// Ends the lane: the receiver takes what is left in it, then frees it. `Some` if it can be
    /// freed at once. The receiver's waker is woken in `all`: it may panic.
    pub(crate) fn close(
        mut self,
        ready: &impl ReadyQueue<T>,
        all: &mut WakeAll,
    ) -> Option<Box<Lane<T>>> {
        self.forget_waker();
        let lane = self.lane();
        // ORDERING: Release pairs with the Acquire in `LaneRx::retire`: all that was pushed is
        // visible.
        lane.gone.store(true, Ordering::Release);
        // Pairs with the fence in `LaneRx::retire`: either this sees *idle*, or the receiver sees
        // that the producer is gone.
        store_load_fence!("gone_fence");
        // ORDERING: Acquire as in `publish`.
        let idle = lane.state.load(Ordering::Acquire) == IDLE;
        let lane = self.lane;
        let mut known = true;
        // If it is idle with messages in its rings, the receiver is about to take it back.
        if idle && self.rings_used() == 0 {
            // The waker comes after the push.
            all.run(|| known = self.requeue(ready));
        }
        if !known {
            // The receiver closed without knowing this lane, so nobody else will release its half.
            // SAFETY: the producer acts for both halves here, and this is the receiver's.
            let freed = unsafe { Lane::release(lane) };
            debug_assert!(freed.is_none());
        }
        // SAFETY: the producer's half; `self` is not used after this.
        unsafe { Lane::release(lane) }
    }
}

/// The error for a message that was not sent, in a frame of its own.
///
/// # Safety
///
/// The message must be initialised, and used nowhere else.
#[cold]
unsafe fn not_sent<T>(
    message: MaybeUninit<T>,
    why: impl FnOnce(T) -> TrySendError<T>,
) -> TrySendError<T> {
    // SAFETY: as this function's contract says.
    why(unsafe { message.assume_init() })
}

/// Restores the vector of a batch: moves what was not accepted to its front.
struct Rest<'a, T> {
    /// The vector, of length zero until the drop.
    items: &'a mut Vec<T>,
    /// Its length before the send.
    len: usize,
    /// How many messages from the front are the receiver's.
    accepted: usize,
}

impl<T> Drop for Rest<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let source = self.items.as_mut_ptr();
        let left = self.len - self.accepted;
        // SAFETY: the vector held `len` messages, and all but the first `accepted` are still in it.
        unsafe {
            source.copy_from(source.add(self.accepted), left);
            self.items.set_len(left);
        }
    }
}

/// A lane with nothing in it, which the receiver does not know; see [`LaneTx::clear`].
pub(crate) struct ClearLane<'a, T>(&'a mut LaneTx<T>);

impl<T> ClearLane<'_, T> {
    /// Sends one message in the lane's slot, or returns it if the channel is closed.
    #[inline]
    pub(crate) fn send(self, ready: &impl ReadyQueue<T>, message: T) -> Result<(), T> {
        let lane = self.0.lane();
        // SAFETY: the lane is idle and its rings are empty, so the receiver does not touch it.
        lane.slot.with_mut(|slot| unsafe { (*slot).write(message) });
        // ORDERING: Relaxed; the push publishes it. No exchange is needed: the receiver takes an
        // *idle* lane back only for what is in the rings.
        lane.state.store(QUEUED_SLOT, Ordering::Relaxed);
        lane.stamp.set();
        // SAFETY: the state was just changed from idle to queued by the only one who may.
        if unsafe { ready.push(self.0.lane) }.is_ok() {
            return Ok(());
        }
        lane.state.store(IDLE, Ordering::Relaxed);
        // SAFETY: the push failed, so the message was not handed over.
        Err(lane.slot.with(|slot| unsafe { (*slot).assume_init_read() }))
    }
}

impl<T> fmt::Debug for LaneTx<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LaneTx").field(self.lane()).finish()
    }
}
