//! The times at which packets are due, from which latency is measured.

use std::time::Duration;

use quanta::Instant;

/// The times at which a sender has to send.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    start: Instant,
    rate: u64,
    sent: u64,
}

impl Schedule {
    /// `rate` times per second, starting at `start`.
    pub(super) fn new(start: Instant, rate: u64) -> Self {
        Self {
            start,
            rate: rate.max(1),
            sent: 0,
        }
    }

    /// The next time.
    pub(super) fn due(&self) -> Instant {
        let nanos = u128::from(self.sent) * 1_000_000_000 / u128::from(self.rate);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub(super) fn next(&mut self) {
        self.sent += 1;
    }
}

/// Sleeps until about `due`, which leaves the core to the forwarding threads.
pub(super) fn wait_until(due: Instant) {
    let ahead = due.saturating_duration_since(Instant::now());
    if ahead > Duration::from_micros(10) {
        std::thread::sleep(ahead);
    }
}

/// Writes the intended time into a payload, in nanoseconds since `epoch`.
pub(super) fn stamp(payload: &mut [u8], epoch: Instant, due: Instant) {
    let nanos = due.saturating_duration_since(epoch).as_nanos() as u64;
    payload[..8].copy_from_slice(&nanos.to_be_bytes());
}

/// The nanoseconds since the time in a payload.
pub(super) fn age(payload: &[u8], epoch: Instant, now: Instant) -> Option<u64> {
    let nanos = u64::from_be_bytes(payload.get(..8)?.try_into().ok()?);
    let now = now.saturating_duration_since(epoch).as_nanos() as u64;
    Some(now.saturating_sub(nanos).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_counts_from_the_intended_time() {
        let epoch = Instant::now();
        let mut schedule = Schedule::new(epoch, 1000);
        schedule.next();
        let mut payload = [0; 16];
        stamp(&mut payload, epoch, schedule.due());
        let later = epoch + Duration::from_millis(3);
        assert_eq!(age(&payload, epoch, later), Some(2_000_000));
        assert_eq!(age(&payload[..7], epoch, later), None);
    }

    #[test]
    fn schedule_does_not_drift() {
        let epoch = Instant::now();
        let mut schedule = Schedule::new(epoch, 300_000);
        for _ in 0..300_000 {
            schedule.next();
        }
        assert_eq!(schedule.due(), epoch + Duration::from_secs(1));
    }
}
