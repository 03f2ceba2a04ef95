//! What every measurement uses: checked payloads, faults, statistics, the executor and the
//! allocator.

pub mod alloc;
pub mod executor;
pub mod fault;
pub mod interval;
pub mod payload;
pub mod stats;
pub mod witness;
