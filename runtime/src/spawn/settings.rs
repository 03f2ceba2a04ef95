//! What a builder says of an actor apart from its type, and what a spawn checks before anything is
//! made. It is not generic: it is compiled once, and not for each type of actor.

use std::{sync::Arc, time::Duration};

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::{
    actor::Policies,
    cell::{ActorCell, ActorKind, Timing},
    envelope::clock,
    error::SpawnError,
    supervision::{
        Restart,
        ending::EndOrder,
        group::{Group, Seat},
    },
    task::Rules,
};

/// An actor takes up to this many low messages ahead, or `1 / AHEAD_PART` of a lane's capacity if
/// that is less.
const AHEAD: usize = 32;
const AHEAD_PART: usize = 8;

/// Which lanes have no bound.
#[derive(Clone, Copy, Default)]
pub(super) struct Unbounded {
    pub(super) high: bool,
    pub(super) low: bool,
}

/// The settings of a [`Builder`](crate::Builder) that do not depend on the type of its actor.
pub(super) struct Settings {
    pub(super) name: Option<Arc<str>>,
    pub(super) high_capacity: usize,
    pub(super) low_capacity: usize,
    pub(super) unbounded: Unbounded,
    pub(super) policies: Policies,
    pub(super) restart: Restart,
    pub(super) grace: Duration,
    pub(super) timing: Timing,
    pub(super) rules: Option<Box<Rules>>,
    pub(super) keeps_running: bool,
    pub(super) needs_worker_thread: bool,
    ends: Option<Box<EndOrder>>,
}

impl Default for Settings {
    #[inline]
    fn default() -> Self {
        Self {
            name: None,
            high_capacity: 64,
            low_capacity: 1024,
            unbounded: Unbounded::default(),
            policies: Policies::default(),
            restart: Restart::default(),
            grace: Duration::from_secs(5),
            timing: Timing::default(),
            rules: None,
            keeps_running: false,
            needs_worker_thread: false,
            ends: None,
        }
    }
}

impl Settings {
    pub(super) fn rules(&mut self) -> &mut Rules {
        self.rules.get_or_insert_default()
    }

    pub(super) fn ends(&mut self) -> &mut EndOrder {
        self.ends.get_or_insert_default()
    }

    /// How many low messages the actor takes ahead at most.
    pub(super) fn ahead(&self) -> u8 {
        (self.low_capacity / AHEAD_PART).min(AHEAD) as u8
    }

    /// Checks the settings, takes the name in the registry of the system, and makes the cell. Returns
    /// where the task will run, too.
    pub(super) fn prepare(
        &mut self,
        kind: &'static ActorKind,
        has_factory: bool,
        group: Option<&Arc<Group>>,
    ) -> Result<(Handle, Arc<ActorCell>), SpawnError> {
        if self.high_capacity == 0 || self.low_capacity == 0 {
            return Err(SpawnError::ZeroCapacity);
        }
        if self.restart != Restart::Temporary && !has_factory {
            return Err(SpawnError::NeedsFactory);
        }
        let runtime = self.runtime()?;
        if self.needs_worker_thread && runtime.runtime_flavor() != RuntimeFlavor::CurrentThread {
            return Err(SpawnError::NeedsWorkerThread);
        }
        if cfg!(panic = "abort") && self.restart != Restart::Temporary {
            tracing::warn!(name = ?self.name, "restarts do not work with panic = \"abort\"");
        }
        if self.timing.interval() != 0 {
            // Calibrating the clock takes a fraction of a millisecond: better here than at a
            // message.
            clock();
        }
        let cell = self.cell(kind, self.timing.interval());
        if let Some(rules) = self.rules.as_mut().filter(|rules| rules.registers) {
            let registry = group.and_then(|group| group.registry());
            let registry = registry.ok_or(SpawnError::NoSystem)?;
            let registration = registry.reserve(cell.name(), cell.id(), cell.type_name());
            rules.registration = Some(registration.ok_or(SpawnError::NameTaken)?);
        }
        Ok((runtime, cell))
    }

    fn runtime(&self) -> Result<Handle, SpawnError> {
        let rules = self.rules.as_ref();
        match rules.and_then(|rules| rules.worker_thread.as_ref()) {
            Some(worker_thread) => {
                let runtime = worker_thread.runtime();
                runtime.ok_or(SpawnError::WorkerThreadClosed)
            }
            None => Handle::try_current().map_err(|_| SpawnError::NoRuntime),
        }
    }

    /// The cell of the actor, which takes its name.
    pub(super) fn cell(&mut self, kind: &'static ActorKind, sample: u32) -> Arc<ActorCell> {
        let name = self.name.take();
        Arc::new(ActorCell::new(name, kind, self.grace, sample))
    }

    /// Makes the actor a member of its group, if it has one.
    pub(super) fn join(
        &self,
        cell: &Arc<ActorCell>,
        group: Option<&Arc<Group>>,
    ) -> Result<Option<Seat>, SpawnError> {
        let Some(group) = group else {
            return Ok(None);
        };
        let seat = group.add(cell, self.restart, self.ends.as_deref());
        seat.ok_or(SpawnError::Closing).map(Some)
    }
}
