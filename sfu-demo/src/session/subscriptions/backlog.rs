//! The packets of videos that the stack's pacer holds back. It gives back nothing that it was given, however late that would leave: so
//! it is given few in advance.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many packets the stack is given in advance. If the estimate falls to its least, these are late, and no more.
const HELD: usize = 3;
/// More than the stack is given in advance: the first packets of all sections.
const MAX_HELD: usize = 64;
/// Older than anything that the pacer holds.
const MAX_AGE: Duration = Duration::from_secs(2);

/// The packets that have not left yet.
#[derive(Debug, Default)]
pub(in crate::session) struct Backlog {
    /// `false` if there is no pacer: then nothing waits.
    paced: bool,
    held: VecDeque<Held>,
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    ssrc: u32,
    at: Instant,
    bytes: usize,
}

impl Backlog {
    pub(in crate::session) fn new(paced: bool) -> Self {
        Self {
            paced,
            ..Self::default()
        }
    }

    /// Records that a packet of `bytes` was written.
    pub(in crate::session) fn written(&mut self, ssrc: u32, at: Instant, bytes: usize) {
        if !self.paced {
            return;
        }
        if self.held.len() >= MAX_HELD {
            self.remove(0);
        }
        self.held.push_back(Held { ssrc, at, bytes });
        self.bytes += bytes;
    }

    /// Records that a packet has left.
    pub(in crate::session) fn left(&mut self, ssrc: u32) {
        if let Some(at) = self.held.iter().position(|held| held.ssrc == ssrc) {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) {
        self.bytes -= self.held.remove(at).map_or(0, |held| held.bytes);
    }

    /// Whether the stack may be given another packet.
    pub(in crate::session) fn has_room(&mut self, now: Instant) -> bool {
        let is_lost = |held: &Held| now.saturating_duration_since(held.at) > MAX_AGE;
        while self.held.front().is_some_and(is_lost) {
            // The stack has dropped it.
            self.remove(0);
        }
        self.held.len() < HELD
    }

    /// How long the next packet will wait: as long as the oldest has waited, or as the bytes before it take at `rate` bits per
    /// second, whichever is longer.
    pub(in crate::session) fn wait(&self, now: Instant, rate: u64) -> Duration {
        let Some(oldest) = self.held.front() else {
            return Duration::ZERO;
        };
        let age = now.saturating_duration_since(oldest.at);
        let micros = self.bytes as u64 * 8_000_000 / rate.max(1);
        age.max(Duration::from_micros(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_that_of_the_oldest_packet_or_of_the_bytes() {
        let (start, mut backlog) = (Instant::now(), Backlog::new(true));
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(backlog.wait(at(0), 8000), Duration::ZERO);
        backlog.written(1, at(0), 100);
        backlog.written(2, at(50), 10);
        backlog.written(1, at(100), 40);
        assert_eq!(backlog.wait(at(100), 8000), Duration::from_millis(150));
        let waits = |backlog: &Backlog| backlog.wait(at(160), u64::MAX);
        assert_eq!(waits(&backlog), Duration::from_millis(160));
        backlog.left(1);
        assert_eq!(waits(&backlog), Duration::from_millis(110));
        backlog.left(2);
        assert_eq!(waits(&backlog), Duration::from_millis(60));
        backlog.left(1);
        // Retransmitted.
        backlog.left(1);
        assert_eq!(waits(&backlog), Duration::ZERO);
    }

    #[test]
    fn stack_is_given_few_packets_and_what_it_loses_is_forgotten() {
        let (now, mut backlog) = (Instant::now(), Backlog::new(true));
        for ssrc in 0..3 {
            assert!(backlog.has_room(now));
            backlog.written(ssrc, now, 1000);
        }
        assert!(!backlog.has_room(now));
        assert!(!backlog.has_room(now + MAX_AGE));
        assert!(backlog.has_room(now + 2 * MAX_AGE));
        assert_eq!(backlog.wait(now + 2 * MAX_AGE, 1), Duration::ZERO);
        for ssrc in 0..1000 {
            backlog.written(ssrc, now, 1);
        }
        assert_eq!((backlog.held.len(), backlog.bytes), (MAX_HELD, MAX_HELD));
        let mut none = Backlog::new(false);
        for _ in 0..10 {
            none.written(1, now, 1000);
        }
        assert!(none.has_room(now) && none.wait(now, 1).is_zero());
    }
}
