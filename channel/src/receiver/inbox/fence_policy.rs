//! When busy lanes go unfenced: the receiver keeps visiting them, instead of giving them up
//! whenever they are empty.
//!
//! The producer of an unfenced lane sends without a fence. In return the receiver must make all
//! threads pass one (`sync/membarrier.rs`) before it may give the lane up or sleep, which costs as
//! much as the fences of thousands of messages. So lanes are unfenced only after a long run without
//! a sleep, and only while that pays.

use std::{mem, time::Instant};

use crate::sync::membarrier;

/// Messages that a lane must give of one quota to be unfenced.
pub(crate) const WORTH_UNFENCING: usize = if cfg!(loom) { 1 } else { 8 };
/// How often a receiver with unfenced lanes asks to be polled again before it sleeps.
const IDLE_POLLS: u8 = if cfg!(loom) { 0 } else { 16 };
/// Visits to empty lanes that are not held against unfenced lanes.
const FREE_EMPTY_VISITS: u32 = 1024;
/// Visits to empty lanes that are forgiven each time that there was nothing else to do.
const FORGIVEN_VISITS: u32 = 4;
/// Messages of unfenced lanes that make up for one visit to an empty lane.
const VISIT: u32 = 4;
/// The longest run of messages without a sleep that may be required.
const MAX_RUN: u32 = 1 << 24;

#[derive(Debug, Default)]
pub(crate) struct FencePolicy {
    /// The number of unfenced lanes. All of them are the receiver's.
    lanes: u32,
    /// Messages received when the receiver last slept or fenced its lanes. Counts of messages wrap.
    last_slept: u32,
    /// Of a receiver that has had an unfenced lane.
    record: Option<Box<Record>>,
}

/// Whether unfenced lanes have paid so far.
#[derive(Debug, Default)]
struct Record {
    /// Messages of unfenced lanes since the first one was unfenced.
    gained: u32,
    /// The run of messages without a sleep after which lanes are unfenced; 0 for the minimum.
    run: u32,
    /// What visits to empty lanes have cost, in messages of unfenced lanes that have not made up for it yet.
    owed: u32,
    /// Visits in a row that found no message, and the messages received by then.
    streak: (u32, u32),
    /// What `gained` was, and the messages received, when the receiver last found nothing else to do.
    forgiven: (u32, u32),
    /// Polls in a row that found nothing at all, and the messages received by then.
    idle_polls: (u8, u32),
}

impl FencePolicy {
    fn record(&mut self) -> &mut Record {
        self.record.get_or_insert_default()
    }

    /// Whether a busy lane may be unfenced now. A receiver that has had no unfenced lane yet needs a run
    /// of `min_run` messages.
    #[inline]
    pub(crate) fn may_unfence(&self, messages: u64, min_run: u32) -> bool {
        let run = self.record.as_ref().map_or(0, |record| record.run);
        // At least one message must come between two heavy fences.
        let run = run.max(min_run).max(1);
        (messages as u32).wrapping_sub(self.last_slept) >= run && membarrier::is_available()
    }

    /// Records that a lane is unfenced.
    pub(crate) fn add_lane(&mut self) {
        if self.lanes == 0 {
            let record = self.record();
            record.gained = 0;
            record.owed = 0;
        }
        self.lanes += 1;
    }

    /// Records that an unfenced lane gave messages.
    #[inline]
    pub(crate) fn record_gain(&mut self, messages: usize) {
        let record = self.record();
        record.gained = record.gained.saturating_add(messages as u32);
        // Not below zero: what was gained long ago does not pay for lanes that have gone quiet.
        record.owed = record.owed.saturating_sub(messages as u32);
    }

    /// Records that an unfenced lane has ended.
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

    /// Records a visit that left an unfenced lane empty. `gave` says whether it had messages.
    #[inline]
    pub(crate) fn record_visit(&mut self, gave: bool, messages: u64) {
        let record = self.record();
        if !gave {
            record.owed = record.owed.saturating_add(VISIT);
        }
        if record.streak.1 != messages as u32 {
            record.streak = (0, messages as u32);
        }
        record.streak.0 += 1;
    }

    /// Whether all unfenced lanes were visited since the last message.
    #[inline]
    pub(crate) fn has_visited_all(&self) -> bool {
        let visits = self.record.as_ref().map_or(0, |record| record.streak.0);
        visits >= self.lanes
    }

    /// Called when the receiver has found nothing: the next look starts a new row of visits. The last ones are
    /// forgiven, unless others had messages since the one before, and the unfenced lanes had none.
    pub(crate) fn forgive(&mut self, messages: u64) {
        let record = self.record();
        let now = (record.gained, messages as u32);
        let before = mem::replace(&mut record.forgiven, now);
        if before.0 != now.0 || before.1 == now.1 {
            let free = record.streak.0.min(FORGIVEN_VISITS);
            record.owed = record.owed.saturating_sub(free * VISIT);
        }
        record.streak.0 = 0;
    }

    /// Whether too many visits find nothing.
    #[inline]
    pub(crate) fn is_unprofitable(&self) -> bool {
        let owed = self.record.as_ref().map_or(0, |record| record.owed);
        owed > FREE_EMPTY_VISITS * VISIT
    }

    /// Whether a receiver that has found nothing should look again soon, before it fences its
    /// lanes.
    pub(crate) fn stays_awake(&mut self, messages: u64) -> bool {
        let polls = &mut self.record().idle_polls;
        if polls.1 != messages as u32 {
            *polls = (0, messages as u32);
        }
        polls.0 = polls.0.saturating_add(1);
        polls.0 <= IDLE_POLLS
    }

    /// Records that the receiver sleeps.
    #[inline]
    pub(crate) fn slept(&mut self, messages: u64) {
        self.last_slept = messages as u32;
    }

    /// Passes the heavy fence for all lanes, after which none is unfenced, and adjusts the required
    /// run by whether this paid.
    #[cold]
    pub(crate) fn fence_all(&mut self, messages: u64, min_run: u32) {
        let record = self.record();
        let gained = record.gained;
        // Time means nothing in a model.
        let start = (!cfg!(loom)).then(Instant::now);
        membarrier::heavy_fence();
        let cost = start.map_or(0, |start| start.elapsed().as_nanos() as u32);
        let (run, min_run) = (record.run.max(min_run).max(1), min_run.max(1));
        // Each message was spared a few nanoseconds; assume one.
        record.run = if gained < cost {
            run.saturating_mul(2).min(MAX_RUN.max(min_run))
        } else {
            (run / 2).max(min_run)
        };
        self.lanes = 0;
        self.slept(messages);
    }
}
