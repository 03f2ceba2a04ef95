//! What a thread does before it parks: it looks again, in quick succession and then yielding in between.

use std::{
    mem,
    num::NonZero,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use crossbeam_utils::Backoff;

/// Attempts before a thread first yields: whoever it waits for may need its processor. Together they take as long as an
/// answer from a thread on another processor, about 100 ns.
const SPINS: usize = 5;
/// How often a thread yields before it parks: about 10 µs if nothing else runs, and less than two
/// threads take to wake each other.
const YIELDS: usize = 32;

/// How long a thread that must not yield spins before it parks.
const SPIN_TIME: Duration = Duration::from_micros(10);
/// The least time until its deadline with which a thread yields: several time slices of a busy machine.
const TIME_FOR_YIELDS: Duration = Duration::from_millis(50);
/// A yield that takes as long has let another thread run.
const SLOW_YIELD: Duration = Duration::from_micros(50);

/// Calls `attempt` until it returns something: first in quick succession, then yielding in between.
/// `None` if it is time to park, or if the deadline is near.
pub(crate) fn spin<R>(
    deadline: Option<Instant>,
    mut attempt: impl FnMut() -> Option<R>,
) -> Option<R> {
    let backoff = Backoff::new();
    for _ in 0..SPINS {
        let result = attempt();
        if result.is_some() {
            return result;
        }
        backoff.spin();
    }
    spin_yielding(deadline, attempt)
}

/// As `spin`, for one of `threads` threads that wait for a last one. If there are not enough
/// processors for all of them, each yields at once: spinning would take time from the thread that
/// it waits for.
pub(crate) fn spin_unless_oversubscribed<R>(
    deadline: Option<Instant>,
    threads: usize,
    attempt: impl FnMut() -> Option<R>,
) -> Option<R> {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    let known = || thread::available_parallelism().map_or(1, NonZero::get);
    if threads < *PROCESSORS.get_or_init(known) {
        spin(deadline, attempt)
    } else {
        spin_yielding(deadline, attempt)
    }
}

fn spin_yielding<R>(
    deadline: Option<Instant>,
    mut attempt: impl FnMut() -> Option<R>,
) -> Option<R> {
    if let Some(deadline) = deadline {
        return spin_until(&mut System, deadline, attempt);
    }
    for _ in 0..YIELDS {
        let result = attempt();
        if result.is_some() {
            return result;
        }
        thread::yield_now();
    }
    None
}

/// What a thread with a deadline goes by; a test has its own.
trait Processor {
    fn now(&self) -> Instant;
    fn spin(&mut self);
    fn yield_now(&mut self);
}

struct System;

impl Processor for System {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn spin(&mut self) {
        Backoff::new().spin();
    }

    fn yield_now(&mut self) {
        thread::yield_now();
    }
}

/// As `spin_yielding`, with a look at the clock after each attempt. A yield may cost other threads' time slices, and
/// nobody knows in advance: the thread yields only while there is time for some, and no more after one that was slow.
/// Otherwise it spins, for as long as the yields would have taken.
fn spin_until<R>(
    processor: &mut impl Processor,
    deadline: Instant,
    mut attempt: impl FnMut() -> Option<R>,
) -> Option<R> {
    let mut now = processor.now();
    let end = deadline.min(now + SPIN_TIME);
    let mut yields = deadline.saturating_duration_since(now) >= TIME_FOR_YIELDS;
    for _ in 0..YIELDS {
        let result = attempt();
        if result.is_some() {
            return result;
        }
        if yields {
            processor.yield_now();
        } else if now < end {
            processor.spin();
        } else {
            return None;
        }
        let before = mem::replace(&mut now, processor.now());
        yields &= now.saturating_duration_since(before) < SLOW_YIELD;
    }
    None
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Processor, SLOW_YIELD, SPIN_TIME, TIME_FOR_YIELDS, spin_until};

    const TICK: Duration = Duration::from_nanos(100);

    /// A processor whose time goes on with what is done on it.
    struct Simulated {
        now: Instant,
        yields: usize,
        /// What a yield costs.
        slice: Duration,
    }

    impl Processor for Simulated {
        fn now(&self) -> Instant {
            self.now
        }

        fn spin(&mut self) {
            self.now += TICK;
        }

        fn yield_now(&mut self) {
            self.now += self.slice;
            self.yields += 1;
        }
    }

    /// Attempts, yields and time that a wait for nothing takes before it parks.
    fn wait(timeout: Duration, slice: Duration) -> (usize, usize, Duration) {
        let start = Instant::now();
        let mut processor = Simulated {
            now: start,
            yields: 0,
            slice,
        };
        let mut attempts = 0;
        let result = spin_until(&mut processor, start + timeout, || {
            attempts += 1;
            None::<()>
        });
        assert!(result.is_none());
        (attempts, processor.yields, processor.now - start)
    }

    #[test]
    fn a_thread_does_not_yield_when_its_deadline_is_near() {
        let slice = Duration::from_millis(4);
        for timeout in [
            Duration::ZERO,
            Duration::from_millis(1),
            TIME_FOR_YIELDS - TICK,
        ] {
            let (attempts, yields, time) = wait(timeout, slice);
            assert!(attempts >= 1);
            assert_eq!(yields, 0);
            assert!(
                time <= timeout.min(SPIN_TIME) + TICK,
                "{time:?} of {timeout:?}"
            );
        }
    }

    #[test]
    fn a_thread_yields_once_on_a_busy_machine() {
        let slice = Duration::from_millis(4);
        let (attempts, yields, time) = wait(TIME_FOR_YIELDS, slice);
        assert_eq!((yields, time), (1, slice));
        assert_eq!(attempts, 2, "it looks once more before it parks");
    }

    #[test]
    fn a_thread_yields_as_without_a_deadline_on_an_idle_machine() {
        let (attempts, yields, _) = wait(TIME_FOR_YIELDS, SLOW_YIELD / 100);
        assert_eq!((attempts, yields), (super::YIELDS, super::YIELDS));
    }

    #[test]
    fn a_thread_that_finds_something_looks_at_nothing_else() {
        let mut processor = Simulated {
            now: Instant::now(),
            yields: 0,
            slice: Duration::ZERO,
        };
        let deadline = processor.now;
        assert_eq!(spin_until(&mut processor, deadline, || Some(1)), Some(1));
    }
}
