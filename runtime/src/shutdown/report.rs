//! What a shutdown reports.

use std::{fmt, sync::Arc, time::Duration};

use crate::{exit::ExitReason, id::ActorId};

/// Who did not stop in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The actor's identity.
    pub id: ActorId,
    /// Its name.
    pub name: Arc<str>,
}

/// How a shutdown went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The actors that were ended by force, or that could not be ended at all since they block
    /// their thread. Empty when all went well.
    pub late: Vec<Late>,
    /// The failure that the system could not mend, if there was one.
    pub failure: Option<ExitReason>,
    /// How long it took.
    pub took: Duration,
}

impl ShutdownReport {
    /// Whether everybody stopped in time and nothing had failed for good.
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
