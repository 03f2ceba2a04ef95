//! When media was captured, by the sender reports of its publisher.
//!
//! A report names a moment twice: in the publisher's clock, and as an RTP timestamp of one stream. The moments of all streams
//! of a publisher are in one clock, which is what keeps sound and picture together, whenever their packets arrive. They are
//! passed on in the reports that viewers get; see [`report_time`].

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use str0m::rtp::rtcp::SenderInfo;

/// A clock that differs from this process's by no more is taken as it is. The difference includes the time that the report
/// travelled.
const AGREES: i64 = 500_000_000;
/// A clock that has moved by more than this was set.
const SET: i64 = 10_000_000_000;

/// The same moment by both of this process's clocks.
static START: LazyLock<(Instant, SystemTime)> =
    LazyLock::new(|| (Instant::now(), SystemTime::now()));

/// A moment, in nanoseconds since `START`.
type Nanos = i64;

/// The clock of a publisher.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// What its moments are moved by, which is the same for all streams; `None` before the first report.
    shift: Option<Nanos>,
}

/// A moment by both clocks: what is known of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    at: Nanos,
    /// The stream's RTP timestamp.
    time: u32,
}

impl Clock {
    /// Reads a report that is known at `now`.
    pub(super) fn moment(&mut self, now: Instant, report: &SenderInfo) -> Option<Moment> {
        let (start, start_by_ntp) = *START;
        let at = match report.ntp_time.duration_since(start_by_ntp) {
            Ok(after) => nanos(after)?,
            Err(before) => -nanos(before.duration())?,
        };
        let now = nanos(now.saturating_duration_since(start))?;
        let ahead = now.checked_sub(at)?;
        let shift = match self.shift {
            Some(shift) if ahead.saturating_sub(shift).abs() <= SET => shift,
            _ if ahead.abs() <= AGREES => 0,
            _ => ahead,
        };
        self.shift = Some(shift);
        Some(Moment {
            at: at.checked_add(shift)?,
            time: report.rtp_time.numer() as u32,
        })
    }
}

impl Moment {
    /// When the packet with an RTP timestamp was captured. `rate` is in ticks per second.
    pub(super) fn captured(&self, time: u32, rate: u32) -> Option<Instant> {
        let ticks = time.wrapping_sub(self.time).cast_signed();
        let after = i64::from(ticks) * 1_000_000_000 / i64::from(rate.max(1));
        let at = self.at.checked_add(after)?;
        let (start, _) = *START;
        let distance = Duration::from_nanos(at.unsigned_abs());
        if at < 0 {
            start.checked_sub(distance)
        } else {
            start.checked_add(distance)
        }
    }
}

/// The moment to send a packet under, so that the reports on its stream put media at the moment of its capture.
///
/// The stack's reports give the moment at which they are sent, and the RTP timestamp that belongs to it by the last packet.
/// It needs a moment in the past. If the publisher's clock is ahead, that is one on which the timestamp was the same, before it
/// last wrapped.
pub(super) fn report_time(now: Instant, captured: Instant, rate: u32) -> Instant {
    if captured <= now {
        return captured;
    }
    let wrap = Duration::from_nanos((1_000_000_000_u64 << 32) / u64::from(rate.max(1)));
    captured.checked_sub(wrap).unwrap_or(now).min(now)
}

fn nanos(duration: Duration) -> Option<Nanos> {
    i64::try_from(duration.as_nanos()).ok()
}

/// Starts the clock, so that it does not start later than a session.
pub(super) fn start() {
    LazyLock::force(&START);
}

#[cfg(test)]
mod tests {
    use str0m::media::{Frequency, MediaTime};

    use super::*;

    const RATE: u32 = 90_000;

    fn report(ntp_time: SystemTime, time: u32) -> SenderInfo {
        SenderInfo {
            ssrc: 1.into(),
            ntp_time,
            rtp_time: MediaTime::new(time.into(), Frequency::NINETY_KHZ),
            sender_packet_count: 0,
            sender_octet_count: 0,
        }
    }

    fn apart(a: Instant, b: Instant) -> Duration {
        a.max(b) - a.min(b)
    }

    #[test]
    fn clock_that_agrees_is_taken_as_it_is() {
        let (start, ntp) = *START;
        let captured = Duration::from_secs(100);
        let arrived = start + captured + Duration::from_millis(80);
        let moment = Clock::default().moment(arrived, &report(ntp + captured, 5000));
        let moment = moment.unwrap();
        assert_eq!(moment.captured(5000, RATE), Some(start + captured));
        let later = moment.captured(5000 + RATE, RATE);
        assert_eq!(later, Some(start + captured + Duration::from_secs(1)));
        let before = moment.captured(5000_u32.wrapping_sub(RATE), RATE);
        assert_eq!(before, Some(start + captured - Duration::from_secs(1)));
    }

    #[test]
    fn clock_that_differs_is_moved_equally_for_all_streams() {
        let (start, ntp) = *START;
        let hour = Duration::from_secs(3600);
        for theirs in [ntp + hour, ntp - hour, SystemTime::UNIX_EPOCH] {
            let mut clock = Clock::default();
            let now = start + Duration::from_secs(60);
            let sound = clock.moment(now, &report(theirs, 0)).unwrap();
            // The report on the picture names the same moment, and was on its way for 300 ms longer.
            let later = now + Duration::from_millis(300);
            let picture = clock.moment(later, &report(theirs, 70)).unwrap();
            assert_eq!(sound.captured(0, RATE), picture.captured(70, RATE));
            assert!(apart(sound.captured(0, RATE).unwrap(), now) < Duration::from_secs(1));
            // A clock that was set begins anew.
            let set = clock.moment(later, &report(theirs + hour, 0)).unwrap();
            assert!(apart(set.captured(0, RATE).unwrap(), later) < Duration::from_secs(1));
        }
    }

    #[test]
    fn report_names_a_past_moment_with_the_same_timestamp() {
        let (start, _) = *START;
        let now = start + Duration::from_secs(200_000);
        let ahead = now + Duration::from_millis(400);
        assert_eq!(report_time(now, now, RATE), now);
        let past = report_time(now, ahead, RATE);
        assert!(past <= now);
        let ticks = (ahead - past).as_nanos() * u128::from(RATE);
        let wraps = ticks as f64 / 1e9 / f64::from(u32::MAX);
        assert!((wraps - 1.0).abs() < 1e-6, "{wraps}");
    }
}
