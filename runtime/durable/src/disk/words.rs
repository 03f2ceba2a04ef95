//! Words in memory that is shared with a file, so that they outlive a killed process.
//!
//! A store is one instruction, and the actor's thread makes no system call. This is the only file
//! of the package with unsafe code: mapping a file, and atomic access to the mapping.
#![allow(unsafe_code)]

use std::{
    fmt,
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use memmap2::{MmapOptions, MmapRaw};

/// Words that keep what was stored in them when the process is killed ([`Disk`](super::Disk)).
#[derive(Clone)]
pub struct Words(Arc<Kind>);

enum Kind {
    File { map: MmapRaw, count: usize },
    Memory(Arc<[AtomicU64]>),
}

impl Words {
    /// Maps a file that has `count` words, all of them allocated on disk.
    pub(super) fn map(file: &File, count: usize) -> io::Result<Self> {
        if file.metadata()?.len() < count as u64 * 8 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let map = MmapOptions::new().len(count * 8).map_raw(file)?;
        Ok(Self(Arc::new(Kind::File { map, count })))
    }

    pub(super) fn in_memory(words: Arc<[AtomicU64]>) -> Self {
        Self(Arc::new(Kind::Memory(words)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &*self.0 {
            Kind::File { count, .. } => *count,
            Kind::Memory(words) => words.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        match &*self.0 {
            Kind::File { map, count } => {
                assert!(index < *count, "no such word: {index} of {count}");
                let words = map.as_mut_ptr().cast::<AtomicU64>();
                // SAFETY: the mapping is `count * 8` bytes long (`map`), begins at a page, and lives as
                // long as `self`. This process accesses it by atomic operations only, and no other
                // process has it: the directory is locked. The file is not truncated as long as the
                // directory is locked, and its blocks are allocated, so that no access faults.
                unsafe { &*words.add(index) }
            }
            Kind::Memory(words) => &words[index],
        }
    }

    /// Reads a word.
    pub fn load(&self, index: usize) -> u64 {
        // ORDERING: Acquire pairs with the Release of `store`: who sees a word of a store that was opened
        // again sees what was stored before it.
        self.word(index).load(Ordering::Acquire)
    }

    /// Stores a word.
    pub fn store(&self, index: usize, value: u64) {
        // ORDERING: Release, so that the words of one thread reach the memory that outlives the process
        // in the order in which it stored them. Read by the next process, which starts after the end of
        // this one.
        self.word(index).store(value, Ordering::Release);
    }

    /// Stores a word if it is still `old`. Returns whether it was.
    pub fn replace(&self, index: usize, old: u64, value: u64) -> bool {
        // ORDERING: as in `store`; a failure changes nothing.
        let replaced =
            self.word(index)
                .compare_exchange(old, value, Ordering::Release, Ordering::Relaxed);
        replaced.is_ok()
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("len", &self.len()).finish()
    }
}
