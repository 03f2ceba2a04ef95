//! An allocator that can put values on pages of their own, which can then be protected against
//! writes or all access: a signal ends any process that accesses them nevertheless.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    env,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    ptr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};

/// A range of pages from which the thread that holds it open allocates; never freed.
pub(crate) struct Pages {
    start: *mut u8,
    size: usize,
    used: AtomicUsize,
}

/// What protected pages still allow.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// Reads; a write ends the process.
    Read,
    /// Nothing.
    Nothing,
}

thread_local! {
    /// The pages from which this thread allocates; null for the system's allocator.
    static OPEN: Cell<*const Pages> = const { Cell::new(ptr::null()) };
}

/// The address space of all pages of all tests of the process, so that `dealloc` recognises them.
const SPAN: usize = 1 << 31;
const MOST: usize = 8;
static SPAN_START: AtomicUsize = AtomicUsize::new(0);
static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Pages {
    /// Pages for allocations of up to 256 MiB in all; memory is committed only when it is used.
    pub(crate) fn new() -> Self {
        let number = TAKEN.fetch_add(1, SeqCst);
        assert!(number < MOST, "more pages than were provided for");
        if number == 0 {
            // SAFETY: a new mapping, at no address in particular.
            let span = unsafe {
                let access = ProtFlags::READ | ProtFlags::WRITE;
                mmap_anonymous(
                    ptr::null_mut(),
                    SPAN,
                    access,
                    MapFlags::PRIVATE | MapFlags::NORESERVE,
                )
            };
            SPAN_START.store(span.unwrap().addr(), SeqCst);
        }
        while SPAN_START.load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        let start =
            ptr::with_exposed_provenance_mut(SPAN_START.load(SeqCst) + number * (SPAN / MOST));
        Self {
            start,
            size: SPAN / MOST,
            used: AtomicUsize::new(0),
        }
    }

    /// Runs `f`, during which this thread allocates from these pages.
    pub(crate) fn hold<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Shut;
        impl Drop for Shut {
            fn drop(&mut self) {
                OPEN.set(ptr::null());
            }
        }
        let _shut = Shut;
        OPEN.set(self);
        f()
    }

    /// Runs `f`, on any thread, while the pages allow only `access`.
    pub(crate) fn closed<R>(&self, access: Access, f: impl FnOnce() -> R) -> R {
        struct Reopen<'a>(&'a Pages);
        impl Drop for Reopen<'_> {
            fn drop(&mut self) {
                self.0.protect(MprotectFlags::READ | MprotectFlags::WRITE);
            }
        }
        assert!(self.used.load(SeqCst) > 0, "nothing was put on these pages");
        let _reopen = Reopen(self);
        self.protect(match access {
            Access::Read => MprotectFlags::READ,
            Access::Nothing => MprotectFlags::empty(),
        });
        f()
    }

    fn protect(&self, flags: MprotectFlags) {
        // SAFETY: the pages are this allocator's own. That nobody accesses them is what is tested.
        unsafe { mprotect(self.start.cast(), self.size, flags) }.unwrap();
    }

    fn take(&self, layout: Layout) -> *mut u8 {
        // No two values share a cache line, because access to a neighbour is not what is tested.
        let align = layout.align().max(128);
        let size = layout.size().next_multiple_of(128) + align;
        let from = self.used.fetch_add(size, SeqCst);
        if from + size > self.size {
            return ptr::null_mut();
        }
        let offset = (self.start.addr() + from).next_multiple_of(align) - self.start.addr();
        self.start.wrapping_add(offset)
    }
}

/// Allocates from the pages that the thread holds open, and from the system otherwise.
pub(crate) struct Allocator;

// SAFETY: the system's allocator, except for memory from pages, which is handed out once and never
// reused.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: `hold` keeps the pages while they are open.
        if let Some(pages) = unsafe { OPEN.get().as_ref() } {
            return pages.take(layout);
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let span = SPAN_START.load(SeqCst);
        if span == 0 || !(span..span + SPAN).contains(&memory.addr()) {
            // SAFETY: it is not from pages, so it came from the system.
            unsafe { System.dealloc(memory, layout) }
        }
    }
}

/// Whether a signal ends the test `name` of this binary (with its module), run in a process of its
/// own with `LANEMESH_TRESPASS` set: that is, whether a forbidden access is detected.
pub(crate) fn is_stopped(name: &str) -> bool {
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1"])
        .env("LANEMESH_TRESPASS", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.signal().is_some()
}

/// Whether this process must make the forbidden access.
pub(crate) fn is_trespasser() -> bool {
    env::var_os("LANEMESH_TRESPASS").is_some()
}
