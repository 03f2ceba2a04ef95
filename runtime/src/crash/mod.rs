//! What becomes of messages, and of state, at a crash.

pub(crate) mod dead_letter;
pub(crate) mod persist;
