//! Dead letters, as those who ask for them see them.

use std::sync::Arc;

use crate::engine::{DeadReason, Engine};

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The identity of the message.
    pub id: u64,
    /// The queue that it was sent to.
    pub queue: Arc<str>,
    /// The class that it was sent in.
    pub is_high: bool,
    /// Why nobody will handle it.
    pub reason: DeadReason,
    /// How often it was handled.
    pub attempts: u32,
    /// When it was stored, in milliseconds since 1970.
    pub stored_at: u64,
    /// When it became a dead letter, in milliseconds since 1970.
    pub died_at: u64,
    /// The name of its type.
    pub type_name: String,
    /// The version of its type.
    pub version: u32,
    /// Its bytes, as they were stored. Empty if they are damaged.
    pub payload: Vec<u8>,
}

/// The dead letters of a queue, or of all, with identities from `from` on.
pub(crate) fn dead_letters(
    engine: &mut Engine,
    queue: Option<&str>,
    from: u64,
    limit: usize,
) -> Vec<DeadLetter> {
    let number = match queue {
        Some(name) => match engine.find_queue(name) {
            Some(number) => Some(number),
            None => return Vec::new(),
        },
        None => None,
    };
    let dead = engine.dead_letters(number, from, limit);
    let letters = dead.into_iter().map(|(id, dead)| {
        let (meta, payload) = engine.read_dead(id).unwrap_or_default();
        DeadLetter {
            id,
            queue: engine.queue_name(dead.queue),
            is_high: dead.class == 0,
            reason: dead.reason,
            attempts: dead.attempts,
            stored_at: meta.at,
            died_at: dead.at,
            type_name: meta.type_name,
            version: meta.version,
            payload,
        }
    });
    letters.collect()
}
