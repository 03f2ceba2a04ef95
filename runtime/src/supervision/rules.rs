//! The rules of supervision as values: which actors restart, and how often.

use std::time::Duration;

use crate::{exit::ExitReason, supervision::backoff::Backoff};

/// When an actor is restarted after its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// After every end, unless the actor was asked to stop or all its handles are gone.
    Permanent,
    /// After failures only.
    Transient,
    /// Never.
    #[default]
    Temporary,
}

impl Restart {
    pub(crate) fn applies(self, reason: &ExitReason) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => reason.is_failure(),
            Self::Temporary => false,
        }
    }
}

/// Which siblings are restarted together with a child that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// None: only the child itself.
    #[default]
    OneForOne,
    /// All of them, stopped in reverse order of their start and restarted in order: each when the one
    /// before it has started, or after 100 ms. So a `started` hook may ask a sibling behind it.
    ///
    /// A handler that waits for room in the lane of the sibling that failed cannot get any: its
    /// send fails with [`SendError::Deadlock`](crate::SendError::Deadlock), half a second later at
    /// most, and has its message back. A handler that has not returned by the end of its grace period
    /// ([`Builder::grace`](crate::Builder::grace)) is cancelled.
    OneForAll,
    /// Those that were started after it, in the same way.
    RestForOne,
}

/// How a group of children is supervised.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::supervision::{Backoff, Strategy, Supervision};
///
/// let supervision = Supervision::new(Strategy::RestForOne)
///     .intensity(5, Duration::from_secs(10))
///     .backoff(Backoff::none());
/// # let _ = supervision;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Supervision {
    pub(crate) strategy: Strategy,
    /// Of each child.
    pub(crate) intensity: Intensity,
    /// Of all children together.
    pub(crate) total: Option<Intensity>,
    pub(crate) backoff: Backoff,
}

/// How many restarts are allowed in any window of a duration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Intensity {
    pub(crate) restarts: u32,
    pub(crate) within: Duration,
}

impl Supervision {
    /// Supervises with a strategy, five restarts of each child in ten seconds, and
    /// [`Backoff::default`].
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            intensity: Intensity {
                restarts: 5,
                within: Duration::from_secs(10),
            },
            total: None,
            backoff: Backoff::default(),
        }
    }

    /// Allows `restarts` restarts of each child within any window of `within`. A round counts for
    /// the child that failed, not for its siblings. With one more failure the child ends for good,
    /// and the failure is escalated to the parent. Under a [`System`](crate::System) the siblings
    /// go on.
    pub fn intensity(mut self, restarts: u32, within: Duration) -> Self {
        self.intensity = Intensity { restarts, within };
        self
    }

    /// Also limits the restarts of all children together. Default: no such limit, so that a few bad
    /// requests to different workers of a pool do not end its owner.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use lanemesh_runtime::supervision::Supervision;
    ///
    /// let supervision = Supervision::default()
    ///     .intensity(5, Duration::from_secs(10))
    ///     .total_intensity(100, Duration::from_secs(60));
    /// # let _ = supervision;
    /// ```
    pub fn total_intensity(mut self, restarts: u32, within: Duration) -> Self {
        self.total = Some(Intensity { restarts, within });
        self
    }

    /// How long to wait before each restart.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }
}

impl Default for Supervision {
    fn default() -> Self {
        Self::new(Strategy::OneForOne)
    }
}
