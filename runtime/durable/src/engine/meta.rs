//! What is kept of a message besides its payload.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The first part of the body of a message; the payload follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) type_name: String,
    pub(crate) version: u32,
    /// When it was put, in milliseconds since 1970.
    pub(crate) at: u64,
    /// When it expires.
    pub(crate) expires: Option<u64>,
    /// When it is delivered at the earliest.
    pub(crate) due: Option<u64>,
    /// Who sent it, and under which number.
    pub(crate) from: Option<(u128, u64)>,
    /// The user's key.
    pub(crate) key: Option<Vec<u8>>,
}

impl Meta {
    pub(crate) fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let bytes = Vec::with_capacity(64 + self.type_name.len() + payload.len());
        let mut bytes = postcard::to_extend(self, bytes).unwrap_or_default();
        bytes.extend_from_slice(payload);
        bytes
    }

    /// The meta data and the payload. None if the bytes are none of [`encode`](Self::encode).
    pub(crate) fn decode(body: &[u8]) -> Option<(Self, &[u8])> {
        postcard::take_from_bytes(body).ok()
    }

    /// The marks that this message leaves in a queue.
    pub(crate) fn marks(&self, queue: u16, class: u8) -> impl Iterator<Item = (MarkKey, u64)> {
        let from = self
            .from
            .map(|(producer, number)| (MarkKey::Producer(queue, class, producer), number));
        let key = self.key.clone().map(|key| (MarkKey::Key(queue, key), 0));
        from.into_iter().chain(key)
    }
}

/// Whose message is known although it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum MarkKey {
    /// Of a queue and a class: all numbers of a producer up to the mark's.
    Producer(u16, u8, u128),
    /// Of a queue: the user's key.
    Key(u16, Vec<u8>),
}

/// The body of a record that keeps a mark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MarkBody {
    pub(crate) key: MarkKey,
    pub(crate) number: u64,
    pub(crate) at: u64,
    pub(crate) id: u64,
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
