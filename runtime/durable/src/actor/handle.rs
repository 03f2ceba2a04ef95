//! The sending end of a durable actor.

use std::{fmt, sync::Arc};

use lanemesh_runtime::{Actor, ActorHandle, Handler, actor::Priority};

use crate::{
    actor::classes::{Both, Class, Classes, Deliverable, HighOnly, Link, LowOnly, MakeProducer},
    codec::DurableMessage,
    journal::Client,
    producer::{Audience, Producer, Receipt, TellError, Terms, Ticket},
};

type HighProducer<A, C> =
    <<C as Classes<A>>::High as Class<<A as Actor>::HighPriorityMsg>>::Producer;
type LowProducer<A, C> = <<C as Classes<A>>::Low as Class<<A as Actor>::LowPriorityMsg>>::Producer;

/// Sends to a durable actor: what is on disk by `high` and `low`, or by `tell` if the actor is a
/// [`Handler`]; all else by its ordinary handle, [`actor`](Self::actor).
///
/// When all handles are gone, the actor handles what is queued, and ends. A clone is another producer.
pub struct DurableHandle<A: Actor, C: Classes<A> = Both> {
    handle: ActorHandle<A>,
    high: HighProducer<A, C>,
    low: LowProducer<A, C>,
}

impl<A: Actor, C: Classes<A>> fmt::Debug for DurableHandle<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableHandle")
            .field("actor", &self.handle.id())
            .finish_non_exhaustive()
    }
}

impl<A: Actor, C: Classes<A>> Clone for DurableHandle<A, C> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            high: self.high.clone(),
            low: self.low.clone(),
        }
    }
}

impl<A: Actor, C: Classes<A>> DurableHandle<A, C> {
    pub(super) fn new(
        handle: ActorHandle<A>,
        client: Client,
        queue: u16,
        audience: Arc<Audience>,
    ) -> Self {
        let link = |class| Link {
            client: client.clone(),
            queue,
            class,
            audience: audience.clone(),
        };
        Self {
            handle,
            high: MakeProducer::make(link(0)),
            low: MakeProducer::make(link(1)),
        }
    }

    /// The actor's ordinary handle. What is sent by it to a class that is on disk is not on disk: it
    /// is lost with the process, and nobody gets a receipt.
    pub fn actor(&mut self) -> &mut ActorHandle<A> {
        &mut self.handle
    }
}

impl<A: Actor> DurableHandle<A, Both>
where
    A::HighPriorityMsg: Deliverable,
    A::LowPriorityMsg: Deliverable,
{
    /// Sends high-priority messages.
    pub fn high(&mut self) -> &mut Producer<<A::HighPriorityMsg as Deliverable>::Stored> {
        &mut self.high
    }

    /// Sends low-priority messages.
    pub fn low(&mut self) -> &mut Producer<<A::LowPriorityMsg as Deliverable>::Stored> {
        &mut self.low
    }
}

impl<A: Actor> DurableHandle<A, HighOnly>
where
    A::HighPriorityMsg: Deliverable,
{
    /// Sends high-priority messages.
    pub fn high(&mut self) -> &mut Producer<<A::HighPriorityMsg as Deliverable>::Stored> {
        &mut self.high
    }
}

impl<A: Actor> DurableHandle<A, LowOnly>
where
    A::LowPriorityMsg: Deliverable,
{
    /// Sends low-priority messages.
    pub fn low(&mut self) -> &mut Producer<<A::LowPriorityMsg as Deliverable>::Stored> {
        &mut self.low
    }
}

impl<A: Handler> DurableHandle<A, Both>
where
    A::Msg: DurableMessage,
{
    fn by_priority(&mut self, message: &A::Msg) -> &mut Producer<A::Msg> {
        match A::priority(message) {
            Priority::High => &mut self.high,
            Priority::Low => &mut self.low,
        }
    }

    /// Stores a message in the class of its [`priority`](Handler::priority), and waits until it is on
    /// disk.
    ///
    /// # Errors
    ///
    /// [`TellError`], with the message.
    ///
    /// # Cancel safety
    ///
    /// A cancelled tell may have stored the message or not.
    pub async fn tell(&mut self, message: A::Msg) -> Result<Ticket, TellError<A::Msg>> {
        self.by_priority(&message).tell(message).await
    }

    /// As [`tell`](Self::tell), with terms.
    ///
    /// # Errors
    ///
    /// As [`tell`](Self::tell).
    ///
    /// # Cancel safety
    ///
    /// As [`tell`](Self::tell).
    pub async fn tell_with(
        &mut self,
        message: A::Msg,
        terms: Terms,
    ) -> Result<Ticket, TellError<A::Msg>> {
        self.by_priority(&message).tell_with(message, terms).await
    }

    /// Sends a message to the disk, and returns its receipt to wait for later.
    ///
    /// # Errors
    ///
    /// As [`Producer::submit`].
    ///
    /// # Cancel safety
    ///
    /// As [`Producer::submit`].
    pub async fn submit(&mut self, message: A::Msg) -> Result<Receipt<A::Msg>, TellError<A::Msg>> {
        self.by_priority(&message).submit(message).await
    }
}
