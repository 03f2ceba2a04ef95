//! The public functions of each type, one by one.

mod blocking;
mod handles;
mod mailbox;
mod receiver;
mod sender;
mod timeouts;
