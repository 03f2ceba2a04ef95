//! Which receiver a message goes to: by its key, or else by turns or by load.
//!
//! Keys are assigned by rendezvous hashing: a key belongs to the receiver with the largest weight for it. A receiver
//! that joins takes keys from the others and moves none between them; one that leaves gives up its own and no other.

use std::{
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::Arc,
};

/// How messages without a key are spread over the receivers of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Balance {
    /// By turns, without those whose lanes are full.
    #[default]
    RoundRobin,
    /// To the receiver with the fewest messages in this sender's lane to it; by turns between equals.
    ///
    /// A sender knows its own lanes, not those of others. It looks at all of them for each message, so this is for tens
    /// of receivers at most.
    LeastLoaded,
}

type KeyOf<T> = Arc<dyn Fn(&T) -> Option<u64> + Send + Sync>;

/// The rule of one class of messages.
pub(super) struct Rule<T> {
    pub(super) balance: Balance,
    key_of: Option<KeyOf<T>>,
}

impl<T> Rule<T> {
    pub(super) fn new(balance: Balance) -> Self {
        Self {
            balance,
            key_of: None,
        }
    }

    pub(super) fn set_key(&mut self, key_of: impl Fn(&T) -> Option<u64> + Send + Sync + 'static) {
        self.key_of = Some(Arc::new(key_of));
    }

    /// Whether any message can have a key.
    #[inline]
    pub(super) fn has_keys(&self) -> bool {
        self.key_of.is_some()
    }

    #[inline]
    pub(super) fn key_of(&self, message: &T) -> Option<u64> {
        self.key_of.as_ref()?(message)
    }
}

impl<T> Clone for Rule<T> {
    fn clone(&self) -> Self {
        Self {
            balance: self.balance,
            key_of: self.key_of.clone(),
        }
    }
}

impl<T> fmt::Debug for Rule<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("balance", &self.balance)
            .field("has_keys", &self.has_keys())
            .finish()
    }
}

/// The index of the receiver that a key belongs to; `None` if there is no receiver.
pub(super) fn owner(key: u64, receivers: impl Iterator<Item = u64>) -> Option<usize> {
    receivers
        .map(|id| weight(key, id))
        .enumerate()
        .max_by_key(|(_, weight)| *weight)
        .map(|(index, _)| index)
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014), over both
/// numbers, each spread by an odd constant.
fn weight(key: u64, id: u64) -> u64 {
    let mut z = key
        .wrapping_mul(0xff51_afd7_ed55_8ccd)
        .wrapping_add(id.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The key of a message, made of anything that can be hashed. Equal values give equal keys, within one build of the
/// program.
///
/// # Examples
///
/// ```
/// use lanemesh::mesh::{MeshBuilder, key};
///
/// let rule = MeshBuilder::new(16).by_key(|order: &(String, u32)| Some(key(&order.0)));
/// let (mut tx, mut rx) = rule.build();
/// tx.try_send(("alice".to_owned(), 1)).unwrap();
/// assert_eq!(rx.try_recv().unwrap().1, 1);
/// ```
pub fn key(value: &(impl Hash + ?Sized)) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::owner;

    #[test]
    fn a_receiver_that_joins_moves_its_share_of_keys_and_no_other() {
        const KEYS: u64 = 10_000;
        // Interpreted, all of them take a quarter of an hour.
        let most = if cfg!(miri) { 2 } else { 8 };
        for receivers in 1..=most {
            let mut moved = 0_u64;
            for key in 0..KEYS {
                let before = owner(key, 0..receivers);
                let after = owner(key, 0..=receivers);
                if before != after {
                    assert_eq!(after, Some(receivers as usize));
                    moved += 1;
                }
            }
            let share = KEYS / (receivers + 1);
            assert!(moved.abs_diff(share) < share / 5, "{moved} of {share}");
        }
    }

    #[test]
    fn a_key_has_no_owner_among_none() {
        assert_eq!(owner(1, std::iter::empty()), None);
    }
}
