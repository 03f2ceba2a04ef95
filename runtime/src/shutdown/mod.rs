//! How actors stop: close, drain, stop, and what did not stop by its deadline.

mod members;
mod os_signal;
mod report;
mod system;

pub(crate) use self::{members::EndMembers, os_signal::wait_for_signal, system::system};
pub use self::{
    os_signal::{Signal, Signals},
    report::{Late, Left, ShutdownReport},
};
