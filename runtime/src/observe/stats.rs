//! Per-actor counters, copied out as values.
//!
//! The loop counts in plain numbers and publishes a copy when it becomes idle, when it is behind,
//! and every 128 messages, so each reading is consistent in itself. It does not publish while a
//! handler waits; a handle then adds what it knows of its own lanes.

use crate::{cell::ActorCell, id::Phase, util::histogram::Histogram};

/// A copy of an actor's counters. Counts continue across restarts.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ActorStats {
    /// High-priority messages handled.
    pub high: u64,
    /// Low-priority messages handled, including those in batches.
    pub low: u64,
    /// Batches handled.
    pub batches: u64,
    /// Turns of the extra arms of [`actor_loop!`](crate::actor_loop).
    pub extras: u64,
    /// Exit notices handled.
    pub notices: u64,
    /// Messages dropped because they had expired before they were handled.
    pub expired: u64,
    /// Messages dropped at a full lane by [`Overflow::Drop`](crate::Overflow::Drop).
    pub dropped: u64,
    /// Sends refused at a full lane. A send that waits for room is not refused.
    pub rejected: u64,
    /// Handles that were dropped after a single message. Each was a producer of its own, so that these
    /// messages had neither order nor a common capacity: send through a
    /// [`SharedHandle`](crate::SharedHandle) where handles are cloned for each message. When there
    /// are many in a row, a warning says so, once for each actor.
    pub brief_handles: u64,
    /// Messages handled again after a crash.
    pub redelivered: u64,
    /// Messages accepted by the recipient of dead letters.
    pub dead_letters: u64,
    /// Messages with which a handler crashed for the last time and which were not accepted as dead
    /// letters. A handler that crashes with a [`Batch`](crate::actor::Batch) has interrupted the
    /// messages that it had taken by [`Batch::drain`](crate::actor::Batch::drain).
    pub interrupted: u64,
    /// Messages that were in the mailbox when the actor ended for good and were not accepted as
    /// dead letters.
    pub left: u64,
    /// Messages that this worker of a pool had when it ended, and that other workers got.
    pub handed_on: u64,
    /// Incarnations that ended in a failure.
    pub failures: u64,
    /// Restarts: incarnations after the first.
    pub restarts: u64,
    /// Messages queued at the last publication of the counters. While a handler runs, the handle
    /// that is asked adds the messages in its own lanes; a [`Tree`](crate::observe::Tree) adds
    /// none.
    pub depth: usize,
    /// The highest depth that was observed in the same way.
    pub high_water: usize,
    /// Memory of the actor's task and of its queued messages, in bytes. It does not count what the
    /// actor and its messages own elsewhere, room in the lanes that is free, and handles.
    pub bytes: usize,
    /// Time from send to handler for a sample of the messages ([`Timing`](crate::observe::Timing)).
    pub queueing: Histogram,
    /// Time in handlers for a sample of the messages ([`Timing`](crate::observe::Timing)).
    pub handling: Histogram,
}

impl ActorStats {
    /// `queued` is how many messages the caller knows to be queued.
    pub(crate) fn of(cell: &ActorCell, queued: usize) -> Self {
        let mut counters = cell.counters(u32::try_from(queued).unwrap_or(u32::MAX));
        let events = *counters.events();
        let (dropped, rejected) = cell.lane_losses();
        let times = cell.histograms();
        let is_dead = cell.phase() == Phase::Dead;
        let depth = if is_dead { 0 } else { counters.depth as usize };
        let kind = cell.kind();
        let bytes = match is_dead {
            true => 0,
            false => (kind.task_bytes)() + depth * kind.message_bytes,
        };
        Self {
            high: counters.high,
            low: counters.low,
            batches: events.batches,
            extras: events.extras,
            notices: events.notices,
            expired: events.expired,
            dropped,
            rejected,
            brief_handles: cell.brief_handles(),
            redelivered: events.redelivered,
            dead_letters: events.dead_letters,
            interrupted: events.interrupted,
            left: events.left,
            handed_on: events.handed_on,
            failures: events.failures,
            restarts: u64::from(cell.incarnation().saturating_sub(1)),
            depth,
            high_water: counters.high_water as usize,
            bytes,
            queueing: times
                .map(|times| times.queueing.snapshot())
                .unwrap_or_default(),
            handling: times
                .map(|times| times.handling.snapshot())
                .unwrap_or_default(),
        }
    }

    /// All messages handled.
    pub fn messages(&self) -> u64 {
        self.high + self.low
    }
}
