//! The receiving end: stores or handles what outboxes send, once each as far as it remembers.

use std::{collections::HashMap, fmt, sync::Arc};

use lanemesh_durable::{DurableMessage, Producer, StoreError, Terms};
use lanemesh_net::{ExportError, ExportOptions, Node, Remote};
use lanemesh_runtime::{Actor, ActorResult, Child, Context, spawn};

use crate::wire::{Answer, Batch, Failure, Item, TYPE};

/// Outboxes whose numbers an inbox without a store remembers.
const MAX_PRODUCERS: usize = 1 << 16;

/// An exported inbox. When it is dropped, nothing is taken any more; outboxes keep what they have.
#[must_use = "nothing is taken any more when it is dropped"]
pub struct Inbox {
    node: Node,
    name: Arc<str>,
    _actor: Child,
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.node.withdraw(&self.name);
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inbox").field(&self.name).finish()
    }
}

/// Exports an inbox under a name. What arrives is stored for a durable actor by `producer`, in the class that this
/// producer has, and confirmed when it is on disk. Each message is stored once, as long as the queue remembers its
/// producers ([`QueueOptions::producer_window`](lanemesh_durable::QueueOptions::producer_window), which should be longer than an outage).
///
/// # Errors
///
/// See [`ExportError`].
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn export_durable<M: DurableMessage>(
    node: &Node,
    name: impl Into<Arc<str>>,
    producer: Producer<M>,
    options: ExportOptions,
) -> Result<Inbox, ExportError> {
    export(node, name.into(), Stored(producer), options)
}

/// Exports an inbox under a name. What arrives is passed to `handle`, one after the other, and confirmed when that
/// has returned `Ok`; after an error it comes again. `handle` usually asks an actor.
///
/// A message that comes again after it was confirmed is dropped, as long as this inbox lives.
///
/// # Errors
///
/// See [`ExportError`].
///
/// # Panics
///
/// Outside of a tokio runtime.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// # use lanemesh_durable::DurableMessage;
/// # use lanemesh_net::{ExportError, ExportOptions, Node};
/// # use lanemesh_outbox::{Inbox, export_handled};
/// # use lanemesh_runtime::{ActorHandle, Handler, Reply};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Order(u64);
/// # impl DurableMessage for Order { const NAME: &'static str = "order"; }
/// enum Msg {
///     Order(Order, Reply<()>), // answered when it is done
/// }
///
/// fn take_orders<A: Handler<Msg = Msg>>(node: &Node, desk: &ActorHandle<A>) -> Result<Inbox, ExportError> {
///     let desk = desk.clone().shared();
///     export_handled(node, "orders", move |order: Order| {
///         let desk = desk.clone();
///         async move { desk.ask(|reply| Msg::Order(order, reply), Duration::from_secs(10)).await }
///     }, ExportOptions::new())
/// }
/// ```
pub fn export_handled<M, F, R, E>(
    node: &Node,
    name: impl Into<Arc<str>>,
    handle: F,
    options: ExportOptions,
) -> Result<Inbox, ExportError>
where
    M: DurableMessage,
    F: FnMut(M) -> R + Send + 'static,
    R: Future<Output = Result<(), E>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    let handled = Handled {
        handle,
        last: HashMap::new(),
        message: std::marker::PhantomData,
    };
    export(node, name.into(), handled, options)
}

fn export<T: Take>(
    node: &Node,
    name: Arc<str>,
    take: T,
    options: ExportOptions,
) -> Result<Inbox, ExportError> {
    let (handle, child) = spawn(Clerk(take));
    node.export_with(name.clone(), &handle, options)?;
    Ok(Inbox {
        node: node.clone(),
        name,
        _actor: child,
    })
}

/// Takes messages of one class.
trait Take: Send + 'static {
    type Message: DurableMessage;

    /// Takes messages in their order, and none after one that fails. Counts those that were taken in the answer.
    fn take(
        &mut self,
        producer: u128,
        is_high: bool,
        messages: Vec<(u64, Self::Message)>,
        answer: &mut Answer,
    ) -> impl Future<Output = ()> + Send;
}

struct Clerk<T>(T);

impl<T: Take> Clerk<T> {
    async fn take(&mut self, is_high: bool, batch: Batch) -> ActorResult {
        let Batch {
            producer,
            kind,
            items,
            reply,
        } = batch;
        let mut answer = Answer::default();
        let mut messages = Vec::with_capacity(items.len());
        let mut unreadable = None;
        for item in items {
            let Item {
                number,
                version,
                bytes,
            } = item;
            match T::Message::read(&kind, version, &bytes) {
                Ok(message) => messages.push((number, message)),
                Err(error) => {
                    unreadable = Some(Failure::Never(error.to_string()));
                    break;
                }
            }
        }
        if !messages.is_empty() {
            self.0.take(producer, is_high, messages, &mut answer).await;
        }
        if answer.failure.is_none() {
            answer.failure = unreadable;
        }
        drop(reply.send(answer)); // the outbox may be gone
        Ok(())
    }
}

impl<T: Take> Actor for Clerk<T> {
    type HighPriorityMsg = Batch;
    type LowPriorityMsg = Batch;

    async fn on_high(&mut self, batch: Batch, _: &mut Context<Self>) -> ActorResult {
        self.take(true, batch).await
    }

    async fn on_low(&mut self, batch: Batch, _: &mut Context<Self>) -> ActorResult {
        self.take(false, batch).await
    }
}

impl<T: Take> Remote for Clerk<T> {
    const TYPE: &'static str = TYPE;
}

/// For a durable actor.
struct Stored<M>(Producer<M>);

impl<M: DurableMessage> Take for Stored<M> {
    type Message = M;

    async fn take(
        &mut self,
        producer: u128,
        is_high: bool,
        messages: Vec<(u64, M)>,
        answer: &mut Answer,
    ) {
        // Both classes of an outbox have numbers of their own, and may meet in one class here.
        self.0.set_identity(producer ^ u128::from(is_high));
        let numbers: Vec<u64> = messages.iter().map(|(number, _)| *number).collect();
        let messages = messages.into_iter();
        let messages = messages.map(|(number, message)| (message, Terms::new().number(number)));
        let (tickets, error) = match self.0.tell_many_with(messages.collect()).await {
            Ok(tickets) => (tickets, None),
            Err(error) => (error.stored, Some(error.error)),
        };
        answer.confirmed = tickets.len();
        let known = numbers.iter().zip(&tickets);
        let known = known.filter(|(_, ticket)| ticket.is_duplicate);
        answer.known = known.map(|(number, _)| *number).collect();
        answer.failure = error.map(|error| {
            let text = error.to_string();
            match error {
                StoreError::TooLarge | StoreError::Encode(_) => Failure::Never(text),
                _ => Failure::Later(text),
            }
        });
    }
}

/// For a function.
struct Handled<M, F> {
    handle: F,
    /// The last number of each outbox and class.
    last: HashMap<(u128, bool), u64>,
    message: std::marker::PhantomData<fn(M)>,
}

impl<M, F, R, E> Take for Handled<M, F>
where
    M: DurableMessage,
    F: FnMut(M) -> R + Send + 'static,
    R: Future<Output = Result<(), E>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    type Message = M;

    async fn take(
        &mut self,
        producer: u128,
        is_high: bool,
        messages: Vec<(u64, M)>,
        answer: &mut Answer,
    ) {
        if self.last.len() >= MAX_PRODUCERS {
            self.last.clear(); // what is sent again from now on comes twice
        }
        let last = self.last.entry((producer, is_high)).or_default();
        for (number, message) in messages {
            if number <= *last {
                answer.known.push(number);
            } else if let Err(error) = (self.handle)(message).await {
                answer.failure = Some(Failure::Later(error.to_string()));
                return;
            } else {
                *last = number;
            }
            answer.confirmed += 1;
        }
    }
}
