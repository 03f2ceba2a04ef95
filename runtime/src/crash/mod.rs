//! What becomes of messages, and of state, at a crash.
//!
//! The message that was being handled is redelivered, becomes a dead letter, or is dropped. Queued
//! messages stay, whether they are in the lanes or were taken ahead. State stays if it is
//! [`Persistent`].

mod ahead;
mod dead_letter;
mod persist;
mod redelivery;

pub(crate) use self::{
    ahead::Ahead,
    dead_letter::{DeadLetters, Remaining},
    redelivery::{AfterCrash, Redelivery, RedeliveryRule},
};
pub use self::{
    dead_letter::{DeadLetter, Undelivered},
    persist::{Lease, Persistent},
};
