//! What handlers have in their hands, in words that outlive a killed process.
//!
//! A word names a message and how far its handler is. It costs the actor one store, and no system
//! call: so a message that kills the process is counted, and an acknowledgement outlives a
//! kill although nothing was written yet.

use crate::disk::Words;

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

const ID_BITS: u32 = 48;

/// Damage must not look like an acknowledgement: 14 bits depend on all others.
fn check(value: u64) -> u64 {
    value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50
}

fn encode(stage: Stage, id: u64) -> u64 {
    let value = (stage as u64) << ID_BITS | (id & ((1 << ID_BITS) - 1));
    value | check(value) << (ID_BITS + 2)
}

fn decode(word: u64) -> Option<(Stage, u64)> {
    let value = word & ((1 << (ID_BITS + 2)) - 1);
    if word >> (ID_BITS + 2) != check(value) {
        return None;
    }
    let stage = match value >> ID_BITS {
        1 => Stage::Taken,
        2 => Stage::Started,
        3 => Stage::Done,
        _ => return None,
    };
    Some((stage, value & ((1 << ID_BITS) - 1)))
}

/// A view of the words, one a message in flight.
#[derive(Clone, Debug)]
pub(crate) struct Hands(Words);

impl Hands {
    pub(crate) fn new(words: Words) -> Self {
        Self(words)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn set(&self, slot: u32, stage: Stage, id: u64) {
        self.0.store(slot as usize, encode(stage, id));
    }

    pub(crate) fn get(&self, slot: u32) -> Option<(Stage, u64)> {
        decode(self.0.load(slot as usize))
    }

    /// Advances the message of a slot; the slot must have one.
    pub(crate) fn advance(&self, slot: u32, stage: Stage) {
        if let Some((_, id)) = self.get(slot) {
            self.set(slot, stage, id);
        }
    }

    pub(crate) fn clear(&self, slot: u32) {
        self.0.store(slot as usize, 0);
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
            let word = encode(stage, id);
            assert_eq!(decode(word), Some((stage, id)));
            for bit in 0..64 {
                assert_ne!(decode(word ^ 1 << bit), Some((stage, id)), "bit {bit}");
            }
        }
        assert_eq!(decode(0), None);
    }
}
