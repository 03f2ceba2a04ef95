//! One record: a head of 24 bytes, and a body padded to a multiple of 8.
//!
//! | bytes | |
//! |---|---|
//! | 0–3 | CRC-32 of all that follows, without the padding, begun with the seed of the segment |
//! | 4–7 | length of the body |
//! | 8 | [`Kind`] |
//! | 9 | class: 0 high, 1 low |
//! | 10–11 | number of the queue |
//! | 12–15 | attempts so far |
//! | 16–23 | identity of the message |

use crate::log::Position;

/// The length of the head of a record.
pub const HEAD: usize = 24;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A batch begins. The body names what was synced before ([`Batch`]).
    Batch = 1,
    /// A message; its body is the meta data and the payload.
    Put = 2,
    /// A handler had the message: how many attempts there were.
    Attempt = 3,
    /// The message was handled.
    Ack = 4,
    /// The message is a dead letter; the body says why.
    Dead = 5,
    /// The dead letter is a message again.
    Requeue = 6,
    /// The message waits for a time, which is in the body.
    Retry = 7,
    /// The name of a queue.
    Queue = 8,
    /// A message of a producer, or with a key, is known although it is gone.
    Mark = 9,
    /// Nothing follows. The next batch overwrites it.
    End = 10,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Batch,
            2 => Self::Put,
            3 => Self::Attempt,
            4 => Self::Ack,
            5 => Self::Dead,
            6 => Self::Requeue,
            7 => Self::Retry,
            8 => Self::Queue,
            9 => Self::Mark,
            10 => Self::End,
            _ => return None,
        })
    }
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the record says.
    pub kind: Kind,
    /// 0 is high, 1 is low.
    pub class: u8,
    /// The number of the queue.
    pub queue: u16,
    /// Attempts so far.
    pub attempt: u32,
    /// The identity of the message.
    pub id: u64,
}

impl Head {
    /// The head of a record that belongs to no message.
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            class: 0,
            queue: 0,
            attempt: 0,
            id: 0,
        }
    }
}

/// A record in a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: &'a [u8],
}

/// The length of a record with a body of `body` bytes.
pub fn length(body: usize) -> usize {
    HEAD + body.next_multiple_of(8)
}

/// Appends a record.
pub fn encode(into: &mut Vec<u8>, seed: u32, head: Head, body: &[u8]) {
    let start = into.len();
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&(body.len() as u32).to_le_bytes());
    into.extend_from_slice(&[head.kind as u8, head.class]);
    into.extend_from_slice(&head.queue.to_le_bytes());
    into.extend_from_slice(&head.attempt.to_le_bytes());
    into.extend_from_slice(&head.id.to_le_bytes());
    into.extend_from_slice(body);
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&into[start + 4..]);
    let crc = hasher.finalize();
    into[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    into.resize(start + length(body.len()), 0);
}

/// Reads the record at `at`. None if there is none that is whole.
pub fn decode(bytes: &[u8], at: usize, seed: u32) -> Option<Record<'_>> {
    let head = bytes.get(at..at.checked_add(HEAD)?)?;
    let kind = Kind::of(head[8])?;
    let word = |from: usize| u32::from_le_bytes(head[from..from + 4].try_into().expect("4 bytes"));
    let end = (at + HEAD).checked_add(word(4) as usize)?;
    let body = bytes.get(at + HEAD..end)?;
    if end.next_multiple_of(8) > bytes.len() {
        return None;
    }
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&bytes[at + 4..end]);
    if hasher.finalize() != word(0) {
        return None;
    }
    Some(Record {
        head: Head {
            kind,
            class: head[9],
            queue: u16::from_le_bytes([head[10], head[11]]),
            attempt: word(12),
            id: u64::from_le_bytes(head[16..24].try_into().expect("8 bytes")),
        },
        body,
    })
}

/// The body of the record that begins a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// All that is before this place was synced when the batch was written.
    pub synced: Position,
    /// Generations before this one are not needed any more.
    pub oldest: u64,
}

impl Batch {
    /// The length of the body.
    pub const LENGTH: usize = 24;

    /// The body.
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut body = [0; Self::LENGTH];
        body[..8].copy_from_slice(&self.synced.generation.to_le_bytes());
        body[8..16].copy_from_slice(&self.synced.offset.to_le_bytes());
        body[16..].copy_from_slice(&self.oldest.to_le_bytes());
        body
    }

    /// Reads a body. None if it has another length.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let body: &[u8; Self::LENGTH] = body.try_into().ok()?;
        let long = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().expect("8 bytes"));
        Some(Self {
            synced: Position {
                generation: long(0),
                offset: long(8),
            },
            oldest: long(16),
        })
    }
}
