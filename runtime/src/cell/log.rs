//! What is logged of an actor. It is here, and not where it happens, so that it is compiled once and
//! not for each type of actor.

use tracing::Span;

use super::ActorCell;
use crate::exit::ExitReason;

impl ActorCell {
    /// The span of an incarnation, if a subscriber wants it.
    pub(crate) fn span(&self, incarnation: u32) -> Option<Box<Span>> {
        let span = tracing::info_span!(
            "actor",
            id = self.id.as_u64(),
            name = tracing::field::Empty,
            incarnation,
        );
        if span.is_disabled() {
            return None;
        }
        span.record("name", &*self.name());
        Some(Box::new(span))
    }

    #[cold]
    pub(crate) fn log_failure(&self, reason: &ExitReason) {
        tracing::warn!(
            actor = %self.name(),
            incarnation = self.incarnation(),
            %reason,
            "incarnation failed",
        );
    }

    #[cold]
    pub(crate) fn log_spent(&self, reason: &ExitReason) {
        tracing::warn!(
            actor = %self.name(),
            incarnations = self.incarnation(),
            %reason,
            "restarts are used up",
        );
    }

    #[cold]
    pub(crate) fn log_interrupted(&self, messages: u64, class: &str, type_name: &str) {
        tracing::warn!(
            actor = %self.name(),
            messages,
            class,
            type_name,
            "messages are gone with the handler that crashed with them",
        );
    }

    /// Foreign code has panicked, and the actor goes on.
    #[cold]
    pub(crate) fn log_panic(&self, of: &str, panic: &str) {
        tracing::warn!(actor = %self.actor_name(), %panic, "{of} panicked");
    }
}
