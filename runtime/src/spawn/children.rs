//! Starting the children of an actor.

use crate::{
    actor::{Actor, Context},
    error::SpawnError,
    handle::{ActorHandle, Child},
    id::Phase,
    spawn::IntoBuilder,
};

impl<A: Actor> Context<A> {
    /// Starts a child: an actor, or a [`Builder`](crate::Builder).
    ///
    /// The child ends with this incarnation at the latest. Dropping its [`Child`] stops it earlier;
    /// [`Child::detach`] leaves it to this actor.
    ///
    /// # Panics
    ///
    /// If [`try_spawn`](Self::try_spawn) would fail.
    pub fn spawn<B: Actor>(&mut self, child: impl IntoBuilder<B>) -> (ActorHandle<B>, Child) {
        match self.try_spawn(child) {
            Ok(spawned) => spawned,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a child, like [`spawn`](Self::spawn).
    ///
    /// # Errors
    ///
    /// See [`SpawnError`]; [`SpawnError::Closing`] when this actor is stopping.
    pub fn try_spawn<B: Actor>(
        &mut self,
        child: impl IntoBuilder<B>,
    ) -> Result<(ActorHandle<B>, Child), SpawnError> {
        // A child started now would miss the stop of the children.
        if self.cell.phase() == Phase::Stopping {
            return Err(SpawnError::Closing);
        }
        let group = self.group_mut().clone();
        child.into_builder().try_spawn_in(Some(group))
    }
}
