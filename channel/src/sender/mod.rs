//! Sending: one `Sender` is one producer, with a lane of its own.

mod batch;
mod blocking;
mod bound;
pub(crate) mod budget;
mod cooperate;
mod drained;
pub(crate) mod permit;
pub(crate) mod shared;
mod shrink;
#[cfg(feature = "sink")]
mod sink;
pub(crate) mod weak;

use std::{
    fmt,
    task::{Context, Poll},
};

use self::budget::SendBudget;
use crate::{
    error::{SendError, TrySendError},
    fan_in::{bound::SlotWait, handle::FanInRef, lane::tx::LaneTx, send_history::SendHistory},
    sync::{Exclusive, wake_all::WakeAll},
};

/// Messages between two counts of the room, at most.
const MAX_CREDIT: usize = 1024;

/// The sending side of a channel. Each clone is a producer of its own.
///
/// A sender's lane is opened when it first sends. It ends when the sender was dropped and the
/// receiver has taken what is in it, and is then reused by another sender. Sends take `&mut self`,
/// so that no two threads write to one lane; [`shared`](Self::shared) gives a sender for `&self`.
///
/// Messages of one sender arrive in the order in which they were sent. Between senders, clones
/// included, there is no order.
///
/// The async functions send at most a [budget](crate::Builder::budget) of messages without a pause,
/// then yield to the executor once, so that a sender that always finds room does not keep other
/// tasks from running. They yield before they send; a batch counts with all its messages, but is
/// not cut short.
pub struct Sender<T> {
    fan_in: FanInRef<T>,
    /// Opened by the first send.
    lane: Option<LaneTx<T>>,
    /// What few senders need.
    aside: Option<Box<Aside<T>>>,
    /// The number of messages for which there is room, by the last count; there may be room for
    /// more. With a total capacity: the slots in this sender's hands.
    credit: u32,
    path: Path,
    history: SendHistory,
    budget: SendBudget,
}

/// Where messages of a sender may wait, besides the shared slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    /// Nowhere else: the next one may take a shared slot.
    Slots,
    /// In the lane.
    Lane,
    /// In the lane, and a waker of this sender's may be in it, too.
    Waiting,
    /// In the sender, staged.
    Staged,
}

/// What few senders need.
struct Aside<T> {
    /// Fed and not flushed. Counts against the capacity.
    staged: Exclusive<Vec<T>>,
    /// The wait for a slot of the bound on all lanes, from the first one on.
    wait: Option<SlotWait>,
}

impl<T> Aside<T> {
    fn new() -> Box<Self> {
        Box::new(Self {
            staged: Exclusive::default(),
            wait: None,
        })
    }
}

impl<T> Sender<T> {
    /// The first sender of a fan-in, which has counted it already.
    pub(crate) fn first(fan_in: FanInRef<T>) -> Self {
        let budget = SendBudget::new(fan_in.config.budget());
        Self {
            fan_in,
            lane: None,
            aside: None,
            credit: 0,
            path: Path::Slots,
            history: SendHistory::new(),
            budget,
        }
    }

    /// Sends a message if the lane has room.
    ///
    /// Takes no lock and never waits. Messages staged by [`try_feed`](Self::try_feed) are sent
    /// first.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] if the lane holds [`capacity`](Self::capacity) messages, and
    /// [`TrySendError::Closed`] if the channel is closed; both return the message. `Ok` means that
    /// the receiver gets the message, or drops it when it is dropped itself.
    #[inline]
    pub fn try_send(&mut self, message: T) -> Result<(), TrySendError<T>> {
        if self.path == Path::Slots || self.is_clear() {
            self.send_clear(message)
        } else {
            self.send_ring(message)
        }
    }

    /// Whether the receiver has taken all that was sent through the lane.
    #[inline]
    fn is_clear(&mut self) -> bool {
        let clear = matches!(self.path, Path::Lane | Path::Waiting)
            && self
                .lane
                .as_mut()
                .is_some_and(|lane| lane.clear().is_some());
        if clear {
            self.path = Path::Slots;
        }
        clear
    }

    /// Sends a message when nothing of this sender's waits, except in shared slots.
    #[inline(never)]
    fn send_clear(&mut self, message: T) -> Result<(), TrySendError<T>> {
        if !self.has_room() {
            return Err(self.refused(message));
        }
        if self.lane_or_open().is_none() {
            return Err(TrySendError::Closed(message));
        }
        self.credit -= 1;
        let message = match &self.lane {
            Some(lane) if self.fan_in.shared_slots.limit() > 0 && !self.history.prefers_lane() => {
                // Each half of the capacity contains one message for which the receiver checks
                // whether this sender waits.
                let notify = self.credit & self.fan_in.config.notify_mask == 0;
                // SAFETY: the lane is this sender's.
                let sent = unsafe {
                    self.fan_in
                        .try_shared_slot(lane.id(), notify, &mut self.history, message)
                };
                match sent {
                    Ok(()) => return Ok(()),
                    Err(message) => message,
                }
            }
            _ => message,
        };
        self.history.sent_by_lane();
        self.path = Path::Lane;
        match self.lane.as_mut().map(LaneTx::clear) {
            Some(Some(clear)) => clear
                .send(&self.fan_in.ready, message)
                .map_err(TrySendError::Closed),
            _ => unreachable!("the lane is open, and nothing was sent by it"),
        }
    }

    /// The error for a message for which there is no room.
    #[cold]
    fn refused(&self, message: T) -> TrySendError<T> {
        if self.is_closed() {
            TrySendError::Closed(message)
        } else {
            TrySendError::Full(message)
        }
    }

    #[inline]
    fn send_ring(&mut self, message: T) -> Result<(), TrySendError<T>> {
        if self.fan_in.is_closed() {
            return Err(TrySendError::Closed(message));
        }
        if self.credit == 0 && !self.count_credit_to_push() {
            return Err(TrySendError::Full(message));
        }
        if self.path == Path::Staged {
            return self.send_staged(message);
        }
        self.credit -= 1;
        let Some(lane) = &mut self.lane else {
            unreachable!("a lane that is not clear is open")
        };
        lane.send_ring(&self.fan_in.ready, &self.fan_in.config, message)
    }

    /// Sends what is staged and one more message, for which there is room.
    #[cold]
    fn send_staged(&mut self, message: T) -> Result<(), TrySendError<T>> {
        self.stage(message);
        if self.flush_staged() {
            return Ok(());
        }
        match self.staged().pop() {
            Some(message) => Err(TrySendError::Closed(message)),
            None => Ok(()),
        }
    }

    /// Whether the lane has room for a message.
    #[inline]
    fn has_room(&mut self) -> bool {
        self.room_for(1) > 0
    }

    /// Whether there is room for all of `wanted` messages.
    #[inline]
    fn has_room_for(&mut self, wanted: usize) -> bool {
        if wanted > 1 && self.is_bounded() {
            return self.borrow_exactly(wanted);
        }
        self.room_for(wanted) >= wanted
    }

    /// The number of messages for which the lane has room. Looks at what the receiver has taken
    /// only if the known room is less than `wanted`.
    #[inline]
    fn room_for(&mut self, wanted: usize) -> usize {
        if (self.credit as usize) < wanted {
            self.count_credit(wanted);
        }
        self.credit as usize
    }

    #[cold]
    fn count_credit(&mut self, wanted: usize) {
        if self.is_bounded() {
            return self.borrow(wanted);
        }
        let slots = &self.fan_in.shared_slots;
        let mut used = self
            .lane
            .as_ref()
            .map_or(0, |lane| self.history.count(slots, lane.id()));
        let mut most = MAX_CREDIT;
        // Otherwise the lane is empty, and is not looked at.
        if self.path != Path::Slots {
            used += self.lane.as_mut().map_or(0, LaneTx::used);
            used += self.staged_len();
        } else if self.lane.as_ref().is_some_and(LaneTx::has_ring) {
            most = self.shrink_if_quiet(used);
        }
        let room = self.fan_in.config.lane_capacity.saturating_sub(used);
        self.credit = u32::try_from(room.min(most.max(wanted))).unwrap_or(u32::MAX);
    }

    /// Whether exactly one message was sent through the lane; `None` if there is no lane, or nobody
    /// knows: with a bound for all lanes, and where there is room for one message.
    fn is_brief(&self) -> Option<bool> {
        let lane = self.lane.as_ref()?;
        let first_credit = self.fan_in.config.lane_capacity.min(MAX_CREDIT);
        if self.is_bounded() || first_credit == 1 || self.is_closed() {
            return None;
        }
        Some(self.credit as usize + 1 == first_credit && !lane.has_ring())
    }

    /// Looks for room for a message that is pushed to the lane right after this, or sent with those
    /// that are staged.
    #[cold]
    fn count_credit_to_push(&mut self) -> bool {
        if self.is_bounded() {
            self.borrow_to_push();
        } else {
            self.count_credit(1);
        }
        self.credit > 0
    }

    /// Sends a message, waiting for room in the lane.
    ///
    /// A waiting sender is woken when about half of its capacity has been received, and at the
    /// latest when all has.
    ///
    /// One poll may return `Pending` although there is room, when the
    /// [budget](crate::Builder::budget) is spent; [`try_send`](Self::try_send) has none.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message if the channel is closed, or closes while it waits.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message was not sent and is dropped with
    /// the future. To keep it, wait with [`reserve`](Self::reserve).
    pub async fn send(&mut self, message: T) -> Result<(), SendError<T>> {
        self.cooperate(1).await;
        let message = match self.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(message)) => return Err(SendError(message)),
            Err(TrySendError::Full(message)) => message,
        };
        match self.wait_for_room(1).await {
            Ok(()) => self
                .try_send(message)
                .map_err(|error| SendError(error.into_inner())),
            Err(_) => Err(SendError(message)),
        }
    }

    /// Polls for room in the lane. After `Ready(Ok)`, the next [`try_send`](Self::try_send) does
    /// not find it full.
    ///
    /// It returns `Pending` also when the [budget](crate::Builder::budget) is spent; the waker has
    /// been woken then.
    ///
    /// With a [total capacity](crate::Builder::total_capacity), `Pending` keeps a place in the queue
    /// and `Ready(Ok)` a slot until the next send, or until this sender is dropped; so a sender that
    /// no longer wants to send should be dropped.
    ///
    /// # Errors
    ///
    /// [`SendError`] when the channel is closed.
    pub fn poll_reserve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        if self.poll_cooperate(cx).is_pending() {
            return Poll::Pending;
        }
        self.poll_room(cx, 1)
    }

    /// Polls for room for `wanted` messages, without regard to the budget.
    pub(crate) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<(), SendError<()>>> {
        if self.is_closed() {
            self.stop_waiting();
            return Poll::Ready(Err(SendError(())));
        }
        if self.has_room_for(wanted) {
            self.stop_waiting();
            return Poll::Ready(Ok(()));
        }
        if !self.flush_staged() {
            return Poll::Ready(Err(SendError(())));
        }
        if self.is_bounded() {
            return self.poll_borrow(cx, wanted);
        }
        self.poll_wait(cx, |sender| sender.has_room_for(wanted))
    }

    /// Waits until the receiver has taken enough messages for `is_ready`, or has closed the channel.
    fn poll_wait(
        &mut self,
        cx: &mut Context<'_>,
        is_ready: impl Fn(&mut Self) -> bool,
    ) -> Poll<Result<(), SendError<()>>> {
        if self.path == Path::Waiting {
            self.path = Path::Lane;
        }
        self.fan_in.ready.expect_waiting();
        let Some(lane) = self.lane_or_open() else {
            return Poll::Ready(Err(SendError(())));
        };
        let waits = lane.wait(cx.waker());
        let ready = if self.is_closed() {
            Err(SendError(()))
        } else if is_ready(self) {
            Ok(())
        } else {
            self.history.waited();
            self.reset_budget();
            if !waits {
                // The receiver is waking this sender at this moment, through an earlier waker.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.list_lane() {
                self.path = Path::Waiting;
                return Poll::Pending;
            }
            Err(SendError(()))
        };
        if let Some(lane) = &mut self.lane {
            lane.forget_waker();
        }
        Poll::Ready(ready)
    }

    /// Ends a wait for room, if there is one: the waker is dropped, and is not woken any more.
    #[inline]
    pub(crate) fn stop_waiting(&mut self) {
        if self.path == Path::Waiting {
            self.path = Path::Lane;
            if let Some(lane) = &mut self.lane {
                lane.forget_waker();
            }
        }
    }

    /// Makes sure that the receiver knows the lane, because a close wakes only senders whose lanes
    /// it knows, and all that this sender waits for may be in shared slots. `false` if the channel
    /// is closed.
    fn list_lane(&mut self) -> bool {
        if self.path == Path::Lane && !self.is_clear() {
            return true;
        }
        self.path = Path::Lane;
        let ready = &self.fan_in.ready;
        self.lane
            .as_mut()
            .is_some_and(|lane| lane.push_empty(ready))
    }

    /// The lane, opened if necessary; `None` if the receiver has closed the channel before that.
    #[inline]
    fn lane_or_open(&mut self) -> Option<&mut LaneTx<T>> {
        if self.lane.is_none() {
            self.lane = self.fan_in.open_lane();
        }
        self.lane.as_mut()
    }

    /// Whether the receiver has closed the channel or was dropped.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.fan_in.is_closed()
    }

    /// The number of messages that this sender's lane can hold; with a
    /// [total capacity](crate::Builder::total_capacity), that all lanes can hold together.
    pub fn capacity(&self) -> usize {
        self.fan_in.config.lane_capacity
    }

    /// The number of messages for which there is room now; a snapshot. With a
    /// [total capacity](crate::Builder::total_capacity): the slots that nobody has borrowed, and 0
    /// while senders wait or if the channel is closed.
    pub fn remaining_capacity(&self) -> usize {
        match &self.fan_in.bound {
            Some(bound) => bound.free(),
            None => self.capacity().saturating_sub(self.len()),
        }
    }

    /// The number of this sender's messages that the receiver has not taken, including staged ones.
    pub fn len(&self) -> usize {
        let slots = &self.fan_in.shared_slots;
        let lane = |lane: &LaneTx<T>| slots.count_of(lane.id()) + lane.count();
        self.lane.as_ref().map_or(0, lane) + self.staged_len()
    }

    fn staged_len(&self) -> usize {
        self.aside.as_ref().map_or(0, |aside| aside.staged.len())
    }

    /// Whether the receiver has taken all messages of this sender.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both send to the same receiver.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.fan_in.ptr_eq(&other.fan_in)
    }

    /// Whether this sends into `fan_in`.
    pub(crate) fn sends_into(&self, fan_in: &FanInRef<T>) -> bool {
        self.fan_in.ptr_eq(fan_in)
    }

    /// Counts a message that was dropped because the lane was full.
    pub(crate) fn count_drop(&self) {
        self.fan_in.count_drop();
    }
}

/// Nothing in a sender is pinned.
impl<T> Unpin for Sender<T> {}

/// Makes another producer, with a lane of its own. Messages staged in this one stay here.
impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.fan_in.add_sender();
        Self::first(self.fan_in.clone())
    }
}

/// Flushes what is staged and ends the lane; the receiver still gets what is in it.
impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        /// Ends the lane even if a waker panics, or the drop of a message that was not accepted.
        struct End<'a, T>(&'a mut Sender<T>);
        impl<T> Drop for End<'_, T> {
            fn drop(&mut self) {
                let mut all = WakeAll::default();
                if self.0.is_bounded() {
                    self.0.give_back_all(&mut all);
                }
                if let Some(brief) = self.0.is_brief() {
                    // Of a subscriber.
                    all.run(|| self.0.fan_in.count_lane_of(brief));
                }
                let Sender { fan_in, lane, .. } = &mut *self.0;
                let lane = lane
                    .take()
                    .and_then(|lane| lane.close(&fan_in.ready, &mut all));
                all.run(|| fan_in.remove_sender());
                if let Some(lane) = lane {
                    fan_in.recycle(lane);
                }
                all.done();
            }
        }
        if self.lane.is_none()
            && self.aside.is_none()
            && !self.is_bounded()
            && self.fan_in.is_closed()
        {
            // It has sent nothing, and nobody waits for what it might have sent.
            return self.fan_in.remove_sender();
        }
        let end = End(self);
        if let Some(lane) = &mut end.0.lane {
            lane.forget_waker();
        }
        if !end.0.flush_staged() {
            end.0.staged().clear();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("fan_in", &self.fan_in)
            .finish_non_exhaustive()
    }
}
