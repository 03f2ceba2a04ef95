//! A directory of the file system.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{Disk, DiskFile, words::Words};

/// The file by which a directory is locked.
const LOCK: &str = "lock";
/// The ending of a file that is not complete.
const UNFINISHED: &str = ".new";

/// A directory. Syncs are [`File::sync_data`]: `fdatasync` on Linux.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
    lock: Option<File>,
}

impl RealDisk {
    /// Uses a directory, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn new(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory)?;
        if let Some(parent) = directory.parent() {
            sync_directory(parent)?;
        }
        Ok(Self {
            directory,
            lock: None,
        })
    }

    /// Uses a directory that is there.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`]; others of the file system.
    pub fn existing(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        if !fs::metadata(&directory)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            directory,
            lock: None,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes a file that begins with `content`, and is zero up to `size`.
    fn make(&self, name: &str, content: &[u8], size: u64) -> io::Result<File> {
        let unfinished = self.path(&format!("{name}{UNFINISHED}"));
        let made = (|| {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&unfinished)?;
            file.write_all(content)?;
            // Written, not only reserved: a sync then has no allocation to record.
            let zeros = vec![0; 1 << 16];
            let mut left = size.saturating_sub(content.len() as u64);
            while left > 0 {
                let part = left.min(zeros.len() as u64) as usize;
                file.write_all(&zeros[..part])?;
                left -= part as u64;
            }
            file.sync_all()?;
            fs::rename(&unfinished, self.path(name))?;
            sync_directory(&self.directory)?;
            Ok(file)
        })();
        if made.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        made
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        match fs::read(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        }
    }
}

impl Disk for RealDisk {
    fn lock(&mut self) -> io::Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.path(LOCK))?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(())
            }
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, name: &str, size: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = self.make(name, &[], size)?;
        Ok(Box::new(RealFile { file, size }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(name))?;
        let size = file.metadata()?.len();
        Ok(Box::new(RealFile { file, size }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))?;
        sync_directory(&self.directory)
    }

    fn words(&self, name: &str, count: usize) -> io::Result<Words> {
        let there = self.read(name)?;
        let count = count.max(there.len() / 8);
        if there.len() != count * 8 {
            self.make(name, &there[..there.len() / 8 * 8], count as u64 * 8)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(name))?;
        Words::map(&file, count)
    }

    fn peek_words(&self, name: &str) -> io::Result<Vec<u64>> {
        let bytes = self.read(name)?;
        let (words, _) = bytes.as_chunks::<8>();
        Ok(words.iter().map(|word| u64::from_ne_bytes(*word)).collect())
    }
}

/// Makes names in a directory outlive a power loss. Only Unix can sync a directory.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = match directory.as_os_str().is_empty() {
            true => Path::new("."),
            false => directory,
        };
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[derive(Debug)]
struct RealFile {
    file: File,
    size: u64,
}

impl DiskFile for RealFile {
    fn size(&self) -> u64 {
        self.size
    }

    #[cfg(unix)]
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, into, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset)
    }

    // Elsewhere through the file's position: one thread has the file.
    #[cfg(not(unix))]
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        use std::io::{Read, Seek};
        (&self.file).seek(io::SeekFrom::Start(offset))?;
        (&self.file).read_exact(into)
    }

    #[cfg(not(unix))]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        use std::io::Seek;
        (&self.file).seek(io::SeekFrom::Start(offset))?;
        (&self.file).write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
