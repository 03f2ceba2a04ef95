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
    // Boxed and out of line, like `open_unbounded`: an actor of its own is built in place.
    #[cold]
    #[inline(never)]
    pub(super) fn join(
        &self,
        high_capacity: usize,
        low_capacity: usize,
        unbounded: Unbounded,
    ) -> Result<Box<Worker<A>>, SpawnError> {
        let (tx, rx) = open::<A>(high_capacity, low_capacity, unbounded);
        let membership = self.mesh.join(tx.clone());
        let membership = membership.map_err(|_| SpawnError::PoolClosed)?;
        Ok(Box::new(Worker { tx, rx, membership }))
    }
}

/// Makes the mailbox of an actor.
#[inline(always)]
pub(super) fn open<A: Actor>(
    high_capacity: usize,
    low_capacity: usize,
    unbounded: Unbounded,
) -> Ends<A> {
    let mailbox = settings(high_capacity, low_capacity);
    if unbounded.high || unbounded.low {
        return open_unbounded(mailbox, unbounded);
    }
    mailbox.build()
}

#[cold]
#[inline(never)]
fn open_unbounded<High, Low>(
    mut mailbox: MailboxBuilder,
    unbounded: Unbounded,
) -> (MailboxSender<High, Low>, MailboxReceiver<High, Low>) {
    if unbounded.high {
        mailbox = mailbox.high_unbounded();
    }
    if unbounded.low {
        mailbox = mailbox.low_unbounded();
    }
    mailbox.build()
}

/// Few shared slots: an actor that receives little should be small. A budget of messages, since a
/// budget of time would not be repeatable in a simulation.
#[inline(always)]
fn settings(high_capacity: usize, low_capacity: usize) -> MailboxBuilder {
    MailboxBuilder::new(high_capacity, low_capacity)
        .high(|high| high.shared_slots(0))
        .low(|low| low.shared_slots(2).budget(BUDGET))
}
