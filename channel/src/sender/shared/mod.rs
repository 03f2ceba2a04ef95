//! A sender for `&self`, such as a web server's state needs: its clones share one lane, one bound and one order.

// One thing: mod, weak: a sender makes weak handles, which lead back to it.
mod acquire;
mod batch;
mod blocking;
mod coop;
mod permit;
#[cfg(feature = "sink")]
mod sink;
mod weak;

use std::{fmt, ptr::NonNull};

#[cfg(feature = "sink")]
pub use self::sink::SharedSink;
pub use self::{
    permit::{SharedOwnedPermit, SharedPermit, SharedPermits},
    weak::WeakSharedSender,
};
use crate::{
    error::{SendError, TrySendError},
    fan_in::{FanIn, handle::FanInRef, shared_lane::SharedLane},
    sender::Sender,
    sync::{Arc, AtomicUsize, Ordering},
};

/// A sender that is cloned and shared as `tokio::sync::mpsc::Sender` is: all methods take `&self`, and its clones share
/// one lane.
///
/// The lane has one bound, [`capacity`](Self::capacity), and one order: what was sent first, through whichever
/// clone, is received first. Sends that wait for room get it in the order in which they began to wait, and a send that
/// comes later does not overtake them. A clone costs two increments and no memory.
///
/// | | [`Sender`] | `SharedSender` |
/// |---|---|---|
/// | sends take | `&mut self` | `&self` |
/// | a clone is | another producer, with a lane and a capacity of its own | the same producer |
/// | order | that of one sender | that of all its clones |
/// | a send costs | no read-modify-write, while the receiver is busy | two |
/// | a thread that is stopped within a send delays | nobody | what is sent behind it through the same clones |
///
/// The capacity is that of the channel's lanes, and at most 536,870,911 messages. A small ring of slots is allocated
/// when the first message is sent, and larger ones when it is full, up to the capacity; when there is no memory for
/// one the lane is full as it is. No lock is held while code of others runs: wakers, drops of messages, subscribers and
/// allocators may use this very sender.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (tx, mut rx) = lanemesh::channel(16);
/// let state = tx.shared();
/// for request in 0..3 {
///     let state = state.clone();
///     tokio::spawn(async move { state.send(request).await });
/// }
/// drop(state);
/// let mut sum = 0;
/// while let Some(request) = rx.recv().await {
///     sum += request;
/// }
/// assert_eq!(sum, 3);
/// # }
/// ```
pub struct SharedSender<T> {
    group: Arc<Group<T>>,
}

impl<T> Sender<T> {
    /// A sender that is cloned and shared through `&self`, whose clones share one lane, one bound and one order.
    ///
    /// It has a lane of its own: what this sender has sent or staged before is received as well, but in no order
    /// with what is sent through the shared one. Call this before the first send.
    pub fn shared(self) -> SharedSender<T> {
        self.fan_in.add_sender();
        SharedSender::first(self.fan_in.clone())
    }
}

/// What clones share. They count as one sender of the fan-in.
struct Group<T> {
    fan_in: FanInRef<T>,
    lane: Arc<SharedLane<T>>,
    /// Senders of this group. The lane ends with the last one.
    handles: AtomicUsize,
    /// Weak handles to this group.
    weak: AtomicUsize,
}

impl<T> Group<T> {
    fn strong_count(&self) -> usize {
        // ORDERING: Relaxed; a count.
        self.handles.load(Ordering::Relaxed)
    }

    fn weak_count(&self) -> usize {
        // ORDERING: Relaxed; a count.
        self.weak.load(Ordering::Relaxed)
    }
}

impl<T> SharedSender<T> {
    /// The first sender of a lane, which has been counted.
    fn first(fan_in: FanInRef<T>) -> Self {
        let lane = fan_in.open_shared_lane();
        Self {
            group: Arc::new(Group {
                fan_in,
                lane,
                handles: AtomicUsize::new(1),
                weak: AtomicUsize::new(0),
            }),
        }
    }

    /// Sends a message if the lane has room, and nobody waits for it.
    ///
    /// Waits for nobody, and takes no lock.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] when the lane holds [`capacity`](Self::capacity) messages and permits, or sends wait
    /// for room, and [`TrySendError::Closed`] when the channel is closed; both give the message back. `Ok` means that
    /// the receiver sees the message, or drops it with the rest when it is dropped itself.
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let Group { fan_in, lane, .. } = &*self.group;
        if fan_in.bound.is_some() {
            return self.try_send_bound(message);
        }
        lane.try_send(&fan_in.ready, message)
    }

    /// The same where one bound is set for all lanes.
    #[cold]
    fn try_send_bound(&self, message: T) -> Result<(), TrySendError<T>> {
        match self.try_acquire(1) {
            Ok(()) => self.send_reserved(message).map_err(TrySendError::from),
            Err(error) => Err(error.map(|()| message)),
        }
    }

    /// Sends a message, waiting for room in the lane.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message when the channel is closed, or closes while it waits.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped before it is ready, the message is dropped with it and was not sent, and its place in
    /// the order of those who wait is lost. To keep the message, wait with [`reserve`](Self::reserve). Sends
    /// that always find room yield to the executor once in 128, or in
    /// [`budget`](crate::Builder::budget) messages.
    pub async fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.cooperate().await;
        let message = match self.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(message)) => return Err(SendError(message)),
            Err(TrySendError::Full(message)) => message,
        };
        match self.wait(1).await {
            Ok(()) => self.send_reserved(message),
            Err(_) => Err(SendError(message)),
        }
    }

    /// Waits until the receiver closes the channel or is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn closed(&self) {
        self.group.fan_in.closed().await;
    }

    /// Whether the receiver has closed the channel or is gone.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.group.fan_in.is_closed()
    }

    /// Messages that the lane holds at most, permits included.
    pub fn capacity(&self) -> usize {
        self.group.lane.capacity()
    }

    /// Messages for which there is room now, or would be if nobody waited: neither sent and not yet taken, nor held by a
    /// permit. The receiver gives room back for several messages at a time, and at the latest when it has taken all.
    pub fn remaining_capacity(&self) -> usize {
        let Group { fan_in, lane, .. } = &*self.group;
        let free = fan_in
            .bound
            .as_ref()
            .map_or(usize::MAX, |bound| bound.free());
        lane.free().min(free)
    }

    /// Messages of this sender and its clones that the receiver has not taken.
    pub fn len(&self) -> usize {
        self.group.lane.len()
    }

    /// Whether the receiver has taken all messages of this sender and its clones.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Senders that share this lane: this one and its clones.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = lanemesh::channel::<u8>(1);
    /// let tx = tx.shared();
    /// let clone = tx.clone();
    /// let weak = tx.downgrade();
    /// assert_eq!((tx.strong_count(), tx.weak_count()), (2, 1));
    /// // Together they are one producer.
    /// assert_eq!(rx.sender_count(), 1);
    /// drop((tx, clone));
    /// assert_eq!((weak.strong_count(), weak.weak_count()), (0, 1));
    /// ```
    pub fn strong_count(&self) -> usize {
        self.group.strong_count()
    }

    /// Weak handles to this lane, made by [`downgrade`](Self::downgrade). A [`WeakSender`](crate::WeakSender) of the
    /// channel is not counted, nor do these count in [`Receiver::weak_sender_count`](crate::Receiver::weak_sender_count).
    pub fn weak_count(&self) -> usize {
        self.group.weak_count()
    }

    /// Whether both send to the same receiver. Clones do; others may as well, through a lane of their own.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.group.fan_in.ptr_eq(&other.group.fan_in)
    }

    /// A handle that does not keep the channel open, nor the lane.
    pub fn downgrade(&self) -> WeakSharedSender<T> {
        WeakSharedSender::new(self.group.clone())
    }

    /// A new producer of the same channel, with a lane of its own, for sends through `&mut self`.
    pub fn sender(&self) -> Sender<T> {
        self.group.fan_in.add_sender();
        Sender::first(self.group.fan_in.clone())
    }

    /// Counts a message that was dropped because the lane was full.
    pub(crate) fn count_drop(&self) {
        self.group.fan_in.count_drop();
    }
}

/// The same producer: the clone shares the lane, its bound and its order.
impl<T> Clone for SharedSender<T> {
    fn clone(&self) -> Self {
        // ORDERING: Relaxed; the caller has one, so the count cannot be zero.
        self.group.handles.fetch_add(1, Ordering::Relaxed);
        Self {
            group: self.group.clone(),
        }
    }
}

/// The last clone ends the lane: the receiver still gets what is in it.
impl<T> Drop for SharedSender<T> {
    fn drop(&mut self) {
        /// Counts the sender off even when the receiver's waker panics.
        struct Gone<'a, T>(&'a FanIn<T>);
        impl<T> Drop for Gone<'_, T> {
            fn drop(&mut self) {
                self.0.remove_sender();
            }
        }
        let Group {
            fan_in,
            lane,
            handles,
            ..
        } = &*self.group;
        // ORDERING: AcqRel: the last one sees what all others did, and ends the lane after it.
        if handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _gone = Gone(fan_in);
            if !lane.end(&fan_in.ready) {
                // SAFETY: the fan-in has opened it, and the receiver does not come to a lane through which nothing
                // was sent.
                unsafe { fan_in.forget_shared_lane(NonNull::from(&**lane)) };
            }
        }
    }
}

impl<T> fmt::Debug for SharedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSender")
            .field("fan_in", &self.group.fan_in)
            .field("lane", &self.group.lane)
            .finish()
    }
}
