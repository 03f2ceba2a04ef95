//! Waking several wakers, some of which may panic: the others are woken anyway.
//!
//! The caller still gets the panic. A waker is code of an executor, of which this crate knows
//! nothing.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

/// Runs wake-ups, or code that contains some, one after the other. The first panic is resumed when
/// all are done.
#[derive(Debug, Default)]
pub(crate) struct WakeAll {
    panic: Option<Box<dyn Any + Send>>,
}

impl WakeAll {
    pub(crate) fn run<R>(&mut self, wake: impl FnOnce() -> R) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(wake)) {
            self.panic.get_or_insert(panic);
        }
    }

    /// Resumes the first panic. During another panic of this thread it is dropped, because it would
    /// abort the process.
    pub(crate) fn done(self) {
        if let Some(panic) = self.panic
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}
