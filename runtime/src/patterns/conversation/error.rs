//! Why a conversation has no reply.

use std::fmt;

use crate::{error::AskError, id::ActorId};

/// Why a conversation has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConversationError {
    /// No reply arrived in time.
    Timeout,
    /// A participant crashed while it had the request, or while a receive waited for its reply.
    ParticipantCrashed(ActorId),
    /// The lane into the conversation is full, and its policy is not to wait
    /// ([`Builder::low_overflow`](crate::Builder::low_overflow)).
    Busy,
    /// There is no participant left.
    NoParticipant,
    /// The conversation has ended.
    Closed,
}

impl fmt::Display for ConversationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no reply in time"),
            Self::ParticipantCrashed(id) => write!(f, "participant {id} crashed"),
            Self::Busy => f.write_str("the conversation has no room for the request"),
            Self::NoParticipant => f.write_str("no participant is left"),
            Self::Closed => f.write_str("the conversation has ended"),
        }
    }
}

impl std::error::Error for ConversationError {}

impl From<AskError> for ConversationError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Timeout => Self::Timeout,
            AskError::Full => Self::Busy,
            AskError::Closed
            | AskError::Crashed
            | AskError::Unknown
            | AskError::Unreachable
            | AskError::NotLocal => Self::Closed,
        }
    }
}
