//! Looking up an actor on this node and on those that it is linked to.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use lanemesh_runtime::{
    ActorHandle, crash::DeadLetter, edge, handle::AnyRecipient, handle::Recipient,
};

use super::shared::Shared;
use crate::{
    error::LookupError,
    lane::{Lane, Supply, WhenDown, attach, pump_from_first_use},
    remote::Remote,
    transport::BoxFuture,
    wire::Codecs,
};

/// A look-up, made by [`Node::lookup`](crate::Node::lookup). Await it.
///
/// # Cancel safety
///
/// A cancelled look-up has no effect.
#[must_use = "a look-up does nothing unless it is awaited"]
pub struct Lookup<A: Remote> {
    shared: Arc<Shared>,
    name: Arc<str>,
    on: Option<Arc<str>>,
    capacities: (usize, usize),
    when_down: WhenDown,
    dead_letters: Option<AnyRecipient<DeadLetter<A::HighPriorityMsg, A::LowPriorityMsg>>>,
    actor: PhantomData<fn() -> A>,
}

impl<A: Remote> Lookup<A> {
    pub(super) fn new(shared: Arc<Shared>, name: Arc<str>) -> Self {
        Self {
            shared,
            name,
            on: None,
            capacities: (64, 1024),
            when_down: WhenDown::Fail,
            dead_letters: None,
            actor: PhantomData,
        }
    }

    /// Only on the node of this name.
    pub fn on(mut self, node: impl Into<Arc<str>>) -> Self {
        self.on = Some(node.into());
        self
    }

    /// How many high-priority messages each handle may have queued on this node. Default 64.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub fn high_capacity(mut self, capacity: usize) -> Self {
        assert!(
            capacity > 0,
            "a lane needs a capacity of at least one message"
        );
        self.capacities.0 = capacity;
        self
    }

    /// How many low-priority messages each handle may have queued on this node. Default 1024.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub fn low_capacity(mut self, capacity: usize) -> Self {
        assert!(
            capacity > 0,
            "a lane needs a capacity of at least one message"
        );
        self.capacities.1 = capacity;
        self
    }

    /// When the link is down, waits up to `time` for another one to the same incarnation of the node;
    /// what was not written stays queued, and is sent
    /// then. Without this the handle ends at once.
    pub fn wait_for_link(mut self, time: Duration) -> Self {
        self.when_down = WhenDown::Wait(time);
        self
    }

    /// Who gets the messages that were not written when the handle ends.
    pub fn dead_letters(
        mut self,
        recipient: impl Recipient<DeadLetter<A::HighPriorityMsg, A::LowPriorityMsg>> + 'static,
    ) -> Self {
        self.dead_letters = Some(Box::new(recipient));
        self
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) async fn run(&mut self) -> Result<ActorHandle<A>, LookupError> {
        if self
            .on
            .as_ref()
            .is_none_or(|on| **on == *self.shared.me().name)
            && let Some(handle) = self.shared.exported(&self.name)
        {
            return Ok(handle);
        }
        let links = self.shared.links_to(self.on.as_deref());
        if links.is_empty() && self.on.is_some() {
            return Err(LookupError::NoLink);
        }
        // All at once: those that are silent hold up neither the one that knows the actor nor each other.
        let name = &self.name;
        let mut asked: FuturesUnordered<_> = links
            .iter()
            .map(|link| attach::<A>(link, name, Codecs::OWN))
            .collect();
        let mut found = LookupError::Unknown;
        while let Some(answer) = asked.next().await {
            match answer {
                // A later incarnation of its node has taken its place meanwhile, or the link is lost.
                Ok(lane) if lane.open.lock().is_down() => {
                    found = found.or_more(LookupError::LinkDown)
                }
                Ok(lane) => {
                    // The lanes of those that would answer later are closed.
                    drop(asked);
                    return Ok(self.handle(lane));
                }
                Err(error) => found = found.or_more(error),
            }
        }
        Err(found)
    }

    fn handle(&self, lane: Lane) -> ActorHandle<A> {
        let (high, low) = self.capacities;
        let (handle, inlet) = edge::remote(self.name.clone(), high, low);
        pump_from_first_use(Supply {
            inlet,
            lane,
            name: self.name.clone(),
            directory: self.shared.clone(),
            when_down: self.when_down,
            dead_letters: self.dead_letters.as_ref().map(|to| to.boxed_clone()),
        });
        handle
    }
}

impl<A: Remote> IntoFuture for Lookup<A> {
    type Output = Result<ActorHandle<A>, LookupError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let mut lookup = self;
        Box::pin(async move { lookup.run().await })
    }
}

impl<A: Remote> Clone for Lookup<A> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            name: self.name.clone(),
            on: self.on.clone(),
            capacities: self.capacities,
            when_down: self.when_down,
            dead_letters: self.dead_letters.as_ref().map(|to| to.boxed_clone()),
            actor: PhantomData,
        }
    }
}

impl<A: Remote> fmt::Debug for Lookup<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup")
            .field("name", &self.name)
            .field("on", &self.on)
            .finish_non_exhaustive()
    }
}
