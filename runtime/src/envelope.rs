//! What the runtime adds to a message on its way: an expiry and, for a sample, the time it left.

use std::sync::OnceLock;

/// A message in a lane.
///
/// The order of the fields is that in which it is copied: 16 bytes at a time, so what is written in
/// parts right before would make the copy wait. So the two numbers are written as one, see
/// [`plain`](Self::plain).
#[repr(C)]
pub(crate) struct Envelope<M> {
    /// When nobody wants it any more, as a [`stamp`](crate::util::timer::stamp), perhaps with the mark
    /// [`ASK`]; 0 is never.
    pub(crate) expires: u64,
    /// A raw reading of [`clock`] when it was sent; 0 when this one is not in the sample.
    pub(crate) sent: u64,
    pub(crate) message: M,
}

impl<M> Envelope<M> {
    /// A message that never expires and is not in the sample.
    #[inline]
    pub(crate) fn plain(message: M) -> Self {
        Self {
            expires: 0,
            sent: 0,
            message,
        }
    }
}

/// Which messages of a handle are in the sample: every n-th one.
#[derive(Clone)]
pub(crate) struct Sampler {
    /// Messages up to the next one in the sample, that one included.
    remaining: u32,
}

impl Sampler {
    /// `interval` is the n; with 0 the sample is empty.
    pub(crate) fn new(interval: u32) -> Self {
        Self {
            remaining: interval,
        }
    }

    /// Counts a message. Returns whether it is in the sample; then [`stamp`](Self::stamp) follows.
    #[inline]
    pub(crate) fn count(&mut self) -> bool {
        self.remaining = self.remaining.wrapping_sub(1);
        self.remaining == 0
    }

    /// The time, for a message that is in the sample. The next sample is `interval` messages later.
    #[cold]
    pub(crate) fn stamp(&mut self, interval: u32) -> u64 {
        self.remaining = interval;
        // With an empty sample this is reached once in 2^32 messages.
        if interval == 0 {
            return 0;
        }
        clock().raw().max(1)
    }
}

/// The time-stamp counter behind the histograms. Reading its calibration once is not a registry:
/// it is a property of the machine.
pub(crate) fn clock() -> &'static quanta::Clock {
    static CLOCK: OnceLock<quanta::Clock> = OnceLock::new();
    CLOCK.get_or_init(quanta::Clock::new)
}

/// Marks the expiry of a question: whoever sent it notices by itself that its time is up.
pub(crate) const ASK: u64 = 1 << 63;
