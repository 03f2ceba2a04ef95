//! Who takes the messages of a queue, and passing them on.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use crate::{
    engine::{DeadReason, Engine, Taken},
    journal::command::{Claimed, HandOver, Sink, StoreError, Undelivered},
};

/// Whoever waits for messages of a queue.
pub(super) struct Waiter {
    pub(super) limit: usize,
    pub(super) reply: oneshot::Sender<HandOver>,
}

/// Who takes the messages of a queue.
#[derive(Default)]
pub(super) struct Outlet {
    pub(super) sink: Option<Box<dyn Sink>>,
    /// The actor that has it, or will in a moment; 0 is none.
    pub(super) claim: u64,
    pub(super) is_abandoned: bool,
    /// The actor's lane had no room: a message that was handled may leave its slot a moment later.
    pub(super) is_blocked: bool,
    pub(super) waiters: VecDeque<Waiter>,
    /// Who waits for the end of an actor.
    pub(super) openers: Vec<oneshot::Sender<Result<Claimed, StoreError>>>,
}

pub(super) fn sink_of(
    outlets: &mut HashMap<u16, Outlet>,
    queue: u16,
) -> Option<&mut Box<dyn Sink>> {
    outlets.get_mut(&queue)?.sink.as_mut()
}

/// Passes on what is due. Returns whether it has to be tried again, since a lane had no room.
pub(super) fn deliver_to(engine: &mut Engine, queue: u16, sink: &mut dyn Sink, now: u64) -> bool {
    let mut is_blocked = false;
    for class in [0, 1] {
        while let Some(message) = engine.take(queue, class, now) {
            let Taken { id, attempt, .. } = message;
            match sink.deliver(message) {
                Ok(()) if attempt > 1 => sink.redelivered(id, attempt),
                Ok(()) => {}
                Err(Undelivered::Undecodable) => {
                    engine.reject(id, DeadReason::Undecodable, now);
                }
                Err(error) => {
                    is_blocked |= matches!(error, Undelivered::Full);
                    engine.release(id);
                    break;
                }
            }
        }
    }
    is_blocked
}
