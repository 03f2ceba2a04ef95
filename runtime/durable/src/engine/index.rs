//! The queued messages of one class in the order of their identities: 24 bytes a message.

use std::collections::VecDeque;

/// Where a queued message is; its body is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    generation: u32,
    /// In units of 8 bytes, to which records are aligned.
    offset: u32,
    /// Of the body, in bytes.
    pub(crate) length: u32,
    /// When it was put, in seconds since 1970.
    pub(crate) at: u32,
}

impl Entry {
    pub(crate) fn new(id: u64, generation: u64, offset: u64, length: usize, at_ms: u64) -> Self {
        let mut entry = Self {
            id,
            generation: 0,
            offset: 0,
            length: length as u32,
            at: u32::try_from(at_ms / 1000).unwrap_or(u32::MAX),
        };
        entry.move_to(generation, offset);
        entry
    }

    /// 2^32 segments are 32 petabytes.
    pub(crate) fn generation(&self) -> u64 {
        u64::from(self.generation)
    }

    pub(crate) fn offset(&self) -> u64 {
        u64::from(self.offset) * 8
    }

    pub(crate) fn move_to(&mut self, generation: u64, offset: u64) {
        self.generation = generation as u32;
        self.offset = (offset / 8) as u32;
    }
}

/// Messages a chunk. A deque that doubles would waste up to half of its memory.
const CHUNK: usize = 128;

/// Entries in the order of their identities.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// None is empty.
    chunks: VecDeque<VecDeque<Entry>>,
    length: usize,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn front(&self) -> Option<&Entry> {
        self.chunks.front()?.front()
    }

    /// Memory of the entries, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let entries: usize = self.chunks.iter().map(VecDeque::capacity).sum();
        entries * size_of::<Entry>() + self.chunks.capacity() * size_of::<VecDeque<Entry>>()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.chunks.iter().flatten().map(|entry| entry.id)
    }

    /// Bytes of the log that the messages take.
    pub(crate) fn record_bytes(&self) -> u64 {
        let entries = self.chunks.iter().flatten();
        entries
            .map(|entry| crate::log::record::length(entry.length as usize) as u64)
            .sum()
    }

    pub(crate) fn pop_front(&mut self) -> Option<Entry> {
        let chunk = self.chunks.front_mut()?;
        let entry = chunk.pop_front()?;
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
        self.length -= 1;
        Some(entry)
    }

    /// The chunk that has `id`, or in which it would be.
    fn chunk_of(&self, id: u64) -> usize {
        let after = self
            .chunks
            .partition_point(|chunk| chunk.front().is_some_and(|first| first.id <= id));
        after.saturating_sub(1)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Entry> {
        let index = self.chunk_of(id);
        let chunk = self.chunks.get_mut(index)?;
        let at = chunk.binary_search_by_key(&id, |entry| entry.id).ok()?;
        chunk.get_mut(at)
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        let chunk = self.chunks.get(self.chunk_of(id));
        chunk.is_some_and(|chunk| chunk.binary_search_by_key(&id, |entry| entry.id).is_ok())
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Entry> {
        let index = self.chunk_of(id);
        let chunk = self.chunks.get_mut(index)?;
        let at = chunk.binary_search_by_key(&id, |entry| entry.id).ok()?;
        let entry = chunk.remove(at);
        self.length -= 1;
        if chunk.is_empty() {
            self.chunks.remove(index);
        } else if chunk.len() < CHUNK / 4 {
            self.merge(index);
        }
        entry
    }

    /// Adds an entry, whose identity must not be there.
    pub(crate) fn insert(&mut self, entry: Entry) {
        self.length += 1;
        let is_last = self.chunks.back().is_none_or(|chunk| {
            chunk.back().is_some_and(|last| last.id < entry.id) && chunk.len() == CHUNK
        });
        if is_last {
            let mut chunk = VecDeque::with_capacity(CHUNK);
            chunk.push_back(entry);
            self.chunks.push_back(chunk);
            return;
        }
        let mut index = self.chunk_of(entry.id);
        if self.chunks[index].len() == CHUNK {
            let tail = self.chunks[index].split_off(CHUNK / 2);
            let mut second = VecDeque::with_capacity(CHUNK);
            second.extend(tail);
            let goes_second = second.front().is_some_and(|first| first.id <= entry.id);
            self.chunks.insert(index + 1, second);
            index += usize::from(goes_second);
        }
        let chunk = &mut self.chunks[index];
        let at = chunk.partition_point(|other| other.id < entry.id);
        chunk.insert(at, entry);
    }

    /// Joins a small chunk with the one after it, or the one before.
    fn merge(&mut self, index: usize) {
        for (first, second) in [(index, index + 1), (index.wrapping_sub(1), index)] {
            let (Some(one), Some(two)) = (self.chunks.get(first), self.chunks.get(second)) else {
                continue;
            };
            if one.len() + two.len() <= CHUNK / 2
                && let Some(two) = self.chunks.remove(second)
            {
                self.chunks[first].extend(two);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn index_agrees_with_an_ordered_map() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut index = Index::default();
        let mut model = BTreeMap::new();
        for step in 0..20_000_u64 {
            let id = random.u64(..2_000);
            match random.u8(..6) {
                0 | 1 if !model.contains_key(&id) => {
                    let entry = Entry::new(id, step, step * 8, 1, 0);
                    index.insert(entry);
                    model.insert(id, entry);
                }
                2 => assert_eq!(index.remove(id), model.remove(&id)),
                3 => assert_eq!(index.get_mut(id).copied(), model.get(&id).copied()),
                4 => assert_eq!(index.pop_front(), model.pop_first().map(|(_, entry)| entry)),
                _ => assert_eq!(index.contains(id), model.contains_key(&id)),
            }
            assert_eq!(index.len(), model.len());
            assert_eq!(
                index.front(),
                model.first_key_value().map(|(_, entry)| entry)
            );
        }
    }

    /// Promise 6.
    #[test]
    fn memory_is_bounded_by_32_bytes_a_queued_message() {
        let mut index = Index::default();
        for id in 0..100_000 {
            index.insert(Entry::new(id, 1, 1024, 256, 0));
        }
        assert!(index.bytes() <= 32 * index.len(), "{} bytes", index.bytes());
        for _ in 0..90_000 {
            index.pop_front();
        }
        assert!(
            index.bytes() <= 32 * index.len() + 16_384,
            "{} bytes",
            index.bytes()
        );
    }
}
