//! What becomes of a message at a slow subscriber.

/// What a publisher does when a subscriber's lane is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// Wait for room. The slowest such subscriber limits the publisher.
    Wait,
    /// Drop the message for this subscriber, and count it.
    Drop,
    /// End the subscription.
    Disconnect,
}

/// The result of a publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The number of subscribers that got the message.
    pub queued: usize,
    /// The number of subscribers that missed it because their lane was full.
    pub dropped: usize,
    /// The number of subscriptions that ended with it: the subscriber was gone or too slow.
    pub ended: usize,
}
