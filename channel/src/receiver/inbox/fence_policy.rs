//! When a receiver polls its busy lanes, instead of giving them up whenever they are empty.
//!
//! The producer of an unfenced lane sends without a fence. In return the receiver must make all threads pass one
//! (`sync/membarrier.rs`) before it may give the lane up or sleep, which costs as much as thousands of messages' fences.
//! So lanes are unfenced only after a long time without a sleep, and while that pays.

use std::time::Instant;

use crate::sync::membarrier;

/// Messages of one turn that make a lane worth unfencing.
pub(crate) const WORTH_UNFENCING: usize = if cfg!(loom) { 1 } else { 8 };
/// Times that a receiver with unfenced lanes is polled again by its executor, before it sleeps.
const IDLE_POLLS: u8 = if cfg!(loom) { 0 } else { 16 };
/// Visits to empty lanes that are always forgiven.
const FREE_EMPTY_VISITS: u32 = 1024;
/// Visits to empty lanes that cost nothing when there is nothing else to do.
const FORGIVEN_VISITS: u32 = 4;
/// Messages without a sleep that may at most be asked for.
const MAX_RUN: u32 = 1 << 24;

#[derive(Debug)]
pub(crate) struct FencePolicy {
    /// Unfenced lanes: all of them are the receiver's.
    lanes: u32,
    /// Messages received when the receiver last slept, or fenced its lanes; wrapping, as all these counts.
    last_slept: u32,
    /// Messages received when it began to poll.
    began: u32,
    /// Messages without a sleep after which it begins to poll: the least, and now.
    min_run: u32,
    run: u32,
    /// Visits to empty lanes since it began to poll.
    empty_visits: u32,
    /// Visits in a streak without a message in between, and how many messages had been received by then.
    streak: (u32, u32),
    /// Times in a streak that it has found nothing at all, and how many messages had been received by then.
    idle_polls: (u8, u32),
}

impl FencePolicy {
    #[inline(always)]
    pub(crate) fn new(min_run: u32) -> Self {
        // After a heavy fence at least one message must come before the next.
        let min_run = min_run.max(1);
        Self {
            lanes: 0,
            last_slept: 0,
            began: 0,
            min_run,
            run: min_run,
            empty_visits: 0,
            streak: (0, 0),
            idle_polls: (0, 0),
        }
    }

    /// Whether a busy lane may be unfenced from now on.
    #[inline]
    pub(crate) fn may_unfence(&self, messages: u64) -> bool {
        (messages as u32).wrapping_sub(self.last_slept) >= self.run && membarrier::is_available()
    }

    /// A lane is unfenced from now on.
    pub(crate) fn add_lane(&mut self, messages: u64) {
        if self.lanes == 0 {
            self.began = messages as u32;
            self.empty_visits = 0;
        }
        self.lanes += 1;
    }

    /// An unfenced lane has ended.
    pub(crate) fn remove_lane(&mut self) {
        self.lanes -= 1;
    }

    #[inline]
    pub(crate) fn lanes(&self) -> u32 {
        self.lanes
    }

    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.lanes > 0
    }

    /// An unfenced lane was visited, and is empty. `gave` says whether it was not before.
    #[inline]
    pub(crate) fn record_visit(&mut self, gave: bool, messages: u64) {
        if !gave {
            self.empty_visits = self.empty_visits.saturating_add(1);
        }
        if self.streak.1 != messages as u32 {
            self.streak = (0, messages as u32);
        }
        self.streak.0 += 1;
    }

    /// Whether all unfenced lanes were visited without a message in between.
    #[inline]
    pub(crate) fn has_visited_all(&self) -> bool {
        self.streak.0 >= self.lanes
    }

    /// The receiver has found nothing: the next look is another streak of visits.
    pub(crate) fn forgive(&mut self) {
        let free = self.streak.0.min(FORGIVEN_VISITS);
        self.empty_visits = self.empty_visits.saturating_sub(free);
        self.streak.0 = 0;
    }

    /// Whether most visits are in vain.
    #[inline]
    pub(crate) fn is_unprofitable(&self, messages: u64) -> bool {
        let gained = (messages as u32).wrapping_sub(self.began);
        self.empty_visits > FREE_EMPTY_VISITS.saturating_add(gained / 4)
    }

    /// Whether a receiver that has found nothing should look again soon, before it fences its lanes again.
    pub(crate) fn stays_awake(&mut self, messages: u64) -> bool {
        if self.idle_polls.1 != messages as u32 {
            self.idle_polls = (0, messages as u32);
        }
        self.idle_polls.0 = self.idle_polls.0.saturating_add(1);
        self.idle_polls.0 <= IDLE_POLLS
    }

    /// The receiver sleeps.
    #[inline]
    pub(crate) fn slept(&mut self, messages: u64) {
        self.last_slept = messages as u32;
    }

    /// Passes the heavy fence for all lanes, none of which is unfenced from here on, and learns whether it was
    /// worth that.
    #[cold]
    pub(crate) fn fence_all(&mut self, messages: u64) {
        let gained = (messages as u32).wrapping_sub(self.began);
        // In a model time means nothing.
        let start = (!cfg!(loom)).then(Instant::now);
        membarrier::heavy_fence();
        let cost = start.map_or(0, |start| start.elapsed().as_nanos() as u32);
        // Each message was spared some nanoseconds, and may cost one.
        self.run = if gained < cost {
            self.run.saturating_mul(2).min(MAX_RUN.max(self.min_run))
        } else {
            (self.run / 2).max(self.min_run)
        };
        self.lanes = 0;
        self.slept(messages);
    }
}
