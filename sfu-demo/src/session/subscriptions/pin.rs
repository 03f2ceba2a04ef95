//! What a peer wants in any case: it may not be there yet, and comes back under other numbers.

use crate::ids::{PersonId, TrackId};
use crate::media::{Source, TrackInfo};

/// What a peer wants in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Pin {
    Track(TrackId),
    /// Whatever comes from this device of a person, now or later.
    Person(PersonId, Source),
}

impl Pin {
    pub(super) fn is_of(self, info: &TrackInfo) -> bool {
        match self {
            Self::Track(track) => track == info.id,
            Self::Person(person, source) => (person, source) == (info.person, info.source),
        }
    }
}
