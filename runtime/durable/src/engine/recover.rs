//! Opening a log: whether its segments are whole, and what they say.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    io,
};

use crate::{
    disk::Disk,
    engine::{
        Class, Engine, Mark, Queue,
        dead::{Dead, DeadBody},
        hands::{ATTEMPTS, Hands, Stage, Word},
        index::Entry,
        layout::{Cut, Found, Layout, OpenError, layout, read_all},
        meta::{MarkBody, MetaRef, now},
    },
    log::{
        Position,
        header::{DATA, Header},
        record::{self, Head, Kind, Record},
        scan::{Scan, Tail},
        segment_number,
        writer::{RESERVE, Segment, Shape, Writer},
    },
    options::StoreOptions,
};

/// The file with the words of what is in flight.
pub(crate) const HANDS: &str = "hands";

impl Engine {
    /// Opens the log of a directory, or makes one.
    pub(crate) fn open(
        mut disk: Box<dyn Disk>,
        options: &StoreOptions,
    ) -> Result<(Self, Option<Cut>), OpenError> {
        match disk.lock() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(OpenError::Locked);
            }
            outcome => outcome?,
        }
        for name in disk.list()? {
            // A process was interrupted while it made a file.
            if let Some(made) = name.strip_suffix(".new")
                && (made == HANDS || segment_number(made).is_some())
            {
                disk.remove(&name)?;
            }
        }
        let words = disk.peek_words(HANDS)?;
        let Layout {
            used,
            spares,
            next_name,
            segment_size,
            log,
            synced: known,
        } = layout(&*disk, Some(options.segment_size), &words)?;
        if !words.is_empty() && !used.is_empty() && Hands::log_of(&words) != log {
            tracing::warn!("the words of what was in flight are of another log, and are not used");
        }
        let log = match log {
            0 => RandomState::new().hash_one(next_name).max(1),
            log => log,
        };
        let (mut kept, mut unfit) = (Vec::new(), Vec::new());
        for (name, size) in spares {
            match size == segment_size && kept.len() <= RESERVE {
                true => kept.push((name.clone(), disk.open(&name)?)),
                false => unfit.push(name),
            }
        }
        let mut state = State::default();
        let mut cut = None;
        let (mut end, mut last) = (0, None);
        let mut segments = VecDeque::new();
        for (index, found) in used.iter().enumerate() {
            let is_last = index + 1 == used.len();
            let file = disk.open(&found.name)?;
            let bytes = read_all(&*file)?;
            let next = used.get(index + 1).map(|next| next.header);
            let (synced, tail) = state.read(found, &bytes, next.as_ref(), known)?;
            if is_last {
                end = tail.offset;
                if !tail.is_clean {
                    cut = Some(Cut {
                        file: found.name.clone(),
                        offset: end,
                    });
                }
                // What an earlier process wrote and did not sync is in memory only, and if its sync
                // failed, a sync alone would not write it again.
                let from = synced.min(end);
                file.write_at(&bytes[from as usize..end as usize], from)?;
                file.write_at(&found.header.encode(), 0)?;
                file.sync()?;
                last = Some(file);
            }
        }
        for name in unfit {
            // Of another size: never used, and an earlier run was told otherwise. Or more than are kept in reserve.
            disk.remove(&name)?;
        }
        for found in used {
            let live = state
                .live
                .get(&found.header.generation)
                .copied()
                .unwrap_or(0);
            let Found { name, header, .. } = found;
            segments.push_back(Segment {
                name,
                file: None,
                header,
                live,
            });
        }
        if let Some(segment) = segments.back_mut() {
            segment.file = last;
        }
        let max_segments = options.max_bytes.map_or(usize::MAX, |bytes| {
            usize::try_from(bytes / segment_size).unwrap_or(usize::MAX)
        });
        let words = match disk.words(HANDS, Hands::words(options.slots)) {
            // A full disk: those of the last process are enough to drain.
            Err(error)
                if error.kind() == io::ErrorKind::StorageFull
                    && !disk.peek_words(HANDS)?.is_empty() =>
            {
                disk.words(HANDS, Hands::words(1))?
            }
            words => words?,
        };
        let hands = Hands::open(words, log);
        let shape = Shape {
            segment_size,
            max_segments,
            next_name,
            log,
        };
        let writer = Writer::new(disk, shape, segments, kept, end);
        let mut engine = state.into_engine(writer, hands)?;
        engine.take_hands(options.slots);
        match engine.commit() {
            Ok(()) => Ok((engine, cut)),
            Err(error) => Err(OpenError::Io(io::Error::other(error.to_string()))),
        }
    }

    /// Reads the log and changes nothing: how many segments and records there are, and what a start
    /// would cut off.
    pub(crate) fn verify(disk: &mut dyn Disk) -> Result<(usize, u64, Option<Cut>), OpenError> {
        match disk.lock() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(OpenError::Locked);
            }
            outcome => outcome?,
        }
        let words = disk.peek_words(HANDS)?;
        let Layout {
            used,
            synced: known,
            ..
        } = layout(disk, None, &words)?;
        let mut state = State::default();
        let mut cut = None;
        for (index, found) in used.iter().enumerate() {
            let bytes = read_all(&*disk.open(&found.name)?)?;
            let next = used.get(index + 1).map(|next| next.header);
            let (_, tail) = state.read(found, &bytes, next.as_ref(), known)?;
            if !tail.is_clean {
                cut = Some(Cut {
                    file: found.name.clone(),
                    offset: tail.offset,
                });
            }
        }
        Ok((used.len(), state.records, cut))
    }

    /// What the handlers of the last process had: what they had finished is acknowledged, what
    /// they had begun has had an attempt. A word is cleared once its outcome is in the log. Only the
    /// first `slots` words are free for what comes.
    fn take_hands(&mut self, slots: usize) {
        let mut begun = Vec::new();
        // From the last to the first, so that the first are used first.
        for slot in (0..self.hands.len() as u32).rev() {
            let word = self.hands.get(slot);
            let is_needed = word.is_some_and(|word| match word.stage {
                Stage::Taken => false,
                Stage::Started => {
                    begun.push((word.id, slot, word.attempt));
                    true
                }
                Stage::Done => self.take_done(word, slot),
            });
            if !is_needed {
                self.hands.clear(slot);
                self.free_slots.push(slot);
            }
        }
        // One that had several, since the log had no room for the earlier ones: in their order.
        let counted = |id: &u64| self.attempts.get(id).copied().unwrap_or(0);
        begun.sort_by_key(|(id, _, attempt)| (*id, attempt.wrapping_sub(counted(id)) % ATTEMPTS));
        for (id, slot, attempt) in begun {
            if !self.take_begun(id, slot, attempt) {
                self.hands.clear(slot);
                self.free_slots.push(slot);
            }
        }
        self.free_slots.retain(|slot| (*slot as usize) < slots);
    }

    /// Acknowledges what was done. Returns whether the word is needed until that is written.
    fn take_done(&mut self, word: Word, slot: u32) -> bool {
        let Some((queue, class)) = self.place_of(word.id) else {
            return false;
        };
        let own = &mut self.queues[queue as usize].classes[class as usize];
        let found = own.ready.remove(word.id).or_else(|| {
            // It was due when it was passed on: the clock has gone back.
            let due = self.dues.remove(&word.id)?;
            own.delayed.remove(&(due, word.id))
        });
        let Some(entry) = found else { return false };
        self.attempts.remove(&word.id);
        self.forget(queue, class, &entry);
        self.take_back(Kind::Ack, queue, class, word.id, slot);
        true
    }

    /// Counts an attempt that the log has not counted. Returns whether the word is needed until that is written.
    fn take_begun(&mut self, id: u64, slot: u32, attempt: u32) -> bool {
        let Some((queue, class)) = self.place_of(id) else {
            return false;
        };
        let attempts = self.attempts.get(&id).copied().unwrap_or(0);
        // A record of the attempt may have been written just before the kill.
        if (attempts + 1) % ATTEMPTS != attempt {
            return false;
        }
        self.attempts.insert(id, attempts + 1);
        self.take_back(Kind::Attempt, queue, class, id, slot);
        true
    }

    fn take_back(&mut self, kind: Kind, queue: u16, class: u8, id: u64, slot: u32) {
        let head = Head {
            kind,
            class,
            queue,
            attempt: self.attempts.get(&id).copied().unwrap_or(0),
            id,
        };
        self.upkeep(head, &[], Some(slot));
        self.needs_sync = true;
    }

    /// Queue and class of a message that waits.
    fn place_of(&self, id: u64) -> Option<(u16, u8)> {
        self.queues.iter().enumerate().find_map(|(queue, own)| {
            let is_there = |class: &Class| match self.dues.get(&id) {
                Some(due) => class.delayed.contains_key(&(*due, id)),
                None => class.ready.contains(id),
            };
            let class = own.classes.iter().position(is_there)?;
            Some((queue as u16, class as u8))
        })
    }
}

/// What the records that were read so far say.
#[derive(Default)]
struct State {
    queues: Vec<Queue>,
    next_id: u64,
    attempts: HashMap<u64, u32>,
    dues: HashMap<u64, u64>,
    dead: HashMap<u64, (Entry, u16, u8, DeadBody, u32)>,
    marks: HashMap<crate::engine::MarkKey, Mark>,
    live: HashMap<u64, u64>,
    records: u64,
}

impl State {
    /// Reads a segment. Returns up to where it was certainly synced, and its end. `next` is the head
    /// of the next one, `known` a place before which all was synced.
    fn read(
        &mut self,
        found: &Found,
        bytes: &[u8],
        next: Option<&Header>,
        known: Position,
    ) -> Result<(u64, Tail), OpenError> {
        let Found { name, header, .. } = found;
        let mut scan = Scan::new(bytes, *header);
        self.next_id = self.next_id.max(header.next_id);
        while let Some((offset, record)) = scan.next_record() {
            self.records += 1;
            self.apply(record, header.generation, offset)
                .ok_or_else(|| OpenError::Format {
                    file: name.clone(),
                    offset,
                })?;
        }
        let mut synced = scan.synced().max(DATA);
        if known.generation == header.generation {
            synced = synced.max(known.offset);
            scan.expect_synced(known.offset);
        }
        let tail = scan.finish(next).map_err(|damage| OpenError::Damaged {
            file: name.clone(),
            offset: damage.offset,
            record: damage.record,
        })?;
        Ok((synced, tail))
    }

    fn class(&mut self, head: &Head) -> Option<&mut Class> {
        let number = head.queue as usize;
        if number >= self.queues.len() {
            self.queues.resize_with(number + 1, Queue::default);
        }
        self.queues[number].classes.get_mut(head.class as usize)
    }

    fn add_live(&mut self, generation: u64, length: usize) {
        *self.live.entry(generation).or_default() += record::length(length) as u64;
    }

    fn sub_live(&mut self, entry: &Entry) {
        let length = record::length(entry.length as usize) as u64;
        let live = self.live.entry(entry.generation()).or_default();
        *live = live.saturating_sub(length);
    }

    /// None if the record is not of this format.
    fn apply(&mut self, record: Record<'_>, generation: u64, offset: u64) -> Option<()> {
        let Record { head, body } = record;
        self.next_id = self.next_id.max(head.id.saturating_add(1));
        match head.kind {
            Kind::Put => self.put(head, body, generation, offset)?,
            Kind::Attempt => {
                self.attempts.insert(head.id, head.attempt);
            }
            Kind::Retry => {
                let due = u64::from_le_bytes(body.try_into().ok()?);
                self.attempts.insert(head.id, head.attempt);
                match due {
                    0 => self.dues.remove(&head.id),
                    due => self.dues.insert(head.id, due),
                };
            }
            Kind::Ack => {
                let removed = self.class(&head)?.ready.remove(head.id);
                let removed = removed.or_else(|| self.dead.remove(&head.id).map(|dead| dead.0));
                if let Some(entry) = removed {
                    self.sub_live(&entry);
                }
                self.attempts.remove(&head.id);
                self.dues.remove(&head.id);
            }
            Kind::Dead => {
                let body: DeadBody = postcard::from_bytes(body).ok()?;
                if let Some(entry) = self.class(&head)?.ready.remove(head.id) {
                    let dead = (entry, head.queue, head.class, body, head.attempt);
                    self.dead.insert(head.id, dead);
                }
            }
            Kind::Requeue => {
                if let Some((entry, ..)) = self.dead.remove(&head.id) {
                    self.class(&head)?.ready.insert(entry);
                }
                self.attempts.remove(&head.id);
                self.dues.remove(&head.id);
            }
            Kind::Queue => {
                let name = std::str::from_utf8(body).ok()?;
                self.class(&head)?;
                let queue = &mut self.queues[head.queue as usize];
                queue.name = name.into();
                queue.generation = generation;
            }
            Kind::Mark => {
                let MarkBody {
                    key,
                    number,
                    at,
                    id,
                } = postcard::from_bytes(body).ok()?;
                self.next_id = self.next_id.max(id.saturating_add(1));
                self.marks.insert(
                    key,
                    Mark {
                        number,
                        id,
                        at,
                        generation,
                    },
                );
            }
            Kind::Batch | Kind::End => {}
        }
        Some(())
    }

    fn put(&mut self, head: Head, body: &[u8], generation: u64, offset: u64) -> Option<()> {
        let meta = MetaRef::decode(body)?;
        for (key, number) in meta.marks(head.queue, head.class) {
            let mark = Mark {
                number,
                id: head.id,
                at: meta.at,
                generation,
            };
            // One that was moved may be older than the present one.
            let known = self.marks.get(&key);
            if known.is_none_or(|known| known.id <= mark.id) {
                self.marks.insert(key, mark);
            }
        }
        let entry = Entry::new(head.id, generation, offset, body.len(), meta.at);
        let earlier = match self.dead.get_mut(&head.id) {
            Some(dead) => Some(std::mem::replace(&mut dead.0, entry)),
            None => {
                let ready = &mut self.class(&head)?.ready;
                let earlier = ready.remove(head.id);
                ready.insert(entry);
                earlier
            }
        };
        match earlier {
            Some(earlier) => self.sub_live(&earlier),
            None => {
                if let Some(due) = meta.due {
                    self.dues.insert(head.id, due);
                }
            }
        }
        // Records before one that was moved may have counted more: those that they were for are gone.
        match head.attempt {
            0 => self.attempts.remove(&head.id),
            attempt => self.attempts.insert(head.id, attempt),
        };
        self.add_live(generation, body.len());
        Some(())
    }

    fn into_engine(mut self, writer: Writer, hands: Hands) -> Result<Engine, OpenError> {
        let now = now();
        for queue in &mut self.queues {
            for class in &mut queue.classes {
                class.bytes = class.ready.record_bytes();
            }
        }
        self.dues.retain(|_, due| *due > now);
        let mut dues = HashMap::new();
        for (id, due) in self.dues {
            let classes = self.queues.iter_mut().flat_map(|queue| &mut queue.classes);
            for class in classes {
                if let Some(entry) = class.ready.remove(id) {
                    class.delayed.insert((due, id), entry);
                    dues.insert(id, due);
                }
            }
        }
        for (_, queue, ..) in self.dead.values() {
            if let Some(queue) = self.queues.get_mut(*queue as usize) {
                queue.dead += 1;
            }
        }
        let dead = self
            .dead
            .into_iter()
            .map(|(id, (entry, queue, class, body, attempts))| {
                let DeadBody { reason, at } = body;
                (
                    id,
                    Dead {
                        queue,
                        class,
                        entry,
                        reason,
                        attempts,
                        at,
                    },
                )
            });
        Ok(Engine {
            writer,
            free_slots: Vec::new(),
            hands,
            used_slots: Vec::new(),
            queues: self.queues,
            next_id: self.next_id.max(1),
            in_flight: HashMap::new(),
            attempts: self.attempts,
            dues,
            dead: dead.collect(),
            marks_limit: (2 * self.marks.len()).max(1024),
            marks: self.marks,
            deferred: Vec::new(),
            needs_sync: false,
            needs_write: false,
            died: Vec::new(),
            poisoned: None,
            compaction: None,
            read_buffer: Vec::new(),
        })
    }
}
