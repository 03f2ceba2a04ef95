//! Opening a log: whether its segments are whole, and what they say.

use std::{
    collections::{HashMap, VecDeque},
    io,
};

use crate::{
    disk::{Disk, Words},
    engine::{
        Class, Engine, Mark, Queue,
        dead::{Dead, DeadBody},
        hands::{Hands, Stage},
        index::Entry,
        layout::{Cut, Found, Layout, OpenError, layout, read_all},
        meta::{MarkBody, Meta, now},
    },
    log::{
        header::{DATA, Header},
        record::{self, Head, Kind, Record},
        scan::{Scan, Tail},
        writer::{Segment, Writer},
    },
    options::StoreOptions,
};

/// The file with the words of what is in flight.
const HANDS: &str = "hands";

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
        for name in disk.list()?.iter().filter(|name| name.ends_with(".new")) {
            // A start was interrupted while it made a file.
            disk.remove(name)?;
        }
        let Layout {
            used,
            spares,
            next_name,
            segment_size,
        } = layout(&*disk, options.segment_size)?;
        let (mut kept, mut unfit) = (Vec::new(), Vec::new());
        for (name, file) in spares {
            match file.size() == segment_size {
                true => kept.push((name, file)),
                false => unfit.push(name),
            }
        }
        let mut state = State::default();
        let mut cut = None;
        let mut end = 0;
        let mut segments = VecDeque::new();
        for (index, found) in used.iter().enumerate() {
            let is_last = index + 1 == used.len();
            let bytes = read_all(&*found.file)?;
            let next = used.get(index + 1).map(|next| next.header);
            let (synced, tail) = state.read(found, &bytes, next.as_ref())?;
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
                found
                    .file
                    .write_at(&bytes[from as usize..end as usize], from)?;
                found.file.write_at(&found.header.encode(), 0)?;
                found.file.sync()?;
            }
        }
        for name in unfit {
            // Of another size: never used, and an earlier run was told otherwise.
            disk.remove(&name)?;
        }
        for found in used {
            let live = state
                .live
                .get(&found.header.generation)
                .copied()
                .unwrap_or(0);
            let Found { name, file, header } = found;
            segments.push_back(Segment {
                name,
                file,
                header,
                live,
            });
        }
        let max_segments = options.max_bytes.map_or(usize::MAX, |bytes| {
            usize::try_from(bytes / segment_size).unwrap_or(usize::MAX)
        });
        let words = disk.words(HANDS, options.slots)?;
        let writer = Writer::new(
            disk,
            segment_size,
            max_segments,
            segments,
            kept,
            end,
            next_name,
        );
        let mut engine = state.into_engine(writer, words.clone())?;
        engine.take_hands(&Hands::new(words));
        match engine.commit() {
            Ok(()) => {}
            Err(error) => return Err(OpenError::Io(io::Error::other(error.to_string()))),
        }
        let hands = engine.hands();
        for slot in 0..hands.len() as u32 {
            hands.clear(slot);
        }
        Ok((engine, cut))
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
        let Layout { used, .. } = layout(disk, 0)?;
        let mut state = State::default();
        let mut cut = None;
        for (index, found) in used.iter().enumerate() {
            let bytes = read_all(&*found.file)?;
            let next = used.get(index + 1).map(|next| next.header);
            let (_, tail) = state.read(found, &bytes, next.as_ref())?;
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
    /// they had begun has had an attempt.
    fn take_hands(&mut self, hands: &Hands) {
        for slot in 0..hands.len() as u32 {
            let Some((stage, id)) = hands.get(slot) else {
                continue;
            };
            let place = self.queues.iter().enumerate().find_map(|(queue, own)| {
                let class = own
                    .classes
                    .iter()
                    .position(|class| class.ready.contains(id))?;
                Some((queue as u16, class as u8))
            });
            let Some((queue, class)) = place else {
                continue;
            };
            let head = Head {
                kind: Kind::Ack,
                class,
                queue,
                attempt: 0,
                id,
            };
            match stage {
                Stage::Taken => continue,
                Stage::Started => {
                    let attempts = self.attempts.entry(id).or_insert(0);
                    *attempts += 1;
                    let attempt = *attempts;
                    self.upkeep(
                        Head {
                            kind: Kind::Attempt,
                            attempt,
                            ..head
                        },
                        &[],
                        None,
                    );
                }
                Stage::Done => {
                    let ready = &mut self.queues[queue as usize].classes[class as usize].ready;
                    if let Some(entry) = ready.remove(id) {
                        self.attempts.remove(&id);
                        self.forget(queue, class, &entry);
                        self.upkeep(head, &[], None);
                    }
                }
            }
            self.needs_sync = true;
        }
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
    /// of the next one.
    fn read(
        &mut self,
        found: &Found,
        bytes: &[u8],
        next: Option<&Header>,
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
        let synced = scan.synced().max(DATA);
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
        let (meta, _) = Meta::decode(body)?;
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

    fn into_engine(mut self, writer: Writer, words: Words) -> Result<Engine, OpenError> {
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
        let hands = Hands::new(words);
        let slots = hands.len() as u32;
        Ok(Engine {
            writer,
            free_slots: (0..slots).rev().collect(),
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
            poisoned: None,
            compaction: None,
            read_buffer: Vec::new(),
        })
    }
}
