//! What the loop of an incarnation remembers from one message to the next.

#[derive(Debug, Default)]
pub(crate) struct LoopState {
    pub(crate) high: u32,
    pub(crate) low: u32,
    pub(crate) round: u32,
    pub(crate) fired: u64,
    /// Messages that are paid for with a unit of tokio's cooperative budget.
    pub(crate) paid: u8,
    pub(crate) grant: bool,
    pub(crate) closed: bool,
    /// Whether the `started` hook has finished.
    pub(crate) started: bool,
    /// When the handling of a message began, if it is measured; 0 if not.
    pub(crate) began: u64,
    /// Whether the mailbox was empty when it was last looked at.
    pub(crate) idle: bool,
}

impl LoopState {
    #[inline(always)]
    pub(crate) fn took_high(&mut self) {
        self.high += 1;
        self.paid = self.paid.saturating_sub(1);
    }

    #[inline(always)]
    pub(crate) fn took_low(&mut self) {
        self.low = self.low.wrapping_add(1);
        self.high = 0;
        self.paid = self.paid.saturating_sub(1);
    }
}
