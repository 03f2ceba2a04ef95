//! What the loop of an actor does next.

use std::fmt;

use lanemesh::Message;

use crate::{
    actor::Actor,
    cell::Inspection,
    exit::{CrashPolicy, ExitNotice},
};

/// A message of an actor, of either class.
pub(crate) type AnyMessage<A> =
    Message<<A as Actor>::HighPriorityMsg, <A as Actor>::LowPriorityMsg>;

/// What an actor's loop does next; pass it to [`Context::handle_event`](crate::Context::handle_event).
///
/// It refers to a message but does not hold it: a message whose event is dropped comes again.
pub struct Event<A: Actor>(pub(crate) Kind<A>);

pub(crate) enum Kind<A: Actor> {
    /// End the loop.
    Stop,
    /// Handle the high message that the context holds.
    High,
    /// Handle the low message that the context holds.
    Low,
    /// Handle the batch that the context holds.
    Batch,
    /// There is nothing to handle: look again.
    LookAgain,
    /// Boxed, so that the event, and the loop's future with it, stays small.
    Control(Box<ControlEvent<A>>),
}

/// What is handled besides messages.
pub(crate) enum ControlEvent<A: Actor> {
    /// Fail: a child has failed for good.
    Fail,
    /// Handle this message again, after a crash.
    Redeliver(AnyMessage<A>),
    ChildExit(ExitNotice),
    PeerExit(ExitNotice, CrashPolicy),
    Inspect(Inspection),
    /// Answer a health check.
    Health,
}

impl<A: Actor> Event<A> {
    pub(crate) fn control(event: ControlEvent<A>) -> Self {
        Self(Kind::Control(Box::new(event)))
    }
}

impl<A: Actor> fmt::Debug for Event<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Stop => "Stop",
            Kind::High => "High",
            Kind::Low => "Low",
            Kind::Batch => "Batch",
            Kind::LookAgain => "LookAgain",
            Kind::Control(_) => "Control(..)",
        })
    }
}
