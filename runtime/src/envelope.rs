//! What the runtime adds to a message: an expiry and, for a sample of the messages, the send time.

use std::sync::OnceLock;

/// A message in a lane.
///
/// The fields are in the order in which they are copied, 16 bytes at a time. A copy stalls on bytes
/// that were just written in parts, so both numbers are written at once: see [`plain`](Self::plain).
#[repr(C)]
pub(crate) struct Envelope<M> {
    /// When it expires, as a [`stamp`](crate::util::timer::stamp), with the flag [`ASK`] if it is an
    /// ask; 0 is never.
    pub(crate) expires: u64,
    /// A raw reading of [`clock`] when it was sent; 0 if it is not in the sample.
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

    /// A message that waits outside of its lane. `attempts` is how often it has been redelivered
    /// when its handler gets it next; 0 for one that no handler has crashed with.
    pub(crate) fn set_aside(message: M, expires: u64, attempts: u32) -> Self {
        let again = if attempts == 0 { 0 } else { AGAIN };
        Self {
            // Its asker has waited, also if the actor was idle.
            expires: expires & !ASK,
            sent: again | u64::from(attempts),
            message,
        }
    }

    /// How often the message has been redelivered when its handler gets it next.
    pub(crate) fn attempts(&self) -> u32 {
        if self.sent & AGAIN == 0 {
            return 0;
        }
        self.sent as u32
    }
}

/// Which messages of a handle are in the sample: every n-th one. It also knows how many messages the
/// handle has sent.
pub(crate) struct Sampler {
    /// Messages up to the next one in the sample, that one included.
    remaining: u32,
    /// `remaining` before the first message of the handle, as if nothing had been in the sample
    /// since.
    first: u32,
}

impl Sampler {
    /// `interval` is the n; with 0 the sample is empty.
    pub(crate) fn new(interval: u32) -> Self {
        Self {
            remaining: interval,
            first: interval,
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
        self.first = self.first.wrapping_add(interval);
        self.remaining = interval;
        // With an empty sample this is reached once in 2^32 messages.
        if interval == 0 {
            return 0;
        }
        clock().raw().max(1)
    }

    /// How many messages were counted, modulo 2^32.
    pub(crate) fn counted(&self) -> u32 {
        self.first.wrapping_sub(self.remaining)
    }

    /// Counts `more` messages, none of which is in the sample.
    pub(crate) fn add(&mut self, more: u32) {
        self.first = self.first.wrapping_add(more);
    }
}

/// The clone is in step with the original, and has sent nothing.
impl Clone for Sampler {
    fn clone(&self) -> Self {
        Self {
            remaining: self.remaining,
            first: self.remaining,
        }
    }
}

/// The clock behind the histograms. It is calibrated once for the process.
pub(crate) fn clock() -> &'static quanta::Clock {
    static CLOCK: OnceLock<quanta::Clock> = OnceLock::new();
    CLOCK.get_or_init(quanta::Clock::new)
}

/// Flags the send time of a message with which a handler has crashed: the rest of it is how often the
/// message has been redelivered.
pub(crate) const AGAIN: u64 = 1 << 62;

/// Flags the expiry of an ask, whose sender has a timer of its own.
pub(crate) const ASK: u64 = 1 << 63;
