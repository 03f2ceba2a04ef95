//! Health checks: how often an actor is asked, and how long it may take to answer.

use std::{pin::Pin, task::Context, time::Duration};

use tokio::time::{Sleep, sleep};

use crate::{
    cell::{ActorCell, signal},
    id::Phase,
    util::timer::from_now,
};

/// How an actor's health is checked.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::supervision::Health;
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
    /// Calls the actor's `healthy` hook once per interval; the hook has one interval to answer. The
    /// first interval begins when the `started` hook has finished, however long that takes.
    pub fn every(interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        Self {
            every: interval,
            timeout: interval,
        }
    }

    /// How long the actor may take to answer, including the handler that is running.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// The health checks of one incarnation.
pub(crate) struct HealthCheck {
    health: Health,
    /// None until the `started` hook has finished, which is not judged.
    timer: Option<Pin<Box<Sleep>>>,
    asked: bool,
}

impl HealthCheck {
    pub(crate) fn new(health: Health) -> Self {
        Self {
            health,
            timer: None,
            asked: false,
        }
    }

    /// Advances the checks. Returns whether the actor has failed one.
    pub(crate) fn poll(&mut self, cell: &ActorCell, cx: &mut Context<'_>) -> bool {
        if cell.phase() == Phase::Starting {
            return false;
        }
        loop {
            let every = self.health.every;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(every)));
            if timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            if self.asked {
                if cell.signals() & signal::HEALTH != 0 {
                    return true;
                }
                self.asked = false;
                let rest = self.health.every.saturating_sub(self.health.timeout);
                self.arm(rest.max(Duration::from_millis(1)));
            } else {
                // The task is being polled: its loop sees the bit in this poll.
                cell.raise(signal::HEALTH);
                self.asked = true;
                self.arm(self.health.timeout);
            }
        }
    }

    /// Whether the checks have to begin.
    pub(crate) fn is_due(&self) -> bool {
        self.timer.is_none()
    }

    fn arm(&mut self, delay: Duration) {
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(from_now(delay));
        }
    }
}
