//! The mailbox of an actor: its own, or one of those of a pool.

use lanemesh::{
    MailboxBuilder, MailboxReceiver, MailboxSender,
    mesh::{MailboxMembership, MailboxMeshSender},
};

use crate::{
    actor::{Actor, High, Low},
    error::SpawnError,
};

/// Messages after which the mailbox yields to the executor; tokio's own budget may do so earlier.
const BUDGET: usize = 128;

/// Which lanes have no bound.
#[derive(Clone, Copy, Default)]
pub(super) struct Unbounded {
    pub(super) high: bool,
    pub(super) low: bool,
}

/// The mesh of the pool that an actor will be a worker of.
pub(super) struct PoolMesh<A: Actor> {
    pub(super) mesh: MailboxMeshSender<High<A>, Low<A>>,
    /// Whether jobs with the same key are handled in order.
    pub(super) is_ordered: bool,
}

/// A mailbox that is one of a mesh's.
pub(super) struct Worker<A: Actor> {
    pub(super) tx: MailboxSender<High<A>, Low<A>>,
    pub(super) rx: MailboxReceiver<High<A>, Low<A>>,
    pub(super) membership: MailboxMembership<High<A>, Low<A>>,
}

/// Both ends of an actor's mailbox.
type Ends<A> = (
    MailboxSender<High<A>, Low<A>>,
    MailboxReceiver<High<A>, Low<A>>,
);

impl<A: Actor> PoolMesh<A> {
    pub(super) fn join(&self, (tx, rx): Ends<A>) -> Result<Worker<A>, SpawnError> {
        let membership = self.mesh.join(tx.clone());
        let membership = membership.map_err(|_| SpawnError::PoolClosed)?;
        Ok(Worker { tx, rx, membership })
    }
}

/// Few shared slots: an actor that receives little should be small. A budget of messages, since a
/// budget of time would not be repeatable in a simulation.
#[inline(always)]
pub(super) fn mailbox(
    high_capacity: usize,
    low_capacity: usize,
    unbounded: Unbounded,
) -> MailboxBuilder {
    let mut mailbox = MailboxBuilder::new(high_capacity, low_capacity)
        .high(|high| high.shared_slots(0))
        .low(|low| low.shared_slots(2).budget(BUDGET));
    if unbounded.high {
        mailbox = mailbox.high_unbounded();
    }
    if unbounded.low {
        mailbox = mailbox.low_unbounded();
    }
    mailbox
}
