//! Wake-ups of many, where a waker may panic: the others are woken all the same.
//!
//! It does not keep the panic from the caller. A task's waker is its executor's code, which this crate knows nothing of.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

/// Wake-ups one after the other, or what contains some. The first panic goes on when all are done.
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

    /// In a drop while the thread panics anyway, this panic ends here: it would abort the process.
    pub(crate) fn done(self) {
        if let Some(panic) = self.panic
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}
