//! The channels and actor runtimes that are compared, the project's own among them, behind common
//! traits.

pub mod actors;
pub mod channels;
pub mod mesh;
pub mod stores;
mod subject;
pub mod two_class;

pub use self::subject::{Role, Subject};
