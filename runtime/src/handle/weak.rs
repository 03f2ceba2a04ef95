//! A handle that does not keep its actor running.

use std::{fmt, sync::Arc};

use lanemesh::WeakMailboxSender;

use crate::{
    actor::{Actor, High, Low, Policies},
    cell::ActorCell,
    handle::{ActorHandle, SharedHandle},
    id::ActorId,
};

/// A handle that does not keep its actor running: for tables of actors that end when nobody else
/// holds them.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{ExitReason, spawn, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (handle, child) = spawn(Sink::<(), u64>::new());
/// let weak = handle.downgrade();
/// let mut again = weak.upgrade().expect("`handle` keeps it running");
/// again.send_low(1).await?;
/// drop((handle, again));
/// assert!(matches!(child.await, ExitReason::Normal));
/// assert!(weak.upgrade().is_none());
/// # Ok(()) }
/// ```
pub struct WeakHandle<A: Actor> {
    tx: WeakMailboxSender<High<A>, Low<A>>,
    cell: Arc<ActorCell>,
    policies: Policies,
}

impl<A: Actor> ActorHandle<A> {
    /// A handle that does not keep the actor running.
    pub fn downgrade(&self) -> WeakHandle<A> {
        WeakHandle {
            tx: self.tx.downgrade(),
            cell: self.cell().clone(),
            policies: self.policies,
        }
    }
}

impl<A: Actor> SharedHandle<A> {
    /// A handle that does not keep the actor running. What it upgrades to has lanes of its own.
    pub fn downgrade(&self) -> WeakHandle<A> {
        self.handle().downgrade()
    }
}

impl<A: Actor> WeakHandle<A> {
    /// A new handle with lanes of its own. None if the actor accepts no more messages, because the
    /// last handle is gone or it was stopped.
    pub fn upgrade(&self) -> Option<ActorHandle<A>> {
        let tx = self.tx.upgrade().filter(|tx| !tx.is_closed())?;
        Some(ActorHandle::new(tx, self.cell.clone(), self.policies))
    }

    /// The actor's identity.
    pub fn id(&self) -> ActorId {
        self.cell.id()
    }

    /// Whether the actor has not ended for good; it may be waiting for a restart.
    pub fn is_alive(&self) -> bool {
        self.cell.is_alive()
    }
}

impl<A: Actor> Clone for WeakHandle<A> {
    fn clone(&self) -> Self {
        Self {
            tx: self.tx.clone(),
            cell: self.cell.clone(),
            policies: self.policies,
        }
    }
}

impl<A: Actor> fmt::Debug for WeakHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakHandle")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
