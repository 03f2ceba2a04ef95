//! Handles in the hands of an actor: to itself, and to the peers that it watches.

use crate::{
    actor::{Actor, Context},
    exit::CrashPolicy,
    handle::actor_handle::ActorHandle,
};

impl<A: Actor> Context<A> {
    /// A handle to this very actor, as long as there is another one.
    ///
    /// A handle that an actor keeps to itself keeps its loop from ending by itself.
    pub fn handle(&self) -> Option<ActorHandle<A>> {
        let tx = self.mailbox.weak_sender().upgrade()?;
        Some(ActorHandle::new(tx, self.cell.clone(), self.policies()))
    }

    /// Watches another actor; `policy` says what its failure means.
    ///
    /// The notice is replayed: watching an actor that is dead already reports it at once.
    /// Watching again replaces the policy. The watch ends with this incarnation. It hears of the
    /// end for good: an incarnation that ends and is followed by another is not reported.
    pub fn watch<B: Actor>(&mut self, peer: &ActorHandle<B>, policy: CrashPolicy) {
        self.watch_cell(peer.cell(), policy);
    }

    /// Watches the other actor with [`CrashPolicy::Fail`]: if it fails for good, this one fails too.
    /// As [`watch`](Self::watch), it does not hear of restarts.
    ///
    /// It is one direction of what Erlang calls a link; for both, each links the other.
    pub fn link<B: Actor>(&mut self, peer: &ActorHandle<B>) {
        self.watch(peer, CrashPolicy::Fail);
    }

    /// Watches another actor no longer.
    pub fn unwatch<B: Actor>(&mut self, peer: &ActorHandle<B>) {
        self.end_watch(peer.id());
    }
}
