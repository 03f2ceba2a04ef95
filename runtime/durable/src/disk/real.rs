//! A directory of the file system.

use std::{
    cell::Cell,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Disk, DiskFile, words::Words};

/// The file by which a directory is locked.
const LOCK: &str = "lock";
/// For how long a disk that was full is not tried again, at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// The ending of a file that is not complete.
const UNFINISHED: &str = ".new";

/// A directory. Syncs are [`File::sync_data`]: `fdatasync` on Linux. Its errors name the file.
///
/// A store that runs must keep its files: on Unix a sync fails if the file that it is for was removed from
/// all directories meanwhile, since a start would not find what it has kept.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
    lock: [Option<File>; 2],
    /// Whether files are opened for reading only.
    is_read_only: bool,
    /// The disk was full a moment ago: nobody writes to it again before.
    full_until: Cell<Option<Instant>>,
}

impl RealDisk {
    /// Uses a directory, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn new(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        make_directories(&directory)?;
        Ok(Self {
            directory,
            lock: [None, None],
            is_read_only: false,
            full_until: Cell::new(None),
        })
    }

    /// Uses a directory that is there.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`]; others of the file system.
    pub fn existing(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        let found = fs::metadata(&directory).map_err(|error| at(&directory, error))?;
        if !found.is_dir() {
            return Err(at(&directory, io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self {
            directory,
            lock: [None, None],
            is_read_only: false,
            full_until: Cell::new(None),
        })
    }

    /// Uses a directory that is there, and only reads it: it may be on a file system that nobody can write to.
    /// Whatever would change it fails.
    ///
    /// # Errors
    ///
    /// As [`existing`](Self::existing).
    pub fn reading(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let disk = Self::existing(directory)?;
        Ok(Self {
            is_read_only: true,
            ..disk
        })
    }

    fn must_be_writable(&self) -> io::Result<()> {
        match self.is_read_only {
            true => Err(at(
                &self.directory,
                io::ErrorKind::ReadOnlyFilesystem.into(),
            )),
            false => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn open_file(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(!self.is_read_only)
            .open(path)
    }

    /// Makes a file that begins with `content`, and is zero up to `size`.
    fn make(&self, name: &str, content: &[u8], size: u64) -> io::Result<File> {
        self.must_be_writable()?;
        let unfinished = self.path(&format!("{name}{UNFINISHED}"));
        let began = Instant::now();
        if self.full_until.get().is_some_and(|until| began < until) {
            return Err(at(&self.path(name), io::ErrorKind::StorageFull.into()));
        }
        let made: io::Result<File> = (|| {
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
        if let Err(error) = &made {
            let _ = fs::remove_file(&unfinished);
            // What is left of the disk was written for nothing. With a send after a send that finds no room, nothing else
            // would be done.
            let is_full = error.kind() == io::ErrorKind::StorageFull;
            let now = Instant::now();
            let pause = (10 * (now - began)).min(LONGEST_PAUSE);
            self.full_until.set(is_full.then(|| now + pause));
        }
        made.map_err(|error| at(&self.path(name), error))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        match fs::read(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|error| at(&self.path(name), error)),
        }
    }

    /// Opens the file by which the directory is locked. None if there is none and none can be made: then no
    /// process can write here.
    fn open_lock(&self) -> io::Result<Option<File>> {
        let path = self.path(LOCK);
        let writable = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        match writable {
            Err(error) if self.is_read_only && is_forbidden(&error) => match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                file => file.map(Some).map_err(|error| at(&path, error)),
            },
            file => file.map(Some).map_err(|error| at(&path, error)),
        }
    }
}

impl Disk for RealDisk {
    fn lock(&mut self) -> io::Result<()> {
        let Some(file) = self.open_lock()? else {
            return Ok(());
        };
        match file.try_lock() {
            Ok(()) => {
                // Somebody may have removed the file that another process has locked.
                self.lock = [Some(file), lock_directory(&self.directory)?];
                Ok(())
            }
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(at(&self.path(LOCK), error)),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let named = |error| at(&self.directory, error);
        for entry in fs::read_dir(&self.directory).map_err(named)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.map_err(named)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, name: &str, size: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = self.make(name, &[], size)?;
        Ok(Box::new(RealFile::new(file, self.path(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path(name);
        let file = self.open_file(&path).map_err(|error| at(&path, error))?;
        Ok(Box::new(RealFile::new(file, path)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.must_be_writable()?;
        fs::remove_file(self.path(name)).map_err(|error| at(&self.path(name), error))?;
        sync_directory(&self.directory)
    }

    fn words(&self, name: &str, count: usize) -> io::Result<Words> {
        let there = self.read(name)?;
        let count = count.max(there.len() / 8);
        if there.len() != count * 8 {
            self.make(name, &there[..there.len() / 8 * 8], count as u64 * 8)?;
        }
        self.must_be_writable()?;
        let path = self.path(name);
        let file = self.open_file(&path).map_err(|error| at(&path, error))?;
        Words::map(&file, count).map_err(|error| at(&path, error))
    }

    fn peek_words(&self, name: &str) -> io::Result<Vec<u64>> {
        let bytes = self.read(name)?;
        let (words, _) = bytes.as_chunks::<8>();
        Ok(words.iter().map(|word| u64::from_ne_bytes(*word)).collect())
    }
}

/// The error with the name of the file.
fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Locks the directory itself. None where that is not possible.
fn lock_directory(directory: &Path) -> io::Result<Option<File>> {
    let Ok(file) = File::open(directory) else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Makes a directory and those above it, so that a power loss keeps them.
fn make_directories(directory: &Path) -> io::Result<()> {
    let missing = directory.ancestors().take_while(|above| {
        !above.as_os_str().is_empty()
            && fs::metadata(above).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    });
    let missing = missing.count();
    fs::create_dir_all(directory).map_err(|error| at(directory, error))?;
    for (made, parent) in directory
        .ancestors()
        .skip(1)
        .take(missing.max(1))
        .enumerate()
    {
        match sync_directory(parent) {
            // It was there, and its parent is not ours.
            Err(error) if made == missing && is_forbidden(&error) => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// Makes names in a directory outlive a power loss. Only Unix can sync a directory, and there not every file
/// system.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = match directory.as_os_str().is_empty() {
            true => Path::new("."),
            false => directory,
        };
        let synced = File::open(directory).and_then(|file| file.sync_all());
        match synced {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) => {}
            synced => synced.map_err(|error| at(directory, error))?,
        }
    }
    Ok(())
}

/// In how many directories a file is, where that is known.
#[cfg(unix)]
fn links(file: &File) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.nlink())
}

#[cfg(not(unix))]
fn links(_: &File) -> io::Result<u64> {
    Ok(0)
}

#[derive(Debug)]
struct RealFile {
    file: File,
    size: u64,
    path: PathBuf,
    /// Whether the file system says how many names the file has.
    counts_names: bool,
}

impl RealFile {
    fn new(file: File, path: PathBuf) -> io::Result<Self> {
        let named = |error| at(&path, error);
        Ok(Self {
            size: file.metadata().map_err(named)?.len(),
            counts_names: links(&file).map_err(named)? > 0,
            file,
            path,
        })
    }

    /// Fails if a start would not find the file.
    fn must_have_a_name(&self) -> io::Result<()> {
        match self.counts_names && links(&self.file)? == 0 {
            true => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the file was removed while the store was open",
            )),
            false => Ok(()),
        }
    }
}

impl DiskFile for RealFile {
    fn size(&self) -> u64 {
        self.size
    }

    #[cfg(unix)]
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, into, offset)
            .map_err(|error| at(&self.path, error))
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset)
            .map_err(|error| at(&self.path, error))
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
        let synced = self.file.sync_data();
        synced
            .and_then(|()| self.must_have_a_name())
            .map_err(|error| at(&self.path, error))
    }
}
