//! How an actor ended, and what others are told of it.
//!
//! What follows an end is decided in [`supervision`](crate::supervision).

use std::{fmt, sync::Arc};

use crate::{error::ActorError, id::ActorId};

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
    /// It did not stop within its grace period, or its executor went away.
    Killed,
    /// Its health checks failed.
    Unhealthy,
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
}

impl ExitReason {
    /// Whether this end counts as a failure. [`Restart::Transient`](crate::Restart::Transient) restarts
    /// after failures only.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Normal | Self::Stopped | Self::Restarted)
    }

    /// The reason at the bottom of escalations, links and spent restarts.
    pub fn root_cause(&self) -> &ExitReason {
        match self {
            Self::RestartsSpent(cause)
            | Self::Escalated { cause, .. }
            | Self::Linked { cause, .. } => cause.root_cause(),
            other => other,
        }
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
            Self::RestartsSpent(cause) => {
                write!(f, "used up its restarts; the last time it {cause}")
            }
            Self::Escalated { child, cause } => write!(f, "failed with its child {child}: {cause}"),
            Self::Linked { peer, cause } => write!(f, "failed with its peer {peer}: {cause}"),
        }
    }
}

/// What an actor is told when a child, or a peer that it watches, has ended for good.
#[derive(Clone, Debug)]
pub struct ExitNotice {
    /// The identity of the actor that ended.
    pub id: ActorId,
    /// Its name.
    pub name: Arc<str>,
    /// Why it ended.
    pub reason: ExitReason,
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
