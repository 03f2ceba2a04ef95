//! What an outbox and an inbox say to each other.

use lanemesh_runtime::Reply;
use serde::{Deserialize, Serialize};

/// The type of every inbox.
pub(crate) const TYPE: &str = "lanemesh/inbox";

/// Messages of one class, in the order of their numbers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// The store that they come from.
    pub(crate) producer: u128,
    /// The name of their type.
    pub(crate) kind: String,
    pub(crate) items: Vec<Item>,
    pub(crate) reply: Reply<Answer>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    /// Greater than those before; of one that is sent again, the same.
    pub(crate) number: u64,
    /// Of its type.
    pub(crate) version: u32,
    pub(crate) bytes: Vec<u8>,
}

/// What has become of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// How many are confirmed, from the first on.
    pub(crate) confirmed: usize,
    /// The numbers of those among them that were known.
    pub(crate) known: Vec<u64>,
    /// Why the one after those is not.
    pub(crate) failure: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// It may succeed when it is sent again.
    Later(String),
    /// It will never succeed.
    Never(String),
}
