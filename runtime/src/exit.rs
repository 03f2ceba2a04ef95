//! How an actor ended, and how others hear of it.
//!
//! A monitor that is set after the death fires at once, with the reason: the reason is kept with
//! the actor's id for as long as anybody holds a handle. This module does not decide what becomes
//! of the actor; that is [`supervision`](crate::supervision).

use std::{fmt, sync::Arc};

use crate::{error::ActorError, id::ActorId};

/// Why an actor, or one incarnation of it, ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExitReason {
    /// The loop ended by itself, for instance because all handles are gone.
    Normal,
    /// Somebody asked it to stop.
    Stopped,
    /// Its supervisor ended this incarnation, to start it again together with a sibling.
    Restarted,
    /// A hook returned an error.
    Failed(ActorError),
    /// A hook panicked, with this text.
    Panicked(Arc<str>),
    /// It did not stop within its grace period, or its executor went away.
    Killed,
    /// Its health checks failed.
    Unhealthy,
    /// It failed once too often within the window of its supervisor; the last reason is inside.
    RestartsSpent(Arc<ExitReason>),
    /// A child of it failed for good, and it failed with it.
    Escalated {
        /// The child.
        child: ActorId,
        /// Why the child failed for good.
        cause: Arc<ExitReason>,
    },
    /// An actor that it was linked to failed.
    Linked {
        /// The other actor.
        peer: ActorId,
        /// Why the other actor ended.
        cause: Arc<ExitReason>,
    },
}

impl ExitReason {
    /// Whether this end counts as a failure, which a transient actor is restarted for.
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
            Self::RestartsSpent(cause) => write!(f, "used up its restarts; at last it {cause}"),
            Self::Escalated { child, cause } => write!(f, "failed with its child {child}: {cause}"),
            Self::Linked { peer, cause } => write!(f, "failed with its peer {peer}: {cause}"),
        }
    }
}

/// What an actor hears of the death of a child or of a peer that it watches.
#[derive(Clone, Debug)]
pub struct ExitNotice {
    /// Who died.
    pub id: ActorId,
    /// The name that it had.
    pub name: Arc<str>,
    /// Why.
    pub reason: ExitReason,
}

/// What an actor does when a peer that it watches fails.
///
/// The policy is given for each peer to [`Context::watch`](crate::Context::watch). A peer that
/// ends without a failure is only reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashPolicy {
    /// Fail too, with [`ExitReason::Linked`]: what Erlang calls a link.
    Fail,
    /// Carry on with the next peer of the [`Route`](crate::patterns::Route) or of the conversation, and
    /// report it to `on_peer_exit`.
    RouteToNext,
    /// Make good for it: report it to `on_peer_exit`, which compensates.
    Compensate,
}
