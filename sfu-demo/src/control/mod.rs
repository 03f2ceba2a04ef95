//! Control: admission, and the rooms. No media passes through it.

pub(crate) mod admission;
pub(crate) mod rooms;
pub(crate) mod shards;
