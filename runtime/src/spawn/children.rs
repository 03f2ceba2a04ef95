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
    /// While this actor stops, in `stopped` or in `on_child_exit`, no child is started: the handle
    /// is that of an actor that has ended as [`ExitReason::Stopped`](crate::ExitReason::Stopped).
    /// [`is_stopping`](Self::is_stopping) tells.
    ///
    /// # Panics
    ///
    /// If [`try_spawn`](Self::try_spawn) would fail for another reason.
    pub fn spawn<B: Actor>(&mut self, child: impl IntoBuilder<B>) -> (ActorHandle<B>, Child) {
        let child = child.into_builder();
        if self.takes_no_children() {
            return child.refused();
        }
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
        if self.takes_no_children() {
            return Err(SpawnError::Closing);
        }
        let group = self.group_mut();
        child.into_builder().try_spawn_in(Some(group))
    }

    /// A child started now would miss the stop of the children.
    fn takes_no_children(&self) -> bool {
        self.cell.phase() == Phase::Stopping
    }
}
