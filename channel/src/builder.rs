//! Builders of channels and mailboxes.

use crate::{
    config::Config,
    fan_in::{FanIn, shared_slots::MAX_SLOTS},
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
            lane_capacity <= isize::MAX as usize / 2,
            "a lane's capacity must be at most isize::MAX / 2"
        );
        Self(Config {
            lane_capacity,
            first_ring: 16,
            burst: 64,
            budget: None,
            unfenced_after: 1024,
            shared_slots: MAX_SLOTS,
            notify_mask: (1 << lane_capacity.div_ceil(2).min(1 << 30).ilog2()) - 1,
        })
    }

    /// Messages that a lane's first ring holds; 16 unless set. A ring that is full is followed by one of
    /// twice the size, up to the lane's capacity, so an idle lane stays small and a busy one allocates
    /// no more. A size at or above the capacity means one ring from the start.
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

    /// Messages that the receiver takes from one lane before it goes on to the next; 64 unless set.
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
        self.0.burst = messages;
        self
    }

    /// Messages that the receiver's async functions return without a pause before they yield to the executor
    /// once, and that each sender's async functions send. The receiver of a mailbox has one budget for both
    /// classes, that of the low class; its senders have one for each.
    ///
    /// Unless this is set, it goes by the clock: 128 messages, or as many as the task handles in about 50 µs (a
    /// receiver at most 4,160), so that quick messages do not cost a switch of tasks as often as slow ones. On
    /// `wasm32-unknown-unknown`, which has no clock, it is 128 messages.
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
        self.0.budget = Some(messages);
        self
    }

    /// Messages that the receiver takes without having slept in between, before it begins to poll its busy lanes,
    /// so that their producers need not pass a memory fence for each message; 1024 unless set, `u32::MAX` for
    /// never. Polling that does not pay waits for a longer run the next time, up to 16 million.
    ///
    /// Means something only after [`register_membarrier`](crate::register_membarrier). A receiver that polls and
    /// finds nothing is polled again up to 16 times by its executor before it sleeps.
    #[cfg(any(feature = "membarrier", loom))]
    pub fn unfenced_after(mut self, messages: u32) -> Self {
        self.0.unfenced_after = messages;
        self
    }

    /// Shared slots for messages of producers that send now and then; as many as fit 2 KiB, and at
    /// most 62 of each of two sets, unless fewer are set. They spare such a producer a lane, and the receiver a look at it.
    ///
    /// A message waits in one of them if nothing else of its producer's waits. With 0 every message goes
    /// through its producer's lane. A set has no more slots than a lane holds messages.
    #[inline]
    pub fn shared_slots(mut self, slots: usize) -> Self {
        self.0.shared_slots = slots;
        self
    }

    /// A channel of these settings.
    ///
    /// # Panics
    ///
    /// Panics if the first ring of a lane would be larger than any allocation can be, `isize::MAX` bytes.
    #[track_caller]
    pub fn build<T>(self) -> (Sender<T>, Receiver<T>) {
        self.0.assert_allocatable::<T>();
        let fan_in = FanIn::shared(self.0);
        let receiver = Receiver::new(fan_in.clone(), self.0.budget);
        (Sender::first(fan_in), receiver)
    }
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

    /// What the senders' `send_low` does when the lane is full; to wait unless set. Each sender may
    /// change it for itself.
    pub fn low_overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// A mailbox of these settings.
    ///
    /// # Panics
    ///
    /// Panics if the first ring of a lane would be larger than any allocation can be, `isize::MAX` bytes.
    #[inline(always)]
    #[track_caller]
    pub fn build<High, Low>(self) -> (MailboxSender<High, Low>, MailboxReceiver<High, Low>) {
        self.high.0.assert_allocatable::<High>();
        self.low.0.assert_allocatable::<Low>();
        let (high, low) = (FanIn::shared(self.high.0), FanIn::shared(self.low.0));
        let receiver =
            MailboxReceiver::new(high.clone(), low.clone(), self.low.0.budget, self.overflow);
        (MailboxSender::first(high, low, self.overflow), receiver)
    }
}
