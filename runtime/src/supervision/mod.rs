//! How failures are answered: which children restart, how often, how soon.
//!
//! The rules are values. The child's own task carries them out, and for strategies that concern
//! siblings a task of the group does, but never the parent's handlers: a parent that waits for its
//! child cannot keep the child from restarting.

mod backoff;
pub(crate) mod ending;
pub(crate) mod group;
mod health;
mod incidents;
mod roster;
pub(crate) mod round;
mod rules;
mod window;

pub use self::{
    backoff::Backoff,
    health::Health,
    rules::{Restart, Strategy, Supervision},
};
pub(crate) use self::{health::HealthCheck, incidents::Incidents, window::Window};
