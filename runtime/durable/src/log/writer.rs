//! Appending to the log: batches, syncs, and segments that are used again.

use std::{collections::VecDeque, hash::BuildHasher, io};

use crate::{
    disk::{Disk, DiskFile},
    log::{
        Position,
        header::{DATA, Header},
        record::{self, Batch, Head, Kind},
    },
};

/// Segments that only acknowledgements and moved records may begin, so that a full disk drains.
const RESERVE: usize = 2;
/// What a batch needs besides its records: its own head and the end.
const FRAME: usize = 2 * record::HEAD + Batch::LENGTH;

/// A segment in use.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) header: Header,
    /// Bytes of records that are still needed.
    pub(crate) live: u64,
}

/// A segment that waits to be used.
type Spare = (String, Box<dyn DiskFile>);

/// Whether there is room in the log, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A new message.
    Message,
    /// What makes room in the end: acknowledgements, moved records.
    Upkeep,
}

#[derive(Debug)]
pub(crate) struct Writer {
    disk: Box<dyn Disk>,
    segment_size: u64,
    /// Segments that the log may have in all.
    max_segments: usize,
    /// Oldest first; the last is written to.
    segments: VecDeque<Segment>,
    spares: Vec<Spare>,
    /// With their generations: unused, and spare when a batch that names a later one as the oldest is synced.
    retired: Vec<(u64, Spare)>,
    /// The oldest generation that the last batch names.
    named_oldest: u64,
    /// Records that are not written yet. They begin at `tail`.
    buffer: Vec<u8>,
    tail: u64,
    synced: Position,
    next_name: u64,
    /// Whether anything was written since the last sync.
    is_dirty: bool,
    /// Whether the next record goes to a new segment.
    is_fresh: bool,
    pub(crate) syncs: u64,
    pub(crate) written: u64,
    /// Whether the disk had no room when a segment was last asked for.
    pub(crate) is_full: bool,
}

impl Writer {
    /// Takes over the segments that a start has found: those in use, oldest first, and others. The
    /// first record goes to a new segment, since an old one may have remains of a torn write.
    pub(crate) fn new(
        disk: Box<dyn Disk>,
        segment_size: u64,
        max_segments: usize,
        segments: VecDeque<Segment>,
        spares: Vec<Spare>,
        end: u64,
        next_name: u64,
    ) -> Self {
        let generation = segments.back().map_or(0, |last| last.header.generation);
        Self {
            disk,
            segment_size,
            max_segments: max_segments.max(RESERVE + 2),
            segments,
            spares,
            retired: Vec::new(),
            named_oldest: 0,
            buffer: Vec::new(),
            tail: end,
            synced: Position {
                generation,
                offset: end,
            },
            next_name,
            is_dirty: false,
            is_fresh: true,
            syncs: 0,
            written: 0,
            is_full: false,
        }
    }

    /// The longest body that fits into a segment.
    pub(crate) fn max_body(&self) -> usize {
        self.segment_size as usize - DATA as usize - FRAME - record::HEAD - 8
    }

    pub(crate) fn segments(&self) -> &VecDeque<Segment> {
        &self.segments
    }

    /// Bytes of the segments in use and of those kept for later.
    pub(crate) fn size(&self) -> u64 {
        (self.segments.len() + self.spares.len() + self.retired.len()) as u64 * self.segment_size
    }

    pub(crate) fn segment_size(&self) -> u64 {
        self.segment_size
    }

    pub(crate) fn live(&self) -> u64 {
        self.segments.iter().map(|segment| segment.live).sum()
    }

    /// All before this place is synced.
    pub(crate) fn synced(&self) -> Position {
        self.synced
    }

    fn by_generation(&mut self, generation: u64) -> Option<&mut Segment> {
        let first = self.segments.front()?.header.generation;
        let index = generation.checked_sub(first)?;
        self.segments.get_mut(usize::try_from(index).ok()?)
    }

    /// The record there, with a body of `length` bytes, is needed.
    pub(crate) fn add_live(&mut self, generation: u64, length: usize) {
        if let Some(segment) = self.by_generation(generation) {
            segment.live += record::length(length) as u64;
        }
    }

    /// The record there is not needed any more.
    pub(crate) fn sub_live(&mut self, generation: u64, length: usize) {
        if let Some(segment) = self.by_generation(generation) {
            segment.live = segment.live.saturating_sub(record::length(length) as u64);
        }
    }

    /// Reads a record with a body of `length` bytes. None if it is damaged.
    pub(crate) fn read(
        &mut self,
        generation: u64,
        offset: u64,
        length: usize,
        into: &mut Vec<u8>,
    ) -> io::Result<Option<Head>> {
        let Some(segment) = self.by_generation(generation) else {
            return Ok(None);
        };
        into.resize(record::length(length), 0);
        segment.file.read_at(into, offset)?;
        let seed = segment.header.seed();
        let Some(found) = record::decode(into, 0, seed) else {
            return Ok(None);
        };
        let head = found.head;
        if found.body.len() != length {
            return Ok(None);
        }
        into.truncate(record::HEAD + length);
        into.drain(..record::HEAD);
        Ok(Some(head))
    }

    /// The whole oldest segment.
    pub(crate) fn read_oldest(&self) -> io::Result<Option<(Header, Vec<u8>)>> {
        let Some(segment) = self.segments.front() else {
            return Ok(None);
        };
        let mut bytes = vec![0; segment.file.size() as usize];
        segment.file.read_at(&mut bytes, 0)?;
        Ok(Some((segment.header, bytes)))
    }

    /// Bytes of records that the present segment still takes.
    fn room(&self) -> usize {
        match self.segments.back() {
            Some(_) if !self.is_fresh => {
                let used = self.tail as usize + self.buffer.len() + FRAME;
                (self.segment_size as usize).saturating_sub(used)
            }
            _ => 0,
        }
    }

    /// Whether `bytes` of records can be appended, after segments were made if that is needed.
    pub(crate) fn has_room(&mut self, bytes: usize, purpose: Purpose) -> bool {
        if self.room() >= bytes {
            return true;
        }
        let wanted = match purpose {
            Purpose::Message => RESERVE + 1,
            Purpose::Upkeep => 1,
        };
        while self.spares.len() < wanted {
            if self.segments.len() + self.spares.len() + self.retired.len() >= self.max_segments {
                self.is_full = true;
                return false;
            }
            let name = format!("{:08}.log", self.next_name);
            match self.disk.create(&name, self.segment_size) {
                Ok(file) => self.spares.push((name, file)),
                Err(error) => {
                    if !self.is_full {
                        tracing::warn!(%error, "no room for another segment");
                    }
                    self.is_full = true;
                    return false;
                }
            }
            self.next_name += 1;
        }
        self.is_full = false;
        true
    }

    /// Appends a record to the batch, after [`has_room`](Self::has_room). Returns its place.
    pub(crate) fn append(&mut self, head: Head, body: &[u8], next_id: u64) -> io::Result<Position> {
        if self.room() < record::length(body.len()) {
            self.roll(next_id)?;
        }
        let segment = self.segments.back().expect("a segment was begun");
        let header = segment.header;
        if self.buffer.is_empty() {
            let batch = Batch {
                synced: self.synced,
                oldest: self.segments[0].header.generation,
            };
            self.named_oldest = batch.oldest;
            let head = Head::of(Kind::Batch);
            record::encode(&mut self.buffer, header.seed(), head, &batch.encode());
        }
        let position = Position {
            generation: header.generation,
            offset: self.tail + self.buffer.len() as u64,
        };
        record::encode(&mut self.buffer, header.seed(), head, body);
        Ok(position)
    }

    /// Begins the next segment.
    fn roll(&mut self, next_id: u64) -> io::Result<()> {
        self.write()?;
        // The head of the next one says that all of this one is on disk.
        self.sync()?;
        let Some((name, file)) = self.spares.pop() else {
            return Err(io::ErrorKind::StorageFull.into());
        };
        let generation = self
            .segments
            .back()
            .map_or(0, |last| last.header.generation)
            + 1;
        let header = Header {
            generation,
            nonce: std::hash::RandomState::new().hash_one(generation) as u32,
            previous_end: self.tail,
            next_id,
        };
        file.write_at(&header.encode(), 0)?;
        self.is_dirty = true;
        self.tail = DATA;
        self.is_fresh = false;
        self.segments.push_back(Segment {
            name,
            file,
            header,
            live: 0,
        });
        Ok(())
    }

    /// Writes what was appended.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let segment = self.segments.back().expect("records have a segment");
        let end = self.buffer.len();
        let seed = segment.header.seed();
        record::encode(&mut self.buffer, seed, Head::of(Kind::End), &[]);
        segment.file.write_at(&self.buffer, self.tail)?;
        self.written += self.buffer.len() as u64;
        self.tail += end as u64;
        self.buffer.clear();
        if self.buffer.capacity() > 1 << 22 {
            self.buffer = Vec::new();
        }
        self.is_dirty = true;
        Ok(())
    }

    /// Syncs what was written. Segments that were retired before the last batch are spare then.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if !self.is_dirty {
            return Ok(());
        }
        let Some(segment) = self.segments.back() else {
            return Ok(());
        };
        segment.file.sync()?;
        self.syncs += 1;
        self.is_dirty = false;
        self.synced = Position {
            generation: segment.header.generation,
            offset: self.tail,
        };
        for (generation, (name, file)) in std::mem::take(&mut self.retired) {
            if generation >= self.named_oldest {
                self.retired.push((generation, (name, file)));
                continue;
            }
            // As many as the reserve and one to go on with.
            if self.spares.len() > RESERVE {
                if let Err(error) = self.disk.remove(&name) {
                    tracing::warn!(%error, name, "an unused segment stays");
                }
            } else {
                self.spares.push((name, file));
            }
        }
        Ok(())
    }

    /// The oldest segment holds nothing that is needed. It must not be the one that is written to.
    /// It is used again when a batch that says so is on disk.
    pub(crate) fn retire_oldest(&mut self) {
        if self.segments.len() > 1
            && let Some(segment) = self.segments.pop_front()
        {
            let generation = segment.header.generation;
            self.retired
                .push((generation, (segment.name, segment.file)));
        }
    }

    /// Whether segments wait for a batch before they can be used again.
    pub(crate) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }
}
