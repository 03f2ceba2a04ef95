//! What a shutdown reports.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    exit::{ExitNotice, ExitReason},
    id::ActorId,
    supervision::Incidents,
};

/// An actor that did not stop in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The actor's identity.
    pub id: ActorId,
    /// Its name.
    pub name: Arc<str>,
}

/// An actor that ended with messages in its mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The actor's identity.
    pub id: ActorId,
    /// Its name.
    pub name: Arc<str>,
    /// How many messages there were: those that were neither handled nor accepted as dead letters.
    pub messages: u64,
}

/// The result of a shutdown.
///
/// It covers the actors of the system and all their descendants. The lists have at most 128 entries
/// each, except [`late`](Self::late). Failures beyond that are counted in
/// [`unlisted`](Self::unlisted), messages in [`messages_left`](Self::messages_left).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The actors that were killed, or that could not be ended at all because they block their
    /// thread. Empty if all stopped in time.
    pub late: Vec<Late>,
    /// The failure that used up the restarts of the system, if there was one.
    pub failure: Option<ExitReason>,
    /// The actors that failed for good while the system existed, except those that are late.
    pub failed: Vec<ExitNotice>,
    /// The actors whose clean-up failed, in any incarnation. The reason is the error of the
    /// clean-up.
    pub clean_up_failed: Vec<ExitNotice>,
    /// The number of failures that are not in the lists.
    pub unlisted: u64,
    /// The actors that ended with messages in their mailbox while the system existed. Actors that
    /// block their thread have not ended yet.
    pub left: Vec<Left>,
    /// The number of messages left in all mailboxes, also in those that are not in the list.
    pub messages_left: u64,
    /// How long the shutdown took.
    pub took: Duration,
}

impl ShutdownReport {
    /// `failure` is what used up the restarts of the system.
    pub(super) fn new(incidents: Incidents, failure: Option<ExitReason>, took: Duration) -> Self {
        let late = incidents.late.into_iter();
        let left = incidents.left.into_iter();
        let left: Vec<_> = left
            .map(|(id, name, messages)| Left { id, name, messages })
            .collect();
        let listed: u64 = left.iter().map(|left| left.messages).sum();
        Self {
            messages_left: listed + incidents.left_unlisted,
            left,
            late: late.map(|(id, name)| Late { id, name }).collect(),
            failure,
            failed: incidents.failed,
            clean_up_failed: incidents.clean_up_failed,
            unlisted: incidents.unlisted,
            took,
        }
    }

    /// Whether all actors stopped in time, none had failed for good, and no clean-up had failed.
    ///
    /// Messages that are left do not count: a stop leaves them on purpose. See
    /// [`messages_left`](Self::messages_left).
    pub fn is_clean(&self) -> bool {
        self.late.is_empty()
            && self.failure.is_none()
            && self.failed.is_empty()
            && self.clean_up_failed.is_empty()
            && self.unlisted == 0
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped in {:?}", self.took)?;
        if let Some(failure) = &self.failure {
            write!(f, "; {failure}")?;
        }
        for ExitNotice { name, reason, .. } in &self.failed {
            write!(f, "; {name} {reason}")?;
        }
        for ExitNotice { name, reason, .. } in &self.clean_up_failed {
            write!(f, "; the clean-up of {name} {reason}")?;
        }
        if self.unlisted > 0 {
            write!(f, "; {} more failures", self.unlisted)?;
        }
        for late in &self.late {
            write!(f, "; late: {}", late.name)?;
        }
        for Left { name, messages, .. } in &self.left {
            write!(f, "; {messages} messages left in the mailbox of {name}")?;
        }
        Ok(())
    }
}
