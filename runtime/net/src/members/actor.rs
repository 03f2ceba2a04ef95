//! What members tell each other.

use std::sync::Arc;

use lanemesh_runtime::{ActorResult, Context, Handler, actor::Priority};
use serde::{Deserialize, Serialize};

use super::{event::Card, state::Members};
use crate::remote::Remote;

/// Members in one message.
const PART: usize = 64;

/// Who the sender is and which members it is linked to: a part of the whole list.
#[derive(Serialize, Deserialize)]
pub(super) struct Greeting {
    pub(super) from: Card,
    /// The part begins the list.
    pub(super) is_first: bool,
    /// The part ends the list, which now counts.
    pub(super) is_last: bool,
    pub(super) linked: Vec<Card>,
}

/// The whole list, in parts.
pub(super) fn greetings(from: &Card, linked: &[Card]) -> Vec<Greeting> {
    let parts = linked.chunks(PART).map(<[Card]>::to_vec);
    let mut parts: Vec<_> = parts.collect();
    if parts.is_empty() {
        parts.push(Vec::new());
    }
    let count = parts.len();
    let greeting = |(index, linked)| Greeting {
        from: from.clone(),
        is_first: index == 0,
        is_last: index + 1 == count,
        linked,
    };
    parts.into_iter().enumerate().map(greeting).collect()
}

/// Takes the greetings of the peers.
pub(super) struct Greeter(pub(super) Arc<Members>);

impl Handler for Greeter {
    type Msg = Greeting;

    fn priority(_: &Greeting) -> Priority {
        Priority::High
    }

    async fn handle(&mut self, greeting: Greeting, _: &mut Context<Self>) -> ActorResult {
        self.0.greeted(greeting);
        Ok(())
    }
}

impl Remote for Greeter {
    const TYPE: &'static str = "lanemesh/members";
}
