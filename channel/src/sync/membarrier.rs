//! Asymmetric fences: a producer that sends often passes none, because the receiver, which rarely
//! needs the other side of the fence, makes all threads of the process pass one (Linux's
//! `membarrier`).
//!
//! A light and a heavy fence together order like two `store_load_fence!`s: the stores before one of
//! them are seen by the loads after the other. The idea is that of folly's
//! `asymmetric_thread_fence_light` and `_heavy` (C++ proposal P1202). The memory model of the
//! language does not know it.

pub(crate) use system::{heavy_fence, is_available, is_possible, light_fence};

/// Allows receivers to spare their busiest senders the memory fence of each message, where the
/// system has `membarrier`: Linux since 4.14.
///
/// From then on, a receiver that has received many messages without sleeping
/// ([`Builder::unfenced_after`](crate::Builder::unfenced_after)) lets the producers of busy lanes
/// leave out the fence, which is a third of the cost of a send through a lane. Before it sleeps, it
/// makes all running threads of the process pass a fence, which costs it a few microseconds, and
/// interrupts them for a moment. It measures this, and goes on only while it gains several times as
/// much. Likewise a receiver that has been polled as often passes no fence where it finds nothing: the first sender of
/// its channel that waits for room makes all threads pass one, once.
///
/// Call it when the process starts, preferably before it has other threads: later the call may take
/// tens of milliseconds. Further calls do nothing.
///
/// # Errors
///
/// [`Unsupported`](std::io::ErrorKind::Unsupported) on other systems, or the system's own error.
/// Channels work in any case.
///
/// # Examples
///
/// ```
/// if let Err(error) = lanemesh::register_membarrier() {
///     eprintln!("every message costs a fence: {error}");
/// }
/// ```
#[cfg(any(feature = "membarrier", loom))]
pub fn register_membarrier() -> std::io::Result<()> {
    system::register()
}

#[cfg(all(
    not(loom),
    feature = "membarrier",
    any(target_os = "linux", target_os = "android"),
    not(miri)
))]
mod system {
    use std::{
        io,
        sync::atomic::{AtomicBool, Ordering, compiler_fence},
        thread,
        time::Duration,
    };

    use rustix::thread::{MembarrierCommand, membarrier};

    static REGISTERED: AtomicBool = AtomicBool::new(false);

    pub(super) fn register() -> io::Result<()> {
        membarrier(MembarrierCommand::RegisterPrivateExpedited)
            .map_err(|errno| io::Error::from_raw_os_error(errno.raw_os_error()))?;
        // ORDERING: Relaxed; the registration is the system's, which knows it for all threads.
        REGISTERED.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether [`heavy_fence`] may be used.
    #[inline]
    pub(crate) fn is_available() -> bool {
        // ORDERING: Relaxed, as above.
        REGISTERED.load(Ordering::Relaxed)
    }

    /// Whether lanes can ever be unfenced; known at compile time.
    #[inline]
    pub(crate) fn is_possible() -> bool {
        true
    }

    /// The producer's side: only keeps the compiler from moving the load before the store.
    #[inline]
    pub(crate) fn light_fence() {
        compiler_fence(Ordering::SeqCst);
    }

    /// The receiver's side: when this returns, all threads of the process have passed a fence.
    #[cold]
    pub(crate) fn heavy_fence() {
        if membarrier(MembarrierCommand::PrivateExpedited).is_err() {
            // A system-call filter has forbidden it since it was registered. No processor delays a
            // store for as long as this.
            REGISTERED.store(false, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[cfg(all(
    not(loom),
    not(all(
        feature = "membarrier",
        any(target_os = "linux", target_os = "android"),
        not(miri)
    ))
))]
mod system {
    #[cfg(feature = "membarrier")]
    pub(super) fn register() -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    #[inline]
    pub(crate) fn is_available() -> bool {
        false
    }

    #[inline]
    pub(crate) fn is_possible() -> bool {
        false
    }

    #[inline]
    pub(crate) fn light_fence() {}

    pub(crate) fn heavy_fence() {}
}

/// In a model no fence can make other threads pass one. Two read-modify-writes of one word order
/// like the pair: the later one sees what came before the earlier one.
#[cfg(loom)]
mod system {
    use std::cell::Cell;

    use crate::sync::{AtomicUsize, Ordering, mutant};

    loom::lazy_static! {
        static ref PAIR: AtomicUsize = AtomicUsize::new(0);
    }

    std::thread_local! {
        /// A model runs on one thread. Models that do not register are spared the extra states.
        static REGISTERED: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn register() -> std::io::Result<()> {
        REGISTERED.set(true);
        Ok(())
    }

    pub(crate) fn is_available() -> bool {
        REGISTERED.get()
    }

    pub(crate) fn is_possible() -> bool {
        is_available()
    }

    pub(crate) fn light_fence() {
        if !mutant("light_fence") {
            // ORDERING: AcqRel, as explained above.
            PAIR.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn heavy_fence() {
        if !mutant("heavy_fence") {
            // ORDERING: AcqRel, as explained above.
            PAIR.fetch_add(1, Ordering::AcqRel);
        }
    }
}
