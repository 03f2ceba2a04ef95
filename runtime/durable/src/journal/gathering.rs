//! Whether a batch waits a little for more messages.
//!
//! Producers that wait for their receipts come in two groups, if nothing is done: while the messages of one group are
//! synced, those of the other arrive, and each message waits for two syncs. Whoever has just got a receipt is likely to
//! send again at once, so a batch waits for as many messages as there were producers, but for half of a sync at
//! most. If too few came in that time, the next batches do not wait.

use std::time::{Duration, Instant};

/// The most batches that do not wait after one for which too few came.
const LONGEST_PAUSE: u32 = 63;

/// On a slow disk, too, producers need no longer to send again.
const LONGEST_WAIT: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Messages that the next batch has if all who send at present send again.
    expected: usize,
    sync: Duration,
    /// Batches that do not wait.
    pause: u32,
    /// How many there were after the last one for which too few came.
    last_pause: u32,
}

impl Gathering {
    /// A batch was synced in `took`: `completed` messages get their receipts now, and `waiting` others have
    /// come meanwhile.
    pub(super) fn synced(&mut self, completed: usize, waiting: usize, took: Duration) {
        self.expected = completed + waiting;
        self.sync = took;
    }

    /// Until when a batch that has `there` messages waits for more.
    pub(super) fn begin(&mut self, there: usize, now: Instant) -> Option<Instant> {
        if there == 0 || self.is_complete(there) {
            return None;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        Some(now + (self.sync / 2).min(LONGEST_WAIT))
    }

    pub(super) fn is_complete(&self, there: usize) -> bool {
        there >= self.expected
    }

    /// A batch that has waited goes to the disk with `there` messages.
    pub(super) fn end(&mut self, there: usize) {
        self.last_pause = match there >= self.expected - self.expected / 8 {
            true => 0,
            false => (2 * self.last_pause + 1).min(LONGEST_PAUSE),
        };
        self.pause = self.last_pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(100);

    #[test]
    fn one_producer_alone_never_waits() {
        let mut gathering = Gathering::default();
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(gathering.begin(1, now), None);
            gathering.synced(1, 0, SYNC);
        }
    }

    #[test]
    fn two_groups_become_one() {
        let mut gathering = Gathering::default();
        let now = Instant::now();
        gathering.synced(32, 32, SYNC);
        assert_eq!(gathering.begin(32, now), Some(now + SYNC / 2));
        gathering.end(64);
        gathering.synced(64, 0, SYNC);
        assert_eq!(gathering.begin(64, now), None);
        assert!(gathering.begin(60, now).is_some());
    }

    #[test]
    fn waiting_in_vain_is_rare() {
        let mut gathering = Gathering::default();
        let now = Instant::now();
        let mut waits = 0;
        for _ in 0..1000 {
            gathering.synced(2, 2, SYNC);
            if gathering.begin(2, now).is_some() {
                waits += 1;
                gathering.end(2);
            }
        }
        assert!(waits <= 6 + 1000 / LONGEST_PAUSE, "{waits}");
    }
}
