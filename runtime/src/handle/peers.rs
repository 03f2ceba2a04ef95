//! The handle that an actor has to itself, and the peers that it watches.

use crate::{
    actor::{Actor, Context},
    exit::CrashPolicy,
    handle::{ActorHandle, peer::Peer},
};

impl<A: Actor> Context<A> {
    /// A handle to this actor; none if there is no other one, unless it
    /// [keeps running](crate::Builder::keep_running) without.
    ///
    /// An actor that stores a handle to itself does not end when all other handles are gone.
    pub fn handle(&self) -> Option<ActorHandle<A>> {
        let tx = self.mailbox.weak_sender().upgrade()?;
        Some(ActorHandle::new(tx, self.cell.clone(), self.policies()))
    }

    /// Watches another actor. `policy` decides what its failure means: with
    /// [`CrashPolicy::Compensate`] the end is only told, to `on_peer_exit`.
    ///
    /// Watching an actor that has already ended reports it at once. Watching again replaces the
    /// policy. The watch ends with this incarnation. It reports the end for good, not restarts.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{collections::HashMap, time::Duration};
    ///
    /// use lanemesh_runtime::{
    ///     ActorHandle, ActorId, ActorResult, Context, CrashPolicy, ExitNotice, Handler, Reply, spawn,
    ///     testing::Sink,
    /// };
    ///
    /// type Guest = Sink<(), String>;
    ///
    /// /// Forgets guests that have ended.
    /// #[derive(Default)]
    /// struct Room {
    ///     guests: HashMap<ActorId, ActorHandle<Guest>>,
    /// }
    ///
    /// enum Msg {
    ///     Join(ActorHandle<Guest>),
    ///     Count(Reply<usize>),
    /// }
    ///
    /// impl Handler for Room {
    ///     type Msg = Msg;
    ///
    ///     async fn handle(&mut self, msg: Msg, ctx: &mut Context<Self>) -> ActorResult {
    ///         match msg {
    ///             Msg::Join(guest) => {
    ///                 ctx.watch(&guest, CrashPolicy::Compensate);
    ///                 self.guests.insert(guest.id(), guest);
    ///             }
    ///             Msg::Count(reply) => drop(reply.send(self.guests.len())),
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     async fn on_peer_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
    ///         self.guests.remove(&notice.id);
    ///         println!("{} {}, {:?} ago", notice.name, notice.reason, notice.at.elapsed());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut room, _child) = spawn(Room::default());
    /// let (guest, child) = spawn(Guest::new());
    /// room.tell(Msg::Join(guest)).await?;
    /// assert_eq!(room.ask(Msg::Count, Duration::from_secs(1)).await?, 1);
    /// child.stop().await;
    /// assert_eq!(room.ask(Msg::Count, Duration::from_secs(1)).await?, 0);
    /// # Ok(()) }
    /// ```
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
