//! The fair semaphore by itself.

#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod plain;
