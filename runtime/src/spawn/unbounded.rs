//! Lanes without a bound, by explicit choice.

use crate::{actor::Actor, spawn::Builder};

impl<A: Actor> Builder<A> {
    /// Lets the high-priority lanes grow without a bound; see [`low_unbounded`](Self::low_unbounded).
    pub fn high_unbounded(mut self) -> Self {
        self.settings.unbounded.high = true;
        self
    }

    /// Lets the low-priority lanes grow without a bound: sends never wait, and never fail because a
    /// lane is full. [`low_capacity`](Self::low_capacity) does not count then.
    ///
    /// It is for actors whose load is bounded elsewhere: one that is slower than its senders uses up
    /// the memory of the process.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::{builder, testing::Sink};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut handle, _child) = builder(Sink::<(), u64>::new).low_unbounded().spawn();
    /// for n in 0..100_000 {
    ///     handle.try_send_low(n)?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn low_unbounded(mut self) -> Self {
        self.settings.unbounded.low = true;
        self
    }
}
