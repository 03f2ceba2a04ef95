//! Wrappers around a hook's future: panics become values, and a deadline or a kill ends it.
//!
//! They are put around a whole incarnation, not around each message.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    exit::ExitReason,
    shared::{Shared, signal},
};

/// Why a guarded future did not come to its own end.
pub(crate) enum Cut {
    Killed,
    Unhealthy,
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

/// Runs a future until it ends, is killed, misses the deadline of a stop, or fails its health
/// checks. The timers are made only when they are needed.
pub(crate) async fn guarded<F: Future>(
    shared: &Shared,
    health: Option<Health>,
    fallback: Option<Instant>,
    future: F,
) -> Result<F::Output, Cut> {
    const BOUND: u32 = signal::STOP | signal::SUSPEND | signal::DRAIN;
    let mut future = pin!(future);
    let mut limit: Option<std::pin::Pin<Box<Sleep>>> = None;
    let mut pulse = health.map(Pulse::new);
    poll_fn(|cx| {
        let signals = shared.signals();
        if signals & signal::KILL != 0 {
            return Poll::Ready(Err(Cut::Killed));
        }
        if let Some(pulse) = &mut pulse
            && pulse.poll(shared, cx)
        {
            return Poll::Ready(Err(Cut::Unhealthy));
        }
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        // A stop that came while the hook was polled is followed by another poll.
        let wanted = if signals & BOUND != 0 {
            shared.deadline()
        } else {
            None
        };
        if let Some(deadline) = wanted.or(fallback) {
            let limit = match &mut limit {
                Some(limit) => limit,
                none => none.insert(Box::pin(sleep_until(deadline))),
            };
            if deadline < limit.deadline() {
                limit.as_mut().reset(deadline);
            }
            if limit.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(Cut::Killed));
            }
        }
        Poll::Pending
    })
    .await
}

/// The health checks of one incarnation.
struct Pulse {
    health: Health,
    timer: std::pin::Pin<Box<Sleep>>,
    asked: bool,
}

impl Pulse {
    fn new(health: Health) -> Self {
        let first = Instant::now() + health.every;
        Self {
            health,
            timer: Box::pin(sleep_until(first)),
            asked: false,
        }
    }

    /// Whether the actor has failed its check.
    fn poll(&mut self, shared: &Shared, cx: &mut std::task::Context<'_>) -> bool {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.asked {
                if shared.signals() & signal::HEALTH != 0 {
                    return true;
                }
                self.asked = false;
                let rest = self.health.every.saturating_sub(self.health.timeout);
                self.timer
                    .as_mut()
                    .reset(Instant::now() + rest.max(Duration::from_millis(1)));
            } else {
                // The task is being polled: its loop sees the bit in this very poll.
                shared.raise(signal::HEALTH);
                self.asked = true;
                self.timer
                    .as_mut()
                    .reset(Instant::now() + self.health.timeout);
            }
        }
        false
    }
}
