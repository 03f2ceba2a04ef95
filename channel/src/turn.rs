//! How many messages the current lane may still give, counted down by one word; all that follows from what was
//! given is booked once in a while.

#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Messages that may be given before the books are done.
    left: usize,
    /// What `left` was when they were last done.
    booked: usize,
    /// Messages until it is another lane's turn, as of then.
    rest: usize,
    /// Messages of the whole turn.
    whole: usize,
}

impl Turn {
    /// A lane's turn of so many messages begins. The books must be done.
    pub(crate) fn begin(&mut self, messages: usize) {
        (self.rest, self.whole) = (messages, messages);
    }

    /// Books are to be done after at most so many messages from here.
    pub(crate) fn book_after(&mut self, messages: usize) {
        self.left = messages.min(self.rest);
        self.booked = self.left;
    }

    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// The lane has given so many. `true` when the books are to be done.
    #[inline]
    pub(crate) fn give(&mut self, messages: usize) -> bool {
        self.left -= messages;
        self.left == 0
    }

    /// Messages that were given and not booked.
    #[inline]
    pub(crate) fn unbooked(&self) -> usize {
        self.booked - self.left
    }

    /// Does the books: says how many were given since they were last done.
    #[inline]
    pub(crate) fn book(&mut self) -> usize {
        let given = self.unbooked();
        self.booked = self.left;
        self.rest -= given;
        given
    }

    /// Messages of this turn so far, and whether that is all of it. The books must be done.
    #[inline]
    pub(crate) fn so_far(&self) -> (usize, bool) {
        (self.whole - self.rest, self.rest == 0)
    }
}
