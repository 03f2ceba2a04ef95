//! Sequences of operations on the senders of one channel: own and shared ones, weak ones, permits, waits that are
//! granted or cancelled, time-outs that have passed, close and drop; with a bound for each lane, or one for all of them.
//! Compares with a model: queues of numbers, and who holds how much room.
#![no_main]

mod model;
mod sends;

use std::{
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use arbitrary::Arbitrary;
use lanemesh::{RecvTimeoutError, SendError, TryRecvError};
use libfuzzer_sys::fuzz_target;

use self::{
    model::{Model, Permit, Wait},
    sends::pick,
};

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

impl Model {
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
        let Some(index) =
            pick(&self.own, n).filter(|_| self.waits.len() < MOST && self.permits.len() < MOST)
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
            assert!(
                self.free(source) > 0,
                "a wait was granted room that is not there"
            );
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
