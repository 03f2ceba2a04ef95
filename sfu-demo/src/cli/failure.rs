//! The error of a command, which is printed.

pub(super) type Failure = Box<dyn std::error::Error>;
