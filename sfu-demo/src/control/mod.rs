//! Control: who may join, and who is in which room. No media passes through it.

pub mod admission;
pub mod rooms;
