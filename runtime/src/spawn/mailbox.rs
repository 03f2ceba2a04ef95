//! The mailbox of an actor: its own, or one of those of a pool.

use lanemesh::{MailboxBuilder, MailboxReceiver, MailboxSender, mesh::MailboxMeshSender};

use crate::{
    actor::{Actor, High, Low},
    crash::Membership,
    error::SpawnError,
    spawn::settings::{Settings, Unbounded},
};

/// Messages after which the mailbox yields to the executor; tokio's own budget may do so earlier.
const BUDGET: usize = 128;

/// The pool that an actor will be a worker of.
pub(super) trait Pool<A: Actor>: Send {
    /// Makes a mailbox that is one of the pool's.
    fn join(&self, settings: &Settings) -> Result<Box<Worker<A>>, SpawnError>;

    /// Whether jobs with the same key are handled in order.
    fn is_ordered(&self) -> bool;
}

/// The mesh of a pool.
pub(super) struct PoolMesh<A: Actor> {
    pub(super) mesh: MailboxMeshSender<High<A>, Low<A>>,
    pub(super) is_ordered: bool,
}

/// A mailbox that is one of a mesh's.
pub(super) struct Worker<A: Actor> {
    pub(super) tx: MailboxSender<High<A>, Low<A>>,
    pub(super) rx: MailboxReceiver<High<A>, Low<A>>,
    pub(super) membership: Box<dyn Membership<A::HighPriorityMsg, A::LowPriorityMsg>>,
}

/// Both ends of an actor's mailbox.
type Ends<A> = (
    MailboxSender<High<A>, Low<A>>,
    MailboxReceiver<High<A>, Low<A>>,
);

impl<A: Actor> Pool<A> for PoolMesh<A> {
    // The result is boxed: an actor of its own is built in place.
    fn join(&self, settings: &Settings) -> Result<Box<Worker<A>>, SpawnError> {
        let (tx, rx) = open::<A>(settings);
        let membership = self.mesh.join(tx.clone());
        let membership = Box::new(membership.map_err(|_| SpawnError::PoolClosed)?);
        Ok(Box::new(Worker { tx, rx, membership }))
    }

    fn is_ordered(&self) -> bool {
        self.is_ordered
    }
}

impl<A: Actor> Worker<A> {
    /// Leaves the mesh before there is a task.
    #[cold]
    pub(super) fn leave(mut self) {
        // Nothing has come.
        let _ = self.membership.hand_on(Vec::new(), &mut self.rx);
    }
}

/// Makes the mailbox of an actor.
#[inline(always)]
pub(super) fn open<A: Actor>(settings: &Settings) -> Ends<A> {
    let mailbox = builder(settings.high_capacity, settings.low_capacity);
    if settings.unbounded.high || settings.unbounded.low {
        return open_unbounded(mailbox, settings.unbounded);
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
fn builder(high_capacity: usize, low_capacity: usize) -> MailboxBuilder {
    MailboxBuilder::new(high_capacity, low_capacity)
        .high(|high| high.shared_slots(0))
        .low(|low| low.shared_slots(2).budget(BUDGET))
}
