//! The handle that an actor has to itself, and the peers that it watches.

use crate::{
    actor::{Actor, Context},
    exit::CrashPolicy,
    handle::{ActorHandle, peer::Peer},
};

impl<A: Actor> Context<A> {
    /// A handle to this actor; none if there is no other one.
    ///
    /// An actor that stores a handle to itself does not end when all other handles are gone.
    pub fn handle(&self) -> Option<ActorHandle<A>> {
        let tx = self.mailbox.weak_sender().upgrade()?;
        Some(ActorHandle::new(tx, self.cell.clone(), self.policies()))
    }

    /// Watches another actor. `policy` decides what its failure means.
    ///
    /// Watching an actor that has already ended reports it at once. Watching again replaces the
    /// policy. The watch ends with this incarnation. It reports the end for good, not restarts.
    pub fn watch(&mut self, peer: &impl Peer, policy: CrashPolicy) {
        self.watch_cell(peer.peer().0, policy);
    }

    /// Watches another actor with [`CrashPolicy::Fail`]: if it fails for good, this actor fails
    /// too.
    ///
    /// It is one direction of an Erlang link; for both directions, each actor links the other.
    pub fn link(&mut self, peer: &impl Peer) {
        self.watch(peer, CrashPolicy::Fail);
    }

    /// Ends the watch of another actor.
    pub fn unwatch(&mut self, peer: &impl Peer) {
        self.end_watch(peer.peer().0.id());
    }
}
