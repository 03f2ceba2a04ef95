//! How failures are answered: which children restart, how often, how soon.
//!
//! The rules are values. They are carried out by the child's own task, and for the strategies that
//! concern siblings by a task of the group, never by the parent's handlers: a parent that waits for
//! its child cannot keep the child from coming back.

mod backoff;
pub(crate) mod group;
mod health;
pub(crate) mod round;
mod rules;
mod window;

pub use self::{
    backoff::Backoff,
    health::Health,
    rules::{Restart, Strategy, Supervision},
};
pub(crate) use self::{health::HealthCheck, window::Window};
