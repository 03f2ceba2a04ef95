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
    /// All of them, stopped in reverse order of their start and restarted in order.
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
    pub(crate) restarts: u32,
    pub(crate) within: Duration,
    pub(crate) backoff: Backoff,
}

impl Supervision {
    /// Supervises with a strategy, five restarts in ten seconds, and [`Backoff::default`].
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            restarts: 5,
            within: Duration::from_secs(10),
            backoff: Backoff::default(),
        }
    }

    /// Allows `restarts` restarts of the group within any window of `within`. With one more failure
    /// the group fails: the failing child ends for good, and the failure is escalated to the
    /// parent. Under a [`System`](crate::System) the siblings go on.
    pub fn intensity(mut self, restarts: u32, within: Duration) -> Self {
        self.restarts = restarts;
        self.within = within;
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
