//! Sizes and the executor, the same for all subjects.

use std::fmt::Display;

use tokio::runtime::{Builder, Runtime};

use crate::rig::executor::cores;
use crate::rig::fault::Fault;

/// Bytes of a question, and of its answer.
pub(super) const SMALL: usize = 64;
/// Bytes of a message that is told.
pub(super) const LARGE: usize = 1200;

/// An executor with sockets.
pub(super) fn executor() -> Result<Runtime, Fault> {
    Builder::new_multi_thread()
        .worker_threads(cores())
        .enable_all()
        .build()
        .map_err(|error| Fault::Failed(format!("the executor did not start: {error}")))
}

pub(super) fn failed(error: impl Display) -> Fault {
    Fault::Failed(error.to_string())
}
