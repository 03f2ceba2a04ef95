//! What the producers and the receiver of one class share: the ready list, the shared slots,
//! counts, and a pool of lanes.
//!
//! The first cache line holds the ready list, which is written whenever a lane or the receiver
//! changes between idle and active; the second is read often and never written; the rest serves
//! rare events. Lanes are not registered here: the receiver learns of a lane when it is pushed onto
//! the ready list.

pub(crate) mod bound;
mod head;
pub(crate) mod lane;
pub(crate) mod ready;
pub(crate) mod send_history;
pub(crate) mod shared_slots;

use std::{collections::BTreeMap, fmt, task::Waker};

use self::{
    bound::Bound,
    lane::{Lane, LaneId, tx::LaneTx},
    ready::ReadyList,
    send_history::SendHistory,
    shared_slots::SharedSlots,
};
use crate::{
    config::Config,
    sync::{
        Arc, AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Mutex, Ordering, lock,
        wake_all::WakeAll,
    },
};

/// Emits an event of the `tracing` feature at level trace, and nothing without it. Only for rare
/// paths.
macro_rules! trace {
    ($message:literal) => {
        #[cfg(feature = "tracing")]
        tracing::trace!(target: "lanemesh", $message);
    };
}

/// Lanes kept for reuse after their producers were dropped.
const POOL: usize = 32;

#[repr(C, align(64))]
pub(crate) struct FanIn<T> {
    // What a send needs comes first.
    pub(crate) ready: ReadyList<T>,
    pub(crate) shared_slots: SharedSlots<T>,
    closed: AtomicBool,
    /// A hint that `ColdState::pool` may hold a lane.
    has_pool: AtomicBool,
    pub(crate) config: Config,
    /// The slots that all lanes share, if one bound is set for them.
    pub(crate) bound: Option<Arc<Bound>>,
    counts: Counts,
    cold: Mutex<Option<Box<ColdState<T>>>>,
}

/// What most channels never need, allocated at first use.
struct ColdState<T> {
    /// Lanes of dropped producers, reset and ready for reuse; at most `POOL`.
    pool: Vec<Box<Lane<T>>>,
    close_waiters: CloseWaiters,
}

impl<T> Default for ColdState<T> {
    fn default() -> Self {
        Self {
            pool: Vec::new(),
            close_waiters: CloseWaiters::default(),
        }
    }
}

#[derive(Debug)]
struct Counts {
    senders: AtomicUsize,
    // These two are statistics: 32 bits each keep the fan-in within three cache lines.
    weak_senders: AtomicU32,
    lanes: AtomicU32,
    dropped: AtomicU64,
}

/// Tasks that wait for the channel to close.
#[derive(Debug, Default)]
struct CloseWaiters {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl<T> FanIn<T> {
    /// A fan-in with one sender, constructed in place in its allocation.
    #[inline]
    pub(crate) fn shared(config: Config) -> Arc<Self> {
        #[cfg(loom)]
        return Arc::new(Self::new(config));
        #[cfg(not(loom))]
        {
            let place = Arc::into_raw(Arc::<Self>::new_uninit()).cast_mut();
            // SAFETY: the memory is laid out for a fan-in, and nobody else has the pointer. Once
            // written, it holds one.
            unsafe {
                (*place).write(Self::new(config));
                Arc::from_raw(place.cast())
            }
        }
    }

    /// A fan-in with one sender.
    #[inline]
    pub(crate) fn new(config: Config) -> Self {
        Self {
            ready: ReadyList::new(),
            shared_slots: SharedSlots::new(config.shared_slots as usize, config.lane_capacity),
            closed: AtomicBool::new(false),
            has_pool: AtomicBool::new(false),
            config,
            bound: (config.total > 0).then(|| Arc::new(Bound::new(config.total as usize))),
            counts: Counts {
                senders: AtomicUsize::new(1),
                weak_senders: AtomicU32::new(0),
                lanes: AtomicU32::new(0),
                dropped: AtomicU64::new(0),
            },
            cold: Mutex::new(None),
        }
    }

    /// Sends a message through a shared slot, or returns it if none is free. With `notify`, the
    /// receiver that takes the message checks whether the producer waits for room.
    ///
    /// # Safety
    ///
    /// `lane` must be the caller's own open lane, in this fan-in.
    #[inline]
    pub(crate) unsafe fn try_shared_slot(
        &self,
        lane: LaneId<T>,
        notify: bool,
        history: &mut SendHistory,
        message: T,
    ) -> Result<(), T> {
        self.shared_slots.open();
        let Some(right) = self.ready.claim(self.shared_slots.limit()) else {
            return Err(message);
        };
        // SAFETY: the claim was won just now, from this list; the lane is the caller's.
        unsafe { self.shared_slots.put(&right.claim, lane, notify, message) };
        history.sent_by_slot(&right.claim, right.alone);
        self.ready.wake_claimed(right);
        Ok(())
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        // ORDERING: Acquire pairs with the Release in `set_closed`, for callers that then read what
        // the receiver left. A stale `false` is caught by the state of the lane or of the list.
        self.closed.load(Ordering::Acquire)
    }

    /// Marks the channel as closed for `is_closed`.
    pub(crate) fn set_closed(&self) {
        trace!("closed by the receiver");
        // ORDERING: Release pairs with the Acquire in `is_closed`.
        self.closed.store(true, Ordering::Release);
    }

    /// Wakes the tasks that wait for the channel to close. The channel must be closed already.
    pub(crate) fn wake_close_waiters(&self) {
        let wakers = lock(&self.cold)
            .as_mut()
            .map(|cold| std::mem::take(&mut cold.close_waiters.wakers));
        let Some(wakers) = wakers else { return };
        let mut all = WakeAll::default();
        for waker in wakers.into_values() {
            all.run(|| waker.wake());
        }
        all.done();
    }

    /// Registers a task that waits for the channel to close, under `key` or under a new key, and
    /// returns the key. `None` if the channel is closed.
    pub(crate) fn wait_closed(&self, key: Option<u64>, waker: &Waker) -> Option<u64> {
        // Cloned before the lock is taken and dropped after it is released: both may run code of
        // the executor.
        let waker = waker.clone();
        let mut cold = lock(&self.cold);
        // Checked under the lock: whoever closes sets the flag before it takes the lock.
        if self.is_closed() {
            return None;
        }
        let close_waiters = &mut cold.get_or_insert_default().close_waiters;
        let key = key.unwrap_or(close_waiters.next);
        close_waiters.next = close_waiters.next.max(key + 1);
        let replaced = close_waiters.wakers.insert(key, waker);
        drop(cold);
        drop(replaced);
        Some(key)
    }

    pub(crate) fn forget_close_waiter(&self, key: u64) {
        let mut cold = lock(&self.cold);
        let waker = cold
            .as_mut()
            .and_then(|cold| cold.close_waiters.wakers.remove(&key));
        drop(cold);
        drop(waker);
    }

    /// A lane for a producer that sends for the first time; `None` once the receiver has closed the
    /// channel.
    ///
    /// A lane that ends after the close may leave its id in a shared slot, and a new lane at the
    /// same address would count that message as its own. (A lane opened at the very moment of the
    /// close may do so until the receiver has taken the message; nothing is sent through it.)
    #[cold]
    pub(crate) fn open_lane(&self) -> Option<LaneTx<T>> {
        if self.is_closed() {
            return None;
        }
        trace!("lane opened");
        // ORDERING: Relaxed; a count.
        self.counts.lanes.fetch_add(1, Ordering::Relaxed);
        // If somebody else has locked the pool, a new lane is made instead of waiting.
        // ORDERING: Relaxed; a hint, and the lock does the ordering. A model always looks, which
        // saves it a state.
        let pooled = if cfg!(loom) || self.has_pool.load(Ordering::Relaxed) {
            (self.cold.try_lock().ok()).and_then(|mut cold| cold.as_mut()?.pool.pop())
        } else {
            None
        };
        Some(LaneTx::new(pooled.unwrap_or_else(Lane::new)))
    }

    /// Puts a lane whose two halves were released into the pool, or frees it.
    #[cold]
    pub(crate) fn recycle(&self, lane: Box<Lane<T>>) {
        trace!("lane drained and recycled");
        // ORDERING: Relaxed; a count.
        self.counts.lanes.fetch_sub(1, Ordering::Relaxed);
        // Without senders nobody can reuse a lane.
        if self.senders() > 0
            && let Ok(mut cold) = self.cold.try_lock()
        {
            let pool = &mut cold.get_or_insert_default().pool;
            if pool.len() < POOL {
                pool.push(lane);
                if !cfg!(loom) {
                    // ORDERING: as in `open_lane`.
                    self.has_pool.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    pub(crate) fn add_sender(&self) {
        // ORDERING: Relaxed; the caller holds a sender, so the count cannot be zero.
        self.counts.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a sender if there is at least one; a channel whose last sender was dropped stays
    /// without.
    pub(crate) fn try_add_sender(&self) -> bool {
        // ORDERING: Relaxed; the exchange alone keeps the count right.
        let mut count = self.counts.senders.load(Ordering::Relaxed);
        while count > 0 {
            match self.counts.senders.compare_exchange_weak(
                count,
                count + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
        false
    }

    pub(crate) fn remove_sender(&self) {
        // ORDERING: AcqRel: the last sender sees what all others did, and hangs up after it.
        if self.counts.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            trace!("last sender dropped");
            self.ready.hang_up();
        }
    }

    pub(crate) fn senders(&self) -> usize {
        // ORDERING: Relaxed; a count.
        self.counts.senders.load(Ordering::Relaxed)
    }

    pub(crate) fn add_weak_sender(&self) {
        // ORDERING: Relaxed; a count that decides nothing.
        self.counts.weak_senders.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_weak_sender(&self) {
        // ORDERING: Relaxed; as above.
        self.counts.weak_senders.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn weak_senders(&self) -> usize {
        // ORDERING: Relaxed; a count.
        self.counts.weak_senders.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn lanes(&self) -> usize {
        // ORDERING: Relaxed; a count.
        self.counts.lanes.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn count_drop(&self) {
        // ORDERING: Relaxed; a count.
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        // ORDERING: Relaxed; a count.
        self.counts.dropped.load(Ordering::Relaxed)
    }
}

impl<T> fmt::Debug for FanIn<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanIn")
            .field("lane_capacity", &self.config.lane_capacity)
            .field("senders", &self.senders())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom), target_pointer_width = "64"))]
mod tests {
    use super::FanIn;

    #[test]
    fn fan_in_and_sender_are_small() {
        assert_eq!(size_of::<FanIn<u64>>(), 192);
        assert_eq!(size_of::<crate::Sender<u64>>(), 48);
    }
}
