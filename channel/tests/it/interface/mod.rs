//! The public functions of each type, one by one.

mod blocking;
mod handles;
mod mailbox;
mod permits;
mod receiver;
mod sender;
#[cfg(feature = "sink")]
mod sink;
mod timeouts;
mod until;
