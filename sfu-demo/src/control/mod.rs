//! Control: who may join, and who is in which room. No media passes through it.

mod actor;
pub(crate) mod admission;
pub(crate) mod rooms;

pub(crate) use actor::{ControlActor, Tables};
