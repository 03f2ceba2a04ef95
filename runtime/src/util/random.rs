//! Random numbers: from the clock, or from the seed of a simulation.

use std::{cell::Cell, time::SystemTime};

thread_local! {
    /// The state of the simulation that this thread runs; 0 when it runs none.
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// One step of Steele, Lea and Flood's SplitMix64 (OOPSLA 2014).
pub(crate) fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A seed for jitter: different for each actor and each call.
pub(crate) fn seed(id: u64) -> u64 {
    let time = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    seeded()
        .unwrap_or(time.as_nanos() as u64)
        .wrapping_add(splitmix(id))
}

/// The next random number of the simulation that this thread runs, if it runs one.
pub(crate) fn seeded() -> Option<u64> {
    SEED.with(|seed| {
        let state = seed.get();
        if state == 0 {
            return None;
        }
        seed.set(splitmix(state).max(1));
        Some(splitmix(state ^ 0x5851_F42D_4C95_7F2D))
    })
}

/// Whether this thread runs a simulation.
pub(crate) fn is_seeded() -> bool {
    SEED.with(Cell::get) != 0
}

/// Seeds this thread's random numbers until it is dropped, then restores the seed before it.
#[cfg(feature = "testing")]
pub(crate) struct Seeded(u64);

#[cfg(feature = "testing")]
impl Seeded {
    pub(crate) fn with(seed: u64) -> Self {
        Self(SEED.with(|cell| cell.replace(seed.max(1))))
    }
}

#[cfg(feature = "testing")]
impl Drop for Seeded {
    fn drop(&mut self) {
        SEED.with(|cell| cell.set(self.0));
    }
}
