//! Exit reasons as a kind and a text.

use lanemesh_runtime::{ActorError, ExitReason};

/// The reason as a frame says it. What refers to other actors, such as a link, becomes a text.
pub(crate) fn to_wire(reason: &ExitReason) -> (u8, String) {
    match reason {
        ExitReason::Normal => (0, String::new()),
        ExitReason::Stopped => (1, String::new()),
        ExitReason::Panicked(text) => (3, text.to_string()),
        ExitReason::Killed => (4, String::new()),
        ExitReason::Unhealthy => (5, String::new()),
        ExitReason::Unreachable => (6, String::new()),
        ExitReason::Failed(error) => (2, error.to_string()),
        reason if reason.is_failure() => (2, reason.to_string()),
        _ => (1, String::new()),
    }
}

/// The reason that a frame says.
pub(crate) fn from_wire(kind: u8, text: &str) -> ExitReason {
    match kind {
        0 => ExitReason::Normal,
        1 => ExitReason::Stopped,
        3 => ExitReason::Panicked(text.into()),
        4 => ExitReason::Killed,
        5 => ExitReason::Unhealthy,
        6 => ExitReason::Unreachable,
        _ => ExitReason::Failed(ActorError::msg(text)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn reasons_arrive_as_what_they_were_or_as_their_text() {
        let same = [
            ExitReason::Normal,
            ExitReason::Stopped,
            ExitReason::Failed(ActorError::msg("disk")),
            ExitReason::Panicked("at once".into()),
            ExitReason::Killed,
            ExitReason::Unhealthy,
            ExitReason::Unreachable,
        ];
        for reason in same {
            let (kind, text) = to_wire(&reason);
            let arrived = from_wire(kind, &text);
            assert_eq!(arrived.to_string(), reason.to_string());
            assert_eq!(arrived.is_failure(), reason.is_failure());
        }
        let spent = ExitReason::RestartsSpent(Arc::new(ExitReason::Killed));
        let (kind, text) = to_wire(&spent);
        let arrived = from_wire(kind, &text);
        assert!(arrived.to_string().contains(&spent.to_string()));
    }
}
