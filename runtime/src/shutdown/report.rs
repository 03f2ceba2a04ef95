//! What a shutdown reports.

use std::{fmt, sync::Arc, time::Duration};

use crate::{exit::ExitReason, id::ActorId};

/// An actor that did not stop in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The actor's identity.
    pub id: ActorId,
    /// Its name.
    pub name: Arc<str>,
}

/// The result of a shutdown.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The actors that were killed, or that could not be ended at all because they block their
    /// thread. Empty if all stopped in time.
    pub late: Vec<Late>,
    /// The failure that used up the restarts of the system, if there was one.
    pub failure: Option<ExitReason>,
    /// How long the shutdown took.
    pub took: Duration,
}

impl ShutdownReport {
    /// Whether all actors stopped in time and none had failed for good.
    pub fn is_clean(&self) -> bool {
        self.late.is_empty() && self.failure.is_none()
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped in {:?}", self.took)?;
        if let Some(failure) = &self.failure {
            write!(f, "; {failure}")?;
        }
        for late in &self.late {
            write!(f, "; late: {}", late.name)?;
        }
        Ok(())
    }
}
