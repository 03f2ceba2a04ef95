//! Whether a peer still responds, and whether its session is ending.

use std::time::{Duration, Instant};

/// How long after its last sign of life a peer counts as gone. Any packet that only the peer can have sent is one: older
/// stacks send no STUN while media flows.
pub(super) const CONSENT: Duration = Duration::from_secs(20);

/// How often to look whether the peer has sent RTCP reports.
pub(super) const REPORTS: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Liveness {
    /// When the last authenticated packet came.
    proved: Instant,
    /// Whether ICE and DTLS are done.
    connected: bool,
    /// Whether the session ends after the next poll.
    closing: bool,
    closed: bool,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            proved: now,
            connected: false,
            closing: false,
            closed: false,
        }
    }

    pub(super) fn prove(&mut self, now: Instant) {
        self.proved = now;
    }

    pub(super) fn connect(&mut self) {
        self.connected = true;
    }

    #[cfg(test)]
    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    pub(super) fn is_silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.proved) > CONSENT
    }

    /// When [`Liveness::is_silent`] becomes true without another authenticated packet.
    pub(super) fn silent_at(&self) -> Instant {
        self.proved + CONSENT + Duration::from_millis(1)
    }

    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Ends the session. Returns whether it had not ended before.
    pub(super) fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.closed, true)
    }
}
