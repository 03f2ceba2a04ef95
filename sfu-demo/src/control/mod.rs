//! Control: admission, and the rooms. No media passes through it.

mod actor;
pub(crate) mod admission;
pub(crate) mod rooms;

pub(crate) use actor::{ControlActor, Tables};
