//! The clock, on targets that have one.
//!
//! `Instant::now` panics on `wasm32-unknown-unknown`: what depends on time elsewhere counts
//! messages there.

#[cfg(not(loom))]
use std::{sync::LazyLock, time::Instant};

/// Whether the target has a monotonic clock.
pub(crate) const HAS_CLOCK: bool = !cfg!(all(target_family = "wasm", target_os = "unknown"));

/// Microseconds since some moment in the past, modulo 2³². `None` on a target without a clock, and in
/// models, where time means nothing.
#[cold]
pub(crate) fn micros() -> Option<u32> {
    #[cfg(loom)]
    return None;
    #[cfg(not(loom))]
    {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        // The truncation is the modulo.
        HAS_CLOCK.then(|| START.elapsed().as_micros() as u32)
    }
}
