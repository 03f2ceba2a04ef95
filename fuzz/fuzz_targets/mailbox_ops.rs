//! Sequences of operations on a mailbox, compared with a model: a `VecDeque` for each producer and class,
//! and the wake-ups that the receiver must have received.
#![no_main]

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use arbitrary::Arbitrary;
use lanemesh::{
    MailboxBuilder, MailboxReceiver, MailboxSender, Message, TryRecvError, TrySendError,
};
use libfuzzer_sys::fuzz_target;

const PRODUCERS: usize = 4;

#[derive(Debug, Arbitrary)]
struct Plan {
    high_capacity: u8,
    low_capacity: u8,
    first_ring: u8,
    burst: u8,
    budget: u8,
    ops: Vec<Op>,
}

#[derive(Debug, Arbitrary)]
enum Op {
    SendHigh(u8),
    SendLow(u8),
    SendBatchLow(u8, u8),
    SendVecLow(u8, u8),
    FeedLow(u8),
    FlushLow(u8),
    ReserveLow(u8),
    Clone(u8),
    Drop(u8),
    Recv,
    RecvHigh,
    RecvLow,
    RecvMany(u8),
    Poll { other_waker: bool },
    PollMany(u8),
    Readable,
    Close,
    Shrink(u8),
}

/// `(producer, number)`; each producer numbers the messages of each class consecutively.
type Item = (usize, u64);

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Expected state of one class of one producer.
#[derive(Default)]
struct Lane {
    queue: VecDeque<u64>,
    staged: VecDeque<u64>,
    next: u64,
}

impl Lane {
    fn used(&self) -> usize {
        self.queue.len() + self.staged.len()
    }

    fn flush(&mut self) {
        self.queue.append(&mut self.staged);
    }

    fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

struct Model {
    senders: Vec<Option<MailboxSender<Item, Item>>>,
    rx: MailboxReceiver<Item, Item>,
    high: Vec<Lane>,
    low: Vec<Lane>,
    high_capacity: usize,
    low_capacity: usize,
    closed: bool,
    wakes: [Arc<Wakes>; 2],
    /// If the last poll returned `Pending`: the waker it was given, and how often that had been woken.
    armed: Option<(usize, usize)>,
}

impl Model {
    fn new(plan: &Plan) -> Self {
        // If the system has no membarrier, no lane is unfenced.
        let _ = lanemesh::register_membarrier();
        let size = |n: u8, most: usize| 1 + usize::from(n) % most;
        let (high_capacity, low_capacity) =
            (size(plan.high_capacity, 4), size(plan.low_capacity, 9));
        let (tx, rx) = MailboxBuilder::new(high_capacity, low_capacity)
            .high(|b| b.first_ring(1))
            .low(|b| {
                b.first_ring(size(plan.first_ring, 9))
                    .burst(size(plan.burst, 5))
                    .budget(size(plan.budget, 40))
                    .unfenced_after(u32::from(plan.budget) % 8)
            })
            .build();
        let mut senders: Vec<_> = (0..PRODUCERS).map(|_| None).collect();
        senders[0] = Some(tx);
        Self {
            senders,
            rx,
            high: (0..PRODUCERS).map(|_| Lane::default()).collect(),
            low: (0..PRODUCERS).map(|_| Lane::default()).collect(),
            high_capacity,
            low_capacity,
            closed: false,
            wakes: Default::default(),
            armed: None,
        }
    }

    /// Asserts that a sleeping receiver was woken, after something became visible to it.
    fn assert_woken(&self) {
        if let Some((waker, before)) = self.armed {
            assert!(self.wakes[waker].count() > before, "a wake-up was lost");
        }
    }

    fn queued(&self) -> usize {
        let lanes = self.high.iter().chain(&self.low);
        lanes.map(|lane| lane.queue.len()).sum()
    }

    fn has_high(&self) -> bool {
        self.high.iter().any(|lane| !lane.queue.is_empty())
    }

    fn ended(&self) -> bool {
        self.closed || self.senders.iter().all(Option::is_none)
    }

    fn received(&mut self, message: Message<Item, Item>, high_first: bool) {
        match message {
            Message::High((producer, n)) => {
                assert_eq!(self.high[producer].queue.pop_front(), Some(n));
            }
            Message::Low((producer, n)) => {
                assert!(
                    !high_first || !self.has_high(),
                    "a low message was received before a high one"
                );
                assert_eq!(self.low[producer].queue.pop_front(), Some(n));
            }
        }
    }

    fn assert_empty(&self, error: TryRecvError) {
        assert_eq!(self.queued(), 0, "a message was lost");
        assert_eq!(error == TryRecvError::Closed, self.ended());
    }

    fn send_high(&mut self, producer: usize) {
        let Some(tx) = &mut self.senders[producer] else {
            return;
        };
        let lane = &mut self.high[producer];
        let n = lane.next_number();
        match tx.try_send_high((producer, n)) {
            Ok(()) => {
                assert!(!self.closed && lane.used() < self.high_capacity);
                lane.queue.push_back(n);
                self.assert_woken();
            }
            Err(TrySendError::Full(_)) => {
                assert!(!self.closed && lane.used() == self.high_capacity)
            }
            Err(TrySendError::Closed(_)) => assert!(self.closed),
        }
    }

    fn send_low(&mut self, producer: usize) {
        let Some(tx) = &mut self.senders[producer] else {
            return;
        };
        let lane = &mut self.low[producer];
        let n = lane.next_number();
        match tx.try_send_low((producer, n)) {
            Ok(()) => {
                assert!(!self.closed && lane.used() < self.low_capacity);
                lane.flush();
                lane.queue.push_back(n);
                self.assert_woken();
            }
            Err(TrySendError::Full(_)) => assert!(!self.closed && lane.used() == self.low_capacity),
            Err(TrySendError::Closed(_)) => assert!(self.closed),
        }
    }

    fn send_batch_low(&mut self, producer: usize, count: usize, as_vec: bool) {
        let Some(tx) = &mut self.senders[producer] else {
            return;
        };
        let lane = &mut self.low[producer];
        let numbers: Vec<_> = (0..count).map(|_| lane.next_number()).collect();
        let mut items: Vec<_> = numbers.iter().map(|&n| (producer, n)).collect();
        let room = self.low_capacity - lane.used();
        let sent = if as_vec {
            tx.low().try_send_vec(&mut items).map_err(drop)
        } else {
            tx.low().try_send_many(items).map_err(drop)
        };
        match sent {
            Ok(sent) => {
                assert!(!self.closed);
                assert!(sent == count.min(room));
                lane.flush();
                lane.queue.extend(&numbers[..sent]);
                if !lane.queue.is_empty() {
                    self.assert_woken();
                }
            }
            Err(()) => assert!(self.closed),
        }
    }

    fn feed_low(&mut self, producer: usize) {
        let Some(tx) = &mut self.senders[producer] else {
            return;
        };
        let lane = &mut self.low[producer];
        let n = lane.next_number();
        match tx.low().try_feed((producer, n)) {
            Ok(()) => {
                assert!(!self.closed && lane.used() < self.low_capacity);
                lane.staged.push_back(n);
            }
            Err(TrySendError::Full(_)) => assert!(!self.closed && lane.used() == self.low_capacity),
            Err(TrySendError::Closed(_)) => assert!(self.closed),
        }
    }

    fn flush_low(&mut self, producer: usize) {
        let Some(tx) = &mut self.senders[producer] else {
            return;
        };
        let lane = &mut self.low[producer];
        match tx.low().flush() {
            Ok(()) => {
                assert!(!self.closed || lane.staged.is_empty());
                lane.flush();
                if !lane.queue.is_empty() {
                    self.assert_woken();
                }
            }
            Err(back) => {
                assert!(self.closed);
                let back: Vec<_> = back.0.into_iter().map(|(_, n)| n).collect();
                assert_eq!(back, lane.staged.drain(..).collect::<Vec<_>>());
            }
        }
    }

    fn reserve_low(&mut self, producer: usize) {
        let Some(tx) = &mut self.senders[producer] else {
            return;
        };
        let lane = &mut self.low[producer];
        let mut cx = Context::from_waker(Waker::noop());
        let mut room = tx.low().poll_reserve(&mut cx);
        if room.is_pending() {
            // Perhaps only the budget was spent, before anything was flushed; the next poll goes on.
            room = tx.low().poll_reserve(&mut cx);
        }
        match room {
            Poll::Ready(Ok(())) => assert!(!self.closed && lane.used() < self.low_capacity),
            Poll::Ready(Err(_)) => assert!(self.closed),
            Poll::Pending => {
                assert!(!self.closed && lane.used() == self.low_capacity);
                // `poll_reserve` flushes before it waits.
                lane.flush();
            }
        }
    }

    fn shrink(&mut self, producer: usize) {
        let Some(tx) = &mut self.senders[producer] else {
            return;
        };
        tx.high().shrink_to_fit();
        tx.low().shrink_to_fit();
        if !self.closed {
            assert_eq!(tx.low().len(), self.low[producer].used());
        }
    }

    fn clone_sender(&mut self, producer: usize) {
        let Some(tx) = &self.senders[producer] else {
            return;
        };
        // Reuse an index only when the messages of its last producer have been received.
        let free = (0..PRODUCERS)
            .find(|&n| self.senders[n].is_none() && self.high[n].used() + self.low[n].used() == 0);
        if let Some(free) = free {
            self.senders[free] = Some(tx.clone());
        }
    }

    fn drop_sender(&mut self, producer: usize) {
        let Some(tx) = self.senders[producer].take() else {
            return;
        };
        drop(tx);
        if self.closed {
            self.low[producer].staged.clear();
        } else if !self.low[producer].staged.is_empty() {
            self.low[producer].flush();
            self.assert_woken();
        }
        if self.ended() && !self.closed {
            self.assert_woken();
        }
    }

    fn recv_many(&mut self, limit: usize) {
        let mut into = Vec::new();
        let result = self.rx.try_recv_many(&mut into, limit);
        if limit > 0 {
            match result {
                Ok(count) => assert_eq!(count, limit.min(self.queued())),
                Err(error) => self.assert_empty(error),
            }
        }
        for message in into {
            self.received(message, true);
        }
    }

    fn poll(&mut self, waker: usize) {
        let task = Waker::from(self.wakes[waker].clone());
        let before = self.wakes[waker].count();
        match self.rx.poll_recv(&mut Context::from_waker(&task)) {
            Poll::Ready(Some(message)) => {
                self.received(message, true);
                self.armed = None;
            }
            Poll::Ready(None) => self.assert_empty(TryRecvError::Closed),
            Poll::Pending if self.wakes[waker].count() > before => self.armed = None,
            Poll::Pending => {
                assert!(
                    self.queued() == 0 && !self.ended(),
                    "the receiver sleeps although there is a message"
                );
                self.armed = Some((waker, before));
            }
        }
    }

    fn run(&mut self, op: &Op) {
        let who = |n: &u8| usize::from(*n) % PRODUCERS;
        match op {
            Op::SendHigh(n) => self.send_high(who(n)),
            Op::SendLow(n) => self.send_low(who(n)),
            Op::SendBatchLow(n, count) => {
                self.send_batch_low(who(n), usize::from(count % 12), false)
            }
            Op::SendVecLow(n, count) => self.send_batch_low(who(n), usize::from(count % 12), true),
            Op::FeedLow(n) => self.feed_low(who(n)),
            Op::FlushLow(n) => self.flush_low(who(n)),
            Op::ReserveLow(n) => self.reserve_low(who(n)),
            Op::Clone(n) => self.clone_sender(who(n)),
            Op::Drop(n) => self.drop_sender(who(n)),
            Op::Recv => match self.rx.try_recv() {
                Ok(message) => self.received(message, true),
                Err(error) => self.assert_empty(error),
            },
            Op::RecvHigh => match self.rx.high().try_recv() {
                Ok(item) => self.received(Message::High(item), true),
                Err(_) => assert!(!self.has_high()),
            },
            Op::RecvLow => match self.rx.low().try_recv() {
                Ok(item) => self.received(Message::Low(item), false),
                Err(_) => assert!(self.low.iter().all(|lane| lane.queue.is_empty())),
            },
            Op::RecvMany(limit) => self.recv_many(usize::from(*limit)),
            Op::Poll { other_waker } => self.poll(usize::from(*other_waker)),
            Op::PollMany(limit) => {
                let mut into = Vec::new();
                let limit = usize::from(*limit);
                let _ = pin!(self.rx.recv_many(&mut into, limit))
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                self.armed = None;
                for message in into {
                    self.received(message, true);
                }
            }
            Op::Readable => {
                let mut cx = Context::from_waker(Waker::noop());
                let mut there = self.rx.poll_readable(&mut cx);
                if there.is_pending() && (self.queued() > 0 || self.ended()) {
                    // The coop budget was spent; the next poll continues.
                    there = self.rx.poll_readable(&mut cx);
                }
                self.armed = None;
                match there {
                    Poll::Ready(true) => assert!(self.queued() > 0),
                    Poll::Ready(false) => self.assert_empty(TryRecvError::Closed),
                    Poll::Pending => assert!(self.queued() == 0 && !self.ended()),
                }
            }
            Op::Shrink(n) => self.shrink(who(n)),
            Op::Close => {
                self.rx.close();
                self.closed = true;
                self.armed = None;
            }
        }
        // A receiver that was woken sleeps no longer.
        if self
            .armed
            .is_some_and(|(waker, before)| self.wakes[waker].count() > before)
        {
            self.armed = None;
        }
        assert_eq!(self.rx.len(), self.queued());
        assert_eq!(self.rx.has_high(), self.has_high());
    }
}

fuzz_target!(|plan: Plan| {
    let mut model = Model::new(&plan);
    for op in &plan.ops {
        model.run(op);
    }
    // Everything that was accepted must be received.
    while let Ok(message) = model.rx.try_recv() {
        model.received(message, true);
    }
    assert_eq!(model.queued(), 0);
});
