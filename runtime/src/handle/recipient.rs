//! Recipients: anything that accepts messages of one type.
//!
//! A recipient is an actor's high or low lane, a plain channel, or one of these behind a function.
//! Topics and dead letters are sent to recipients. Destinations that this crate does not provide,
//! such as another process or a mailbox on disk, implement [`Recipient`].

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    actor::Actor, cell::ActorCell, error::SendError, handle::actor_handle::ActorHandle, id::ActorId,
};

/// A destination for messages of one type.
pub trait Recipient<M>: Send {
    /// Sends without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] when there is no room, [`SendError::Closed`] when the receiver is gone.
    /// Both return the message.
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>>;

    /// Waits for room for one message, without deadlock detection.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the receiver is gone.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>>;

    /// Sends, and waits for room, without deadlock detection.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], with the message, when the receiver is gone; what else
    /// [`try_send`](Self::try_send) fails with.
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::{handle::{AnyRecipient, Recipient}, spawn, testing::Sink};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (handle, _child) = spawn(Sink::<(), u64>::new());
    /// let (tx, mut rx) = lanemesh::channel(8);
    /// let both: [AnyRecipient<u64>; 2] = [Box::new(handle.low_recipient()), Box::new(tx)];
    /// for mut recipient in both {
    ///     recipient.send(7).await?;
    /// }
    /// assert_eq!(rx.recv().await, Some(7));
    /// # Ok(()) }
    /// ```
    fn send(&mut self, mut message: M) -> impl Future<Output = Result<(), SendError<M>>> + Send
    where
        Self: Sized,
        M: Send,
    {
        async move {
            loop {
                if let Err(error) = poll_fn(|cx| self.poll_ready(cx)).await {
                    return Err(error.map(|()| message));
                }
                match self.try_send(message) {
                    Err(SendError::Full(back)) => message = back, // somebody else took the room
                    outcome => return outcome,
                }
            }
        }
    }

    /// Whether the receiver is gone.
    fn is_closed(&self) -> bool;

    /// Another recipient for the same destination.
    fn boxed_clone(&self) -> AnyRecipient<M>;

    /// The actor at the other end, if there is one.
    fn target(&self) -> Option<ActorId> {
        None
    }

    /// A recipient for the same destination that does not keep an actor running: the actor ends as
    /// if it did not exist. None if there is no difference.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::{ExitReason, handle::Recipient, spawn, testing::Sink};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (handle, child) = spawn(Sink::<(), u64>::new());
    /// let mut weak = handle.low_recipient().weak().expect("an actor is at the other end");
    /// assert!(weak.try_send(1).is_ok());
    /// drop(handle);
    /// assert!(matches!(child.await, ExitReason::Normal));
    /// assert!(weak.is_closed());
    /// # }
    /// ```
    fn weak(&self) -> Option<AnyRecipient<M>> {
        None
    }
}

/// A boxed recipient whose concrete type is not known.
pub type AnyRecipient<M> = Box<dyn Recipient<M>>;

impl<M> fmt::Debug for dyn Recipient<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient")
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}

impl<M: 'static> Recipient<M> for AnyRecipient<M> {
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>> {
        (**self).try_send(message)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        (**self).poll_ready(cx)
    }

    fn is_closed(&self) -> bool {
        (**self).is_closed()
    }

    fn boxed_clone(&self) -> AnyRecipient<M> {
        (**self).boxed_clone()
    }

    fn target(&self) -> Option<ActorId> {
        (**self).target()
    }

    fn weak(&self) -> Option<AnyRecipient<M>> {
        (**self).weak()
    }
}

/// An actor as the recipient of its high-priority messages.
#[derive(Debug)]
pub struct HighRecipient<A: Actor>(ActorHandle<A>);

/// An actor as the recipient of its low-priority messages.
#[derive(Debug)]
pub struct LowRecipient<A: Actor>(ActorHandle<A>);

impl<A: Actor> ActorHandle<A> {
    /// The actor as the recipient of its high-priority messages, through a clone of this handle.
    pub fn high_recipient(&self) -> HighRecipient<A> {
        HighRecipient(self.clone())
    }

    /// The actor as the recipient of its low-priority messages, through a clone of this handle.
    pub fn low_recipient(&self) -> LowRecipient<A> {
        LowRecipient(self.clone())
    }
}

impl<A: Actor> Recipient<A::HighPriorityMsg> for HighRecipient<A> {
    fn try_send(
        &mut self,
        message: A::HighPriorityMsg,
    ) -> Result<(), SendError<A::HighPriorityMsg>> {
        self.0.try_send_high(message)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.0.poll_ready_high(cx)
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn boxed_clone(&self) -> AnyRecipient<A::HighPriorityMsg> {
        Box::new(Self(self.0.clone()))
    }

    fn target(&self) -> Option<ActorId> {
        Some(self.0.id())
    }

    fn weak(&self) -> Option<AnyRecipient<A::HighPriorityMsg>> {
        Some(Box::new(WeakRecipient::new(Self(self.0.clone()), &self.0)))
    }
}

impl<A: Actor> Recipient<A::LowPriorityMsg> for LowRecipient<A> {
    fn try_send(&mut self, message: A::LowPriorityMsg) -> Result<(), SendError<A::LowPriorityMsg>> {
        self.0.try_send_low(message)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.0.poll_ready_low(cx)
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn boxed_clone(&self) -> AnyRecipient<A::LowPriorityMsg> {
        Box::new(Self(self.0.clone()))
    }

    fn target(&self) -> Option<ActorId> {
        Some(self.0.id())
    }

    fn weak(&self) -> Option<AnyRecipient<A::LowPriorityMsg>> {
        Some(Box::new(WeakRecipient::new(Self(self.0.clone()), &self.0)))
    }
}

/// An actor's recipient that does not keep it running.
struct WeakRecipient<R> {
    /// Before the recipient, so that it is dropped before it.
    weak: WeakSender,
    recipient: R,
}

/// Counts a sender as one that does not keep its actor running.
struct WeakSender(Arc<ActorCell>);

impl<R> WeakRecipient<R> {
    /// `recipient` has a sender of its own to the actor of `handle`.
    fn new<A: Actor>(recipient: R, handle: &ActorHandle<A>) -> Self {
        Self::counted(recipient, handle.cell().clone())
    }

    fn counted(recipient: R, cell: Arc<ActorCell>) -> Self {
        cell.add_weak_sender();
        Self {
            weak: WeakSender(cell),
            recipient,
        }
    }
}

impl Drop for WeakSender {
    fn drop(&mut self) {
        self.0.remove_weak_sender();
    }
}

impl<M: 'static, R: Recipient<M> + 'static> Recipient<M> for WeakRecipient<R> {
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>> {
        self.recipient.try_send(message)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.recipient.poll_ready(cx)
    }

    fn is_closed(&self) -> bool {
        self.recipient.is_closed()
    }

    fn boxed_clone(&self) -> AnyRecipient<M> {
        let recipient = self.recipient.boxed_clone();
        Box::new(WeakRecipient::counted(recipient, self.weak.0.clone()))
    }

    fn target(&self) -> Option<ActorId> {
        self.recipient.target()
    }

    fn weak(&self) -> Option<AnyRecipient<M>> {
        Some(self.boxed_clone())
    }
}

impl<M: Send + 'static> Recipient<M> for lanemesh::Sender<M> {
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>> {
        lanemesh::Sender::try_send(self, message).map_err(|error| match error {
            lanemesh::TrySendError::Full(message) => SendError::Full(message),
            lanemesh::TrySendError::Closed(message) => SendError::Closed(message),
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.poll_reserve(cx).map_err(|_| SendError::Closed(()))
    }

    fn is_closed(&self) -> bool {
        lanemesh::Sender::is_closed(self)
    }

    fn boxed_clone(&self) -> AnyRecipient<M> {
        Box::new(self.clone())
    }
}

/// A recipient behind a conversion; made by [`map_recipient`].
pub struct MapRecipient<N, F> {
    inner: AnyRecipient<N>,
    wrap: F,
}

/// Turns a recipient of `N` into a recipient of `M`.
///
/// `wrap` makes the `N`. `unwrap` undoes it for a message that could not be sent: it only gets
/// values that `wrap` has made.
///
/// # Examples
///
/// An actor that takes the values of a topic among its other messages.
///
/// ```
/// use lanemesh_runtime::{ActorResult, Context, Handler, handle::map_recipient, spawn};
/// use lanemesh_runtime::patterns::{SlowPolicy, Topic};
///
/// struct Trader;
///
/// enum Msg {
///     Price(u32),
///     Stop,
/// }
///
/// impl Handler for Trader {
///     type Msg = Msg;
///
///     async fn handle(&mut self, msg: Msg, ctx: &mut Context<Self>) -> ActorResult {
///         match msg {
///             Msg::Price(price) => println!("{price}"),
///             Msg::Stop => ctx.stop(),
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut trader, child) = spawn(Trader);
/// let unwrap = |msg| match msg {
///     Msg::Price(price) => price,
///     Msg::Stop => unreachable!("no price was wrapped as this"),
/// };
/// let prices = Topic::new();
/// let recipient = map_recipient(trader.low_recipient(), Msg::Price, unwrap);
/// prices.subscribe_recipient(recipient, SlowPolicy::Drop);
/// assert_eq!(prices.publisher().publish(7).await.queued, 1);
/// trader.idle().await;
/// assert_eq!(trader.stats().low, 1);
/// trader.tell(Msg::Stop).await?;
/// assert!(!child.await.is_failure());
/// # Ok(()) }
/// ```
pub fn map_recipient<M, N: 'static, W, U>(
    recipient: impl Recipient<N> + 'static,
    wrap: W,
    unwrap: U,
) -> MapRecipient<N, (W, U)>
where
    W: Fn(M) -> N + Clone + Send + 'static,
    U: Fn(N) -> M + Clone + Send + 'static,
{
    MapRecipient {
        inner: Box::new(recipient),
        wrap: (wrap, unwrap),
    }
}

impl<N: 'static, F> fmt::Debug for MapRecipient<N, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapRecipient")
            .field("target", &self.inner.target())
            .finish_non_exhaustive()
    }
}

impl<M, N: 'static, W, U> Recipient<M> for MapRecipient<N, (W, U)>
where
    W: Fn(M) -> N + Clone + Send + 'static,
    U: Fn(N) -> M + Clone + Send + 'static,
{
    fn try_send(&mut self, message: M) -> Result<(), SendError<M>> {
        let (wrap, unwrap) = &self.wrap;
        self.inner
            .try_send(wrap(message))
            .map_err(|error| error.map(unwrap))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.inner.poll_ready(cx)
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn boxed_clone(&self) -> AnyRecipient<M> {
        Box::new(Self {
            inner: self.inner.boxed_clone(),
            wrap: self.wrap.clone(),
        })
    }

    fn target(&self) -> Option<ActorId> {
        self.inner.target()
    }

    fn weak(&self) -> Option<AnyRecipient<M>> {
        Some(Box::new(Self {
            inner: self.inner.weak()?,
            wrap: self.wrap.clone(),
        }))
    }
}
