//! A bound by weight, such as bytes, on the messages of one channel or of several.
//!
//! It promises that the messages that were weighed and not unwrapped never weigh more than the limit together, and that
//! those who wait are served in the order in which they began. It does not send: a [`Weighed`] message goes by whatever
//! channel carries it, and brings its weight back when the receiver unwraps it, or when it is dropped anywhere.

mod error;
mod pool;
mod weighed;

use std::{fmt, future::poll_fn, pin::pin, task::Context};

use self::pool::Pool;
pub use self::{
    error::{TryWeighError, WeighError},
    weighed::{Weighed, WeightPermit},
};
use crate::sync::{
    Arc, park,
    semaphore::{Acquire, Acquired},
};

/// A bound on what messages weigh together, in bytes or in whatever its function counts.
///
/// A capacity counts messages. Where they differ much in size, a limit bounds what they take: a sender weighs each
/// message, waiting until it fits, and sends the [`Weighed`] message that it gets. The weight comes back when that is
/// unwrapped by [`into_inner`](Weighed::into_inner), or dropped, be it by the receiver or with the channel. So the bound
/// holds for messages that wait in a channel, and for those that the receiver handles and has not unwrapped yet.
///
/// Clones are the same limit. It may serve all senders of a channel, one class of a mailbox, or several channels. The
/// capacities of those hold as well.
///
/// No message weighs less than 1. Limits of up to 2^29 - 1 count exactly; larger ones count in steps of the smallest power
/// of two with which that many steps suffice, and round weights up (and the limit down).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use lanemesh::{TryWeighError, WeightLimit, Weighed, channel};
///
/// let limit = WeightLimit::new(1000, |packet: &Vec<u8>| packet.len());
/// let (mut tx, mut rx) = channel::<Weighed<Vec<u8>>>(64);
///
/// tx.send(limit.weigh(vec![0; 700]).await.unwrap()).await.unwrap();
/// let packet = match limit.try_weigh(vec![0; 400]) {
///     Err(TryWeighError::Full(packet)) => packet,
///     _ => unreachable!("700 and 400 are more than 1000"),
/// };
/// let first = rx.recv().await.unwrap();
/// assert_eq!((first.len(), first.weight()), (700, 700));
/// let first: Vec<u8> = first.into_inner();
/// assert!(limit.try_weigh(packet).is_ok());
///
/// let refused = limit.weigh(vec![0; 1001]).await.unwrap_err();
/// assert!(refused.is_too_heavy());
/// # }
/// ```
///
/// One limit for each class of a mailbox:
///
/// ```
/// use lanemesh::{Message, WeightLimit, Weighed, mailbox};
///
/// let media = WeightLimit::new(1 << 20, |packet: &Vec<u8>| packet.len());
/// let (mut tx, mut rx) = mailbox::<&str, Weighed<Vec<u8>>>(16, 1024);
/// tx.try_send_low(media.try_weigh(vec![1; 1200]).unwrap()).unwrap();
/// tx.try_send_high("stop").unwrap();
/// assert_eq!(rx.try_recv().unwrap(), Message::High("stop"));
/// ```
pub struct WeightLimit<T> {
    pool: Arc<Pool>,
    weigh: fn(&T) -> usize,
}

impl<T> WeightLimit<T> {
    /// A limit of `max` for messages that weigh what `weigh` says. It is called once for each message, by its sender.
    ///
    /// # Panics
    ///
    /// Panics if `max` is zero.
    #[track_caller]
    pub fn new(max: usize, weigh: fn(&T) -> usize) -> Self {
        assert!(max > 0, "a weight limit must be at least 1, but was 0");
        Self {
            pool: Arc::new(Pool::new(max)),
            weigh,
        }
    }

    /// Weighs a message, if it fits now.
    ///
    /// # Errors
    ///
    /// [`TryWeighError`] with the message: `Full` if it does not fit beside what is out, or others wait; `TooHeavy` if it
    /// weighs more than the whole limit; `Closed` after [`close`](Self::close).
    pub fn try_weigh(&self, message: T) -> Result<Weighed<T>, TryWeighError<T>> {
        match self.try_reserve((self.weigh)(&message)) {
            Ok(permit) => Ok(Weighed::new(message, permit)),
            Err(error) => Err(error.map(|()| message)),
        }
    }

    /// Weighs a message, waiting until it fits.
    ///
    /// # Errors
    ///
    /// [`WeighError`] with the message: `TooHeavy` if it weighs more than the whole limit, `Closed` after
    /// [`close`](Self::close), also while it waits.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message is dropped with it, and its place in the queue goes to the
    /// next. To keep the message, wait with [`reserve`](Self::reserve).
    pub async fn weigh(&self, message: T) -> Result<Weighed<T>, WeighError<T>> {
        match self.reserve((self.weigh)(&message)).await {
            Ok(permit) => Ok(Weighed::new(message, permit)),
            Err(error) => Err(error.map(|()| message)),
        }
    }

    /// As [`weigh`](Self::weigh), for threads: parks the thread while the message does not fit.
    ///
    /// # Errors
    ///
    /// As for [`weigh`](Self::weigh).
    pub fn blocking_weigh(&self, message: T) -> Result<Weighed<T>, WeighError<T>> {
        match self.blocking_reserve((self.weigh)(&message)) {
            Ok(permit) => Ok(Weighed::new(message, permit)),
            Err(error) => Err(error.map(|()| message)),
        }
    }

    /// Reserves weight for a message that is yet to be made, if it fits now.
    ///
    /// # Errors
    ///
    /// As for [`try_weigh`](Self::try_weigh).
    pub fn try_reserve(&self, weight: usize) -> Result<WeightPermit<T>, TryWeighError<()>> {
        let Some(steps) = self.pool.steps_of(weight) else {
            return Err(TryWeighError::TooHeavy(()));
        };
        match self.pool.steps.try_acquire(steps, |owners| owners) {
            Ok(_) => Ok(self.permit(steps)),
            Err(word) if word.is_closed() => Err(TryWeighError::Closed(())),
            Err(_) => Err(TryWeighError::Full(())),
        }
    }

    /// Reserves weight for a message that is yet to be made, waiting until it is free.
    ///
    /// # Errors
    ///
    /// As for [`weigh`](Self::weigh).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, its place in the queue goes to the next. Nothing else is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let limit = lanemesh::WeightLimit::new(1500, |packet: &Vec<u8>| packet.len());
    /// let permit = limit.reserve(1500).await.unwrap();
    /// // Read something of up to 1500 bytes; what it does not use is free again.
    /// let packet = permit.attach(vec![0; 900]).unwrap();
    /// assert_eq!(limit.available(), 600);
    /// # drop(packet);
    /// # }
    /// ```
    pub async fn reserve(&self, weight: usize) -> Result<WeightPermit<T>, WeighError<()>> {
        let steps = self.pool.steps_of(weight).ok_or(WeighError::TooHeavy(()))?;
        let mut wait = pin!(Acquire::new(&self.pool.steps, steps));
        let acquired = poll_fn(|cx| wait.as_mut().poll(cx, |_| true)).await;
        self.reserved(&acquired, steps)
    }

    /// As [`reserve`](Self::reserve), for threads: parks the thread while the weight is not free.
    ///
    /// # Errors
    ///
    /// As for [`weigh`](Self::weigh).
    pub fn blocking_reserve(&self, weight: usize) -> Result<WeightPermit<T>, WeighError<()>> {
        let mut wait = pin!(self.reserve(weight));
        let poll = |cx: &mut Context<'_>| wait.as_mut().poll(cx);
        match park::block_on(None, poll) {
            Some(reserved) => reserved,
            None => unreachable!("there is no deadline"),
        }
    }

    fn reserved(
        &self,
        acquired: &Acquired,
        steps: usize,
    ) -> Result<WeightPermit<T>, WeighError<()>> {
        match acquired {
            Acquired::Permits => Ok(self.permit(steps)),
            Acquired::Closed | Acquired::Unwilling(_) => Err(WeighError::Closed(())),
        }
    }

    /// The permit for steps that were acquired.
    fn permit(&self, steps: usize) -> WeightPermit<T> {
        WeightPermit::new(self.pool.clone(), steps, self.weigh)
    }

    /// Refuses to weigh any more, and ends all waits. Messages that were weighed are not touched.
    ///
    /// A limit belongs to no channel, so closing a channel does not end the waits for weight. They end when the receiver
    /// takes or drops what is in the channel: whoever then gets the weight finds the channel closed. A receiver that is
    /// closed and neither emptied nor dropped should close the limit too.
    ///
    /// A waker may panic, when all is done.
    pub fn close(&self) {
        if self.pool.steps.close().has_waiters() {
            self.pool.steps.serve();
        }
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.pool.steps.load().is_closed()
    }

    /// What all messages may weigh together.
    pub fn max(&self) -> usize {
        self.pool.max()
    }

    /// The weight that is free; a snapshot.
    pub fn available(&self) -> usize {
        self.pool.weight_of(self.pool.steps.load().free())
    }
}

impl<T> Clone for WeightLimit<T> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            weigh: self.weigh,
        }
    }
}

impl<T> fmt::Debug for WeightLimit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeightLimit")
            .field("max", &self.max())
            .field("available", &self.available())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
