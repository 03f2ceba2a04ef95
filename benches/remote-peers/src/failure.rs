//! What goes wrong.

/// Whatever has gone wrong.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
