//! Sequences of operations on the senders of one channel: own and shared ones, weak ones, permits, waits that are
//! granted or cancelled, time-outs that have passed, close and drop; with a bound for each lane, or one for all of them.
//! Compares with a model: queues of numbers, and who holds how much room.
#![no_main]

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use arbitrary::Arbitrary;
use lanemesh::{
    Builder, OwnedPermit, Receiver, RecvTimeoutError, SendError, SendTimeoutError, Sender,
    SharedOwnedPermit, SharedSender, TryRecvError, TrySendError, WeakSender, WeakSharedSender,
};
use libfuzzer_sys::fuzz_target;

/// Handles of one kind, permits and waits at a time, at most.
const MOST: usize = 5;

#[derive(Debug, Arbitrary)]
struct Plan {
    capacity: u8,
    /// One bound for all lanes.
    total: bool,
    first_ring: u8,
    shared_slots: u8,
    burst: u8,
    ops: Vec<Op>,
}

#[derive(Debug, Arbitrary)]
enum Op {
    Send(u8, How),
    SendShared(u8, How),
    SendBatch(u8, u8),
    SendBatchShared(u8, u8),
    /// Reserves room for some, and sends fewer.
    ReserveMany(u8, u8, u8),
    ReserveManyShared(u8, u8, u8),
    ReserveOwned(u8),
    ReserveOwnedShared(u8),
    UsePermit(u8),
    ReleasePermit(u8),
    DropPermit(u8),
    WaitToSend(u8),
    WaitToReserve(u8),
    PollWait(u8),
    CancelWait(u8),
    Clone(u8),
    CloneShared(u8),
    Share(u8),
    OwnOfShared(u8),
    Downgrade(u8),
    Upgrade(u8),
    DowngradeShared(u8),
    UpgradeShared(u8),
    Drop(u8),
    DropShared(u8),
    Shrink(u8),
    Recv(Which),
    RecvMany(u8),
    /// Receives all, and then ends the waits that have room.
    Settle,
    Close,
}

#[derive(Debug, Arbitrary)]
enum How {
    Try,
    TimeoutOfZero,
    DeadlineThatHasPassed,
}

#[derive(Debug, Arbitrary)]
enum Which {
    Try,
    TimeoutOfZero,
    DeadlineThatHasPassed,
}

/// `(source, number)`: a source is one lane, and numbers its messages consecutively.
type Item = (usize, u64);

/// One lane: of a sender of its own, or of all clones of a shared one.
#[derive(Default)]
struct Source {
    queue: VecDeque<u64>,
    /// Permits that hold room.
    permits: usize,
    next: u64,
    /// A wait that was granted room may not have been polled yet, or the receiver may hold room back for one.
    unsure: bool,
}

enum Permit {
    Own(usize, OwnedPermit<Item>),
    Shared(usize, SharedOwnedPermit<Item>),
}

enum Wait {
    Send(
        usize,
        u64,
        Pin<Box<dyn Future<Output = Result<(), SendError<Item>>>>>,
    ),
    Reserve(
        usize,
        Pin<Box<dyn Future<Output = Result<OwnedPermit<Item>, SendError<()>>>>>,
    ),
}

impl Wait {
    fn source(&self) -> usize {
        let (Self::Send(source, ..) | Self::Reserve(source, _)) = self;
        *source
    }
}

struct Model {
    rx: Receiver<Item>,
    own: Vec<(usize, Sender<Item>)>,
    shared: Vec<(usize, SharedSender<Item>)>,
    weak: Vec<WeakSender<Item>>,
    weak_shared: Vec<(usize, WeakSharedSender<Item>)>,
    permits: Vec<Permit>,
    waits: Vec<Wait>,
    sources: Vec<Source>,
    capacity: usize,
    total: bool,
    closed: bool,
}

fn pick<T>(of: &[T], n: u8) -> Option<usize> {
    (!of.is_empty()).then(|| usize::from(n) % of.len())
}

impl Model {
    fn new(plan: &Plan) -> Self {
        let capacity = 1 + usize::from(plan.capacity) % 12;
        let mut builder = Builder::new(capacity)
            .first_ring(1 + usize::from(plan.first_ring) % 5)
            .shared_slots(usize::from(plan.shared_slots) % 4)
            .burst(1 + usize::from(plan.burst) % 5)
            // The budget is for another target.
            .budget(usize::MAX);
        if plan.total {
            builder = builder.total_capacity(capacity);
        }
        let (tx, rx) = builder.build();
        let mut model = Self {
            rx,
            own: Vec::new(),
            shared: Vec::new(),
            weak: Vec::new(),
            weak_shared: Vec::new(),
            permits: Vec::new(),
            waits: Vec::new(),
            sources: Vec::new(),
            capacity,
            total: plan.total,
            closed: false,
        };
        let source = model.new_source();
        model.own.push((source, tx));
        model
    }

    fn new_source(&mut self) -> usize {
        self.sources.push(Source::default());
        self.sources.len() - 1
    }

    fn queued(&self) -> usize {
        self.sources.iter().map(|source| source.queue.len()).sum()
    }

    /// The sources that share the room of this one.
    fn sharing(&self, source: usize) -> &[Source] {
        if self.total {
            &self.sources
        } else {
            std::slice::from_ref(&self.sources[source])
        }
    }

    /// Room for a message of this source.
    fn free(&self, source: usize) -> usize {
        let used = |source: &Source| source.queue.len() + source.permits;
        let used: usize = self.sharing(source).iter().map(used).sum();
        self.capacity
            .checked_sub(used)
            .expect("more was accepted than there is room for")
    }

    /// Whether the room is exactly what `free` says.
    fn is_sure(&self, source: usize) -> bool {
        !self.sharing(source).iter().any(|source| source.unsure)
    }

    /// What a send or a reservation of `wanted` that did not wait must have come to.
    fn check(&self, source: usize, wanted: usize, accepted: bool, closed: bool) {
        assert!(!closed || self.closed);
        let room = self.free(source) >= wanted;
        if accepted {
            assert!(room && !self.closed);
        } else if !closed {
            assert!(!self.closed);
            assert!(
                !room || !self.is_sure(source),
                "refused although there is room"
            );
        }
    }

    fn next(&mut self, source: usize) -> Item {
        self.sources[source].next += 1;
        (source, self.sources[source].next)
    }

    fn sent(&mut self, item: Item, result: Result<(), TrySendError<Item>>) {
        let (source, n) = item;
        let closed = matches!(result, Err(TrySendError::Closed(_)));
        self.check(source, 1, result.is_ok(), closed);
        match result {
            Ok(()) => self.sources[source].queue.push_back(n),
            Err(error) => assert_eq!(error.into_inner(), item, "another message came back"),
        }
    }

    fn batch_sent(&mut self, source: usize, first: u64, count: usize, sent: usize, closed: bool) {
        assert!(!closed || (self.closed && sent == 0));
        if !closed {
            assert!(!self.closed);
            let free = self.free(source);
            assert!(sent <= free.min(count));
            assert!(!self.is_sure(source) || sent == free.min(count));
        }
        self.sources[source]
            .queue
            .extend((first..).take(sent));
    }

    fn received(&mut self, (source, n): Item) {
        let front = self.sources[source].queue.pop_front();
        assert_eq!(front, Some(n), "out of order");
    }

    fn nothing_received(&self, closed: bool) {
        assert_eq!(self.queued(), 0, "a message was lost");
        assert_eq!(closed, self.closed || self.rx.sender_count() == 0);
    }

    fn send(&mut self, n: u8, how: &How) {
        let Some(index) = pick(&self.own, n) else { return };
        let source = self.own[index].0;
        let item = self.next(source);
        let tx = &mut self.own[index].1;
        let result = match how {
            How::Try => tx.try_send(item),
            How::TimeoutOfZero => in_time(tx.send_timeout(item, Duration::ZERO)),
            How::DeadlineThatHasPassed => in_time(tx.send_deadline(item, Instant::now())),
        };
        self.sent(item, result);
    }

    fn send_shared(&mut self, n: u8, how: &How) {
        let Some(index) = pick(&self.shared, n) else { return };
        let source = self.shared[index].0;
        let item = self.next(source);
        let tx = &self.shared[index].1;
        let result = match how {
            How::Try => tx.try_send(item),
            How::TimeoutOfZero => in_time(tx.send_timeout(item, Duration::ZERO)),
            How::DeadlineThatHasPassed => in_time(tx.send_deadline(item, Instant::now())),
        };
        self.sent(item, result);
    }

    /// The next messages of a source.
    fn batch(&mut self, source: usize, count: u8) -> (u64, Vec<Item>) {
        let items: Vec<_> = (0..count % 20).map(|_| self.next(source)).collect();
        (items.first().map_or(0, |item| item.1), items)
    }

    fn send_batch(&mut self, n: u8, count: u8) {
        let Some(index) = pick(&self.own, n) else { return };
        let source = self.own[index].0;
        let (first, items) = self.batch(source, count);
        let (count, mut left) = (items.len(), items);
        let sent = self.own[index].1.try_send_vec(&mut left);
        let (sent, closed) = sent.map_or_else(|SendError(sent)| (sent, true), |sent| (sent, false));
        assert_eq!(sent + left.len(), count);
        self.batch_sent(source, first, count, sent, closed);
    }

    fn send_batch_shared(&mut self, n: u8, count: u8) {
        let Some(index) = pick(&self.shared, n) else { return };
        let source = self.shared[index].0;
        let (first, items) = self.batch(source, count);
        let count = items.len();
        let mut items = items.into_iter();
        let sent = self.shared[index].1.try_send_many(items.by_ref());
        let (sent, closed, unsent) = match sent {
            Ok(sent) => (sent, false, 0),
            Err(error) => (error.sent, true, error.unsent.len()),
        };
        assert_eq!(sent + unsent + items.count(), count);
        // An empty batch does not notice that the channel is closed.
        if count > 0 {
            self.batch_sent(source, first, count, sent, closed);
        }
    }

    fn reserve_many(&mut self, n: u8, count: u8, sends: u8) {
        let Some(index) = pick(&self.own, n) else { return };
        let source = self.own[index].0;
        let count = usize::from(count) % (self.capacity + 2);
        let sends = usize::from(sends) % (count + 1);
        let items: Vec<_> = (0..sends).map(|_| self.next(source)).collect();
        let (ok, closed) = match self.own[index].1.try_reserve_many(count) {
            Ok(mut permits) => {
                assert_eq!(permits.len(), count);
                for &item in &items {
                    permits.next_permit().unwrap().send(item).unwrap();
                }
                (true, false)
            }
            Err(error) => (false, error.is_closed()),
        };
        self.check(source, count, ok, closed);
        if ok {
            self.sources[source].queue.extend(items.iter().map(|item| item.1));
        }
    }

    fn reserve_many_shared(&mut self, n: u8, count: u8, sends: u8) {
        let Some(index) = pick(&self.shared, n) else { return };
        let source = self.shared[index].0;
        let count = usize::from(count) % (self.capacity + 2);
        let sends = usize::from(sends) % (count + 1);
        let items: Vec<_> = (0..sends).map(|_| self.next(source)).collect();
        let (ok, closed) = match self.shared[index].1.try_reserve_many(count) {
            Ok(mut permits) => {
                assert_eq!(permits.len(), count);
                for &item in &items {
                    permits.next().unwrap().send(item).unwrap();
                }
                (true, false)
            }
            Err(error) => (false, error.is_closed()),
        };
        self.check(source, count, ok, closed);
        if ok {
            self.sources[source].queue.extend(items.iter().map(|item| item.1));
        }
    }

    fn reserve_owned(&mut self, n: u8) {
        let Some(index) = pick(&self.own, n).filter(|_| self.permits.len() < MOST) else {
            return;
        };
        let (source, tx) = self.own.swap_remove(index);
        match tx.try_reserve_owned() {
            Ok(permit) => {
                self.check(source, 1, true, false);
                self.sources[source].permits += 1;
                self.permits.push(Permit::Own(source, permit));
            }
            Err(error) => {
                self.check(source, 1, false, error.is_closed());
                self.own.push((source, error.into_inner()));
            }
        }
    }

    fn reserve_owned_shared(&mut self, n: u8) {
        let Some(index) = pick(&self.shared, n).filter(|_| self.permits.len() < MOST) else {
            return;
        };
        let (source, tx) = self.shared.swap_remove(index);
        match tx.try_reserve_owned() {
            Ok(permit) => {
                self.check(source, 1, true, false);
                self.sources[source].permits += 1;
                self.permits.push(Permit::Shared(source, permit));
            }
            Err(error) => {
                self.check(source, 1, false, error.is_closed());
                self.shared.push((source, error.into_inner()));
            }
        }
    }

    fn use_permit(&mut self, n: u8) {
        let Some(index) = pick(&self.permits, n) else { return };
        let permit = self.permits.swap_remove(index);
        let (Permit::Own(source, _) | Permit::Shared(source, _)) = permit;
        let item = self.next(source);
        let sent = match permit {
            Permit::Own(_, permit) => permit.send(item).map(|tx| self.own.push((source, tx))),
            Permit::Shared(_, permit) => {
                permit.send(item).map(|tx| self.shared.push((source, tx)))
            }
        };
        self.sources[source].permits -= 1;
        assert_eq!(sent.is_ok(), !self.closed, "room that is reserved is there");
        match sent {
            Ok(()) => self.sources[source].queue.push_back(item.1),
            Err(SendError(back)) => assert_eq!(back, item),
        }
    }

    fn release_permit(&mut self, n: u8, drop_it: bool) {
        let Some(index) = pick(&self.permits, n) else { return };
        let permit = self.permits.swap_remove(index);
        let (Permit::Own(source, _) | Permit::Shared(source, _)) = permit;
        self.sources[source].permits -= 1;
        match permit {
            permit if drop_it => drop(permit),
            Permit::Own(_, permit) => self.own.push((source, permit.release())),
            Permit::Shared(_, permit) => self.shared.push((source, permit.release())),
        }
    }

    fn wait_to_send(&mut self, n: u8) {
        let Some(index) = pick(&self.shared, n).filter(|_| self.waits.len() < MOST) else {
            return;
        };
        let (source, tx) = (self.shared[index].0, self.shared[index].1.clone());
        let item = self.next(source);
        let send = Box::pin(async move { tx.send(item).await });
        self.waits.push(Wait::Send(source, item.1, send));
        self.poll_wait(self.waits.len() - 1);
    }

    fn wait_to_reserve(&mut self, n: u8) {
        let Some(index) = pick(&self.own, n)
            .filter(|_| self.waits.len() < MOST && self.permits.len() < MOST)
        else {
            return;
        };
        let (source, tx) = self.own.swap_remove(index);
        let reserve = Box::pin(tx.reserve_owned());
        self.waits.push(Wait::Reserve(source, reserve));
        self.poll_wait(self.waits.len() - 1);
    }

    /// Polls a wait, and says whether it has ended.
    fn poll_wait(&mut self, index: usize) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let source = self.waits[index].source();
        let (accepted, permit) = match &mut self.waits[index] {
            Wait::Send(_, _, send) => match send.as_mut().poll(&mut cx) {
                Poll::Ready(result) => (result.map_err(|SendError(item)| Some(item)), None),
                Poll::Pending => return self.waits_on(source),
            },
            Wait::Reserve(_, reserve) => match reserve.as_mut().poll(&mut cx) {
                Poll::Ready(Ok(permit)) => (Ok(()), Some(permit)),
                Poll::Ready(Err(_)) => (Err(None), None),
                Poll::Pending => return self.waits_on(source),
            },
        };
        let wait = self.waits.remove(index);
        assert_eq!(accepted.is_ok(), !self.closed);
        if accepted.is_ok() {
            assert!(self.free(source) > 0, "a wait was granted room that is not there");
        }
        match (wait, accepted, permit) {
            (Wait::Send(_, n, _), Ok(()), _) => self.sources[source].queue.push_back(n),
            (Wait::Send(_, n, _), Err(item), _) => assert_eq!(item, Some((source, n))),
            (Wait::Reserve(..), _, Some(permit)) => {
                self.sources[source].permits += 1;
                self.permits.push(Permit::Own(source, permit));
            }
            (Wait::Reserve(..), ..) => {}
        }
        true
    }

    fn waits_on(&mut self, source: usize) -> bool {
        assert!(!self.closed, "a wait goes on after the close");
        self.sources[source].unsure = true;
        false
    }

    fn settle(&mut self) {
        // Each round frees all room, which goes to those who have waited longest.
        loop {
            while let Ok(item) = self.rx.try_recv() {
                self.received(item);
            }
            let before = self.waits.len();
            let could = (0..before).any(|wait| self.free(self.waits[wait].source()) > 0);
            let mut index = 0;
            while index < self.waits.len() {
                if !self.poll_wait(index) {
                    index += 1;
                }
            }
            if self.waits.len() == before {
                assert!(
                    before == 0 || !could || self.closed,
                    "there is room, and nobody of those who wait has got it"
                );
                break;
            }
        }
        // Once all is received and nobody waits, all room is where the model has it.
        for index in 0..self.sources.len() {
            let waits = |wait: &Wait| self.total || wait.source() == index;
            self.sources[index].unsure = self.waits.iter().any(waits);
        }
    }

    fn recv(&mut self, which: &Which) {
        let received = match which {
            Which::Try => self.rx.try_recv().map_err(|e| e == TryRecvError::Closed),
            Which::TimeoutOfZero => self
                .rx
                .recv_timeout(Duration::ZERO)
                .map_err(|e| e == RecvTimeoutError::Closed),
            Which::DeadlineThatHasPassed => self
                .rx
                .recv_deadline(Instant::now())
                .map_err(|e| e == RecvTimeoutError::Closed),
        };
        match received {
            Ok(item) => self.received(item),
            Err(closed) => self.nothing_received(closed),
        }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Send(n, ref how) => self.send(n, how),
            Op::SendShared(n, ref how) => self.send_shared(n, how),
            Op::SendBatch(n, count) => self.send_batch(n, count),
            Op::SendBatchShared(n, count) => self.send_batch_shared(n, count),
            Op::ReserveMany(n, count, sends) => self.reserve_many(n, count, sends),
            Op::ReserveManyShared(n, count, sends) => self.reserve_many_shared(n, count, sends),
            Op::ReserveOwned(n) => self.reserve_owned(n),
            Op::ReserveOwnedShared(n) => self.reserve_owned_shared(n),
            Op::UsePermit(n) => self.use_permit(n),
            Op::ReleasePermit(n) => self.release_permit(n, false),
            Op::DropPermit(n) => self.release_permit(n, true),
            Op::WaitToSend(n) => self.wait_to_send(n),
            Op::WaitToReserve(n) => self.wait_to_reserve(n),
            Op::PollWait(n) => {
                if let Some(index) = pick(&self.waits, n) {
                    self.poll_wait(index);
                }
            }
            Op::CancelWait(n) => {
                if let Some(index) = pick(&self.waits, n) {
                    drop(self.waits.remove(index));
                }
            }
            Op::Clone(n) => {
                if let Some(index) = pick(&self.own, n).filter(|_| self.own.len() < MOST) {
                    let tx = self.own[index].1.clone();
                    let source = self.new_source();
                    self.own.push((source, tx));
                }
            }
            Op::CloneShared(n) => {
                if let Some(index) = pick(&self.shared, n).filter(|_| self.shared.len() < MOST) {
                    let (source, tx) = (self.shared[index].0, self.shared[index].1.clone());
                    self.shared.push((source, tx));
                }
            }
            Op::Share(n) => {
                if let Some(index) = pick(&self.own, n).filter(|_| self.shared.len() < MOST) {
                    let tx = self.own.swap_remove(index).1.shared();
                    let source = self.new_source();
                    self.shared.push((source, tx));
                }
            }
            Op::OwnOfShared(n) => {
                if let Some(index) = pick(&self.shared, n).filter(|_| self.own.len() < MOST) {
                    let tx = self.shared[index].1.sender();
                    let source = self.new_source();
                    self.own.push((source, tx));
                }
            }
            Op::Downgrade(n) => {
                if let Some(index) = pick(&self.own, n).filter(|_| self.weak.len() < MOST) {
                    self.weak.push(self.own[index].1.downgrade());
                    assert_eq!(self.rx.weak_sender_count(), self.weak.len());
                }
            }
            Op::Upgrade(n) => {
                if let Some(index) = pick(&self.weak, n).filter(|_| self.own.len() < MOST) {
                    let alive = self.rx.sender_count() > 0;
                    let tx = self.weak[index].upgrade();
                    assert_eq!(tx.is_some(), alive);
                    if let Some(tx) = tx {
                        let source = self.new_source();
                        self.own.push((source, tx));
                    }
                }
            }
            Op::DowngradeShared(n) => {
                if let Some(index) = pick(&self.shared, n).filter(|_| self.weak_shared.len() < MOST)
                {
                    let (source, weak) = (self.shared[index].0, self.shared[index].1.downgrade());
                    self.weak_shared.push((source, weak));
                    let all = self.weak_shared.iter();
                    let count = all.filter(|(other, _)| *other == source).count();
                    assert_eq!(self.shared[index].1.weak_count(), count);
                }
            }
            Op::UpgradeShared(n) => {
                if let Some(index) = pick(&self.weak_shared, n).filter(|_| self.shared.len() < MOST)
                {
                    let (source, weak) = &self.weak_shared[index];
                    let alive = weak.strong_count() > 0;
                    let tx = weak.upgrade();
                    assert_eq!(tx.is_some(), alive);
                    self.shared.extend(tx.map(|tx| (*source, tx)));
                }
            }
            Op::Drop(n) => {
                if let Some(index) = pick(&self.own, n) {
                    self.own.swap_remove(index);
                }
            }
            Op::DropShared(n) => {
                if let Some(index) = pick(&self.shared, n) {
                    self.shared.swap_remove(index);
                }
            }
            Op::Shrink(n) => {
                if let Some(index) = pick(&self.own, n) {
                    self.own[index].1.shrink_to_fit();
                }
            }
            Op::Recv(ref which) => self.recv(which),
            Op::RecvMany(limit) => {
                let mut into = Vec::new();
                let limit = usize::from(limit);
                let expected = limit.min(self.queued());
                match self.rx.try_recv_many(&mut into, limit) {
                    Ok(count) => assert_eq!((count, into.len()), (expected, expected)),
                    Err(error) => self.nothing_received(error == TryRecvError::Closed),
                }
                into.into_iter().for_each(|item| self.received(item));
            }
            Op::Settle => self.settle(),
            Op::Close => {
                self.rx.close();
                self.closed = true;
            }
        }
        self.check_counts();
    }

    fn check_counts(&self) {
        assert_eq!(self.rx.len(), self.queued());
        for (source, tx) in &self.own {
            assert_eq!(tx.len(), self.sources[*source].queue.len());
            if self.is_sure(*source) && !self.closed {
                assert_eq!(tx.remaining_capacity(), self.free(*source));
            }
        }
        for (source, tx) in &self.shared {
            assert_eq!(tx.len(), self.sources[*source].queue.len());
            if self.is_sure(*source) && !self.closed {
                assert_eq!(tx.remaining_capacity(), self.free(*source));
            }
        }
    }
}

fn in_time(result: Result<(), SendTimeoutError<Item>>) -> Result<(), TrySendError<Item>> {
    result.map_err(|error| match error {
        SendTimeoutError::Timeout(item) => TrySendError::Full(item),
        SendTimeoutError::Closed(item) => TrySendError::Closed(item),
    })
}

fuzz_target!(|plan: Plan| {
    let mut model = Model::new(&plan);
    for op in &plan.ops {
        model.run(op);
    }
    // What waits and holds room goes, then all that was accepted is received.
    model.waits.clear();
    for permit in &model.permits {
        let (Permit::Own(source, _) | Permit::Shared(source, _)) = permit;
        model.sources[*source].permits -= 1;
    }
    model.permits.clear();
    model.own.clear();
    model.shared.clear();
    while let Ok(item) = model.rx.try_recv() {
        model.received(item);
    }
    model.nothing_received(true);
    assert_eq!(model.rx.stats().lanes_open, 0, "a lane is left behind");
});
