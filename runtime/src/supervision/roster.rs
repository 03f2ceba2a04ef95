//! The members of a group, in the order of their start.

/// Places of members that have left, beyond the number of those that are there, until the list is
/// compacted.
const SPARE: usize = 16;

/// Members by ascending number. To add and to remove one takes constant time as long as few have
/// left, and logarithmic time at most; nothing is allocated for each of them.
pub(super) struct Roster<M> {
    /// A member that has left leaves its place empty until the list is compacted.
    places: Vec<(u64, Option<M>)>,
    len: usize,
}

impl<M> Default for Roster<M> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            len: 0,
        }
    }
}

impl<M> Roster<M> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a member, whose number must be higher than all before.
    pub(super) fn push(&mut self, order: u64, member: M) {
        debug_assert!(self.places.last().is_none_or(|(last, _)| *last < order));
        self.places.push((order, Some(member)));
        self.len += 1;
    }

    pub(super) fn get(&self, order: u64) -> Option<&M> {
        let index = self.index(order)?;
        self.places[index].1.as_ref()
    }

    pub(super) fn remove(&mut self, order: u64) -> Option<M> {
        let index = self.index(order)?;
        let member = self.places[index].1.take()?;
        self.len -= 1;
        if self.places.len() > 2 * self.len + SPARE {
            self.compact();
        }
        Some(member)
    }

    /// The members and their numbers, in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &M)> {
        let places = self.places.iter();
        places.filter_map(|(order, member)| Some((*order, member.as_ref()?)))
    }

    pub(super) fn values(&self) -> impl DoubleEndedIterator<Item = &M> {
        self.iter().map(|(_, member)| member)
    }

    fn index(&self, order: u64) -> Option<usize> {
        let (first, _) = self.places.first()?;
        // Where it is if no place in between was given up.
        let guess = usize::try_from(order.checked_sub(*first)?).ok()?;
        match self.places.get(guess) {
            Some((found, _)) if *found == order => Some(guess),
            _ => self
                .places
                .binary_search_by_key(&order, |place| place.0)
                .ok(),
        }
    }

    #[cold]
    fn compact(&mut self) {
        self.places.retain(|(_, member)| member.is_some());
        if self.places.capacity() > 4 * (self.len + SPARE) {
            self.places.shrink_to(2 * (self.len + SPARE));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::util::random::splitmix;

    #[test]
    fn roster_agrees_with_a_map_however_members_come_and_go() {
        for seed in 0..200 {
            let mut random = splitmix(seed);
            let mut next = |below: u64| {
                random = splitmix(random);
                random % below
            };
            let (mut roster, mut map) = (Roster::default(), BTreeMap::new());
            let stays = next(10);
            for order in 0..300 {
                if next(8) > 0 {
                    roster.push(order, order * 3);
                    map.insert(order, order * 3);
                }
                for _ in 0..next(3) {
                    let gone = next(order + 2);
                    if next(10) >= stays {
                        assert_eq!(roster.remove(gone), map.remove(&gone));
                    }
                    assert_eq!(roster.get(gone), map.get(&gone));
                }
                assert_eq!(roster.len(), map.len());
                assert!(roster.places.len() <= 2 * map.len() + SPARE + 1);
            }
            assert!(
                roster
                    .iter()
                    .eq(map.iter().map(|(order, member)| (*order, member)))
            );
            for order in 0..301 {
                assert_eq!(roster.remove(order), map.remove(&order));
            }
            assert_eq!((roster.len(), roster.values().count()), (0, 0));
            assert!(roster.places.capacity() <= 4 * SPARE.max(8));
        }
    }
}
