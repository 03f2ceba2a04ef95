//! The sequence numbers that were sent, so that none is encrypted twice.
//!
//! SRTP derives its nonce from source (SSRC) and sequence number. Two packets under one nonce reveal the difference of
//! their contents, and with AES-GCM the key of authentication.
//! [`Downstream`](crate::session::subscriptions::downstream::Downstream) makes numbers that do not repeat; here this is checked, last of
//! all.

use std::collections::HashMap;

use crate::session::subscriptions::MAX_OFFERED;

/// How many numbers below the highest can still be sent, as late packets.
const WINDOW: u64 = 1024;
const WORD: u64 = u64::BITS as u64;

/// The numbers that were sent from each source.
#[derive(Debug, Default)]
pub(in crate::session) struct SentNumbers(HashMap<u32, Window>);

/// The last numbers of a source.
#[derive(Debug)]
struct Window {
    highest: u64,
    /// A bit for each of the last [`WINDOW`] numbers, at the number modulo `WINDOW`: whether it was sent.
    bits: [u64; (WINDOW / WORD) as usize],
}

impl SentNumbers {
    /// Whether there are so many sources that some cannot exist any more.
    pub(in crate::session) fn is_crowded(&self) -> bool {
        self.0.len() > 2 * MAX_OFFERED
    }

    /// Forgets sources that no longer exist. Memory is bounded by the sources of a peer.
    pub(in crate::session) fn retain(&mut self, mut exists: impl FnMut(u32) -> bool) {
        self.0.retain(|ssrc, _| exists(*ssrc));
    }

    /// Records that a number is sent. Returns `false` if it was sent before, or is too old to know.
    pub(in crate::session) fn insert(&mut self, ssrc: u32, sequence: u64) -> bool {
        let window = self.0.entry(ssrc).or_insert(Window {
            highest: sequence,
            bits: [0; _],
        });
        window.insert(sequence)
    }
}

impl Window {
    fn insert(&mut self, sequence: u64) -> bool {
        let skipped = sequence.saturating_sub(self.highest);
        if skipped >= WINDOW {
            self.bits = [0; _];
        } else {
            for number in self.highest + 1..=sequence {
                let (word, bit) = place(number);
                self.bits[word] &= !bit;
            }
        }
        self.highest = self.highest.max(sequence);
        let (word, bit) = place(sequence);
        let fresh = self.highest - sequence < WINDOW && self.bits[word] & bit == 0;
        if fresh {
            self.bits[word] |= bit;
        }
        fresh
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let at = sequence % WINDOW;
    ((at / WORD) as usize, 1 << (at % WORD))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn window_agrees_with_a_set(steps in prop::collection::vec(-1500i64..1500, 1..2000)) {
            let (mut numbers, mut set) = (SentNumbers::default(), HashSet::new());
            let (mut at, mut highest) = (1_000_000_u64, 0);
            for step in steps {
                // Mostly close together, so that numbers repeat.
                let step = if step % 3 == 0 { step } else { step % 8 };
                at = at.saturating_add_signed(step);
                highest = highest.max(at);
                let fresh = highest - at < WINDOW && set.insert(at);
                prop_assert_eq!(numbers.insert(7, at), fresh);
            }
        }
    }

    #[test]
    fn sources_are_apart_and_forgotten_when_they_are_gone() {
        let mut numbers = SentNumbers::default();
        for ssrc in 0..1000 {
            if numbers.is_crowded() {
                numbers.retain(|known| known == 0);
            }
            assert!(numbers.insert(ssrc, 5));
            assert!(!numbers.insert(ssrc, 5));
        }
        assert!(!numbers.insert(0, 5));
        assert!(numbers.0.len() <= 2 * MAX_OFFERED + 1);
    }
}
