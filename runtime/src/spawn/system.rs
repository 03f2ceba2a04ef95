//! The root of a tree of actors: start, signals, drain, shutdown, and a report.
//!
//! A system owns its top-level actors and supervises them as a parent does, but it is not an actor:
//! when one of its actors fails for good, [`System::failed`] reports it, and the program decides. Several
//! systems can exist side by side; nothing is global.

use std::{fmt, io, sync::Arc, time::Duration};

use crate::{
    actor::Actor,
    cell::{Members, signal},
    error::SpawnError,
    exit::ExitReason,
    handle::{ActorHandle, Child},
    observe::Tree,
    shutdown::{self, ShutdownReport, Signal, wait_for_signal},
    spawn::IntoBuilder,
    supervision::{Supervision, group::Group},
};

/// Owns top-level actors.
///
/// Dropping it asks all of them to stop, without waiting.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::{System, builder, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let system = System::new("server");
/// let (mut meter, child) = system.spawn(builder(Sink::<(), u64>::new).name("meter"));
/// child.detach(); // the system keeps it
/// meter.send_low(1).await?;
/// let report = system.drain(Duration::from_secs(5)).await;
/// assert!(report.is_clean());
/// # Ok(()) }
/// ```
pub struct System {
    name: Arc<str>,
    pub(super) group: Arc<Group>,
}

impl System {
    /// Makes a system without actors, supervised by [`Supervision::default`].
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::supervised(name, Supervision::default())
    }

    /// Makes a system without actors.
    pub fn supervised(name: impl Into<Arc<str>>, supervision: Supervision) -> Self {
        Self {
            name: name.into(),
            group: Arc::new(Group::new(None, supervision, Some(Arc::default()))),
        }
    }

    /// The system's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts a top-level actor: an actor, or a [`Builder`](crate::Builder).
    ///
    /// # Panics
    ///
    /// If [`try_spawn`](Self::try_spawn) would fail.
    pub fn spawn<A: Actor>(&self, actor: impl IntoBuilder<A>) -> (ActorHandle<A>, Child) {
        match self.try_spawn(actor) {
            Ok(spawned) => spawned,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a top-level actor.
    ///
    /// # Errors
    ///
    /// See [`SpawnError`].
    pub fn try_spawn<A: Actor>(
        &self,
        actor: impl IntoBuilder<A>,
    ) -> Result<(ActorHandle<A>, Child), SpawnError> {
        actor.into_builder().try_spawn_in(Some(&self.group))
    }

    /// Starts top-level actors while somebody else owns the system, and does not keep it running.
    pub fn spawner(&self) -> Spawner {
        Spawner(self.group.clone())
    }

    /// The actors of the system, and which of them owns which.
    pub fn tree(&self) -> Tree {
        Tree::root(self.name.clone(), &self.group.members())
    }

    /// Waits until an actor of the system has failed for good: its restarts are used up, or it is
    /// not restarted. The reason is [`ExitReason::Escalated`] with the identity of the actor.
    ///
    /// It tells the first such failure, and ends at once when called again. The report of the
    /// shutdown has all of them. Failures of descendants are for their parents.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn failed(&self) -> ExitReason {
        self.wait_for(Group::failure_for_good).await
    }

    async fn wait_for(&self, failure: impl Fn(&Group) -> Option<ExitReason>) -> ExitReason {
        let mut found = None;
        self.group
            .wait_until(|| {
                found = failure(&self.group);
                found.is_some()
            })
            .await;
        found.unwrap_or(ExitReason::Normal)
    }

    /// Stops everything side by side, by one deadline. Queued messages are left: dead letters, or
    /// dropped and reported.
    ///
    /// Each actor has its own grace period ([`Builder::grace`](crate::Builder::grace)), or the time
    /// until the deadline if that is less; then it is killed. Children end before their parent,
    /// which keeps a part of its time for its own clean-up: an eighth, divided by the number of
    /// levels below. An actor that ends after others ([`Builder::after`](crate::Builder::after)) is
    /// asked when they have ended, or when their time is up: an eighth of the time is kept for
    /// those that follow.
    ///
    /// # Cancel safety
    ///
    /// If cancelled, it asks all actors that are left to stop, as a drop does.
    pub async fn shutdown(self, grace: Duration) -> ShutdownReport {
        shutdown::system(&self.group, grace, signal::STOP).await
    }

    /// Lets all actors handle what is queued, then stops them, by one deadline.
    ///
    /// The top-level actors drain side by side, and their children when they have drained. A drained
    /// actor accepts no more messages, so declare that consumers end after their producers:
    /// [`Builder::after`](crate::Builder::after), [`Builder::before`](crate::Builder::before). Grace
    /// periods do not apply: each has the time until the deadline.
    ///
    /// An actor that fails is restarted as usual, and goes on with its queued messages.
    ///
    /// # Cancel safety
    ///
    /// If cancelled, it asks all actors that are left to stop, as a drop does.
    pub async fn drain(self, grace: Duration) -> ShutdownReport {
        shutdown::system(&self.group, grace, signal::DRAIN).await
    }

    /// Runs until ctrl-c, SIGTERM, or a failure that uses up the restarts; then drains.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a signal handler.
    ///
    /// # Cancel safety
    ///
    /// If cancelled, it asks all actors to stop, as a drop does.
    pub async fn run_until_signal(
        self,
        grace: Duration,
    ) -> io::Result<(Option<Signal>, ShutdownReport)> {
        let signal = tokio::select! {
            signal = wait_for_signal() => Some(signal?),
            failure = self.wait_for(Group::failure) => {
                tracing::error!(%failure, "the system failed");
                None
            }
        };
        Ok((signal, self.drain(grace).await))
    }
}

/// Starts top-level actors of a system that somebody else owns.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::{SpawnError, System, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let system = System::new("server");
/// let spawner = system.spawner(); // for the code that opens rooms
/// let (_room, child) = spawner.try_spawn(Sink::<(), u64>::new())?;
/// child.detach();
/// assert!(system.shutdown(Duration::from_secs(5)).await.is_clean());
/// let late = spawner.try_spawn(Sink::<(), u64>::new());
/// assert!(matches!(late, Err(SpawnError::Closing)));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Spawner(Arc<Group>);

impl Spawner {
    /// Starts a top-level actor, like [`System::try_spawn`].
    ///
    /// # Errors
    ///
    /// See [`SpawnError`]: [`SpawnError::Closing`] once the system ends.
    pub fn try_spawn<A: Actor>(
        &self,
        actor: impl IntoBuilder<A>,
    ) -> Result<(ActorHandle<A>, Child), SpawnError> {
        actor.into_builder().try_spawn_in(Some(&self.0))
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").finish_non_exhaustive()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.group.close(signal::STOP);
        for actor in self.group.members() {
            actor.stop_in_grace();
        }
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("name", &self.name)
            .field("actors", &self.group.ids())
            .finish_non_exhaustive()
    }
}
