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
        marks(queue, class, self.from, self.key.as_deref())
    }
}

fn marks(
    queue: u16,
    class: u8,
    from: Option<(u128, u64)>,
    key: Option<&[u8]>,
) -> impl Iterator<Item = (MarkKey, u64)> {
    let from = from.map(|(producer, number)| (MarkKey::Producer(queue, class, producer), number));
    let key = key.map(|key| (MarkKey::Key(queue, key.to_vec()), 0));
    from.into_iter().chain(key)
}

/// A [`Meta`] in the bytes of its record: a start reads a million of them, and keeps none.
#[derive(Deserialize)]
pub(crate) struct MetaRef<'a> {
    #[serde(rename = "type_name")]
    _type_name: &'a str,
    #[serde(rename = "version")]
    _version: u32,
    pub(crate) at: u64,
    #[serde(rename = "expires")]
    _expires: Option<u64>,
    pub(crate) due: Option<u64>,
    from: Option<(u128, u64)>,
    #[serde(borrow)]
    key: Option<&'a [u8]>,
}

impl<'a> MetaRef<'a> {
    /// As [`Meta::decode`], without the payload.
    pub(crate) fn decode(body: &'a [u8]) -> Option<Self> {
        let (meta, _) = postcard::take_from_bytes(body).ok()?;
        Some(meta)
    }

    /// As [`Meta::marks`].
    pub(crate) fn marks(&self, queue: u16, class: u8) -> impl Iterator<Item = (MarkKey, u64)> {
        marks(queue, class, self.from, self.key)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_borrowed_meta_says_the_same() {
        let plain = Meta {
            at: 7,
            ..Meta::default()
        };
        let full = Meta {
            type_name: "order".to_owned(),
            version: 300,
            at: u64::MAX,
            expires: Some(1),
            due: Some(2),
            from: Some((u128::MAX, 9)),
            key: Some(b"key".to_vec()),
        };
        for meta in [plain, full] {
            let body = meta.encode(b"payload");
            assert_eq!(Meta::decode(&body), Some((meta.clone(), &b"payload"[..])));
            let borrowed = MetaRef::decode(&body).unwrap();
            assert_eq!((borrowed.at, borrowed.due), (meta.at, meta.due));
            let marks: Vec<_> = borrowed.marks(3, 1).collect();
            assert_eq!(marks, meta.marks(3, 1).collect::<Vec<_>>());
            assert!(MetaRef::decode(&body[..2]).is_none());
        }
    }
}
