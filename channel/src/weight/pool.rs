//! The weight that is free, and those who wait for some.

use crate::sync::semaphore::{MAX_PERMITS, Semaphore};

pub(super) struct Pool {
    /// A permit is a step.
    pub(super) steps: Semaphore,
    max_steps: usize,
    /// The binary logarithm of what a step weighs.
    shift: u32,
}

impl Pool {
    /// With `max` of free weight, rounded down to steps.
    pub(super) fn new(max: usize) -> Self {
        let shift = (max / (MAX_PERMITS + 1))
            .checked_ilog2()
            .map_or(0, |log| log + 1);
        let max_steps = max >> shift;
        Self {
            steps: Semaphore::new(max_steps, 0),
            max_steps,
            shift,
        }
    }

    /// What a message takes; `None` if that is more than there is.
    pub(super) fn steps_of(&self, weight: usize) -> Option<usize> {
        let steps = weight.div_ceil(1 << self.shift).max(1);
        (steps <= self.max_steps).then_some(steps)
    }

    pub(super) fn weight_of(&self, steps: usize) -> usize {
        steps << self.shift
    }

    pub(super) fn max(&self) -> usize {
        self.weight_of(self.max_steps)
    }

    /// Takes steps back, and hands them to those who wait. A waker may panic, when all is done.
    pub(super) fn release(&self, steps: usize) {
        if steps > 0 {
            self.steps.release(steps);
        }
    }
}
