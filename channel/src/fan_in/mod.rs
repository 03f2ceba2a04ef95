//! What the producers and the receiver of one class share: the ready list, the shared slots,
//! counts, and a pool of lanes.
//!
//! The first cache line holds the ready list, which is written whenever a lane or the receiver
//! changes between idle and active; the second is read often and hardly ever written; the third serves
//! rare events. Lanes are not registered here: the receiver learns of a lane when it is pushed onto
//! the ready list.

pub(crate) mod bound;
pub(crate) mod handle;
mod head;
pub(crate) mod lane;
pub(crate) mod ready;
mod references;
pub(crate) mod send_history;
pub(crate) mod shared_lane;
pub(crate) mod shared_slots;

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    ptr::{self, NonNull},
};

use self::{
    bound::Bound,
    lane::{Lane, LaneId, tx::LaneTx},
    ready::ReadyList,
    references::References,
    send_history::SendHistory,
    shared_lane::{SharedLane, registry::SharedLanes},
    shared_slots::SharedSlots,
};
use crate::{
    config::Config,
    sync::{
        Arc, AtomicBool, AtomicPtr, AtomicUsize, Mutex, Ordering, lock,
        semaphore::{Acquire, Semaphore},
        statistic::{AtomicU32, AtomicU64},
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
    /// Lanes for one message each in a row, until it is said that there are many; `MANY_BRIEF_LANES` from then on.
    brief_in_a_row: AtomicU32,
    pub(crate) config: Config,
    /// The slots that all lanes share, if one bound is set for them.
    pub(crate) bound: Option<Arc<Bound>>,
    references: References,
    counts: Counts,
    /// Null until it is first needed; `CLOSED` when it was not before the receiver closed.
    cold: AtomicPtr<ColdState<T>>,
}

/// What most channels never come to need. It is allocated outside of any lock, and under its locks nothing is
/// allocated and no foreign code runs.
struct ColdState<T> {
    /// Lanes of producers that have gone, as good as new. Never waited for.
    pool: Mutex<Vec<Box<Lane<T>>>>,
    /// Tasks that wait for the channel to close, for permits that there never are.
    close_waiters: Semaphore,
    shared_lanes: Mutex<SharedLanes<T>>,
}

/// Lanes for one message each, one after the other, from which on it is said that there are many.
const MANY_BRIEF_LANES: u32 = 64;

impl<T> Default for ColdState<T> {
    fn default() -> Self {
        Self {
            pool: Mutex::new(Vec::with_capacity(POOL)),
            close_waiters: Semaphore::new(0, 0),
            shared_lanes: Mutex::new(SharedLanes::new()),
        }
    }
}

/// In the place of the cold state, where none can be: the receiver has closed, and there will be none.
const CLOSED: usize = 1;

#[derive(Debug)]
struct Counts {
    senders: AtomicUsize,
    // Those of what takes memory have 32 bits, to keep the fan-in within three cache lines.
    weak_senders: AtomicU32,
    lanes: AtomicU32,
    dropped: AtomicU64,
    /// Lanes that were opened for one message.
    brief_lanes: AtomicU64,
}

impl<T> FanIn<T> {
    /// A fan-in with one sender and one reference.
    #[inline]
    fn new(config: Config) -> Self {
        Self {
            ready: ReadyList::new(),
            shared_slots: SharedSlots::new(config.shared_slots as usize, config.lane_capacity),
            closed: AtomicBool::new(false),
            has_pool: AtomicBool::new(false),
            brief_in_a_row: AtomicU32::new(0),
            config,
            bound: (config.total > 0).then(|| Arc::new(Bound::new(config.total as usize))),
            references: References::one(),
            counts: Counts {
                senders: AtomicUsize::new(1),
                weak_senders: AtomicU32::new(0),
                lanes: AtomicU32::new(0),
                dropped: AtomicU64::new(0),
                brief_lanes: AtomicU64::new(0),
            },
            cold: AtomicPtr::new(ptr::null_mut()),
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

    /// The cold state, if there is one.
    fn cold(&self) -> Option<&ColdState<T>> {
        // ORDERING: Acquire pairs with the Release in `cold_or_new`: it is initialised.
        let cold = self.cold.load(Ordering::Acquire);
        // SAFETY: but for the two marks it points to a state that lives as long as this.
        (cold.addr() > CLOSED).then(|| unsafe { &*cold })
    }

    /// The cold state, made if need be; `None` when the receiver had closed before there was one.
    fn cold_or_new(&self) -> Option<&ColdState<T>> {
        // ORDERING: as in `cold`.
        if self.cold.load(Ordering::Acquire).is_null() {
            let new = Box::into_raw(Box::<ColdState<T>>::default());
            // ORDERING: Release pairs with the Acquire in `cold`.
            let exchange = self.cold.compare_exchange(
                ptr::null_mut(),
                new,
                Ordering::Release,
                Ordering::Relaxed,
            );
            if exchange.is_err() {
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
            }
        }
        self.cold()
    }

    /// Closes what is in the cold state, now and for ever, and says which lanes many producers share: they are the
    /// receiver's, which must wake those who wait for room in them. Those who wait for the close are yet to be woken.
    pub(crate) fn close_cold(&self) -> SharedLanes<T> {
        // ORDERING: Relaxed on success, which reads nothing that another thread wrote; on failure `cold` acquires.
        let _ = self.cold.compare_exchange(
            ptr::null_mut(),
            ptr::without_provenance_mut(CLOSED),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        let Some(cold) = self.cold() else {
            return SharedLanes::new();
        };
        cold.close_waiters.close();
        let lanes = lock(&cold.shared_lanes).close();
        lanes.find(|lane| {
            lane.close();
            false
        });
        lanes
    }

    /// Wakes the tasks that wait for the channel to close, after `close_cold`.
    pub(crate) fn wake_close_waiters(&self, all: &mut WakeAll) {
        // Nobody begins to wait after the close.
        if let Some(cold) = self.cold()
            && cold.close_waiters.load().has_waiters()
        {
            all.run(|| cold.close_waiters.serve());
        }
    }

    /// Waits until the receiver closes the channel.
    pub(crate) async fn closed(&self) {
        if self.is_closed() {
            return;
        }
        let Some(cold) = self.cold_or_new() else {
            return;
        };
        let mut wait = pin!(Acquire::new(&cold.close_waiters, 1));
        poll_fn(|cx| wait.as_mut().poll(cx, |_| true)).await;
    }

    /// A lane that many producers share, which the receiver knows of from now on.
    pub(crate) fn open_shared_lane(&self) -> Arc<SharedLane<T>> {
        let lane = Arc::new(SharedLane::new(&self.config));
        let known = self
            .cold_or_new()
            .is_some_and(|cold| lock(&cold.shared_lanes).add(&lane));
        if known {
            trace!("shared lane opened");
            // ORDERING: Relaxed; a count.
            self.counts.lanes.fetch_add(1, Ordering::Relaxed);
        } else {
            lane.close();
        }
        lane
    }

    /// Forgets a shared lane that has ended, unless the receiver has closed: then it is the receiver's to forget.
    ///
    /// # Safety
    ///
    /// The lane must come from `open_shared_lane`, and not have been forgotten.
    // Not a reference, which would have to be valid until this returns: the lane may be freed here.
    pub(crate) unsafe fn forget_shared_lane(&self, lane: NonNull<SharedLane<T>>) {
        // SAFETY: as this function's contract says.
        let forgotten = self
            .cold()
            .and_then(|cold| unsafe { lock(&cold.shared_lanes).remove(lane.as_ref()) });
        if let Some(lane) = forgotten {
            self.drop_shared_lane(lane);
        }
    }

    /// Lets go of a shared lane that is in no list any more.
    pub(crate) fn drop_shared_lane(&self, lane: Arc<SharedLane<T>>) {
        trace!("shared lane ended");
        // ORDERING: Relaxed; a count.
        self.counts.lanes.fetch_sub(1, Ordering::Relaxed);
        drop(lane);
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
            self.cold()
                .and_then(|cold| cold.pool.try_lock().ok()?.pop())
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
            && let Some(cold) = self.cold_or_new()
            && let Ok(mut pool) = cold.pool.try_lock()
            && pool.len() < POOL
        {
            pool.push(lane);
            if !cfg!(loom) {
                // ORDERING: as in `open_lane`.
                self.has_pool.store(true, Ordering::Relaxed);
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

    /// A sender with a lane goes, and has sent one message through it (`brief`) or more. Many of one message in a row
    /// are senders made for one message each, for which a shared sender is cheaper: that is said once.
    pub(crate) fn count_lane_of(&self, brief: bool) {
        let in_a_row = &self.brief_in_a_row;
        // ORDERING: Relaxed, here and below; counts.
        let order = Ordering::Relaxed;
        if !brief {
            let count = in_a_row.load(order);
            if (1..MANY_BRIEF_LANES).contains(&count) {
                let _ = in_a_row.compare_exchange(count, 0, order, order);
            }
            return;
        }
        self.counts.brief_lanes.fetch_add(1, order);
        let more = |count| (count < MANY_BRIEF_LANES).then_some(count + 1);
        if in_a_row.fetch_update(order, order, more) == Ok(MANY_BRIEF_LANES - 1) {
            #[cfg(feature = "tracing")]
            tracing::warn!(
                target: "lanemesh",
                "{MANY_BRIEF_LANES} senders in a row were dropped after one message each, and each had a lane of \
                 its own: clone a `SharedSender` instead, whose clones share one"
            );
        }
    }

    /// Lanes that were opened for one message.
    pub(crate) fn brief_lanes(&self) -> u64 {
        // ORDERING: Relaxed; a count.
        self.counts.brief_lanes.load(Ordering::Relaxed)
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

impl<T> Drop for FanIn<T> {
    fn drop(&mut self) {
        // ORDERING: Relaxed; `&mut self` says that nobody else is here.
        let cold = self.cold.load(Ordering::Relaxed);
        if cold.addr() > CLOSED {
            // SAFETY: made by `cold_or_new`, and nobody else is here.
            drop(unsafe { Box::from_raw(cold) });
        }
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
