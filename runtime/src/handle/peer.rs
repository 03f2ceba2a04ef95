//! What an actor can be named by, where another one is told to watch it or to end after it.

use std::sync::Arc;

use crate::{
    actor::Actor,
    cell::ActorCell,
    handle::{ActorHandle, Child, Monitor, SharedHandle},
};

/// What refers to an actor: its handles, its [`Child`], a [`Monitor`] of it.
///
/// It is what [`Context::watch`](crate::Context::watch) and
/// [`Builder::after`](crate::Builder::after) take. A type that contains a peer can pass it on.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{builder, spawn, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (consumer, child) = spawn(Sink::<(), u64>::new());
/// let shared = consumer.shared();
/// // By any of them.
/// let producer = builder(Sink::<(), ()>::new).before(&shared).before(&child).before(&shared.monitor());
/// # drop(producer);
/// # }
/// ```
pub trait Peer {
    /// The actor.
    fn peer(&self) -> PeerRef<'_>;
}

/// An actor, as a [`Peer`] refers to it.
#[derive(Clone, Copy, Debug)]
pub struct PeerRef<'a>(pub(crate) &'a Arc<ActorCell>);

macro_rules! peers {
    ($([$($generics:tt)*] $name:ty),+ $(,)?) => {
        $(
            impl<$($generics)*> Peer for $name {
                fn peer(&self) -> PeerRef<'_> {
                    PeerRef(self.cell())
                }
            }
        )+
    };
}

peers!([A: Actor] ActorHandle<A>, [A: Actor] SharedHandle<A>, [] Child, [] Monitor);
