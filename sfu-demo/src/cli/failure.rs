//! The error of a command.

pub(super) type Failure = Box<dyn std::error::Error>;
