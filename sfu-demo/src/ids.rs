//! Identifiers of participants, tracks, shards and peers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A participant, unique on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ParticipantId(pub u64);

/// A person in a room: the same for each session that the server knows to be of one participant. Others may see it, and
/// learn nothing of how the server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PersonId(pub u64);

impl From<PersonId> for String {
    // A number of 64 bits would lose some in a script.
    fn from(person: PersonId) -> Self {
        format!("p{:016x}", person.0)
    }
}

impl TryFrom<String> for PersonId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix('p').filter(|digits| digits.len() == 16);
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or("not a person")
    }
}

/// A published track, unique on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

impl TrackId {
    pub(crate) fn new(participant: ParticipantId, index: u16) -> Self {
        Self(participant.0 << 16 | u64::from(index))
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl std::str::FromStr for TrackId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.strip_prefix('t').ok_or(())?;
        number.parse().map(Self).map_err(|_| ())
    }
}

/// A shard's number, counted from 0.
pub type ShardId = usize;

/// The slot of a peer in its shard.
pub type PeerKey = usize;

/// A random name of 128 bits, in hexadecimal.
pub(crate) fn secret() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the system provides randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_tracks_makes_one_anothers() {
        let last = TrackId::new(ParticipantId(1), u16::MAX);
        assert!(last < TrackId::new(ParticipantId(2), 0));
        assert_eq!(last.to_string().parse(), Ok(last));
    }
}
