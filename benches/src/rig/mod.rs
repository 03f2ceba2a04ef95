//! What every measurement stands on: messages that are checked, statistics, and the allocator.

pub mod alloc;
pub mod executor;
pub mod fault;
pub mod payload;
pub mod stats;
