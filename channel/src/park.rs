//! Waiting as a thread: the same polls as a task's, with a waker that unparks.

use std::{
    cell::RefCell,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Instant,
};

use crossbeam_utils::Backoff;

use crate::{error::RecvTimeoutError, sync::spin_loop};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// One waker for a thread, so that it need not be cloned anew for every wait.
    static WAKER: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

fn thread_waker() -> Waker {
    let new = || Waker::from(Arc::new(Unpark(thread::current())));
    // A thread that is being torn down has no locals any more: a waker of its own does as well.
    WAKER
        .try_with(|cached| {
            cached
                .try_borrow_mut()
                .map(|mut cached| cached.get_or_insert_with(new).clone())
                .ok()
        })
        .ok()
        .flatten()
        .unwrap_or_else(new)
}

/// Calls `attempt` until it gives something: at first in quick succession, then giving way to others.
/// `None` when it is time to park.
pub(crate) fn spin<R>(mut attempt: impl FnMut() -> Option<R>) -> Option<R> {
    let backoff = Backoff::new();
    loop {
        if let Some(result) = attempt() {
            return Some(result);
        }
        if backoff.is_completed() {
            return None;
        }
        backoff.snooze();
    }
}

/// Pauses of a receiving thread that keeps away from its producers: some 300 ns.
const STAND_OFF: u32 = 24;
/// Messages that must have come in that time, for it to be worth it.
const WORTH: u32 = 2;
/// Waits from one attempt that was not worth it to the next, at most.
const LONGEST_REST: u32 = 1024;

/// Whether a receiving thread keeps away from its producers for a moment before it looks again.
///
/// One that looks again at once takes every message as it is written, and then both wait for the same cache line
/// with each: dear in a stream, while a message that comes alone is to be seen soon. The receiver finds out which it
/// is: it keeps away now and then, and goes on to do so for as long as several messages have come each time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chase {
    /// Messages since the last wait.
    run: u32,
    keeps_away: bool,
    /// Waits left until the next attempt.
    rest: u32,
    /// The rest after the next attempt that is not worth it.
    next_rest: u32,
}

impl Chase {
    pub(crate) fn new() -> Self {
        Self {
            run: 0,
            keeps_away: false,
            rest: 0,
            next_rest: 1,
        }
    }

    /// Calls `attempt` as [`spin`] does.
    #[inline]
    fn spin<R>(&mut self, mut attempt: impl FnMut() -> Option<R>) -> Option<R> {
        let first = attempt();
        if first.is_some() {
            self.run = self.run.wrapping_add(1);
            return first;
        }
        self.choose();
        if self.keeps_away {
            (0..STAND_OFF).for_each(|_| spin_loop());
        }
        spin(attempt)
    }

    fn choose(&mut self) {
        if self.keeps_away && self.run >= WORTH {
            self.next_rest = 1;
        } else if self.keeps_away {
            self.rest = self.next_rest;
            self.next_rest = (2 * self.next_rest).min(LONGEST_REST);
            self.keeps_away = false;
        } else if self.rest > 0 {
            self.rest -= 1;
        } else {
            self.keeps_away = true;
        }
        self.run = 0;
    }
}

/// Receives from `from`, parking the thread when `attempt` gives nothing; `poll` says `None` when there will be
/// nothing.
pub(crate) fn receive<S, R>(
    from: &mut S,
    chase: &mut Chase,
    deadline: Option<Instant>,
    attempt: impl Fn(&mut S) -> Option<R>,
    poll: impl Fn(&mut S, &mut Context<'_>) -> Poll<Option<R>>,
) -> Result<R, RecvTimeoutError> {
    if let Some(message) = chase.spin(|| attempt(from)) {
        return Ok(message);
    }
    match block_on(deadline, |cx| poll(from, cx)) {
        Some(Some(message)) => Ok(message),
        Some(None) => Err(RecvTimeoutError::Closed),
        None => Err(RecvTimeoutError::Timeout),
    }
}

/// Polls until ready, parking the thread in between; `None` when `deadline` has passed first.
pub(crate) fn block_on<R>(
    deadline: Option<Instant>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
) -> Option<R> {
    let waker = thread_waker();
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(result) = poll(&mut cx) {
            return Some(result);
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                thread::park_timeout(left);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Chase, LONGEST_REST, WORTH};

    /// Whether the receiver keeps away at each of `waits` waits, after each of which `run` messages come at once.
    fn kept_away(chase: &mut Chase, waits: usize, run: u32) -> usize {
        let wait = |_: &usize| {
            let mut looked = false;
            chase.spin(|| std::mem::replace(&mut looked, true).then_some(()));
            let away = chase.keeps_away;
            (0..run).for_each(|_| assert!(chase.spin(|| Some(())).is_some()));
            away
        };
        (0..waits).filter(wait).count()
    }

    #[test]
    fn a_stream_is_kept_away_from_and_single_messages_hardly_ever() {
        let mut chase = Chase::new();
        assert_eq!(kept_away(&mut chase, 100, WORTH), 100);
        // Every rest is twice the one before.
        let tries = kept_away(&mut chase, 2 * LONGEST_REST as usize, 0);
        assert!((8..=13).contains(&tries), "kept away {tries} times");
        let resting = kept_away(&mut chase, 10 * LONGEST_REST as usize, 0);
        assert!((8..=11).contains(&resting), "kept away {resting} times");
        // The next attempt finds a stream, and so do all that follow.
        let stream = kept_away(&mut chase, 2 * LONGEST_REST as usize, WORTH);
        assert!(stream >= LONGEST_REST as usize, "kept away {stream} times");
    }
}
