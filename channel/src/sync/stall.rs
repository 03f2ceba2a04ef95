//! Waiting for another thread that is within a few instructions which nobody else can do for it: it has claimed a
//! shared slot and not filled it, or cleared a flag and not taken the waker out.
//!
//! It is there in a moment, unless it is not run. A thread of a higher real-time priority that spun or yielded would
//! keep it from being run forever, so in the end the wait sleeps.

use std::time::Duration;

use super::{spin_loop, yield_now};

/// Rounds that spin: longer than the few instructions take.
const SPINS: u32 = 64;
/// Rounds until it sleeps; those after the first `SPINS` yield.
const ROUNDS: u32 = 128;
/// The first sleep; each is twice as long as the one before.
const FIRST_SLEEP: Duration = Duration::from_micros(1);
const MAX_SLEEP: Duration = Duration::from_millis(1);

/// The rounds of one such wait.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    rounds: u32,
}

/// What a round does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pause {
    Spin,
    Yield,
    Sleep(Duration),
}

impl Stall {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The wait is over; the next one begins anew.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.rounds = 0;
    }

    /// Whether the next pause is more than a spin.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn is_long(&self) -> bool {
        self.rounds >= SPINS
    }

    fn next(&mut self) -> Pause {
        let round = self.rounds;
        self.rounds = self.rounds.saturating_add(1);
        if round < SPINS {
            Pause::Spin
        } else if round < ROUNDS {
            Pause::Yield
        } else {
            let doublings = (round - ROUNDS).min(10);
            Pause::Sleep((FIRST_SLEEP * (1 << doublings)).min(MAX_SLEEP))
        }
    }

    /// Pauses for one round.
    #[cold]
    pub(crate) fn pause(&mut self) {
        match self.next() {
            // A model must be told to let another thread run.
            _ if cfg!(loom) => yield_now(),
            Pause::Spin => spin_loop(),
            Pause::Yield => yield_now(),
            Pause::Sleep(time) => {
                #[cfg(all(test, not(loom)))]
                tests::SLEEPS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                std::thread::sleep(time);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
pub(crate) mod tests {
    use std::{sync::atomic::AtomicUsize, time::Duration};

    use super::{MAX_SLEEP, Pause, ROUNDS, SPINS, Stall};

    /// Sleeps of all threads.
    pub(crate) static SLEEPS: AtomicUsize = AtomicUsize::new(0);

    #[test]
    fn a_stall_spins_then_yields_then_sleeps_longer_and_longer_up_to_a_millisecond() {
        let mut stall = Stall::new();
        let pauses: Vec<_> = (0..ROUNDS + 20).map(|_| stall.next()).collect();
        let (spins, rest) = pauses.split_at(SPINS as usize);
        let (yields, sleeps) = rest.split_at((ROUNDS - SPINS) as usize);
        assert!(spins.iter().all(|pause| *pause == Pause::Spin));
        assert!(yields.iter().all(|pause| *pause == Pause::Yield));
        let sleep = |micros| Pause::Sleep(Duration::from_micros(micros));
        assert_eq!(sleeps[..3], [sleep(1), sleep(2), sleep(4)]);
        assert_eq!(sleeps[10..], vec![Pause::Sleep(MAX_SLEEP); 10]);
        stall.reset();
        assert_eq!(stall.next(), Pause::Spin);
    }
}
