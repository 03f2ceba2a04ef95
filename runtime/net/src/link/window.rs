//! How many bytes may be on their way on the low connection: about what the path holds.
//!
//! Whatever is beyond that stands in a queue of the path, and high-priority messages stand behind it. So
//! the window is the highest rate of delivery of the last rounds times the shortest time that an
//! acknowledgement took in the last ten seconds, as in BBR (Cardwell et al., ACM Queue 14(5), 2016), and what the path delivers in a moment. It
//! begins by doubling, and every ten seconds it shrinks for a moment, to see the path without our own
//! queue. It knows no sockets: bytes and times go in, a number of bytes comes out.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The window is never smaller: what a path without delay needs to be busy.
pub(crate) const FLOOR: u64 = 32 << 10;
/// The receiver acknowledges in steps of this size at most.
pub(crate) const STEP: u64 = 4 << 10;
/// The receiver acknowledges at least this often while there is always more to read.
pub(crate) const LONG_STEP: u64 = 384 << 10;
/// The window is beyond what the path holds by what it delivers in this time. A queue as short as that delays
/// high-priority messages little, hides that the two nodes do not run all the time, shows at once when
/// the path becomes faster, and lets a fast path do with few acknowledgements.
const SLACK: Duration = Duration::from_micros(1250);
/// How long the shortest time counts.
const FRESH: Duration = Duration::from_secs(10);
/// How many rounds the highest rate counts.
const ROUNDS: u64 = 10;
/// The window in parts of what the path holds, round by round: a little more, to see whether it has become
/// faster, then a little less, to empty its queue again.
const GAINS: [f64; 8] = [1.06, 0.97, 1.01, 1.01, 1.01, 1.01, 1.01, 1.01];
/// Growth in a round below which the beginning is over: a quarter, three times in a row.
const STILL_RISING: f64 = 1.25;

pub(crate) struct Window {
    cap: u64,
    sent: u64,
    received: u64,
    received_at: Instant,
    /// What was sent and not received: how far each piece went, and the state when it was sent.
    pieces: VecDeque<Piece>,
    /// The shortest time from sending to acknowledgement, and when it was seen.
    shortest: Option<(Duration, Instant)>,
    /// The highest rates, bytes a second, falling, with their rounds.
    rates: VecDeque<(u64, f64)>,
    round: u64,
    /// The round ends when this much is received.
    round_end: u64,
    phase: Phase,
    limit: u64,
}

#[derive(Clone, Copy)]
struct Piece {
    end: u64,
    sent_at: Instant,
    received: u64,
    received_at: Instant,
    /// The window was not used up: the rate says what was sent, not what could be.
    is_idle: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Beginning {
        best: f64,
        flat: u32,
        seen: u64,
    },
    Steady,
    /// Shrunk to half, until what was sent before is received.
    Looking {
        until: u64,
        limit: u64,
    },
}

impl Window {
    pub(crate) fn new(cap: u64, now: Instant) -> Self {
        Self {
            cap: cap.max(FLOOR),
            sent: 0,
            received: 0,
            received_at: now,
            pieces: VecDeque::new(),
            shortest: None,
            rates: VecDeque::new(),
            round: 0,
            round_end: 0,
            phase: Phase::Beginning {
                best: 0.0,
                flat: 0,
                seen: 0,
            },
            limit: FLOOR,
        }
    }

    /// How many more bytes may be sent now.
    pub(crate) fn room(&self) -> u64 {
        self.limit.saturating_sub(self.sent - self.received)
    }

    /// How many of `wanted` bytes may be sent now: not in crumbs, and not in bursts.
    pub(crate) fn allowed(&self, wanted: u64) -> u64 {
        let room = self.room();
        if room < wanted.min(STEP) {
            return 0;
        }
        room.min(wanted).min(self.burst())
    }

    /// The most that is sent at once.
    pub(crate) fn burst(&self) -> u64 {
        (self.limit / 4).max(4 * STEP)
    }

    /// The window.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// `count` bytes are handed to the connection.
    pub(crate) fn sent(&mut self, count: u64, now: Instant) {
        if self.sent == self.received {
            self.received_at = now; // what was idle time is not part of a rate
        }
        self.sent += count;
        self.pieces.push_back(Piece {
            end: self.sent,
            sent_at: now,
            received: self.received,
            received_at: self.received_at,
            is_idle: self.sent - self.received + STEP < self.limit,
        });
    }

    /// The other end has received `total` bytes since the beginning. An error if it cannot.
    pub(crate) fn received(&mut self, total: u64, now: Instant) -> Result<(), ()> {
        if total > self.sent {
            return Err(());
        }
        if total <= self.received {
            return Ok(());
        }
        let mut newest = None;
        while let Some(piece) = self.pieces.front()
            && piece.end <= total
        {
            newest = self.pieces.pop_front();
        }
        let delivered = total - self.received;
        self.received = total;
        self.received_at = now;
        if total >= self.round_end {
            self.round += 1;
            self.round_end = self.sent;
        }
        if let Some(piece) = newest {
            self.measure(&piece, total, now);
        }
        self.advance(delivered, now);
        Ok(())
    }

    fn measure(&mut self, piece: &Piece, total: u64, now: Instant) {
        let took = now - piece.sent_at;
        if self.shortest.is_none_or(|(shortest, _)| took <= shortest) {
            self.shortest = Some((took, now));
        }
        let span = now - piece.received_at.min(piece.sent_at);
        let rate = (total - piece.received) as f64 / span.as_secs_f64().max(1e-6);
        if piece.is_idle && rate < self.rate() {
            return;
        }
        while self.rates.back().is_some_and(|(_, known)| *known <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.round, rate));
        while let Some((round, _)) = self.rates.front()
            && round + ROUNDS < self.round
            && self.rates.len() > 1
        {
            self.rates.pop_front();
        }
    }

    fn rate(&self) -> f64 {
        self.rates.front().map_or(0.0, |(_, rate)| *rate)
    }

    /// What the path holds, in bytes.
    fn held(&self) -> f64 {
        let shortest = self.shortest.map_or(Duration::ZERO, |(took, _)| took);
        self.rate() * shortest.as_secs_f64()
    }

    /// What the path delivers in [`SLACK`].
    fn slack(&self) -> f64 {
        self.rate() * SLACK.as_secs_f64()
    }

    fn advance(&mut self, delivered: u64, now: Instant) {
        match self.phase {
            Phase::Beginning { best, flat, seen } => {
                if self.round > seen {
                    let rate = self.rate();
                    let is_rising = rate >= best * STILL_RISING;
                    let flat = if is_rising { 0 } else { flat + 1 };
                    self.phase = Phase::Beginning {
                        best: if is_rising { rate } else { best },
                        flat,
                        seen: self.round,
                    };
                    if flat >= 3 {
                        self.phase = Phase::Steady;
                    }
                }
            }
            Phase::Steady => {
                if let Some((shortest, at)) = self.shortest
                    && now - at > FRESH
                {
                    // By the last rate: the highest one may be that of a path that has become slower.
                    let rate = self.rates.back().map_or(0.0, |(_, rate)| *rate);
                    self.phase = Phase::Looking {
                        until: self.sent,
                        limit: (rate * shortest.as_secs_f64() / 2.0) as u64,
                    };
                }
            }
            Phase::Looking { until, .. } => {
                // What was sent after the shrinking meets no queue of ours.
                if self.received > until + FLOOR / 2 {
                    self.phase = Phase::Steady;
                } else {
                    self.shortest = None;
                }
            }
        }
        let wanted = match self.phase {
            Phase::Beginning { .. } => (3.0 * self.held()).max(self.slack()),
            Phase::Steady => {
                let gain = GAINS[(self.round % GAINS.len() as u64) as usize];
                let held = gain * self.held();
                // Where the floor is much of the window, the path has that slack already.
                let slack = self.slack().min(held - FLOOR as f64).max(STEP as f64);
                (held + slack).max(self.slack())
            }
            Phase::Looking { limit, .. } => limit as f64,
        };
        // It grows in step with what is delivered, after the beginning by a quarter of that: a burst would
        // stand in the queue.
        let step = match self.phase {
            Phase::Beginning { .. } => delivered,
            Phase::Steady | Phase::Looking { .. } => delivered / 4,
        };
        let reachable = self.limit + step;
        self.limit = (wanted as u64).clamp(FLOOR, self.cap).min(reachable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path with a rate, a delay and a queue without end, and a sender that always has bytes. Returns
    /// the part of the rate that was used, and the longest time in the queue, both of the second half.
    fn run(rate: f64, delay: Duration, seconds: u64) -> (f64, Duration) {
        let start = Instant::now();
        let mut window = Window::new(64 << 20, start);
        let mut now = start;
        let mut acks: VecDeque<(Instant, u64)> = VecDeque::new();
        let (mut sent, mut free_at) = (0, start);
        let end = start + Duration::from_secs(seconds);
        let half = start + Duration::from_secs(seconds / 2);
        let (mut received_at_half, mut longest) = (0, Duration::ZERO);
        while now < end {
            while window.room() >= 1200 {
                sent += 1200;
                window.sent(1200, now);
                let waits = free_at.saturating_duration_since(now);
                if now >= half {
                    longest = longest.max(waits);
                }
                free_at = free_at.max(now) + Duration::from_secs_f64(1200.0 / rate);
                if sent % 3600 == 0 {
                    acks.push_back((free_at + delay, sent));
                }
            }
            let (at, total) = acks.pop_front().unwrap();
            if now < half {
                received_at_half = total;
            }
            now = now.max(at);
            window.received(total, now).unwrap();
        }
        let used = (window.received - received_at_half) as f64;
        let part = (now - half).as_secs_f64();
        (used / (rate * part), longest)
    }

    #[test]
    fn window_fills_the_path_and_not_its_queue() {
        for (rate, delay) in [
            (12.5e6, 0),
            (12.5e6, 20),
            (12.5e6, 100),
            (125e6, 20),
            (1e6, 50),
        ] {
            let delay = Duration::from_millis(delay);
            let (used, longest) = run(rate, delay, 60);
            assert!(used > 0.95, "{rate} {delay:?}: {used}");
            let floor = Duration::from_secs_f64(FLOOR as f64 / rate);
            let allowed = delay / 4 + floor.mul_f64(1.25);
            assert!(longest <= allowed, "{rate} {delay:?}: {longest:?}");
        }
    }

    #[test]
    fn window_follows_a_path_that_becomes_slower() {
        let start = Instant::now();
        let mut window = Window::new(64 << 20, start);
        let delay = Duration::from_millis(20);
        let mut now = start;
        let (mut sent, mut free_at) = (0, start);
        let mut acks: VecDeque<(Instant, u64)> = VecDeque::new();
        for (rate, seconds) in [(50e6, 10), (5e6, 30)] {
            let end = now + Duration::from_secs(seconds);
            while now < end {
                while window.room() >= 4096 {
                    sent += 4096;
                    window.sent(4096, now);
                    free_at = free_at.max(now) + Duration::from_secs_f64(4096.0 / rate);
                    acks.push_back((free_at + delay, sent));
                }
                let (at, total) = acks.pop_front().unwrap();
                now = now.max(at);
                window.received(total, now).unwrap();
            }
        }
        let held = 5e6 * delay.as_secs_f64();
        assert!((window.limit() as f64) < 1.2 * held, "{}", window.limit());
        assert!(window.limit() as f64 > 0.9 * held, "{}", window.limit());
    }

    #[test]
    fn acknowledgement_of_what_was_not_sent_is_an_error() {
        let now = Instant::now();
        let mut window = Window::new(0, now);
        assert_eq!(window.room(), FLOOR);
        window.sent(1000, now);
        assert_eq!(window.room(), FLOOR - 1000);
        assert_eq!(window.received(1001, now), Err(()));
        assert_eq!(window.received(1000, now), Ok(()));
        assert_eq!(window.received(10, now), Ok(())); // an old one
        assert_eq!(window.room(), FLOOR);
    }
}
