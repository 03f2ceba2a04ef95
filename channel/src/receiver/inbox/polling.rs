//! When a receiver polls its busy lanes, instead of giving them up whenever they are empty.
//!
//! The producer of a polled lane sends without a fence. In return the receiver must make all threads pass one
//! (`sync/membarrier.rs`) before it may give the lane up or sleep, which costs as much as thousands of messages' fences.
//! So lanes are polled only after a long time without a sleep, and while that pays.

use std::time::Instant;

use crate::sync::membarrier as barrier;

/// Messages of one turn that make a lane worth polling.
pub(crate) const WORTH_POLLING: usize = if cfg!(loom) { 1 } else { 8 };
/// Times that a receiver which polls is polled again by its executor, before it sleeps.
const VAIN_POLLS: u8 = if cfg!(loom) { 0 } else { 16 };
/// Visits to empty lanes that are always forgiven.
const VAIN_VISITS: u32 = 1024;
/// Visits to empty lanes that cost nothing when there is nothing else to do.
const FREE_VISITS: u32 = 4;
/// Messages without a sleep that may at most be asked for.
const LONGEST_RUN: u32 = 1 << 24;

#[derive(Debug)]
pub(crate) struct Polling {
    /// Lanes that are polled: all of them are the receiver's.
    lanes: u32,
    /// Messages received when the receiver last slept, or ceased to poll; wrapping, as all these counts.
    rested: u32,
    /// Messages received when it began to poll.
    began: u32,
    /// Messages without a sleep after which it begins to poll: the least, and now.
    least_run: u32,
    run: u32,
    /// Visits to empty lanes since it began to poll.
    vain_visits: u32,
    /// Visits in a row without a message in between, and how many messages had been received by then.
    row: (u32, u32),
    /// Times in a row that it has found nothing at all, and how many messages had been received by then.
    vain_polls: (u8, u32),
}

impl Polling {
    #[inline(always)]
    pub(crate) fn new(least_run: u32) -> Self {
        // After a heavy fence at least one message must come before the next.
        let least_run = least_run.max(1);
        Self {
            lanes: 0,
            rested: 0,
            began: 0,
            least_run,
            run: least_run,
            vain_visits: 0,
            row: (0, 0),
            vain_polls: (0, 0),
        }
    }

    /// Whether a busy lane may be polled from now on.
    #[inline]
    pub(crate) fn may_begin(&self, messages: u64) -> bool {
        (messages as u32).wrapping_sub(self.rested) >= self.run && barrier::is_available()
    }

    /// A lane is polled from now on.
    pub(crate) fn add(&mut self, messages: u64) {
        if self.lanes == 0 {
            self.began = messages as u32;
            self.vain_visits = 0;
        }
        self.lanes += 1;
    }

    /// A polled lane has ended.
    pub(crate) fn remove(&mut self) {
        self.lanes -= 1;
    }

    #[inline]
    pub(crate) fn lanes(&self) -> u32 {
        self.lanes
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.lanes > 0
    }

    /// A polled lane was visited, and is empty. `gave` says whether it was not before.
    #[inline]
    pub(crate) fn visited(&mut self, gave: bool, messages: u64) {
        if !gave {
            self.vain_visits = self.vain_visits.saturating_add(1);
        }
        if self.row.1 != messages as u32 {
            self.row = (0, messages as u32);
        }
        self.row.0 += 1;
    }

    /// Whether all polled lanes were visited without a message in between.
    #[inline]
    pub(crate) fn has_visited_all(&self) -> bool {
        self.row.0 >= self.lanes
    }

    /// The receiver has found nothing: the next look is another row of visits.
    pub(crate) fn found_nothing(&mut self) {
        let free = self.row.0.min(FREE_VISITS);
        self.vain_visits = self.vain_visits.saturating_sub(free);
        self.row.0 = 0;
    }

    /// Whether most visits are in vain.
    #[inline]
    pub(crate) fn is_vain(&self, messages: u64) -> bool {
        let gained = (messages as u32).wrapping_sub(self.began);
        self.vain_visits > VAIN_VISITS.saturating_add(gained / 4)
    }

    /// Whether a receiver that has found nothing should look again soon, before it ceases to poll.
    pub(crate) fn stays_awake(&mut self, messages: u64) -> bool {
        if self.vain_polls.1 != messages as u32 {
            self.vain_polls = (0, messages as u32);
        }
        self.vain_polls.0 = self.vain_polls.0.saturating_add(1);
        self.vain_polls.0 <= VAIN_POLLS
    }

    /// The receiver sleeps.
    #[inline]
    pub(crate) fn rest(&mut self, messages: u64) {
        self.rested = messages as u32;
    }

    /// Passes the heavy fence for all lanes, none of which is polled from here on, and learns whether it was
    /// worth that.
    #[cold]
    pub(crate) fn end(&mut self, messages: u64) {
        let gained = (messages as u32).wrapping_sub(self.began);
        // In a model time means nothing.
        let start = (!cfg!(loom)).then(Instant::now);
        barrier::heavy_fence();
        let cost = start.map_or(0, |start| start.elapsed().as_nanos() as u32);
        // Each message was spared some nanoseconds, and may cost one.
        self.run = if gained < cost {
            self.run
                .saturating_mul(2)
                .min(LONGEST_RUN.max(self.least_run))
        } else {
            (self.run / 2).max(self.least_run)
        };
        self.lanes = 0;
        self.rest(messages);
    }
}
