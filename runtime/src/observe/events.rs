//! The event monitor: a callback for each message and for each step in an actor's
//! lifecycle.
//!
//! It must be enabled twice: the actor says [`Actor::EVENTS`], a constant, and the builder sets the
//! monitor. Without the constant the calls are compiled out. For counts there is
//! [`ActorStats`](crate::observe::ActorStats), which cost nothing extra.

use crate::{exit::ExitReason, id::ActorId};

/// Something that happens in an actor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ActorEvent {
    /// An incarnation is about to run `started`.
    Starting {
        /// The number of the incarnation, from 1.
        incarnation: u32,
    },
    /// A message or a batch goes to its handler.
    Handling,
    /// The handler has returned without an error.
    Handled,
    /// A message was dropped because it had expired.
    Expired,
    /// A message of a [`Keeper`](crate::crash::Keeper) comes again, since its handler failed with it or its
    /// process ended. Keepers report this, not the actor's task.
    Redelivered {
        /// The identity that the keeper gave it.
        message: u64,
        /// The attempt, from 2.
        attempt: u32,
    },
    /// A message of a [`Keeper`](crate::crash::Keeper) is a dead letter. Keepers report this, not the actor's
    /// task.
    DeadLetter {
        /// The identity that the keeper gave it.
        message: u64,
    },
    /// An incarnation has ended.
    Ended {
        /// Why it ended.
        reason: ExitReason,
    },
}

/// Receives every [`ActorEvent`] of one actor, in the actor's task: it must be fast. Its panics are
/// caught and traced, and do not affect the actor.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use lanemesh_runtime::{Actor, ActorId, ActorResult, Context, builder, observe::ActorEvent};
///
/// struct Quiet;
/// impl Actor for Quiet {
///     type HighPriorityMsg = ();
///     type LowPriorityMsg = ();
///     const EVENTS: bool = true;
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let log = seen.clone();
/// let monitor = move |_: ActorId, event: ActorEvent| log.lock().unwrap().push(event);
/// let (handle, child) = builder(|| Quiet).events(monitor).spawn();
/// handle.idle().await;
/// child.stop().await;
/// assert!(matches!(seen.lock().unwrap()[0], ActorEvent::Starting { incarnation: 1 }));
/// # }
/// ```
pub trait EventMonitor: Send + 'static {
    /// Something happened in the actor `id`.
    fn event(&mut self, id: ActorId, event: ActorEvent);
}

impl<F: FnMut(ActorId, ActorEvent) + Send + 'static> EventMonitor for F {
    fn event(&mut self, id: ActorId, event: ActorEvent) {
        self(id, event);
    }
}
