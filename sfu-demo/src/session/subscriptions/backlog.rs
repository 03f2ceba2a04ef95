//! The packets that the pacer holds back, by source: so that it is known how long the next will wait.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// More packets of a source than the pacer can hold; then what is known of it is wrong.
const MAX_WAITING: usize = 8192;
/// Older than anything that the pacer holds.
const MAX_AGE: Duration = Duration::from_secs(5);

/// The packets that have not left yet.
#[derive(Debug, Default)]
pub(in crate::session) struct Backlog(HashMap<u32, Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// When each was written, and its length.
    packets: VecDeque<(Instant, usize)>,
    /// The sum of the lengths.
    bytes: usize,
}

impl Waiting {
    fn pop(&mut self) {
        self.bytes -= self.packets.pop_front().map_or(0, |packet| packet.1);
    }
}

impl Backlog {
    /// Records that a packet of `bytes` was written.
    pub(in crate::session) fn written(&mut self, ssrc: u32, now: Instant, bytes: usize) {
        let waiting = self.0.entry(ssrc).or_default();
        if waiting.packets.len() >= MAX_WAITING {
            *waiting = Waiting::default();
        }
        waiting.packets.push_back((now, bytes));
        waiting.bytes += bytes;
    }

    /// Records that a packet has left.
    pub(in crate::session) fn left(&mut self, ssrc: u32) {
        if let Some(waiting) = self.0.get_mut(&ssrc) {
            waiting.pop();
        }
    }

    /// How long the next packet of a source will wait: as long as the oldest has waited, or as the bytes before it take at
    /// `rate` bits per second, whichever is longer.
    pub(in crate::session) fn wait(&mut self, ssrc: u32, now: Instant, rate: u64) -> Duration {
        let Some(waiting) = self.0.get_mut(&ssrc) else {
            return Duration::ZERO;
        };
        let Some((oldest, _)) = waiting.packets.front() else {
            return Duration::ZERO;
        };
        let age = now.saturating_duration_since(*oldest);
        if age > MAX_AGE {
            // The stack has dropped them.
            *waiting = Waiting::default();
            return Duration::ZERO;
        }
        let micros = waiting.bytes as u64 * 8_000_000 / rate.max(1);
        age.max(Duration::from_micros(micros))
    }

    /// Forgets sources that no longer exist.
    pub(in crate::session) fn retain(&mut self, mut exists: impl FnMut(u32) -> bool) {
        self.0.retain(|ssrc, _| exists(*ssrc));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_that_of_the_oldest_packet_or_of_the_bytes() {
        let (start, mut backlog) = (Instant::now(), Backlog::default());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(backlog.wait(1, at(0), 8000), Duration::ZERO);
        backlog.written(1, at(0), 100);
        backlog.written(1, at(100), 50);
        backlog.written(2, at(0), 1);
        assert_eq!(backlog.wait(1, at(0), 8000), Duration::from_millis(150));
        assert_eq!(
            backlog.wait(1, at(150), u64::MAX),
            Duration::from_millis(150)
        );
        backlog.left(1);
        assert_eq!(
            backlog.wait(1, at(150), u64::MAX),
            Duration::from_millis(50)
        );
        backlog.left(1);
        // Retransmitted.
        backlog.left(1);
        assert_eq!(backlog.wait(1, at(150), u64::MAX), Duration::ZERO);
        assert_eq!(
            backlog.wait(2, at(6000), u64::MAX),
            Duration::ZERO,
            "lost in the stack"
        );
        backlog.retain(|ssrc| ssrc != 1);
        assert_eq!(backlog.0.len(), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let (now, mut backlog) = (Instant::now(), Backlog::default());
        for _ in 0..3 * MAX_WAITING {
            backlog.written(1, now, 1);
        }
        assert!(backlog.0[&1].packets.len() <= MAX_WAITING);
    }
}
