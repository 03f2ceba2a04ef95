//! Asymmetric fences: a producer that sends often passes none, because the receiver, which needs the other side of
//! it seldom, makes all threads of the process pass one (`membarrier` of Linux).
//!
//! A pair of the two orders like two `store_load_fence!`s: either side's stores before it, or the other's, are
//! seen by the loads after. The idea is that of folly's `asymmetric_thread_fence_light` and `_heavy` (C++ proposal
//! P1202). The language's memory model does not know it.

pub(crate) use system::{heavy_fence, is_available, is_possible, light_fence};

/// Allows receivers to spare their busiest senders the memory fence of each message, where the system has
/// `membarrier`: Linux since 4.14.
///
/// From then on a receiver that finds messages in its lanes for long, without sleeping
/// ([`Builder::unfenced_after`](crate::Builder::unfenced_after)), notifies those producers to leave the fence out, a third
/// of what a send through a lane costs. Before it sleeps it makes all running threads of the process pass a fence,
/// which costs it some microseconds, and interrupts them for a moment. It does so only while the one is worth
/// several times the other, as it measures.
///
/// To be called when the process starts, at best before it has other threads: the call itself may take tens of
/// milliseconds later. To call it again does nothing.
///
/// # Errors
///
/// [`Unsupported`](std::io::ErrorKind::Unsupported) elsewhere, or what the system says. Everything works without.
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
        // ORDERING: Relaxed; what the system has registered it knows for all threads.
        REGISTERED.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether [`heavy_fence`] may be used.
    #[inline]
    pub(crate) fn is_available() -> bool {
        // ORDERING: Relaxed, as above.
        REGISTERED.load(Ordering::Relaxed)
    }

    /// Whether lanes may be unfenced at all, known when this is compiled.
    #[inline]
    pub(crate) fn is_possible() -> bool {
        true
    }

    /// The producer's side: keeps the compiler from moving the load up before the store.
    #[inline]
    pub(crate) fn light_fence() {
        compiler_fence(Ordering::SeqCst);
    }

    /// The receiver's side: all threads of the process have passed a fence when this returns.
    #[cold]
    pub(crate) fn heavy_fence() {
        if membarrier(MembarrierCommand::PrivateExpedited).is_err() {
            // Forbidden since it was registered, by a filter of system calls. No processor keeps a store to
            // itself for as long as this.
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

/// A model has no fence that makes other threads pass one. Two read-modify-writes of one word order like the pair:
/// the later of them sees what came before the earlier.
#[cfg(loom)]
mod system {
    use std::cell::Cell;

    use crate::sync::{AtomicUsize, Ordering, mutant};

    loom::lazy_static! {
        static ref PAIR: AtomicUsize = AtomicUsize::new(0);
    }

    std::thread_local! {
        /// A model runs on one thread. Those that do not ask for it are spared what it adds to them.
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
            // ORDERING: AcqRel, as said above.
            PAIR.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn heavy_fence() {
        if !mutant("heavy_fence") {
            // ORDERING: AcqRel, as said above.
            PAIR.fetch_add(1, Ordering::AcqRel);
        }
    }
}
