//! The producer's end of a lane.

use std::{
    fmt,
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr::{self, NonNull},
    task::Waker,
};

use super::{
    CLOSING, IDLE, Lane, LaneId, QUEUED, QUEUED_SLOT, RingSegment, SEALED, SEALED_ALL, UNFENCED,
    list::ReadyQueue,
};
use crate::sync::{
    AtomicPtr, Mutex, Ordering, UnsafeCell, lock, membarrier, mutant,
    ring::{RingProducer, ring},
    store_load_fence,
    wake_cell::WakerIndex,
};

/// The half of a lane that sends. It must be closed before it is forgotten.
pub(crate) struct LaneTx<T> {
    lane: NonNull<Lane<T>>,
    rings: Option<Box<Rings<T>>>,
}

/// The rings of a lane as the producer sees them.
struct Rings<T> {
    current: RingProducer<T>,
    /// Smaller ones that the receiver may not have emptied yet.
    older: Vec<RingProducer<T>>,
    /// The receiver's end of `current`.
    segment: NonNull<RingSegment<T>>,
    /// Something was pushed since the rings were last known to be empty.
    dirty: bool,
    /// Held to count from `&self`: the count refreshes positions that are not atomic.
    count: Mutex<()>,
}

// SAFETY: the lane's shared segment is `Send + Sync` for `T: Send`; the rest is used through `&mut self`, or
// under the lock.
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

    pub(crate) fn id(&self) -> LaneId<T> {
        LaneId(self.lane)
    }

    #[inline]
    fn lane(&self) -> &Lane<T> {
        // SAFETY: the producer holds its half until `close`.
        unsafe { self.lane.as_ref() }
    }

    /// The right to send a message with the lane itself: when the receiver has taken all that was sent and
    /// given the lane up.
    #[inline]
    pub(crate) fn clear(&mut self) -> Option<ClearLane<'_, T>> {
        // ORDERING: Relaxed; only saves the look at the rings.
        if self.lane().state.load(Ordering::Relaxed) != IDLE {
            return None;
        }
        if let Some(rings) = &mut self.rings
            && rings.dirty
        {
            if rings.used() > 0 {
                return None;
            }
            rings.dirty = false;
            // The rings were looked at first: having seen them empty, this cannot see an *idle* from
            // before the receiver came back to empty them.
        }
        // ORDERING: Acquire pairs with the Release of *idle*: the slot has been read.
        (self.lane().state.load(Ordering::Acquire) == IDLE).then_some(ClearLane(self))
    }

    /// Messages that the receiver has not taken.
    pub(crate) fn used(&mut self) -> usize {
        self.rings.as_mut().map_or(0, |rings| rings.used()) + self.used_slot()
    }

    /// The same, from a shared reference.
    pub(crate) fn count(&self) -> usize {
        let rings = self.rings.as_ref().map_or(0, |rings| {
            let _guard = lock(&rings.count);
            rings.current.used() + rings.older.iter().map(RingProducer::used).sum::<usize>()
        });
        rings + self.used_slot()
    }

    #[inline]
    fn used_slot(&self) -> usize {
        // ORDERING: Acquire pairs with the Release of the receiver that has read the slot.
        usize::from(self.lane().state.load(Ordering::Acquire) == QUEUED_SLOT)
    }

    /// Sends a message through the ring. Gives it back when the channel is closed.
    ///
    /// The lane must have room for it. `first` and `limit` are the sizes of the smallest and largest ring.
    #[inline]
    pub(crate) fn send_ring(
        &mut self,
        ready: &impl ReadyQueue<T>,
        first: usize,
        limit: usize,
        message: T,
    ) -> Result<(), T> {
        // Before the message is copied: if this panics, it is dropped.
        let rings = self.rings_or_open(first, limit);
        let message = MaybeUninit::new(message);
        // SAFETY: a bitwise copy; only one of the two is used as a message, as `publish` says.
        let mut copy = unsafe { ptr::read(&message) };
        loop {
            match rings.current.push(copy) {
                Ok(()) => break,
                Err(back) => {
                    // SAFETY: the copy was not pushed, and is not used if this panics.
                    copy = unsafe { rings.grow_for(limit, back) };
                }
            }
        }
        if self.publish(ready, 1) == 1 {
            Ok(())
        } else {
            // SAFETY: the message was not accepted: nobody reads the copy in the ring, which is dead.
            Err(unsafe { message.assume_init() })
        }
    }

    /// Sends the first `count` messages of `items` through the ring, all in one publication if the ring
    /// has grown to it, and removes those that were accepted from `items`: all, unless the channel closed.
    ///
    /// If a ring cannot be allocated, those that were pushed before are sent, and the others are still in `items`.
    ///
    /// The lane must have room for them, and `items` at least as many.
    pub(crate) fn send_ring_vec(
        &mut self,
        ready: &impl ReadyQueue<T>,
        first: usize,
        limit: usize,
        items: &mut Vec<T>,
        count: usize,
    ) -> usize {
        let len = items.len();
        assert!(count <= len, "a batch of {count} from {len} messages");
        let source = items.as_mut_ptr();
        // SAFETY: shrinks; `rest` makes up for it.
        unsafe { items.set_len(0) };
        // A waker may panic once the messages are the receiver's: the others are still here.
        let mut rest = Rest {
            items,
            len,
            accepted: 0,
        };
        let mut pushed = 0;
        while pushed < count {
            let rings = self.rings_or_open(first, limit);
            // SAFETY: `source` has `count` messages, of which `pushed` are spoken for.
            let went = unsafe { rings.current.push_from(source.add(pushed), count - pushed) };
            pushed += went;
            rest.accepted = pushed;
            if pushed < count
                && went == 0
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| rings.grow(limit)))
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
    fn rings_or_open(&mut self, first: usize, limit: usize) -> &mut Rings<T> {
        if self.rings.is_none() {
            self.open_rings(first.min(limit));
        }
        let Some(rings) = &mut self.rings else {
            unreachable!("the ring was opened above")
        };
        rings.dirty = true;
        rings
    }

    #[cold]
    fn open_rings(&mut self, size: usize) {
        let (current, segment) = RingSegment::new(size);
        // ORDERING: Release pairs with the Acquire of the receiver's look.
        self.lane().ring.store(segment.as_ptr(), Ordering::Release);
        let count = Mutex::new(());
        self.rings = Some(Box::new(Rings {
            current,
            older: Vec::new(),
            segment,
            dirty: false,
            count,
        }));
    }

    /// Makes sure that the receiver sees the `count` messages that were just pushed to the ring, and says
    /// how many it accepted: all, unless the channel closed.
    #[inline]
    fn publish(&mut self, ready: &impl ReadyQueue<T>, count: usize) -> usize {
        // Pairs with the heavy fence by which the receiver fences its lanes again: either this sees the state that it
        // left before that, or the receiver sees the messages after it.
        if membarrier::is_possible() {
            membarrier::light_fence();
            // ORDERING: Acquire as below.
            if self.lane().state.load(Ordering::Acquire) == UNFENCED {
                return count;
            }
        }
        // Pairs with the fences in `LaneRx::retire` and `LaneRx::seal`: either this sees the state that
        // the receiver left, or the receiver sees the messages.
        store_load_fence!("send_fence");
        // ORDERING: Acquire pairs with the Release of *idle*, *closing* and *sealed*, so that the ring's
        // positions below are those that the receiver left.
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
                // Messages from before these were accepted because the receiver was sure to see them:
                // it has not popped them, so it is about to take the lane back, and will see these too
                // when it next gives the lane up.
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
                // ORDERING: Release pairs with the receiver's failed exchange: all that was pushed is
                // visible to it. Acquire, on failure, for the positions of a sealed ring.
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

    /// How many of the last `count` messages the receiver has taken from a lane that it will not look into
    /// again. The others are the sender's, and the rings with them are dead.
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

    /// Puts a clear lane on the ready list with nothing in it. `false` when the channel is closed.
    #[cold]
    pub(crate) fn list(&mut self, ready: &impl ReadyQueue<T>) -> bool {
        self.requeue(ready)
    }

    /// Puts an idle lane on the ready list, unless the receiver takes it back first. `false` when the
    /// channel is closed, and the lane with all that is in it the producer's.
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
        // SAFETY: the exchange turned the state from idle to queued.
        let pushed = unsafe { ready.push(self.lane) }.is_ok();
        if !pushed {
            // ORDERING: Relaxed; the receiver has closed and does not know the lane.
            self.lane().state.store(IDLE, Ordering::Relaxed);
        }
        pushed
    }

    /// Asks to be woken when there is room, or the channel closes. `false` when the receiver is just
    /// waking this producer: it should try again.
    ///
    /// The caller looks for room, and whether the channel is closed, again afterwards.
    pub(crate) fn wait(&mut self, waker: &Waker) -> bool {
        self.stop_waiting();
        let lane = self.lane();
        // SAFETY: only the producer waits here, and its flag is down.
        let Some(slot) = (unsafe { lane.wake.prepare(waker) }) else {
            return false;
        };
        // ORDERING: Release pairs with the Acquire of the receiver's swap: the waker is written.
        lane.waiting.store(slot as u8 + 1, Ordering::Release);
        // Pairs with the fences in `LaneRx::make_room`, `LaneRx::retire` and `Inbox::close`: either the
        // receiver sees that this producer waits, or the producer sees the room.
        store_load_fence!("room_fence_tx");
        true
    }

    /// Takes the waiting flag down, if the receiver has not.
    #[inline]
    pub(crate) fn stop_waiting(&mut self) {
        let lane = self.lane();
        // ORDERING: Relaxed; only the producer puts the flag up.
        if lane.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        // ORDERING: Relaxed; the flag is the producer's own, and who takes it down wakes.
        match lane.waiting.swap(0, Ordering::Relaxed) {
            0 => {}
            1 => lane.wake.cancel(WakerIndex::First),
            _ => lane.wake.cancel(WakerIndex::Second),
        }
    }

    /// Ends the lane: the receiver takes what is left in it, then frees it. `Some` when it can be freed
    /// right away.
    pub(crate) fn close(mut self, ready: &impl ReadyQueue<T>) -> Option<Box<Lane<T>>> {
        self.stop_waiting();
        let lane = self.lane();
        // ORDERING: Release pairs with the Acquire in `LaneRx::retire`: all that was pushed is visible.
        lane.gone.store(true, Ordering::Release);
        // Pairs with the fence in `LaneRx::retire`: either this sees *idle*, or the receiver sees that
        // the producer has gone.
        store_load_fence!("gone_fence");
        // ORDERING: Acquire as in `publish`.
        let idle = lane.state.load(Ordering::Acquire) == IDLE;
        let (known, lane) = (
            // The receiver is about to take a lane back that has accepted messages in it.
            !idle || self.rings_used() > 0 || self.requeue(ready),
            self.lane,
        );
        if !known {
            // The receiver has closed without knowing of this lane: its half is nobody's.
            // SAFETY: the producer acts for both halves here, and this is the receiver's.
            let freed = unsafe { Lane::release(lane) };
            debug_assert!(freed.is_none());
        }
        // SAFETY: the producer's half; `self` is gone after this.
        unsafe { Lane::release(lane) }
    }
}

/// What is left of a batch: moves it to the front of the vector.
struct Rest<'a, T> {
    /// Of length zero meanwhile.
    items: &'a mut Vec<T>,
    /// Messages before the send.
    len: usize,
    /// So many from the front are the receiver's.
    accepted: usize,
}

impl<T> Drop for Rest<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let source = self.items.as_mut_ptr();
        let left = self.len - self.accepted;
        // SAFETY: the vector had `len` messages, and all but the first `accepted` are still there.
        unsafe {
            source.copy_from(source.add(self.accepted), left);
            self.items.set_len(left);
        }
    }
}

/// A lane that nothing is in, and that the receiver does not know; see [`LaneTx::clear`].
pub(crate) struct ClearLane<'a, T>(&'a mut LaneTx<T>);

impl<T> ClearLane<'_, T> {
    /// Sends the one message with the lane. Gives it back when the channel is closed.
    #[inline]
    pub(crate) fn send(self, ready: &impl ReadyQueue<T>, message: T) -> Result<(), T> {
        let lane = self.0.lane();
        // SAFETY: the lane is idle and its rings are empty, so the receiver has no business in it.
        lane.slot.with_mut(|slot| unsafe { (*slot).write(message) });
        // ORDERING: Relaxed; the push publishes it. No exchange is needed: the receiver turns *idle*
        // back only for what is in the rings.
        lane.state.store(QUEUED_SLOT, Ordering::Relaxed);
        lane.stamp.set();
        // SAFETY: the state has just been turned from idle to queued by the only one who may.
        if unsafe { ready.push(self.0.lane) }.is_ok() {
            return Ok(());
        }
        lane.state.store(IDLE, Ordering::Relaxed);
        // SAFETY: the push failed, so the message was not handed over.
        Err(lane.slot.with(|slot| unsafe { (*slot).assume_init_read() }))
    }
}

impl<T> Rings<T> {
    /// Messages in all rings, and forgets rings that are empty for good.
    fn used(&mut self) -> usize {
        if !self.older.is_empty() {
            self.older.retain(|ring| ring.used() > 0);
        }
        self.current.used()
            + self
                .older
                .iter()
                .map(RingProducer::used_at_most)
                .sum::<usize>()
    }

    /// [`grow`](Self::grow) for a message that the ring has refused, and gives the message back; drops it if this
    /// panics.
    ///
    /// # Safety
    ///
    /// `message` must be initialised, and no other copy of it used if this panics.
    #[cold]
    unsafe fn grow_for(&mut self, limit: usize, message: MaybeUninit<T>) -> MaybeUninit<T> {
        // SAFETY: initialised by this function's contract.
        let message = unsafe { message.assume_init() };
        self.grow(limit);
        MaybeUninit::new(message)
    }

    /// Opens a ring of twice the size, up to `limit`, for what comes next.
    #[cold]
    fn grow(&mut self, limit: usize) {
        let size = (self.current.capacity() * 2).min(limit);
        let (producer, segment) = RingSegment::new(size);
        // SAFETY: the receiver frees a segment only after it has seen the next one linked.
        // ORDERING: Release pairs with the Acquire in `LaneRx::advance`.
        unsafe { self.segment.as_ref() }
            .next
            .store(segment.as_ptr(), Ordering::Release);
        self.segment = segment;
        self.older
            .push(std::mem::replace(&mut self.current, producer));
    }
}

impl<T> RingSegment<T> {
    fn new(size: usize) -> (RingProducer<T>, NonNull<Self>) {
        #[cfg(all(test, not(loom)))]
        super::tests::allocate_ring();
        let (producer, consumer) = ring(size);
        let segment = Box::new(Self {
            consumer: UnsafeCell::new(consumer),
            next: AtomicPtr::new(ptr::null_mut()),
        });
        (producer, NonNull::from(Box::leak(segment)))
    }
}

impl<T> fmt::Debug for LaneTx<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LaneTx").field(self.lane()).finish()
    }
}
