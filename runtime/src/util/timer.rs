//! Deadlines from durations of any length, and waiting for them.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::OnceLock,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::yield_now,
    time::{Instant, Sleep, sleep, sleep_until},
};

/// Stands for a time that never comes.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// `duration` after `start`, limited to [`NEVER`].
pub(crate) fn later(start: Instant, duration: Duration) -> Instant {
    start.checked_add(duration.min(NEVER)).unwrap_or(start)
}

/// `duration` from now.
pub(crate) fn from_now(duration: Duration) -> Instant {
    later(Instant::now(), duration)
}

/// A duration in nanoseconds, saturating.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds since the epoch of the process, which is its first call, plus 1.
///
/// The epoch is the same for all runtimes: a paused clock is never behind the real one.
pub(crate) fn stamp(at: Instant) -> u64 {
    nanos(at.saturating_duration_since(epoch())).saturating_add(1)
}

/// The time of a [`stamp`].
pub(crate) fn unstamp(stamp: u64) -> Instant {
    later(epoch(), Duration::from_nanos(stamp.saturating_sub(1)))
}

fn epoch() -> Instant {
    static EPOCH: OnceLock<std::time::Instant> = OnceLock::new();
    Instant::from_std(*EPOCH.get_or_init(std::time::Instant::now))
}

/// Waits. A zero duration yields once; a tokio timer would round up to 1 ms.
pub(crate) async fn pause(duration: Duration) {
    if duration.is_zero() {
        yield_now().await;
    } else {
        sleep(duration).await;
    }
}

/// Ready at the deadline, for which the timer is armed again if it fires before, or would fire after it.
pub(crate) fn poll_until(
    mut sleep: Pin<&mut Sleep>,
    deadline: Instant,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if sleep.deadline() > deadline {
        sleep.as_mut().reset(deadline);
    }
    while sleep.as_mut().poll(cx).is_ready() {
        if sleep.deadline() >= deadline {
            return Poll::Ready(());
        }
        sleep.as_mut().reset(deadline);
    }
    Poll::Pending
}

/// A timer that is reused from one wait to the next.
///
/// Arming a timer is expensive. If the timer of the last wait fires before the deadline of this
/// one, it stays as it is, and is armed again only when it fires.
#[derive(Default)]
pub(crate) struct ReusableTimer(Option<Pin<Box<Sleep>>>);

impl ReusableTimer {
    /// Ready at the deadline.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        let poll = poll_until(sleep.as_mut(), deadline, cx);
        if poll.is_ready() {
            self.0 = None;
        }
        poll
    }

    /// Awaits the future, until the deadline at most.
    pub(crate) async fn before<F: Future>(
        &mut self,
        deadline: Instant,
        future: F,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(deadline, cx).map(|()| None),
        })
        .await
    }
}
