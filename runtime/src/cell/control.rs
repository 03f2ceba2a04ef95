//! The control queue: what an actor is told besides its messages.

use std::{any::Any, collections::VecDeque};

use lanemesh::MailboxStats;

use crate::{
    exit::{CrashPolicy, ExitNotice, ExitReason},
    id::ActorId,
};

/// A function that looks at the actor, and at what its mailbox counts, between two messages.
pub(crate) type Inspection = Box<dyn FnOnce(&mut dyn Any, &MailboxStats) + Send>;

/// One entry of the control queue.
pub(crate) enum Control {
    /// A child has ended for good.
    ChildExit(ExitNotice),
    /// A watched peer has ended for good.
    PeerExit(ExitNotice, CrashPolicy),
    /// A child has used up its restarts, for this reason: the actor fails with it.
    Escalate(ActorId, ExitReason),
    /// A caller wants to look at the actor's state, or at its channels.
    Inspect(Inspection),
}

/// The entries that the task has not taken yet, oldest first.
pub(super) type ControlQueue = VecDeque<Control>;
