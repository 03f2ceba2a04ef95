//! Builders of channels and mailboxes.

use std::num::NonZero;

use crate::{
    config::{Config, UNBOUNDED},
    fan_in::{bound::MAX_TOTAL, handle::FanInRef, shared_slots::MAX_SLOTS},
    mailbox::{Overflow, receiver::MailboxReceiver, sender::MailboxSender},
    receiver::Receiver,
    sender::Sender,
};

/// Settings of a channel, for [`Builder::build`].
///
/// # Examples
///
/// ```
/// let (mut tx, mut rx) = lanemesh::Builder::new(1024).first_ring(64).burst(16).build();
/// tx.try_send("hello").unwrap();
/// assert_eq!(rx.try_recv(), Ok("hello"));
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Builder(pub(crate) Config);

impl Builder {
    /// Settings for lanes that hold exactly `lane_capacity` messages each.
    ///
    /// # Panics
    ///
    /// Panics if `lane_capacity` is zero, or more than `isize::MAX / 2`.
    #[inline]
    #[track_caller]
    pub fn new(lane_capacity: usize) -> Self {
        assert!(
            lane_capacity > 0,
            "a lane's capacity must be at least 1, but was 0"
        );
        assert!(
            lane_capacity <= UNBOUNDED,
            "a lane's capacity must be at most isize::MAX / 2"
        );
        Self(Config {
            lane_capacity,
            first_ring: 16,
            burst: 64,
            budget: None,
            unfenced_after: 1024,
            shared_slots: MAX_SLOTS as u32,
            total: 0,
            notify_mask: notify_mask(lane_capacity),
        })
    }

    /// Settings for lanes without a bound: a send never waits, and is refused only if there is no
    /// memory for the next ring of its lane: as [`TrySendError::Full`](crate::TrySendError::Full), and
    /// by `send` as [`SendError`](crate::SendError).
    ///
    /// A producer that is faster than the receiver fills the memory: prefer a bound where there can be
    /// one. A lane grows ring by ring, as [`first_ring`](Self::first_ring) says, and the receiver frees
    /// each ring when it has emptied it. [`capacity`](crate::Sender::capacity) is then
    /// `isize::MAX / 2`.
    ///
    /// A [`SharedSender`](crate::SharedSender) of such a channel holds up to 536,870,911 messages, and
    /// keeps its largest ring.
    ///
    /// A batch, which is sent to several rings at once, ends the process if there is no memory for one of
    /// them, as a `Vec` does.
    ///
    /// # Examples
    ///
    /// ```
    /// let (mut tx, mut rx) = lanemesh::Builder::unbounded().build();
    /// for n in 0..100_000 {
    ///     tx.try_send(n).unwrap();
    /// }
    /// assert!(rx.try_iter().eq(0..100_000));
    /// ```
    #[inline]
    pub fn unbounded() -> Self {
        Self::new(UNBOUNDED)
    }

    /// Sets how many messages a lane's first ring holds; 16 by default. A full ring is followed by
    /// one of four times the size, up to 64 KiB (at least 32 messages), the size of the first ring,
    /// or what the lane's capacity leaves. So an idle lane stays small, and a busy one stops
    /// allocating, but for one ring for each 64 KiB in a lane that keeps more than that waiting. A
    /// size at or above the capacity means a single ring, which stays until the sender is dropped
    /// or [gives it back](crate::Sender::shrink_to_fit).
    ///
    /// # Panics
    ///
    /// Panics if `messages` is zero.
    #[track_caller]
    pub fn first_ring(mut self, messages: usize) -> Self {
        assert!(
            messages > 0,
            "the first ring must hold at least 1 message, but 0 was asked for"
        );
        self.0.first_ring = messages;
        self
    }

    /// Sets how many messages the receiver takes from one lane before it visits the next; 64 by
    /// default.
    ///
    /// # Panics
    ///
    /// Panics if `messages` is zero.
    #[inline]
    #[track_caller]
    pub fn burst(mut self, messages: usize) -> Self {
        assert!(
            messages > 0,
            "a burst must be at least 1 message, but was 0"
        );
        if !self.0.drops_oldest() {
            self.0.burst = messages;
        }
        self
    }

    /// Lets new messages take the place of old ones: of each lane the receiver takes the newest *n*
    /// messages, where *n* is the lane capacity given to [`new`](Self::new), and drops those before
    /// them.
    ///
    /// The producer of a lane cannot take a message back, so it is the receiver that drops them: each time
    /// that it is about to take a message from a lane, it first drops all but the newest *n* of what is
    /// there. So no receive returns a message that had *n* newer ones of its lane behind it when the
    /// receive began. What it takes is in order, and what it drops is counted in
    /// [`Stats::dropped_oldest`](crate::Stats::dropped_oldest).
    ///
    /// Until then a lane holds up to 2 × *n* messages ([`capacity`](crate::Sender::capacity)), dropped ones
    /// included, and so do the lengths. A send to a lane that holds so many finds it full, as in any
    /// channel: it waits or is refused, so that a receiver that does nothing does not make the memory
    /// grow. A sender that waits is woken when half has been received or dropped.
    ///
    /// Each lane is seen for itself: a producer with many messages drops none of another's. All clones of a
    /// [`SharedSender`](crate::SharedSender) send through one lane. In a mailbox the classes are set one by
    /// one; high priority goes first as ever, and an [`Overflow`] says what becomes of a message that finds
    /// the lane full.
    ///
    /// The receiver takes one message of a lane before it visits the next, whatever
    /// [`burst`](Self::burst) says, and there are no shared slots, so that a message costs about twice as
    /// much to receive.
    ///
    /// # Panics
    ///
    /// Panics if the lanes have no bound of their own ([`unbounded`](Self::unbounded),
    /// [`total_capacity`](Self::total_capacity)): nothing would be too old. `total_capacity` panics if this
    /// was called before.
    ///
    /// # Examples
    ///
    /// ```
    /// let (mut tx, mut rx) = lanemesh::Builder::new(3).drop_oldest().build();
    /// for n in 0..6 {
    ///     tx.try_send(n).unwrap();
    /// }
    /// assert!(tx.try_send(6).is_err());
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [3, 4, 5]);
    /// assert_eq!(rx.stats().dropped_oldest, 3);
    /// ```
    #[track_caller]
    pub fn drop_oldest(mut self) -> Self {
        if self.0.drops_oldest() {
            return self;
        }
        assert!(
            self.0.total == 0 && self.0.lane_capacity <= UNBOUNDED / 2,
            "old messages can be dropped only from lanes with a bound of their own"
        );
        self.0.lane_capacity *= 2;
        self.0.notify_mask = notify_mask(self.0.lane_capacity);
        self.0.burst = 0;
        self.0.shared_slots = 0;
        self.0.unfenced_after = u32::MAX;
        self
    }

    /// Sets how many messages the async functions of a receiver return, and those of each sender
    /// send, without a pause before they yield to the executor once. The receiver of a mailbox has
    /// one budget for both classes, that of the low class; its senders have one for each.
    ///
    /// By default this depends on time: 128 messages, or as many as the task handles within about
    /// 50 µs (a receiver at most 4,160), so that quick messages do not cost a task switch as often
    /// as slow ones. On `wasm32-unknown-unknown`, which has no clock, it is 128 messages.
    ///
    /// # Panics
    ///
    /// Panics if `messages` is zero.
    #[inline]
    #[track_caller]
    pub fn budget(mut self, messages: usize) -> Self {
        assert!(
            messages > 0,
            "the budget must be at least 1 message, but was 0"
        );
        self.0.budget = NonZero::new(messages);
        self
    }

    /// Sets after how many messages without a sleep the receiver lets the producers of busy lanes
    /// send without a memory fence; 1024 by default, `u32::MAX` for never. If that does not pay, a
    /// longer run is required the next time, up to 16 million messages.
    ///
    /// Takes effect only after [`register_membarrier`](crate::register_membarrier). A receiver with
    /// such lanes that finds nothing asks its executor to poll it again, up to 16 times, before it
    /// sleeps.
    #[cfg(any(feature = "membarrier", loom))]
    pub fn unfenced_after(mut self, messages: u32) -> Self {
        self.0.unfenced_after = messages;
        self
    }

    /// Sets how many slots the producers share for occasional messages, in each of two sets. The
    /// default, and the maximum, is as many as fit into 2 KiB, at most 62 per set, and not more
    /// than a lane holds messages. A shared slot spares such a producer its lane, and the receiver
    /// a visit to it.
    ///
    /// A message takes a slot only if nothing of its producer waits in the lane. With 0, every
    /// message takes its producer's lane.
    #[inline]
    pub fn shared_slots(mut self, slots: usize) -> Self {
        if !self.0.drops_oldest() {
            self.0.shared_slots = slots.min(MAX_SLOTS) as u32;
        }
        self
    }

    /// Sets one bound for all lanes together: at no time are more than `messages` accepted and not
    /// yet taken, however many senders there are. The lanes then have no bound of their own, and
    /// the lane capacity given to [`new`](Self::new) means nothing. By default there is no such
    /// bound.
    ///
    /// A message borrows a slot from one pool until the receiver has taken it; so does a
    /// [`Permit`](crate::Permit), and each [staged](crate::Sender::try_feed) message. Senders that
    /// wait get a slot in the order in which they began to wait. Those that do not wait may take a
    /// slot before them that has just become free, until they have overtaken the first of those who
    /// wait 32 times (and once more for each that is at it in that moment); so nobody starves.
    /// Some of those who wait get a slot when half of all slots have been taken since, and all for
    /// whom there are slots when the receiver finds nothing more to take. A receiver that takes a few
    /// messages and then stops leaves them waiting.
    ///
    /// A busy lane (one that the receiver has not emptied) borrows up to *chunk* slots at a time,
    /// and the receiver returns slots by as many, where *chunk* is `messages / 128`, at least 1
    /// and at most 32. So below 256 messages a send is refused only if no slot is free or others
    /// wait; above, only if at most (*busy lanes* + 2) × (*chunk* − 1) are unused. An idle lane
    /// holds none, and while senders wait the receiver reclaims what busy lanes hold.
    ///
    /// A send then costs one more exchange, on a word of the pool that all senders share, or on one
    /// of its own lane if it has borrowed ahead. Those who wait take a short lock.
    ///
    /// # Panics
    ///
    /// Panics if `messages` is zero, or more than 2^29 - 1.
    ///
    /// # Examples
    ///
    /// ```
    /// let (mut tx, mut rx) = lanemesh::Builder::new(1).total_capacity(2).build();
    /// let mut other = tx.clone();
    /// tx.try_send("a").unwrap();
    /// other.try_send("b").unwrap();
    /// assert!(tx.try_send("c").is_err());
    /// assert_eq!(tx.remaining_capacity(), 0);
    /// assert!(rx.try_recv().is_ok());
    /// other.try_send("c").unwrap();
    /// ```
    #[track_caller]
    pub fn total_capacity(mut self, messages: usize) -> Self {
        assert!(
            messages > 0,
            "the total capacity must be at least 1 message, but was 0"
        );
        assert!(
            messages <= MAX_TOTAL,
            "the total capacity must be at most {MAX_TOTAL}, but was {messages}"
        );
        self.assert_keeps_oldest();
        self.0.total = messages as u32;
        self.0.lane_capacity = messages;
        self.0.notify_mask = notify_mask(messages);
        self
    }

    #[track_caller]
    fn assert_keeps_oldest(&self) {
        assert!(
            !self.0.drops_oldest(),
            "old messages can be dropped only from lanes with a bound of their own"
        );
    }

    /// The same settings, for lanes without a bound.
    #[track_caller]
    fn without_bound(mut self) -> Self {
        self.assert_keeps_oldest();
        self.0.total = 0;
        self.0.lane_capacity = UNBOUNDED;
        self.0.notify_mask = notify_mask(UNBOUNDED);
        self
    }

    /// Makes a channel with these settings.
    ///
    /// # Panics
    ///
    /// Panics if the first ring of a lane would be larger than any allocation can be, `isize::MAX`
    /// bytes.
    #[track_caller]
    pub fn build<T>(self) -> (Sender<T>, Receiver<T>) {
        self.0.assert_allocatable::<T>();
        let fan_in = FanInRef::new(self.0);
        let receiver = Receiver::new(fan_in.clone(), self.0.budget());
        (Sender::first(fan_in), receiver)
    }
}

/// One less than the largest power of two within half of the capacity, rounded up.
fn notify_mask(capacity: usize) -> u32 {
    (1 << capacity.div_ceil(2).min(1 << 30).ilog2()) - 1
}

/// Settings of a mailbox with two priorities, for [`MailboxBuilder::build`].
///
/// # Examples
///
/// ```
/// use lanemesh::{MailboxBuilder, Message, Overflow};
///
/// let (mut tx, mut rx) = MailboxBuilder::new(16, 1024)
///     .low(|low| low.burst(16))
///     .low_overflow(Overflow::Drop)
///     .build::<&str, u64>();
/// tx.try_send_low(1).unwrap();
/// tx.try_send_high("stop").unwrap();
/// assert_eq!(rx.try_recv(), Ok(Message::High("stop")));
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct MailboxBuilder {
    high: Builder,
    low: Builder,
    low_share: Option<NonZero<u32>>,
    overflow: Overflow,
}

impl MailboxBuilder {
    /// Settings for a high and a low lane per producer, of exactly these capacities.
    ///
    /// # Panics
    ///
    /// Panics if a capacity is zero, or more than `isize::MAX / 2`.
    #[inline]
    #[track_caller]
    pub fn new(high_lane_capacity: usize, low_lane_capacity: usize) -> Self {
        Self {
            high: Builder::new(high_lane_capacity),
            low: Builder::new(low_lane_capacity),
            low_share: None,
            overflow: Overflow::Wait,
        }
    }

    /// Changes the settings of the high-priority class.
    #[inline]
    pub fn high(mut self, change: impl FnOnce(Builder) -> Builder) -> Self {
        self.high = change(self.high);
        self
    }

    /// Changes the settings of the low-priority class.
    #[inline]
    pub fn low(mut self, change: impl FnOnce(Builder) -> Builder) -> Self {
        self.low = change(self.low);
        self
    }

    /// Sets one bound for the high-priority messages of all senders; see
    /// [`Builder::total_capacity`].
    ///
    /// # Panics
    ///
    /// Panics if `messages` is zero, or more than 2^29 - 1.
    #[track_caller]
    pub fn high_total_capacity(mut self, messages: usize) -> Self {
        self.high = self.high.total_capacity(messages);
        self
    }

    /// Sets one bound for the low-priority messages of all senders; see
    /// [`Builder::total_capacity`]. Each class has slots of its own: however many low-priority
    /// messages wait, those of the high class stay free.
    ///
    /// # Panics
    ///
    /// Panics if `messages` is zero, or more than 2^29 - 1.
    #[track_caller]
    pub fn low_total_capacity(mut self, messages: usize) -> Self {
        self.low = self.low.total_capacity(messages);
        self
    }

    /// Makes the lanes of the high-priority class unbounded; see [`Builder::unbounded`]. Other settings of
    /// the class are kept.
    ///
    /// # Panics
    ///
    /// Panics if the class [drops old messages](Builder::drop_oldest).
    #[track_caller]
    pub fn high_unbounded(mut self) -> Self {
        self.high = self.high.without_bound();
        self
    }

    /// Makes the lanes of the low-priority class unbounded; see [`Builder::unbounded`]. Other settings of
    /// the class are kept.
    ///
    /// # Panics
    ///
    /// Panics if the class [drops old messages](Builder::drop_oldest).
    ///
    /// # Examples
    ///
    /// ```
    /// let (mut tx, mut rx) = lanemesh::MailboxBuilder::new(16, 1)
    ///     .low_unbounded()
    ///     .build::<&str, usize>();
    /// assert_eq!(tx.low().try_send_many(0..10_000), Ok(10_000));
    /// assert!(tx.high().try_send_many(["full"; 17]).is_ok_and(|sent| sent == 16));
    /// assert_eq!(rx.low().try_iter().count(), 10_000);
    /// ```
    #[track_caller]
    pub fn low_unbounded(mut self) -> Self {
        self.low = self.low.without_bound();
        self
    }

    /// Gives the low class a share of what the receiver takes while both classes have messages: one
    /// message in `one_in`. After each `one_in - 1` high-priority messages the receiver takes one of low
    /// priority, if there is one, so that a flood of the high class delays the low class and does not
    /// shut it out.
    ///
    /// By default there is no such share: a low-priority message is received only if there is none of
    /// high priority. With it a high-priority message waits for at most one other of low priority. The
    /// methods of [`high`](MailboxReceiver::high) and [`low`](MailboxReceiver::low) receive from one
    /// class as before, and do not count.
    ///
    /// # Panics
    ///
    /// Panics if `one_in` is 1, which would leave nothing to the high class.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::num::NonZero;
    ///
    /// use lanemesh::{MailboxBuilder, Message};
    ///
    /// let (mut tx, mut rx) = MailboxBuilder::new(8, 8)
    ///     .low_share(NonZero::new(4).unwrap())
    ///     .build::<u8, u8>();
    /// tx.high().try_send_many(0..8).unwrap();
    /// tx.low().try_send_many(0..8).unwrap();
    /// let low = rx.try_iter().take(8).filter(|message| matches!(message, Message::Low(_)));
    /// assert_eq!(low.count(), 2);
    /// ```
    #[track_caller]
    pub fn low_share(mut self, one_in: NonZero<u32>) -> Self {
        assert!(
            one_in.get() > 1,
            "one message in 1 would leave nothing to the high class"
        );
        self.low_share = Some(one_in);
        self
    }

    /// Sets what `send_low` does if the lane is full; by default it waits. Each sender may change
    /// this for itself.
    pub fn low_overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// For a mesh, whose lanes have a capacity each.
    #[track_caller]
    pub(crate) fn assert_no_total(&self) {
        assert!(
            self.high.0.total == 0 && self.low.0.total == 0,
            "the lanes of a mesh cannot have a total capacity"
        );
    }

    /// Makes a mailbox with these settings.
    ///
    /// # Panics
    ///
    /// Panics if the first ring of a lane would be larger than any allocation can be, `isize::MAX`
    /// bytes.
    #[inline(always)]
    #[track_caller]
    pub fn build<High, Low>(self) -> (MailboxSender<High, Low>, MailboxReceiver<High, Low>) {
        self.high.0.assert_allocatable::<High>();
        self.low.0.assert_allocatable::<Low>();
        let (high, low) = (FanInRef::new(self.high.0), FanInRef::new(self.low.0));
        let receiver = MailboxReceiver::new(
            high.clone(),
            low.clone(),
            self.low.0.budget(),
            self.low_share,
            self.overflow,
        );
        (MailboxSender::first(high, low, self.overflow), receiver)
    }
}
