//! What goes through streams.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A chunk of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its number among those of its sender, from 0 on. In a reliable stream none is missing while it is open;
    /// otherwise, a gap is what was passed over, or lost.
    pub sequence: u64,
    /// The content.
    pub payload: Bytes,
}
