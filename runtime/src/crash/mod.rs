//! What becomes of messages, and of state, at a crash.
//!
//! The message that was being handled is redelivered, becomes a dead letter, or is dropped. Queued
//! messages stay, whether they are in the lanes, were taken ahead, or were put aside. State stays if it is
//! [`Persistent`].

mod ahead;
mod custody;
mod dead_letter;
mod keeper;
mod membership;
mod persist;
mod stash;

pub(crate) use self::{
    ahead::Ahead,
    custody::{AfterCrash, Custody, RedeliveryRule},
    dead_letter::{DeadLetters, Remaining},
    keeper::KEPT,
    membership::Membership,
    stash::Stash,
};
pub use self::{
    dead_letter::{DeadLetter, Undelivered},
    keeper::Keeper,
    persist::{Lease, Persistent},
};
