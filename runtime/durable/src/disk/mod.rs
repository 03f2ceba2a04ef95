//! What a log needs of a disk: files of a fixed size, syncs, and words that outlive a killed process.
//!
//! [`RealDisk`] is a directory. [`SimDisk`] is a model of one that loses power, tears writes, fails
//! syncs and fills up: whatever a test does with it can be repeated from its seed.

mod real;
mod sim;
mod words;

use std::{fmt, io};

pub use self::{real::RealDisk, sim::SimDisk, words::Words};

/// A directory with files.
pub trait Disk: Send + fmt::Debug + 'static {
    /// Makes this process the only one that uses the directory, as long as this value lives.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if another process or another value has it.
    fn lock(&mut self) -> io::Result<()>;

    /// The names of all files.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file of `size` bytes, all zero and allocated. After a return, a power loss keeps it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::StorageFull`] when there is no room; then there is no file either.
    fn create(&self, name: &str, size: u64) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// At least `count` words, zero at first, that keep what was stored in them when the process is
    /// killed, also if there were fewer or more of them before. After a power loss each has a value that it
    /// had at some time.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    fn words(&self, name: &str, count: usize) -> io::Result<Words>;

    /// The present values of [`words`](Self::words); none if there are no such words. It changes nothing.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    fn peek_words(&self, name: &str) -> io::Result<Vec<u64>>;
}

/// A file of a fixed size.
pub trait DiskFile: Send + fmt::Debug {
    /// The size in bytes.
    fn size(&self) -> u64;

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    ///
    /// Those of the disk; [`io::ErrorKind::UnexpectedEof`] beyond the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes `bytes` at `offset`. A power loss before the next [`sync`](Self::sync) keeps any part
    /// of it.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Waits until all that was written will outlive a power loss.
    ///
    /// # Errors
    ///
    /// Those of the disk. What was written before may be lost then, and a sync that succeeds later
    /// says nothing about it.
    fn sync(&self) -> io::Result<()>;
}
