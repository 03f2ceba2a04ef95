//! What handlers have in their hands, in words that outlive a killed process.
//!
//! A word names a message, how far its handler is, and the attempt. It costs the actor one exchange, and no
//! system call: so a message that kills the process is counted, and an acknowledgement outlives a
//! kill although nothing was written yet.

use crate::{disk::Words, log::Position};

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It was passed on.
    Taken = 1,
    /// Its handler has it.
    Started = 2,
    /// Its handler has returned `Ok`.
    Done = 3,
}

/// What a word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) stage: Stage,
    pub(crate) id: u64,
    /// The attempt that it is, or was, modulo [`ATTEMPTS`].
    pub(crate) attempt: u32,
}

const ID_BITS: u32 = 48;
const ATTEMPT_BITS: u32 = 3;
const STAGE_AT: u32 = ID_BITS + ATTEMPT_BITS;
const CHECK_AT: u32 = STAGE_AT + 2;
/// Attempts are counted modulo this: enough to tell one that the log has counted from one that it has not.
pub(crate) const ATTEMPTS: u32 = 1 << ATTEMPT_BITS;

/// Damage must not look like an acknowledgement: 11 bits depend on all others.
fn check(value: u64) -> u64 {
    value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> CHECK_AT
}

fn encode(word: Word) -> u64 {
    let Word { stage, id, attempt } = word;
    let attempt = u64::from(attempt % ATTEMPTS);
    let value = (stage as u64) << STAGE_AT | attempt << ID_BITS | (id & ((1 << ID_BITS) - 1));
    value | check(value) << CHECK_AT
}

fn decode(word: u64) -> Option<Word> {
    let value = word & ((1 << CHECK_AT) - 1);
    if word >> CHECK_AT != check(value) {
        return None;
    }
    let stage = match value >> STAGE_AT {
        1 => Stage::Taken,
        2 => Stage::Started,
        3 => Stage::Done,
        _ => return None,
    };
    Some(Word {
        stage,
        id: value & ((1 << ID_BITS) - 1),
        attempt: (value >> ID_BITS) as u32 % ATTEMPTS,
    })
}

fn synced_check(word: u64) -> u64 {
    !word.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// How often the words were opened.
const EPOCH: usize = 0;
/// All before this place was synced: the generation in the upper half, the offset in units of 8 bytes in the lower.
const SYNCED: usize = 1;
/// Depends on [`SYNCED`]: where it does not agree, after a power loss or by damage, that place is not known.
const SYNCED_CHECK: usize = 2;
/// The identity of the log whose messages the slots name.
const LOG: usize = 3;
/// The word of the first slot.
const SLOTS: usize = 4;

/// A view of the words, one a message in flight.
#[derive(Clone, Debug)]
pub(crate) struct Hands {
    words: Words,
    epoch: u64,
}

impl Hands {
    /// How many words `slots` messages need.
    pub(crate) fn words(slots: usize) -> usize {
        SLOTS + slots
    }

    /// The log that all words are of; 0 is not known.
    pub(crate) fn log_of(words: &[u64]) -> u64 {
        words.get(LOG).copied().unwrap_or(0)
    }

    /// The place before which all was synced, by all words; after a power loss it may be an earlier one.
    pub(crate) fn synced_of(words: &[u64]) -> Position {
        let word = match words.get(SYNCED..=SYNCED_CHECK) {
            Some([word, check]) if *check == synced_check(*word) => *word,
            _ => 0,
        };
        Position {
            generation: word >> 32,
            offset: (word & u64::from(u32::MAX)) * 8,
        }
    }

    /// The messages that all words name as done.
    pub(crate) fn done_of(words: &[u64]) -> impl Iterator<Item = u64> {
        let slots = words.iter().skip(SLOTS).filter_map(|word| decode(*word));
        slots
            .filter(|word| word.stage == Stage::Done)
            .map(|word| word.id)
    }

    /// Opens the words of a log. A view that was opened before changes nothing from then on: an actor may have
    /// outlived its store, and the slots are another store's now. What words of another log say is forgotten: they
    /// name other messages.
    pub(crate) fn open(words: Words, log: u64) -> Self {
        let epoch = words.load(EPOCH).wrapping_add(1);
        words.store(EPOCH, epoch);
        if words.load(LOG) != log {
            for index in (SYNCED..words.len()).filter(|index| *index != LOG) {
                words.store(index, 0);
            }
            // Last: a start that is interrupted does this again.
            words.store(LOG, log);
        }
        Self { words, epoch }
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.words.len() - SLOTS
    }

    pub(crate) fn set(&self, slot: u32, word: Word) {
        self.words.store(SLOTS + slot as usize, encode(word));
    }

    pub(crate) fn get(&self, slot: u32) -> Option<Word> {
        decode(self.words.load(SLOTS + slot as usize))
    }

    /// Advances the message of a slot. Returns its identity; none if the slot has no message or
    /// another store has it.
    pub(crate) fn advance(&self, slot: u32, stage: Stage) -> Option<u64> {
        let index = SLOTS + slot as usize;
        let old = self.words.load(index);
        let word = decode(old)?;
        // After the word: one of a later store is seen with its epoch. A word that is exchanged after
        // this is not the one that was read.
        if self.words.load(EPOCH) != self.epoch {
            return None;
        }
        let new = encode(Word { stage, ..word });
        self.words.replace(index, old, new).then_some(word.id)
    }

    pub(crate) fn clear(&self, slot: u32) {
        self.words.store(SLOTS + slot as usize, 0);
    }

    /// Notes what was synced: if that is not there, the store does not open.
    pub(crate) fn set_synced(&self, place: Position) {
        let word = (place.generation << 32) | (place.offset / 8);
        self.words.store(SYNCED, word);
        self.words.store(SYNCED_CHECK, synced_check(word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_a_stage_and_a_message_or_nothing() {
        let ids = [0, 1, 77, (1 << ID_BITS) - 1];
        for (id, stage) in ids
            .into_iter()
            .flat_map(|id| [Stage::Taken, Stage::Started, Stage::Done].map(|stage| (id, stage)))
        {
            for attempt in [1, 7] {
                let word = Word { stage, id, attempt };
                let bits = encode(word);
                assert_eq!(decode(bits), Some(word));
                for bit in 0..64 {
                    assert_ne!(decode(bits ^ 1 << bit), Some(word), "bit {bit}");
                }
            }
        }
        assert_eq!(decode(0), None);
    }
}
