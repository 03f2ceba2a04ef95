//! The public functions of each type, one by one.

mod blocking;
mod mailbox;
mod receiver;
mod sender;
mod timeouts;
