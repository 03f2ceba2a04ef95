//! The settings of a store and of its queues.

use std::time::Duration;

/// Bytes of a segment, at least and at most.
pub(crate) const MIN_SEGMENT: u64 = 8 << 10;
pub(crate) const MAX_SEGMENT: u64 = 1 << 30;

/// The settings of a store.
///
/// # Examples
///
/// ```
/// use lanemesh_durable::StoreOptions;
///
/// let options = StoreOptions::default().segment_size(1 << 20).max_bytes(Some(1 << 30));
/// assert_eq!(options, options.clone());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    pub(crate) segment_size: u64,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) slots: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_size: 8 << 20,
            max_bytes: None,
            slots: 1 << 14,
        }
    }
}

impl StoreOptions {
    /// The size of a file of the log, in bytes; a message must fit into one. Default 8 MiB; 8 KiB to
    /// 1 GiB, and a multiple of 4096: other values are brought into this range. A log that is there keeps its size.
    pub fn segment_size(mut self, bytes: u64) -> Self {
        self.segment_size = bytes.clamp(MIN_SEGMENT, MAX_SEGMENT).next_multiple_of(4096);
        self
    }

    /// How much the log may take on disk. Default: as much as there is. At least four files.
    pub fn max_bytes(mut self, bytes: Option<u64>) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many messages of all queues together may be in flight, at least 1. Default 16,384. Each takes 8
    /// bytes on disk.
    pub fn max_in_flight(mut self, messages: usize) -> Self {
        self.slots = messages.clamp(1, 1 << 24);
        self
    }
}

/// The settings of a queue: an actor's, or that of a [`Mailbox`](crate::Mailbox).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_durable::QueueOptions;
///
/// let options = QueueOptions::default()
///     .max_attempts(3)
///     .retry_after(Duration::from_millis(50))
///     .max_messages(10_000);
/// assert_ne!(options, QueueOptions::default());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    pub(crate) max_messages: usize,
    pub(crate) max_bytes: u64,
    pub(crate) max_attempts: u32,
    pub(crate) in_flight: usize,
    pub(crate) is_strict: bool,
    pub(crate) retry_after: Duration,
    pub(crate) producer_window: Duration,
    pub(crate) key_window: Duration,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            max_messages: 10_000_000,
            max_bytes: u64::MAX,
            max_attempts: 5,
            in_flight: 256,
            is_strict: false,
            retry_after: Duration::ZERO,
            producer_window: Duration::from_secs(3600),
            key_window: Duration::from_secs(600),
        }
    }
}

impl QueueOptions {
    /// How many messages may be queued, in flight included; more are given back. Default ten million.
    pub fn max_messages(mut self, messages: usize) -> Self {
        self.max_messages = messages;
        self
    }

    /// How many bytes of the log queued messages may take; more are given back. Default: no limit.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How often a message is handled before it becomes a dead letter, at least once. Default 5.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// How many messages of a class are in memory, on their way to the actor or with it. Default 256,
    /// at least 1. A [`Mailbox`](crate::Mailbox) hands out as many before it waits for acknowledgements.
    pub fn in_flight(mut self, messages: usize) -> Self {
        self.in_flight = messages.max(1);
        self
    }

    /// Keeps the order of a class when a message fails, too: no message of the class is passed on
    /// before the one ahead of it was handled or is a dead letter. One message of a class is in
    /// flight then, so each costs a round trip to the journal's thread. Default: a message that
    /// failed comes again while those behind it go on.
    pub fn strict_order(mut self, is_strict: bool) -> Self {
        self.is_strict = is_strict;
        self
    }

    /// How long a message that failed waits before it comes again. Default: not at all.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = delay;
        self
    }

    /// How long the numbers of a producer are remembered after its last message. Default one hour.
    pub fn producer_window(mut self, window: Duration) -> Self {
        self.producer_window = window;
        self
    }

    /// How long a key is remembered after its message was stored. Default ten minutes.
    pub fn key_window(mut self, window: Duration) -> Self {
        self.key_window = window;
        self
    }
}
