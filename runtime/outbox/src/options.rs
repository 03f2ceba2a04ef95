//! The settings of outboxes.

use std::time::Duration;

/// Times and limits of outboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxOptions {
    /// The first pause after a failure; it doubles with each one more. Half of each pause is random. Default 50 ms.
    pub backoff: Duration,
    /// The longest pause. Default 5 s.
    pub max_backoff: Duration,
    /// How long a confirmation may take before the messages are sent again. Default 30 s.
    pub timeout: Duration,
    /// How many messages are sent before the first of them is confirmed. Default 256.
    pub batch: usize,
    /// How many messages may wait in one outbox. Default ten million.
    pub max_messages: usize,
}

impl Default for OutboxOptions {
    fn default() -> Self {
        Self {
            backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            batch: 256,
            max_messages: 10_000_000,
        }
    }
}
