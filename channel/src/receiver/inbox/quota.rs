//! How many messages the current lane may still give. The receive path counts down one word; the
//! rest is brought up to date at checkpoints.

#[derive(Debug, Default)]
pub(crate) struct Quota {
    /// Messages until the next checkpoint.
    left: u32,
    /// The value of `left` at the last checkpoint.
    left_at_checkpoint: u32,
    /// Messages of the quota that were left at the last checkpoint.
    remaining: u32,
    /// Messages of the whole quota.
    total: u32,
}

impl Quota {
    /// Starts a quota of `messages` for a lane. Must follow a checkpoint.
    pub(crate) fn start(&mut self, messages: usize) {
        self.total = u32::try_from(messages).unwrap_or(u32::MAX);
        self.remaining = self.total;
    }

    /// Sets the next checkpoint after at most `messages` messages.
    pub(crate) fn checkpoint_after(&mut self, messages: usize) {
        self.left = messages.min(self.remaining as usize) as u32;
        self.left_at_checkpoint = self.left;
    }

    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.left as usize
    }

    /// Counts messages that the lane gave. `true` if a checkpoint is due.
    #[inline]
    pub(crate) fn consume(&mut self, messages: usize) -> bool {
        self.left -= messages as u32;
        self.left == 0
    }

    /// Messages given since the last checkpoint.
    #[inline]
    pub(crate) fn since_checkpoint(&self) -> usize {
        (self.left_at_checkpoint - self.left) as usize
    }

    /// Makes a checkpoint, and returns how many messages were given since the last one.
    #[inline]
    pub(crate) fn checkpoint(&mut self) -> usize {
        let given = self.since_checkpoint();
        self.left_at_checkpoint = self.left;
        self.remaining -= given as u32;
        given
    }

    /// Messages given of this quota, and whether that is all of it. Must follow a checkpoint.
    #[inline]
    pub(crate) fn used(&self) -> (usize, bool) {
        ((self.total - self.remaining) as usize, self.remaining == 0)
    }
}
