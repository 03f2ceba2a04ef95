//! How an actor ended, and what others are told of it.
//!
//! What follows an end is decided in [`supervision`](crate::supervision).

use std::{fmt, sync::Arc};

use tokio::time::Instant;

use crate::{error::ActorError, id::ActorId, name::ActorName};

/// How many causes a reason has at most, one inside the other. Of a longer chain of links or
/// escalations the outermost reasons and the root cause stay: dropping and showing a chain of any
/// length would overflow the stack.
const MAX_CAUSES: usize = 32;

/// Why an actor, or one incarnation of it, ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExitReason {
    /// The loop ended by itself, for instance because all handles are gone.
    Normal,
    /// It was asked to stop.
    Stopped,
    /// Its supervisor ended this incarnation, to restart it together with a sibling.
    Restarted,
    /// A hook returned an error.
    Failed(ActorError),
    /// A hook panicked, with this text.
    Panicked(Arc<str>),
    /// It did not stop within its grace period, was killed on purpose
    /// ([`Child::kill`](crate::Child::kill)), or its executor went away.
    Killed,
    /// Its health checks failed.
    Unhealthy,
    /// It is on another node, and the link to that node is gone. It may be alive.
    Unreachable,
    /// It failed more often than its supervisor allows; the last reason is inside.
    RestartsSpent(Arc<ExitReason>),
    /// A child failed for good, and the actor failed with it.
    Escalated {
        /// The identity of the child.
        child: ActorId,
        /// Why the child failed for good.
        cause: Arc<ExitReason>,
    },
    /// An actor that it was linked to failed.
    Linked {
        /// The identity of the other actor.
        peer: ActorId,
        /// Why the other actor ended.
        cause: Arc<ExitReason>,
    },
    /// It failed, and then its clean-up failed too: the `stopped` hook, `on_child_exit` during the
    /// stop, or the drop of the actor. If only the clean-up fails, its error is the reason.
    CleanUpFailed {
        /// The first failure.
        after: Arc<ExitReason>,
        /// How the clean-up failed; the first time, if it failed more than once.
        error: Arc<ExitReason>,
    },
}

impl ExitReason {
    /// Whether this end counts as a failure. [`Restart::Transient`](crate::Restart::Transient) restarts
    /// after failures only.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Normal | Self::Stopped | Self::Restarted)
    }

    /// The reason at the bottom of escalations, links and spent restarts, and before a failed
    /// clean-up.
    pub fn root_cause(&self) -> &ExitReason {
        let mut reason = self;
        while let Some(cause) = reason.cause() {
            reason = cause;
        }
        reason
    }

    fn cause(&self) -> Option<&ExitReason> {
        match self {
            Self::RestartsSpent(cause)
            | Self::Escalated { cause, .. }
            | Self::Linked { cause, .. }
            | Self::CleanUpFailed { after: cause, .. } => Some(cause),
            _ => None,
        }
    }

    /// This reason as the cause of another one.
    pub(crate) fn into_cause(self) -> Arc<ExitReason> {
        let mut causes = 1;
        let mut reason = &self;
        while let Some(cause) = reason.cause() {
            causes += 1;
            reason = cause;
        }
        if causes > MAX_CAUSES {
            return Arc::new(reason.clone());
        }
        Arc::new(self)
    }
}

/// How an incarnation ended.
pub(crate) struct End {
    pub(crate) reason: ExitReason,
    /// The first failure of its clean-up.
    pub(crate) clean_up: Option<ExitReason>,
    /// Whether it was killed, in a hook or in its clean-up.
    pub(crate) is_killed: bool,
}

impl End {
    /// The incarnation ends for this reason, before its clean-up.
    pub(crate) fn new(reason: ExitReason) -> Self {
        Self {
            reason,
            clean_up: None,
            is_killed: false,
        }
    }

    /// The clean-up has failed. A failure from before stays the reason, with the error beside it.
    pub(crate) fn clean_up_failed(&mut self, error: ExitReason) {
        if self.clean_up.is_some() {
            tracing::warn!(%error, "the clean-up failed again");
            return;
        }
        self.clean_up = Some(error.clone());
        let before = std::mem::replace(&mut self.reason, ExitReason::Normal);
        self.reason = if before.is_failure() {
            ExitReason::CleanUpFailed {
                after: before.into_cause(),
                error: error.into_cause(),
            }
        } else {
            error
        };
    }

    /// Whether the clean-up is all that has failed.
    pub(crate) fn is_clean_up_only(&self) -> bool {
        self.clean_up.is_some() && !matches!(self.reason, ExitReason::CleanUpFailed { .. })
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended normally"),
            Self::Stopped => f.write_str("stopped"),
            Self::Restarted => f.write_str("ended for a restart together with a sibling"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(text) => write!(f, "panicked: {text}"),
            Self::Killed => f.write_str("killed"),
            Self::Unhealthy => f.write_str("failed its health checks"),
            Self::Unreachable => f.write_str("is unreachable: the link to its node is gone"),
            Self::RestartsSpent(cause) => {
                write!(f, "used up its restarts; the last time it {cause}")
            }
            Self::Escalated { child, cause } => write!(f, "failed with its child {child}: {cause}"),
            Self::Linked { peer, cause } => write!(f, "failed with its peer {peer}: {cause}"),
            Self::CleanUpFailed { after, error } => write!(f, "{after}; its clean-up {error}"),
        }
    }
}

/// What an actor is told when a child, or a peer that it watches, has ended for good.
#[derive(Clone, Debug)]
pub struct ExitNotice {
    /// The identity of the actor that ended.
    pub id: ActorId,
    /// Its name.
    pub name: ActorName,
    /// Why it ended.
    pub reason: ExitReason,
    /// When it ended: also for a watch that was set later.
    pub at: Instant,
    /// How many messages were left in its mailbox: they were neither handled nor accepted as dead
    /// letters.
    pub left: u64,
}

/// What an actor does when a peer that it watches fails.
///
/// The policy is set for each peer by [`Context::watch`](crate::Context::watch). It applies to
/// failures; other ends are only reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashPolicy {
    /// Fail too, with [`ExitReason::Linked`]: what Erlang calls a link.
    Fail,
    /// Continue with the next peer of the [`Route`](crate::patterns::Route) or of the conversation, and
    /// report it to `on_peer_exit`.
    RouteToNext,
    /// Report it to `on_peer_exit`, which compensates for the failure.
    Compensate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_of_causes_has_a_limit_and_keeps_the_root_cause() {
        let small = std::thread::Builder::new().stack_size(128 * 1024);
        let small = small.spawn(|| {
            let child = ActorId::next();
            let reason = (0..50_000).fold(ExitReason::Killed, |reason, level| {
                let cause = reason.into_cause();
                match level % 3 {
                    0 => ExitReason::RestartsSpent(cause),
                    1 => ExitReason::Escalated { child, cause },
                    _ => ExitReason::Linked { peer: child, cause },
                }
            });
            assert!(matches!(reason.root_cause(), ExitReason::Killed));
            assert!(reason.to_string().ends_with("killed"));
            assert!(format!("{reason:?}").contains("Killed"));
        });
        small.unwrap().join().unwrap();
    }

    #[test]
    fn failed_clean_up_keeps_the_first_reason() {
        let mut end = End::new(ExitReason::Failed(ActorError::msg("first")));
        end.clean_up_failed(ExitReason::Panicked("second".into()));
        end.clean_up_failed(ExitReason::Unhealthy);
        assert_eq!(
            end.reason.to_string(),
            "failed: first; its clean-up panicked: second"
        );
        assert!(matches!(end.reason.root_cause(), ExitReason::Failed(_)));
        assert!(!end.is_clean_up_only());
        let mut end = End::new(ExitReason::Stopped);
        end.clean_up_failed(ExitReason::Unhealthy);
        assert!(matches!(end.reason, ExitReason::Unhealthy));
        assert!(end.is_clean_up_only());
    }
}
