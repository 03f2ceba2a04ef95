//! What becomes of messages, and of state, at a crash.

mod dead_letter;
mod persist;

pub use self::{
    dead_letter::{DeadLetter, Undelivered},
    persist::{Lease, Persistent},
};
