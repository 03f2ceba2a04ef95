//! How many messages the current lane may still give, counted down by one word; all that follows from what was
//! given is booked once in a while.

#[derive(Debug, Default)]
pub(crate) struct Quota {
    /// Messages that may be given before the books are done.
    left: u32,
    /// What `left` was when they were last done.
    left_at_checkpoint: u32,
    /// Messages until it is another lane's turn, as of then.
    remaining: u32,
    /// Messages of the whole turn.
    total: u32,
}

impl Quota {
    /// A lane's turn of so many messages begins. The books must be done.
    pub(crate) fn start(&mut self, messages: usize) {
        self.total = u32::try_from(messages).unwrap_or(u32::MAX);
        self.remaining = self.total;
    }

    /// Books are to be done after at most so many messages from here.
    pub(crate) fn checkpoint_after(&mut self, messages: usize) {
        self.left = messages.min(self.remaining as usize) as u32;
        self.left_at_checkpoint = self.left;
    }

    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.left as usize
    }

    /// The lane has given so many. `true` when the books are to be done.
    #[inline]
    pub(crate) fn consume(&mut self, messages: usize) -> bool {
        self.left -= messages as u32;
        self.left == 0
    }

    /// Messages that were given and not booked.
    #[inline]
    pub(crate) fn since_checkpoint(&self) -> usize {
        (self.left_at_checkpoint - self.left) as usize
    }

    /// Does the books: says how many were given since they were last done.
    #[inline]
    pub(crate) fn checkpoint(&mut self) -> usize {
        let given = self.since_checkpoint();
        self.left_at_checkpoint = self.left;
        self.remaining -= given as u32;
        given
    }

    /// Messages of this turn so far, and whether that is all of it. The books must be done.
    #[inline]
    pub(crate) fn used(&self) -> (usize, bool) {
        ((self.total - self.remaining) as usize, self.remaining == 0)
    }
}
