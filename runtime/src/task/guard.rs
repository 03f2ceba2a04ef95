//! Wrappers around a hook's future: panics become values, and a deadline or a kill ends it.
//!
//! They are put around a whole incarnation, not around each message.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::{
    cell::{Shared, signal},
    exit::ExitReason,
    util::timer::from_now,
};

/// Why a guarded future did not come to its own end.
pub(crate) enum Cut {
    Killed,
    Unhealthy,
    Panicked(ExitReason),
}

/// How an actor's health is checked.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::Health;
///
/// let health = Health::every(Duration::from_secs(1)).timeout(Duration::from_millis(200));
/// # let _ = health;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    every: Duration,
    timeout: Duration,
}

impl Health {
    /// Asks the actor's `healthy` hook once in each interval, and gives it as long to answer.
    pub fn every(interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        Self {
            every: interval,
            timeout: interval,
        }
    }

    /// How long the actor may take to answer, handlers that are running included.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Catches the panics of a future.
pub(crate) async fn catch<F: Future>(future: F) -> Result<F::Output, ExitReason> {
    let mut future = pin!(future);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panicked(&*panic))),
        },
    )
    .await
}

/// Catches the panics of a function.
pub(crate) fn catch_fn<T>(function: impl FnOnce() -> T) -> Result<T, ExitReason> {
    catch_unwind(AssertUnwindSafe(function)).map_err(|panic| panicked(&*panic))
}

fn panicked(panic: &(dyn Any + Send)) -> ExitReason {
    let text = if let Some(text) = panic.downcast_ref::<&'static str>() {
        Arc::from(*text)
    } else if let Some(text) = panic.downcast_ref::<String>() {
        Arc::from(text.as_str())
    } else {
        Arc::from("a panic without a text")
    };
    ExitReason::Panicked(text)
}

/// Polls a hook's future until it ends, panics, is killed, misses the deadline of a stop, or fails
/// its health checks. The timers are made only when they are needed.
///
/// It borrows the future, since a future that is moved into another is there twice.
#[derive(Default)]
pub(crate) struct Guard {
    pulse: Option<Box<Pulse>>,
    limit: Option<Pin<Box<Sleep>>>,
}

impl Guard {
    pub(crate) fn new(health: Option<Health>) -> Self {
        let pulse = health.map(|health| Box::new(Pulse::new(health)));
        Self { pulse, limit: None }
    }

    /// Polls the future of the actor `shared`. With a `fallback` it ends at that time at the latest,
    /// whether somebody asks for a stop or not.
    #[inline]
    pub(crate) fn poll<F: Future>(
        &mut self,
        shared: &Shared,
        fallback: Option<Instant>,
        cx: &mut Context<'_>,
        mut future: Pin<&mut F>,
    ) -> Poll<Result<F::Output, Cut>> {
        let signals = shared.signals();
        if let Some(cut) = self.cut_before(shared, signals, cx) {
            return Poll::Ready(Err(cut));
        }
        let poll = poll_caught(future.as_mut(), cx);
        self.bound(shared, signals, fallback, cx, poll)
    }

    /// Why the hook is not to be polled at all, by the `signals` of now.
    #[inline]
    pub(crate) fn cut_before(
        &mut self,
        shared: &Shared,
        signals: u32,
        cx: &mut Context<'_>,
    ) -> Option<Cut> {
        if signals & signal::KILL != 0 {
            return Some(Cut::Killed);
        }
        if let Some(pulse) = &mut self.pulse
            && pulse.poll(shared, cx)
        {
            return Some(Cut::Unhealthy);
        }
        None
    }

    /// What a poll came to, after which the deadline may have passed. `signals` are those from before it.
    #[inline]
    pub(crate) fn bound<T>(
        &mut self,
        shared: &Shared,
        signals: u32,
        fallback: Option<Instant>,
        cx: &mut Context<'_>,
        poll: Poll<Result<T, Cut>>,
    ) -> Poll<Result<T, Cut>> {
        // A stop that came while the hook was polled is followed by another poll.
        if poll.is_ready() || (signals & BOUND == 0 && fallback.is_none()) {
            return poll;
        }
        self.poll_limit(shared.deadline().or(fallback), cx)
    }

    #[cold]
    fn poll_limit<T>(
        &mut self,
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, Cut>> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        let limit = self
            .limit
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < limit.deadline() {
            limit.as_mut().reset(deadline);
        }
        limit.as_mut().poll(cx).map(|()| Err(Cut::Killed))
    }
}

/// Polls a hook's future; a panic is a cut.
#[inline]
pub(crate) fn poll_caught<F: Future>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Cut>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(Cut::Panicked(panicked(&*panic)))),
    }
}

/// The signals that may bring a deadline.
const BOUND: u32 = signal::STOP | signal::SUSPEND | signal::DRAIN;

/// The health checks of one incarnation.
pub(crate) struct Pulse {
    health: Health,
    timer: Pin<Box<Sleep>>,
    asked: bool,
}

impl Pulse {
    fn new(health: Health) -> Self {
        Self {
            health,
            timer: Box::pin(sleep(health.every)),
            asked: false,
        }
    }

    /// Whether the actor has failed its check.
    fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>) -> bool {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.asked {
                if shared.signals() & signal::HEALTH != 0 {
                    return true;
                }
                self.asked = false;
                let rest = self.health.every.saturating_sub(self.health.timeout);
                self.ring_in(rest.max(Duration::from_millis(1)));
            } else {
                // The task is being polled: its loop sees the bit in this very poll.
                shared.raise(signal::HEALTH);
                self.asked = true;
                self.ring_in(self.health.timeout);
            }
        }
        false
    }

    fn ring_in(&mut self, delay: Duration) {
        self.timer.as_mut().reset(from_now(delay));
    }
}
