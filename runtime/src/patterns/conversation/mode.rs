//! What outlives a restart of a conversation.

/// What a restart of the conversation's actor leaves of the channel behind it: the requests, the
/// replies, and those who wait for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConversationMode {
    /// Nothing: those who wait get [`ConversationError::Closed`](crate::patterns::ConversationError)
    /// at once, and answers that arrive later are dropped.
    #[default]
    Ephemeral,
    /// All of it: a request that is with its participant is answered as if nothing had happened.
    /// When the actor ends for good, all of it ends too. It is in memory.
    Persistent,
}
