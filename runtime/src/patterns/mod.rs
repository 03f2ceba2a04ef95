//! Patterns made of actors.

pub(crate) mod conversation;
pub(crate) mod pool;
pub(crate) mod route;
pub(crate) mod topic;
