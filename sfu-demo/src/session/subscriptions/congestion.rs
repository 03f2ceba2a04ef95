//! A video whose way to the viewer is too slow: it is dropped up to a keyframe, or paused, so that nothing arrives late.

use std::time::{Duration, Instant};

/// Packets that wait longer than this for their turn make the video skip to a keyframe.
const MAX_WAIT: Duration = Duration::from_millis(300);
/// The same for those of a keyframe that has begun, if the video fits: a shared screen's may be as large as seconds of it, and is no
/// use without its end. Nothing waits longer.
const MAX_WAIT_OF_KEYFRAME: Duration = Duration::from_secs(1);
/// The same if the video does not fit any more: the rest of the keyframe is tried for so long.
const MAX_WAIT_OF_REST: Duration = Duration::from_millis(500);
/// The video goes on once nothing waits longer than this.
const DRAINED: Duration = Duration::from_millis(50);
/// A video that skips again within this time does not fit, and is paused.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a video that does not fit is paused before it is tried again.
const PAUSE: Duration = Duration::from_secs(3);

/// Whether a video is held back.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::session) struct Congestion {
    /// When the video was held back last, and whether it is.
    held: Option<Instant>,
    is_held: bool,
    paused: bool,
}

/// How long anything may wait.
pub(super) fn longest_wait(fits: bool) -> Duration {
    if fits {
        MAX_WAIT_OF_KEYFRAME
    } else {
        MAX_WAIT_OF_REST
    }
}

/// What becomes of the next packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Verdict {
    /// It is forwarded.
    Send,
    /// It is dropped.
    Drop,
    /// The video goes on with its next keyframe.
    Resume,
}

impl Congestion {
    /// Decides about a packet, which is of a keyframe or not. `wait` is how long the oldest packet before it has waited, `fits`
    /// whether the estimate has room for the video.
    pub(in crate::session) fn admit(
        &mut self,
        now: Instant,
        wait: Duration,
        fits: bool,
        of_keyframe: bool,
    ) -> Verdict {
        let since = |at| now.saturating_duration_since(at);
        if !self.is_held {
            let most = if of_keyframe && fits {
                MAX_WAIT_OF_KEYFRAME
            } else {
                MAX_WAIT
            };
            if wait <= most {
                return Verdict::Send;
            }
            self.paused = self.held.is_some_and(|at| since(at) < AGAIN);
            (self.is_held, self.held) = (true, Some(now));
            return Verdict::Drop;
        }
        let rested = fits || self.held.is_none_or(|at| since(at) >= PAUSE);
        if wait > DRAINED || (self.paused && !rested) {
            return Verdict::Drop;
        }
        (self.is_held, self.paused) = (false, false);
        Verdict::Resume
    }

    /// Whether the viewer has to be told that the video is paused.
    pub(in crate::session) fn is_paused(&self) -> bool {
        self.paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn video_that_waits_too_long_skips_and_one_that_does_not_fit_is_paused() {
        let (start, mut congestion) = (Instant::now(), Congestion::default());
        let mut at = |millis: u64, wait: u64, fits| {
            let (now, wait) = (
                start + Duration::from_millis(millis),
                Duration::from_millis(wait),
            );
            let verdict = congestion.admit(now, wait, fits, false);
            (verdict, congestion.is_paused())
        };
        assert_eq!(at(0, 100, true), (Verdict::Send, false));
        assert_eq!(at(10, 301, false), (Verdict::Drop, false));
        assert_eq!(at(20, 200, false), (Verdict::Drop, false));
        assert_eq!(at(30, 40, false), (Verdict::Resume, false));
        assert_eq!(at(40, 100, false), (Verdict::Send, false));
        assert_eq!(at(1000, 500, false), (Verdict::Drop, true), "once more");
        assert_eq!(at(2000, 0, false), (Verdict::Drop, true));
        assert_eq!(at(2010, 0, true), (Verdict::Resume, false), "there is room");
        assert_eq!(at(3000, 500, false), (Verdict::Drop, true));
        assert_eq!(at(5999, 0, false), (Verdict::Drop, true));
        assert_eq!(at(6000, 0, false), (Verdict::Resume, false), "tried again");
        assert_eq!(at(17_000, 500, false), (Verdict::Drop, false), "long after");
    }

    #[test]
    fn keyframe_that_has_begun_may_wait_longer() {
        let (now, mut congestion) = (Instant::now(), Congestion::default());
        let mut admit = |millis, of_keyframe| {
            congestion.admit(now, Duration::from_millis(millis), true, of_keyframe)
        };
        assert_eq!(admit(1000, true), Verdict::Send);
        assert_eq!(admit(300, false), Verdict::Send);
        assert_eq!(admit(1001, true), Verdict::Drop);
        assert_eq!(admit(51, true), Verdict::Drop, "its end is missing");
        let (mut congestion, wait) = (Congestion::default(), Duration::from_millis(301));
        assert_eq!(
            congestion.admit(now, wait, false, true),
            Verdict::Drop,
            "it does not fit"
        );
    }
}
