//! Which classes of an actor are on disk, and what its handlers get.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use lanemesh_runtime::Actor;

use crate::{
    codec::{CodecError, DurableMessage},
    journal::Client,
    producer::{Audience, Producer},
};

/// A message that a handler can get from disk: a [`DurableMessage`], or one with its
/// circumstances: [`Delivered`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored",
    note = "implement `DurableMessage` for it; a message with a `Reply` cannot be durable, since nobody waits for it after a restart"
)]
pub trait Deliverable: Send + Sized + 'static {
    /// What is stored.
    type Stored: DurableMessage;

    /// Makes the message for the handler.
    fn deliver(stored: Self::Stored, id: u64, attempt: u32) -> Self;
}

impl<M: DurableMessage> Deliverable for M {
    type Stored = M;

    fn deliver(stored: M, _: u64, _: u32) -> M {
        stored
    }
}

/// A message together with its identity and its attempt, for handlers that look at them: the message
/// type of such an actor is `Delivered<M>`, and its producers send `M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered<M> {
    /// The message.
    pub message: M,
    /// Its identity, the same at each attempt: to recognise effects that an earlier attempt had.
    pub id: u64,
    /// The attempt, from 1.
    pub attempt: u32,
}

impl<M: DurableMessage> Deliverable for Delivered<M> {
    type Stored = M;

    fn deliver(message: M, id: u64, attempt: u32) -> Self {
        Self {
            message,
            id,
            attempt,
        }
    }
}

impl<M> Deref for Delivered<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.message
    }
}

impl<M> DerefMut for Delivered<M> {
    fn deref_mut(&mut self) -> &mut M {
        &mut self.message
    }
}

/// Which classes of an actor are on disk.
pub trait Classes<A: Actor>: Sized + Send + 'static {
    /// The high class.
    #[doc(hidden)]
    type High: Class<A::HighPriorityMsg>;
    /// The low class.
    #[doc(hidden)]
    type Low: Class<A::LowPriorityMsg>;
}

/// Both classes are on disk.
#[derive(Debug)]
pub struct Both;

/// The high class is on disk; the low one is in memory.
#[derive(Debug)]
pub struct HighOnly;

/// The low class is on disk; the high one is in memory, and may have questions.
#[derive(Debug)]
pub struct LowOnly;

impl<A: Actor> Classes<A> for Both
where
    A::HighPriorityMsg: Deliverable,
    A::LowPriorityMsg: Deliverable,
{
    type High = OnDisk;
    type Low = OnDisk;
}

impl<A: Actor> Classes<A> for HighOnly
where
    A::HighPriorityMsg: Deliverable,
{
    type High = OnDisk;
    type Low = InMemory;
}

impl<A: Actor> Classes<A> for LowOnly
where
    A::LowPriorityMsg: Deliverable,
{
    type High = InMemory;
    type Low = OnDisk;
}

/// Whether a class is on disk, and how its messages are read.
pub trait Class<M>: 'static {
    /// Whether it is.
    const IS_DURABLE: bool;

    /// What sends to it.
    type Producer: MakeProducer;

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// If this program does not know it.
    fn read(name: &str, version: u32, bytes: &[u8], id: u64, attempt: u32)
    -> Result<M, CodecError>;
}

/// Makes what sends to a class.
pub trait MakeProducer: Clone + Send + 'static {
    #[doc(hidden)]
    fn make(link: Link) -> Self;
}

/// What a producer of an actor is made of.
#[derive(Debug)]
pub struct Link {
    pub(super) client: Client,
    pub(super) queue: u16,
    pub(super) class: u8,
    pub(super) audience: Arc<Audience>,
}

impl<M: DurableMessage> MakeProducer for Producer<M> {
    fn make(link: Link) -> Self {
        Self::new(link.client, link.queue, link.class, Some(link.audience))
    }
}

impl MakeProducer for () {
    fn make(_: Link) -> Self {}
}

/// A class that is on disk.
#[derive(Debug)]
pub struct OnDisk;

/// A class that is not.
#[derive(Debug)]
pub struct InMemory;

impl<M: Deliverable> Class<M> for OnDisk {
    const IS_DURABLE: bool = true;

    type Producer = Producer<M::Stored>;

    fn read(
        name: &str,
        version: u32,
        bytes: &[u8],
        id: u64,
        attempt: u32,
    ) -> Result<M, CodecError> {
        let stored = M::Stored::read(name, version, bytes)?;
        Ok(M::deliver(stored, id, attempt))
    }
}

impl<M: 'static> Class<M> for InMemory {
    const IS_DURABLE: bool = false;

    type Producer = ();

    fn read(name: &str, _: u32, _: &[u8], _: u64, _: u32) -> Result<M, CodecError> {
        // The class was on disk in an earlier program.
        Err(CodecError::new(format_args!(
            "{name} was stored, but its class is not on disk any more"
        )))
    }
}
