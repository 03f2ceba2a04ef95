//! What the loop of an actor does next.

use std::fmt;

use crate::{
    actor::{Actor, options::Held},
    cell::Inspection,
    exit::{CrashPolicy, ExitNotice},
};

/// What an actor's loop is to do next; give it to [`Context::handle_event`](crate::Context::handle_event).
///
/// It is a note, not the message: one that is not handled comes again.
pub struct Event<A: Actor>(pub(crate) Kind<A>);

pub(crate) enum Kind<A: Actor> {
    Stop,
    /// The context has the message in its hand.
    High,
    /// The context has the message in its hand.
    Low,
    Batch,
    Turn,
    /// In a box, so that the event, and the loop's future with it, stays small.
    Rare(Box<ControlEvent<A>>),
}

pub(crate) enum ControlEvent<A: Actor> {
    Fail,
    Again(Held<A>),
    ChildExit(ExitNotice),
    PeerExit(ExitNotice, CrashPolicy),
    Inspect(Inspection),
    Health,
}

impl<A: Actor> Event<A> {
    pub(crate) fn rare(rare: ControlEvent<A>) -> Self {
        Self(Kind::Rare(Box::new(rare)))
    }
}

impl<A: Actor> fmt::Debug for Event<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Stop => "Stop",
            Kind::High => "High",
            Kind::Low => "Low",
            Kind::Batch => "Batch",
            Kind::Turn => "Turn",
            Kind::Rare(_) => "Rare(..)",
        })
    }
}
