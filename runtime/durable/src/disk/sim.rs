//! A simulated disk: it keeps what was synced, and of the rest what the test says.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Disk, DiskFile, words::Words};

/// The unit that a power loss keeps or loses.
const SECTOR: usize = 512;

/// A disk in memory. Clones are the same disk, as two processes see it.
#[derive(Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Whether it was locked by this value.
    has_lock: bool,
}

impl Clone for SimDisk {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            has_lock: false,
        }
    }
}

impl Drop for SimDisk {
    fn drop(&mut self) {
        if self.has_lock {
            self.state().is_locked = false;
        }
    }
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Content>,
    words: BTreeMap<String, Arc<[AtomicU64]>>,
    is_locked: bool,
    /// Bytes that may be allocated; none is without a limit.
    limit: Option<u64>,
    /// Syncs until one fails.
    fail_sync: Option<u64>,
    /// Bytes that may still be written before the machine stops.
    power: Option<u64>,
    syncs: u64,
    written: u64,
    /// Files that are open, and the most that were at a time.
    open: usize,
    most_open: usize,
}

#[derive(Debug)]
struct Content {
    synced: Vec<u8>,
    current: Vec<u8>,
    /// What was written since the last sync, in order.
    unsynced: Vec<(u64, Vec<u8>)>,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most so many bytes may be allocated from now on; none is without a limit.
    pub fn set_limit(&self, bytes: Option<u64>) {
        self.state().limit = bytes;
    }

    /// Lets the sync after the next `syncs` fail. The data that it should have kept is lost.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.state().fail_sync = Some(syncs);
    }

    /// Stops the machine after `bytes` more bytes: the write that goes beyond is torn there, and
    /// everything fails from then on.
    pub fn cut_power_after(&self, bytes: u64) {
        self.state().power = Some(bytes);
    }

    /// How many syncs have succeeded.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.state().written
    }

    /// The most files that were open at a time.
    pub fn most_open(&self) -> usize {
        self.state().most_open
    }

    /// The bytes of all files.
    pub fn allocated(&self) -> u64 {
        let state = self.state();
        state
            .files
            .values()
            .map(|file| file.current.len() as u64)
            .sum()
    }

    /// A process that was killed: what it wrote stays. Its value is dropped by the test, which frees
    /// the lock.
    pub fn kill(&self) {
        let mut state = self.state();
        state.power = None;
        state.fail_sync = None;
    }

    /// A power loss: of what was not synced, a sector keeps what was written to it if `keeps` says
    /// so for each write, and each word keeps its value or is zero.
    pub fn lose_power(&self, mut keeps: impl FnMut() -> bool) {
        let mut state = self.state();
        for file in state.files.values_mut() {
            let mut after = std::mem::take(&mut file.synced);
            for (offset, bytes) in std::mem::take(&mut file.unsynced) {
                let mut at = offset as usize;
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let part = rest.len().min(SECTOR - at % SECTOR);
                    if keeps() {
                        after[at..at + part].copy_from_slice(&rest[..part]);
                    }
                    at += part;
                    rest = &rest[part..];
                }
            }
            file.current.clone_from(&after);
            file.synced = after;
        }
        for words in state.words.values() {
            for word in words.iter() {
                if !keeps() {
                    // ORDERING: a test, after the end of the process that it plays.
                    word.store(0, Ordering::Relaxed);
                }
            }
        }
        drop(state);
        self.kill();
    }

    /// The content of a file as a process sees it.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.state()
            .files
            .get(name)
            .map(|file| file.current.clone())
    }

    /// Changes the content of a file behind the log's back: damage.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        if let Some(file) = state.files.get_mut(name) {
            change(&mut file.current);
            file.synced.clone_from(&file.current);
            file.unsynced.clear();
        }
    }

    /// Puts a file there, as if it had been copied.
    pub fn insert(&self, name: &str, content: Vec<u8>) {
        let content = Content {
            synced: content.clone(),
            current: content,
            unsynced: Vec::new(),
        };
        self.state().files.insert(name.to_owned(), content);
    }
}

fn values(words: &[AtomicU64]) -> Vec<u64> {
    // ORDERING: a copy, made under the lock of the disk between two processes.
    let values = words.iter().map(|word| word.load(Ordering::Relaxed));
    values.collect()
}

fn no_power() -> io::Error {
    io::Error::other("the machine has stopped")
}

impl Disk for SimDisk {
    fn lock(&mut self) -> io::Result<()> {
        let mut state = self.state();
        if state.is_locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.is_locked = true;
        drop(state);
        self.has_lock = true;
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().files.keys().cloned().collect())
    }

    fn create(&self, name: &str, size: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        if state.power == Some(0) {
            return Err(no_power());
        }
        let used: u64 = state
            .files
            .values()
            .map(|file| file.current.len() as u64)
            .sum();
        if state.limit.is_some_and(|limit| used + size > limit) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let zeros = vec![0; size as usize];
        let content = Content {
            synced: zeros.clone(),
            current: zeros,
            unsynced: Vec::new(),
        };
        state.files.insert(name.to_owned(), content);
        drop(state);
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let size = match state.files.get(name) {
            Some(file) => file.current.len() as u64,
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
        drop(state);
        Ok(Box::new(SimFile {
            disk: self.clone(),
            name: name.to_owned(),
            size,
        }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.state().files.remove(name) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn words(&self, name: &str, count: usize) -> io::Result<Words> {
        let mut state = self.state();
        let there = state.words.entry(name.to_owned()).or_default();
        if there.len() < count {
            let mut words = values(there);
            words.resize(count, 0);
            *there = words.into_iter().map(AtomicU64::new).collect();
        }
        Ok(Words::in_memory(there.clone()))
    }

    fn peek_words(&self, name: &str) -> io::Result<Vec<u64>> {
        let state = self.state();
        let words = state.words.get(name);
        Ok(words.map(|words| values(words)).unwrap_or_default())
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    name: String,
    size: u64,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state().open -= 1;
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.state();
        let file = state.files.get(&self.name).ok_or(io::ErrorKind::NotFound)?;
        let from = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let bytes = from
            .checked_add(into.len())
            .and_then(|to| file.current.get(from..to))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let allowed = state
            .power
            .map_or(bytes.len(), |left| left.min(bytes.len() as u64) as usize);
        let kept = &bytes[..allowed];
        state.written += kept.len() as u64;
        if let Some(left) = &mut state.power {
            *left -= allowed as u64;
        }
        let file = state
            .files
            .get_mut(&self.name)
            .ok_or(io::ErrorKind::NotFound)?;
        let from = offset as usize;
        if from + bytes.len() > file.current.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.current[from..from + allowed].copy_from_slice(kept);
        file.unsynced.push((offset, kept.to_vec()));
        match allowed == bytes.len() {
            true => Ok(()),
            false => Err(no_power()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.power == Some(0) {
            return Err(no_power());
        }
        match &mut state.fail_sync {
            Some(0) => {
                state.fail_sync = None;
                // As Linux does: the pages are clean now, and nobody will write them again.
                if let Some(file) = state.files.get_mut(&self.name) {
                    file.unsynced.clear();
                }
                return Err(io::Error::other("the disk failed to sync"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        state.syncs += 1;
        let file = state
            .files
            .get_mut(&self.name)
            .ok_or(io::ErrorKind::NotFound)?;
        let content = file;
        for (offset, bytes) in content.unsynced.drain(..) {
            let from = offset as usize;
            content.synced[from..from + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }
}
