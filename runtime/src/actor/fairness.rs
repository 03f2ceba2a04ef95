//! Fairness between high and low messages and the extra arms of a loop.
//!
//! High comes first, but after a burst of high messages low gets a turn, and after a burst of low
//! messages every extra arm that is ready does. An extra arm gets one turn in each round.

/// High messages in a row before anything else gets a turn.
const HIGH_BURST: u32 = 64;
/// Low messages in a row before the extra arms get a turn.
const LOW_BURST: u32 = 32;

/// What has been handled since the others had their turn.
#[derive(Debug, Default)]
pub(crate) struct Fairness {
    /// High messages in a row.
    high: u32,
    /// Low messages in this round.
    low: u32,
    /// The extra arms that had their turn in this round, one bit for each.
    fired_arms: u64,
}

/// The result of a round.
pub(crate) struct TurnEnd {
    pub(crate) any_arm_fired: bool,
    pub(crate) is_high_burst_over: bool,
}

impl Fairness {
    #[inline(always)]
    pub(crate) fn took_high(&mut self) {
        self.high += 1;
    }

    #[inline(always)]
    pub(crate) fn took_low(&mut self) {
        self.low = self.low.wrapping_add(1);
        self.high = 0;
    }

    /// Whether the last message was a high one.
    pub(crate) fn was_high(&self) -> bool {
        self.high > 0
    }

    pub(crate) fn took_batch(&mut self, messages: u64) {
        self.low = self.low.saturating_add(messages as u32);
    }

    /// Whether another high message may come before low.
    pub(crate) fn may_take_high(&self) -> bool {
        self.high < HIGH_BURST
    }

    /// Whether another low message may come before the extra arms.
    pub(crate) fn may_take_low(&self) -> bool {
        self.low < LOW_BURST && self.fired_arms == 0
    }

    /// Whether a burst of high messages is over and low gets a turn; if so, the next one begins.
    #[inline(always)]
    pub(crate) fn end_high_burst(&mut self) -> bool {
        let is_over = self.high >= HIGH_BURST;
        if is_over {
            self.high = 0;
        }
        is_over
    }

    /// Whether the extra arm with this index may have a turn in this round.
    pub(crate) fn is_arm_open(&self, index: u32) -> bool {
        self.fired_arms & (1 << (index & 63)) == 0
    }

    pub(crate) fn arm_fired(&mut self, index: u32) {
        self.fired_arms |= 1 << (index & 63);
        self.high = 0;
    }

    /// Every extra arm had the chance of a turn: the next round begins.
    pub(crate) fn end_round(&mut self) -> TurnEnd {
        let last = std::mem::take(self);
        TurnEnd {
            any_arm_fired: last.fired_arms != 0,
            is_high_burst_over: last.high >= HIGH_BURST,
        }
    }
}
