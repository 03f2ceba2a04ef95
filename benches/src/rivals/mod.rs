//! The project's own channel and runtime and those that they are compared with, adapted to a few small traits.

pub mod actors;
pub mod channels;
mod subject;
pub mod two_class;

pub use self::subject::{Role, Subject};
