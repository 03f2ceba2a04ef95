//! Identifiers of participants, tracks, shards and peers.

use std::fmt;

use serde::Serialize;

/// A participant, unique on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ParticipantId(pub u64);

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
