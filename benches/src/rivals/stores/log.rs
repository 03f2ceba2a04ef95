//! The floor: writes into a file that is there already, and `fdatasync`.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::store::{Store, failed};
use crate::rig::fault::Fault;

/// Bytes of the file; writing begins again at its end.
const SIZE: usize = 16 << 20;

/// A file of zeros that is overwritten, without checksums, index or recovery.
#[derive(Debug)]
pub struct RawLog {
    file: File,
    at: usize,
    buffer: Vec<u8>,
}

impl Store for RawLog {
    fn open(directory: &Path) -> Result<Self, Fault> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(directory.join("log"))
            .map_err(failed)?;
        file.write_all(&vec![0; SIZE]).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(RawLog {
            file,
            at: SIZE,
            buffer: Vec::new(),
        })
    }

    fn commit(&mut self, messages: &[Vec<u8>]) -> Result<(), Fault> {
        self.buffer.clear();
        for message in messages {
            self.buffer.extend_from_slice(message);
        }
        if self.at + self.buffer.len() > SIZE {
            self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
            self.at = 0;
        }
        self.file.write_all(&self.buffer).map_err(failed)?;
        self.at += self.buffer.len();
        self.file.sync_data().map_err(failed)
    }
}
