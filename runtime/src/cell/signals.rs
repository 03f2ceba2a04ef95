//! The signal word: what is requested of an actor's task besides its messages.

use std::sync::atomic::{AtomicU32, Ordering};

/// The bits of the signal word. The loop reads the word before each message.
pub(crate) mod signal {
    /// End after the handler that runs now.
    pub(crate) const STOP: u32 = 1;
    /// Take no more messages, handle those that are queued, then end.
    pub(crate) const DRAIN: u32 = 1 << 1;
    /// End at the next poll, whatever runs.
    pub(crate) const KILL: u32 = 1 << 2;
    /// The control queue holds something.
    pub(crate) const CONTROL: u32 = 1 << 3;
    /// End this incarnation and wait for [`RESUME`].
    pub(crate) const SUSPEND: u32 = 1 << 4;
    /// A sender waits for room in the low lane.
    pub(crate) const ROOM: u32 = 1 << 5;
    /// A health check is due.
    pub(crate) const HEALTH: u32 = 1 << 6;
    /// Set by the supervisor: start the next incarnation.
    pub(crate) const RESUME: u32 = 1 << 7;
    /// A caller waits until there is nothing left to do.
    pub(crate) const IDLE: u32 = 1 << 8;
    /// A handle was dropped while there are weak recipients: perhaps it was the last one.
    pub(crate) const HANDLES: u32 = 1 << 9;
    /// Set with [`KILL`], and stays: the program has asked for it, so the actor is not late.
    pub(crate) const ON_PURPOSE: u32 = 1 << 10;
}

/// The signal word itself. Code that sets a bit also wakes the task: see `ActorCell::raise`.
#[derive(Default)]
pub(super) struct Signals(AtomicU32);

impl Signals {
    #[inline]
    pub(super) fn load(&self) -> u32 {
        // ORDERING: Acquire pairs with the AcqRel RMW in `set`: a reader that sees a bit also sees
        // what was written under the lock before it.
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn set(&self, bits: u32) {
        // ORDERING: Release publishes what was written before; pairs with the Acquire in `load`.
        self.0.fetch_or(bits, Ordering::AcqRel);
    }

    pub(super) fn clear(&self, bits: u32) {
        // ORDERING: AcqRel, as in `set`.
        self.0.fetch_and(!bits, Ordering::AcqRel);
    }
}
