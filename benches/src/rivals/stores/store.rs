//! What a store does, for the shape `durable`.

use std::path::Path;

use crate::rig::fault::Fault;

/// A store to which batches of messages are committed.
pub trait Store: Sized + Send + 'static {
    /// Makes a store in an empty directory.
    ///
    /// # Errors
    ///
    /// [`Fault::Failed`].
    fn open(directory: &Path) -> Result<Self, Fault>;

    /// Stores the messages and syncs once.
    ///
    /// # Errors
    ///
    /// [`Fault::Failed`].
    fn commit(&mut self, messages: &[Vec<u8>]) -> Result<(), Fault>;
}

pub(super) fn failed(error: impl std::fmt::Display) -> Fault {
    Fault::Failed(error.to_string())
}
