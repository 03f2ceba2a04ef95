//! The global allocator of every subject: mimalloc, with counters that are on only while memory is
//! measured.
//!
//! Published benchmarks of channels use mimalloc too, and a fast allocator hides less of the
//! channel itself. The counters cover the whole process, so only one measurement may run at a time.
//! This is the only file of the package with unsafe code.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use mimalloc::MiMalloc;

/// mimalloc, with counters that [`measure`] turns on.
#[derive(Debug)]
pub struct Counting;

#[global_allocator]
static GLOBAL: Counting = Counting;

static ON: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// What a piece of code did to the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heap {
    /// Bytes in use at the end, minus those in use at the start.
    pub live: i64,
    /// Peak of the bytes in use, minus those in use at the start.
    pub peak: i64,
}

/// Runs `work` with the counters on, and returns its result together with its effect on the heap.
///
/// Allocations of other threads during that time are counted too.
pub fn measure<R>(work: impl FnOnce() -> R) -> (R, Heap) {
    // ORDERING: relaxed throughout. The counters publish no other data, and `work` has joined or
    // awaited its threads before the counters are read.
    LIVE.store(0, Ordering::Relaxed);
    PEAK.store(0, Ordering::Relaxed);
    ON.store(true, Ordering::Relaxed);
    let result = work();
    let heap = Heap {
        live: LIVE.load(Ordering::Relaxed),
        peak: PEAK.load(Ordering::Relaxed),
    };
    ON.store(false, Ordering::Relaxed);
    (result, heap)
}

/// The bytes in use now, relative to the start of the enclosing [`measure`].
pub fn live() -> i64 {
    // ORDERING: relaxed; see `measure`.
    LIVE.load(Ordering::Relaxed)
}

#[cold]
fn count(change: i64) {
    // ORDERING: relaxed; see `measure`.
    let now = LIVE.fetch_add(change, Ordering::Relaxed) + change;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

#[inline]
fn counting() -> bool {
    // ORDERING: relaxed; a call that races with the switch may be missed, which no measurement
    // relies on.
    ON.load(Ordering::Relaxed)
}

// SAFETY: every call is forwarded to mimalloc with its arguments unchanged; the counters are
// statics, and updating them does not allocate.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if counting() {
            count(layout.size() as i64);
        }
        // SAFETY: the caller upholds the contract of `GlobalAlloc::alloc`.
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if counting() {
            count(layout.size() as i64);
        }
        // SAFETY: the caller upholds the contract of `GlobalAlloc::alloc_zeroed`.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if counting() {
            count(-(layout.size() as i64));
        }
        // SAFETY: the caller upholds the contract of `GlobalAlloc::dealloc`.
        unsafe { MiMalloc.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if counting() {
            count(new_size as i64 - layout.size() as i64);
        }
        // SAFETY: the caller upholds the contract of `GlobalAlloc::realloc`.
        unsafe { MiMalloc.realloc(ptr, layout, new_size) }
    }
}
