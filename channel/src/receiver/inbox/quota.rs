//! How many messages the current lane may still give, counted down by one word; all that follows from what was
//! given is booked once in a while.

#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Messages that may be given before the books are done.
    left: u32,
    /// What `left` was when they were last done.
    booked: u32,
    /// Messages until it is another lane's turn, as of then.
    rest: u32,
    /// Messages of the whole turn.
    whole: u32,
}

impl Turn {
    /// A lane's turn of so many messages begins. The books must be done.
    pub(crate) fn begin(&mut self, messages: usize) {
        self.whole = u32::try_from(messages).unwrap_or(u32::MAX);
        self.rest = self.whole;
    }

    /// Books are to be done after at most so many messages from here.
    pub(crate) fn book_after(&mut self, messages: usize) {
        self.left = messages.min(self.rest as usize) as u32;
        self.booked = self.left;
    }

    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.left as usize
    }

    /// The lane has given so many. `true` when the books are to be done.
    #[inline]
    pub(crate) fn give(&mut self, messages: usize) -> bool {
        self.left -= messages as u32;
        self.left == 0
    }

    /// Messages that were given and not booked.
    #[inline]
    pub(crate) fn unbooked(&self) -> usize {
        (self.booked - self.left) as usize
    }

    /// Does the books: says how many were given since they were last done.
    #[inline]
    pub(crate) fn book(&mut self) -> usize {
        let given = self.unbooked();
        self.booked = self.left;
        self.rest -= given as u32;
        given
    }

    /// Messages of this turn so far, and whether that is all of it. The books must be done.
    #[inline]
    pub(crate) fn so_far(&self) -> (usize, bool) {
        ((self.whole - self.rest) as usize, self.rest == 0)
    }
}
