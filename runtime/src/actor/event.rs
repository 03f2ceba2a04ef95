//! What the loop of an actor does next.

use std::{fmt, marker::PhantomData};

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
/// It refers to a message, an exit notice or another request but does not hold it: one whose event is
/// dropped comes again.
pub struct Event<A: Actor> {
    pub(crate) kind: Kind,
    actor: PhantomData<fn(A)>,
}

impl<A: Actor> Event<A> {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            actor: PhantomData,
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
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
    /// Handle again the message with which a handler crashed; the context holds it.
    Redeliver,
    /// Handle the entry of the control queue that the context holds.
    Control,
}

/// What is handled besides messages.
pub(crate) enum ControlEvent {
    /// Fail: a child has failed for good.
    Fail,
    ChildExit(ExitNotice),
    PeerExit(ExitNotice, CrashPolicy),
    Inspect(Inspection),
    /// Answer a health check.
    Health,
}

/// Why [`Context::wait_all_or`](crate::Context::wait_all_or) has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited<T> {
    /// The input is gathered, and all other conditions are met.
    All,
    /// The future to proceed upon has completed, with this output.
    Proceed(T),
    /// The loop should end.
    Over,
}

impl<A: Actor> fmt::Debug for Event<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Stop => "Stop",
            Kind::High => "High",
            Kind::Low => "Low",
            Kind::Batch => "Batch",
            Kind::LookAgain => "LookAgain",
            Kind::Redeliver => "Redeliver",
            Kind::Control => "Control",
        })
    }
}
