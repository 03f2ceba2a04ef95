//! The state of an actor that most actors do not need.

use lanemesh::MailboxSender;

use crate::{
    actor::{
        Actor,
        batch::Batches,
        event::ControlEvent,
        messages::{High, Low},
        watches::Watches,
    },
    crash::{Custody, DeadLetters, Membership, Stash},
    exit::ExitReason,
    observe::EventMonitor,
    sources::Sources,
};

/// In one box, which is made when the first of its parts is needed: an idle actor has none.
pub(crate) struct OptionalState<A: Actor> {
    pub(crate) custody: Custody<A::HighPriorityMsg, A::LowPriorityMsg>,
    pub(crate) dead_letters: Option<DeadLetters<A::HighPriorityMsg, A::LowPriorityMsg>>,
    pub(crate) monitor: Option<Box<dyn EventMonitor>>,
    /// The actor's own sender, which keeps its mailbox open without any handle
    /// ([`Builder::keep_running`](crate::Builder::keep_running)).
    pub(crate) own_sender: Option<MailboxSender<High<A>, Low<A>>>,
    /// In the mesh of a pool.
    pub(crate) membership: Option<Box<dyn Membership<A::HighPriorityMsg, A::LowPriorityMsg>>>,
    pub(crate) stash: Option<Box<Stash<A::HighPriorityMsg, A::LowPriorityMsg>>>,
    /// Whether low messages stay in their lanes.
    pub(crate) is_low_paused: bool,
    pub(crate) batches: Batches<A::LowPriorityMsg>,
    pub(crate) watches: Watches,
    /// Timers, streams and futures of the incarnation.
    pub(crate) sources: Option<Box<Sources<A::HighPriorityMsg, A::LowPriorityMsg>>>,
    /// What was taken out of the control queue and not handled yet; there is an
    /// [`Event`](crate::actor::Event) for it.
    pub(crate) control: Option<ControlEvent>,
    /// Why the incarnation fails, unless by the error of a hook.
    pub(crate) failure: Option<ExitReason>,
}

impl<A: Actor> Default for OptionalState<A> {
    fn default() -> Self {
        Self {
            custody: Custody::default(),
            dead_letters: None,
            monitor: None,
            own_sender: None,
            membership: None,
            stash: None,
            is_low_paused: false,
            batches: Batches::default(),
            watches: Watches::default(),
            sources: None,
            control: None,
            failure: None,
        }
    }
}

impl<A: Actor> OptionalState<A> {
    /// What was taken out of the control queue and not handled.
    pub(crate) fn take_control(&mut self) -> Option<ControlEvent> {
        self.control.take()
    }
}
