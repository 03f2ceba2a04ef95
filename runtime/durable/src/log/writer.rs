//! Appending to the log: batches, syncs, and segments that are used again.

use std::{collections::VecDeque, hash::BuildHasher, io, sync::Arc};

use crate::{
    disk::{Disk, DiskFile},
    log::{
        Position,
        header::{DATA, Header},
        record::{self, Batch, Head, Kind, Record},
        segment_name,
    },
};

/// Segments that only acknowledgements and moved records may begin, so that a full disk drains.
pub(crate) const RESERVE: usize = 2;
/// What a batch needs besides its records: its own head and the end.
const FRAME: usize = 2 * record::HEAD + Batch::LENGTH;

/// Files of segments that are only read which are open at a time: a process may not have many open, and a long
/// backlog has thousands.
const OPEN: usize = 32;

/// A segment in use.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    /// Open while it is written to, and while it is read a lot.
    pub(crate) file: Option<Box<dyn DiskFile>>,
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

/// What a log is made of.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) segment_size: u64,
    /// Segments that the log may have in all.
    pub(crate) max_segments: usize,
    /// The number of the next file.
    pub(crate) next_name: u64,
    /// The identity of the log.
    pub(crate) log: u64,
}

#[derive(Debug)]
pub(crate) struct Writer {
    disk: Box<dyn Disk>,
    shape: Shape,
    /// Oldest first; the last is written to, and open.
    segments: VecDeque<Segment>,
    /// Generations of those of the others that are open, in the order in which they were opened.
    open: VecDeque<u64>,
    spares: Vec<Spare>,
    /// With their generations: unused, and spare when a batch that names a later one as the oldest is synced.
    retired: Vec<(u64, Spare)>,
    /// The oldest generation that the last batch names.
    named_oldest: u64,
    /// Records that are not written yet. They begin at `tail`.
    buffer: Vec<u8>,
    /// Those that were written last, and where they begin: most messages are passed on soon.
    last: Vec<u8>,
    last_at: Position,
    tail: u64,
    synced: Position,
    /// Whether anything was written since the last sync.
    is_dirty: bool,
    /// Whether the next record goes to a new segment.
    is_fresh: bool,
    pub(crate) syncs: u64,
    pub(crate) written: u64,
    /// Whether the disk had no room when a segment was last asked for.
    pub(crate) is_full: bool,
    /// The disk's error when a segment could not be made, unless the disk was full.
    trouble: Option<Arc<str>>,
}

impl Writer {
    /// Takes over the segments that a start has found: those in use, oldest first, and others. The
    /// first record goes to a new segment, since an old one may have remains of a torn write.
    pub(crate) fn new(
        disk: Box<dyn Disk>,
        shape: Shape,
        segments: VecDeque<Segment>,
        spares: Vec<Spare>,
        end: u64,
    ) -> Self {
        let generation = segments.back().map_or(0, |last| last.header.generation);
        Self {
            disk,
            shape: Shape {
                max_segments: shape.max_segments.max(RESERVE + 2),
                ..shape
            },
            segments,
            open: VecDeque::new(),
            spares,
            retired: Vec::new(),
            named_oldest: 0,
            buffer: Vec::new(),
            last: Vec::new(),
            last_at: Position::default(),
            tail: end,
            synced: Position {
                generation,
                offset: end,
            },
            is_dirty: false,
            is_fresh: true,
            syncs: 0,
            written: 0,
            is_full: false,
            trouble: None,
        }
    }

    /// The longest body that fits into a segment.
    pub(crate) fn max_body(&self) -> usize {
        self.shape.segment_size as usize - DATA as usize - FRAME - record::HEAD - 8
    }

    pub(crate) fn segments(&self) -> &VecDeque<Segment> {
        &self.segments
    }

    /// Bytes of the segments in use and of those kept for later.
    pub(crate) fn size(&self) -> u64 {
        (self.segments.len() + self.spares.len() + self.retired.len()) as u64
            * self.shape.segment_size
    }

    pub(crate) fn segment_size(&self) -> u64 {
        self.shape.segment_size
    }

    pub(crate) fn live(&self) -> u64 {
        self.segments.iter().map(|segment| segment.live).sum()
    }

    /// All before this place is synced.
    pub(crate) fn synced(&self) -> Position {
        self.synced
    }

    fn index_of(&self, generation: u64) -> Option<usize> {
        let first = self.segments.front()?.header.generation;
        let index = usize::try_from(generation.checked_sub(first)?).ok()?;
        (index < self.segments.len()).then_some(index)
    }

    fn by_generation(&mut self, generation: u64) -> Option<&mut Segment> {
        let index = self.index_of(generation)?;
        self.segments.get_mut(index)
    }

    /// Notes that an older segment is open, and closes those that were opened long ago.
    fn note_open(&mut self, generation: u64) {
        self.open.push_back(generation);
        while self.open.len() > OPEN
            && let Some(oldest) = self.open.pop_front()
        {
            if let Some(segment) = self.by_generation(oldest) {
                segment.file = None;
            }
        }
    }

    /// The segment, whose file is open.
    fn opened(&mut self, index: usize) -> io::Result<(&Header, &dyn DiskFile)> {
        if self.segments[index].file.is_none() {
            let file = self.disk.open(&self.segments[index].name)?;
            self.segments[index].file = Some(file);
            self.note_open(self.segments[index].header.generation);
        }
        let Segment { header, file, .. } = &self.segments[index];
        match file {
            Some(file) => Ok((header, &**file)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The segment that is written to.
    fn last(&self) -> io::Result<(&Header, &dyn DiskFile)> {
        match self.segments.back() {
            Some(Segment {
                header,
                file: Some(file),
                ..
            }) => Ok((header, &**file)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
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
    ///
    /// # Errors
    ///
    /// If its segment cannot be opened, which may be over soon.
    pub(crate) fn read(
        &mut self,
        generation: u64,
        offset: u64,
        length: usize,
        into: &mut Vec<u8>,
    ) -> io::Result<Option<Head>> {
        let Some(index) = self.index_of(generation) else {
            return Ok(None);
        };
        if let Some(found) = self.find_written(generation, offset, index)
            && found.body.len() == length
        {
            let head = found.head;
            into.clear();
            into.extend_from_slice(found.body);
            return Ok(Some(head));
        }
        let (header, file) = self.opened(index)?;
        into.resize(record::length(length), 0);
        let seed = header.seed();
        if let Err(error) = file.read_at(into, offset) {
            tracing::error!(%error, offset, "a record cannot be read");
            return Ok(None);
        }
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

    /// The record there, if it is among those that were written last.
    fn find_written(&self, generation: u64, offset: u64, index: usize) -> Option<Record<'_>> {
        if generation != self.last_at.generation {
            return None;
        }
        let at = usize::try_from(offset.checked_sub(self.last_at.offset)?).ok()?;
        record::decode(&self.last, at, self.segments[index].header.seed())
    }

    /// The whole oldest segment. None if it cannot be opened.
    pub(crate) fn read_oldest(&mut self) -> io::Result<Option<(Header, Vec<u8>)>> {
        if self.segments.is_empty() {
            return Ok(None);
        }
        let (header, file) = match self.opened(0) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "the oldest segment cannot be opened");
                return Ok(None);
            }
        };
        let mut bytes = vec![0; file.size() as usize];
        file.read_at(&mut bytes, 0)?;
        Ok(Some((*header, bytes)))
    }

    /// Bytes of records that the present segment still takes.
    fn room(&self) -> usize {
        match self.segments.back() {
            Some(_) if !self.is_fresh => {
                let used = self.tail as usize + self.buffer.len() + FRAME;
                (self.shape.segment_size as usize).saturating_sub(used)
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
            if self.segments.len() + self.spares.len() + self.retired.len()
                >= self.shape.max_segments
            {
                self.is_full = true;
                self.trouble = None;
                return false;
            }
            let name = segment_name(self.shape.next_name);
            match self.disk.create(&name, self.shape.segment_size) {
                Ok(file) => self.spares.push((name, file)),
                Err(error) => {
                    if !self.is_full {
                        tracing::warn!(%error, "the disk makes no segment");
                    }
                    self.is_full = true;
                    let is_room = matches!(
                        error.kind(),
                        io::ErrorKind::StorageFull
                            | io::ErrorKind::QuotaExceeded
                            | io::ErrorKind::FileTooLarge
                    );
                    self.trouble = (!is_room).then(|| error.to_string().into());
                    return false;
                }
            }
            self.shape.next_name += 1;
        }
        self.is_full = false;
        self.trouble = None;
        true
    }

    /// The disk's error when the last segment could not be made, unless the disk was full.
    pub(crate) fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.clone()
    }

    /// Bytes that were appended and not written yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.buffer.len()
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
            log: self.shape.log,
        };
        file.write_at(&header.encode(), 0)?;
        self.is_dirty = true;
        self.tail = DATA;
        self.is_fresh = false;
        if generation > 1 {
            self.note_open(generation - 1);
        }
        self.segments.push_back(Segment {
            name,
            file: Some(file),
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
        let end = self.buffer.len();
        let seed = self.last()?.0.seed();
        record::encode(&mut self.buffer, seed, Head::of(Kind::End), &[]);
        let (header, file) = self.last()?;
        file.write_at(&self.buffer, self.tail)?;
        self.last_at = Position {
            generation: header.generation,
            offset: self.tail,
        };
        self.written += self.buffer.len() as u64;
        self.tail += end as u64;
        std::mem::swap(&mut self.buffer, &mut self.last);
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
        if self.segments.is_empty() {
            return Ok(());
        }
        let (header, file) = self.last()?;
        file.sync()?;
        let generation = header.generation;
        self.syncs += 1;
        self.is_dirty = false;
        self.synced = Position {
            generation,
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
        if self.segments.len() < 2 {
            return;
        }
        // It was read a moment ago. If it cannot be opened again, it is only not used again before the next start.
        if let Err(error) = self.opened(0) {
            tracing::warn!(%error, "an unused segment stays");
        }
        if let Some(Segment {
            name, file, header, ..
        }) = self.segments.pop_front()
        {
            self.open
                .retain(|generation| *generation != header.generation);
            if let Some(file) = file {
                self.retired.push((header.generation, (name, file)));
            }
        }
    }

    /// Whether segments wait for a batch before they can be used again.
    pub(crate) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }
}
