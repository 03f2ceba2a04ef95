//! The receiving half of one fan_in: which lane is looked at next, and when the receiver may sleep.
//!
//! It promises to find every message whose send has said `Ok`, each lane in its order, and to come to
//! every lane that has messages within one round. It does not choose between priorities.

mod close;
mod fence_policy;
mod quota;
#[cfg(all(test, not(loom)))]
mod tests;
mod unfenced;

use std::{fmt, mem, task::Waker};

use self::{fence_policy::FencePolicy, quota::Quota};
use crate::{
    error::TryRecvError,
    fan_in::{
        FanIn,
        lane::{
            Lane,
            list::{Chain, LaneQueue},
            rx::{Emptied, LaneRx},
        },
        ready::Arm,
        shared_slots::SlotReader,
    },
    stats::Stats,
    sync::{Arc, Mutex, lock, store_load_fence},
};

pub(crate) struct Inbox<T> {
    fan_in: Arc<FanIn<T>>,
    /// The lane that is being emptied, or, when there is nothing else to do, the last one that was: it
    /// is given up only when the receiver goes to sleep or elsewhere.
    current: Option<LaneRx<T>>,
    quota: Quota,
    /// Lanes yet to be come to in this round.
    chain: Chain<T>,
    /// Lanes that had more than their turn allowed.
    again: LaneQueue<T>,
    /// The chain was made of these.
    in_again: bool,
    /// Lanes that were on the list when it was closed.
    late: Chain<T>,
    slots: SlotReader,
    closed: bool,
    hung_up: bool,
    asleep: bool,
    /// Producers that waited for room were woken since the receiver last stayed awake for them.
    woke: bool,
    counted: Counted,
    fences: FencePolicy,
    /// Held to count from `&self`: the count refreshes positions that are not atomic.
    count: Mutex<()>,
}

#[derive(Debug, Default)]
struct Counted {
    messages: u64,
    wakeups: u64,
    high_water: usize,
    #[cfg(feature = "quanta")]
    delay: crate::delay::DelayStats,
}

/// What an attempt to sleep came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// The next message wakes the waker.
    Asleep,
    /// There may be something: look again.
    Ready,
    /// A producer is in the middle of waking this receiver, or messages are expected: stay awake and look again
    /// soon.
    Busy,
    /// Closed and drained: nothing will ever come.
    Closed,
}

enum Found {
    /// A lane to take from, or claimed slots to look at.
    Something,
    Nothing,
}

// SAFETY: the lanes that the raw pointers lead to are the receiver's, and `Send + Sync` for `T: Send`.
unsafe impl<T: Send> Send for Inbox<T> {}
// SAFETY: as above; what `&self` offers counts under the lock.
unsafe impl<T: Send> Sync for Inbox<T> {}

impl<T> Inbox<T> {
    #[inline(always)]
    pub(crate) fn new(fan_in: Arc<FanIn<T>>) -> Self {
        let unfenced_after = fan_in.config.unfenced_after;
        Self {
            fan_in,
            current: None,
            quota: Quota::default(),
            chain: Chain::empty(),
            again: LaneQueue::new(),
            in_again: false,
            late: Chain::empty(),
            slots: SlotReader::new(),
            closed: false,
            hung_up: false,
            asleep: false,
            woke: false,
            counted: Counted::default(),
            fences: FencePolicy::new(unfenced_after),
            count: Mutex::new(()),
        }
    }

    pub(crate) fn fan_in(&self) -> &Arc<FanIn<T>> {
        &self.fan_in
    }

    /// The next message, if there is one.
    #[inline]
    pub(crate) fn try_next(&mut self) -> Option<T> {
        let mut patience = usize::MAX;
        self.try_next_within(&mut patience)
    }

    /// The next message, if one is found before the receiver has gone on to as many lanes as `patience` says,
    /// which is what is left of it then: with none left there may be more.
    #[inline]
    pub(crate) fn try_next_within(&mut self, patience: &mut usize) -> Option<T> {
        loop {
            if self.quota.left() > 0
                && let Some(lane) = &mut self.current
                && let Some(message) = lane.pop()
            {
                if self.quota.consume(1) {
                    self.checkpoint();
                }
                return Some(message);
            }
            if let Some(message) = self.take_shared() {
                return Some(message);
            }
            match self.look() {
                Found::Something => {
                    *patience -= 1;
                    if *patience == 0 {
                        return None;
                    }
                }
                Found::Nothing => return None,
            }
        }
    }

    /// Moves up to `limit` messages to the end of `into`, and says how many.
    pub(crate) fn try_next_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        let mut count = 0;
        while count < limit {
            if self.quota.left() > 0
                && let Some(lane) = &mut self.current
            {
                let popped = lane.pop_into(into, self.quota.left().min(limit - count));
                if popped > 0 {
                    if self.quota.consume(popped) {
                        self.checkpoint();
                    }
                    count += popped;
                    continue;
                }
            }
            if let Some(message) = self.take_shared() {
                into.push(message);
                count += 1;
                continue;
            }
            match self.look() {
                Found::Something => {}
                Found::Nothing => break,
            }
        }
        count
    }

    /// Counts what the current lane has given, and makes it known to its producer if that is much.
    #[inline]
    fn checkpoint(&mut self) {
        let given = self.quota.checkpoint();
        if given == 0 {
            return;
        }
        self.counted.messages += given as u64;
        if let Some(lane) = &mut self.current {
            lane.took(given);
            let half = self.fan_in.config.half();
            self.quota.checkpoint_after(lane.until_room(half));
            lane.make_room(half);
        }
    }

    /// Lingers over an empty lane. All that was taken from it is made known to its producer.
    #[inline]
    fn linger(&mut self, lane: LaneRx<T>) -> Found {
        let lane = self.current.insert(lane);
        lane.make_room(1);
        self.woke |= lane.take_woken();
        Found::Nothing
    }

    /// Puts a lane off until the next round. All that was taken from it is made known to its producer.
    #[inline]
    fn requeue(&mut self, mut lane: LaneRx<T>) {
        // SAFETY: the lane is the receiver's, and in no list.
        unsafe { self.again.push(lane.as_lane()) };
        lane.make_room(1);
        self.woke |= lane.take_woken();
    }

    /// Makes a lane the current one.
    fn start_lane(&mut self, lane: LaneRx<T>) {
        self.current = Some(lane);
        self.quota.start(self.fan_in.config.burst);
        self.quota.checkpoint_after(self.fan_in.config.half());
    }

    /// Goes on to what comes next. A receiver that has nothing to go on with looks at the list alone.
    #[inline]
    fn look(&mut self) -> Found {
        if self.current.is_some() || !self.chain.is_empty() || !self.again.is_empty() || self.closed
        {
            return self.find();
        }
        if self.fan_in.ready.has_news(&self.slots) {
            self.take_list();
            return Found::Something;
        }
        Found::Nothing
    }

    /// Goes on from a lane that is empty or has had its turn.
    #[inline(never)]
    fn find(&mut self) -> Found {
        self.checkpoint();
        if let Some(mut lane) = self.current.take() {
            let (gave, all) = self.quota.used();
            self.unfence_if_worth(&mut lane, gave);
            if all {
                if !self.has_other_work() {
                    self.start_lane(lane);
                    return Found::Something;
                }
                self.requeue(lane);
            } else if self.closed {
                // SAFETY: the channel is closed.
                let emptied = unsafe { lane.seal() };
                if self.keep_or_release(lane, emptied) {
                    return Found::Something;
                }
            } else if lane.is_unfenced() {
                return self.revisit(lane, gave > 0);
            } else if self.has_other_work() {
                // SAFETY: what it says is done in `keep_or_release`.
                let emptied = unsafe { lane.retire() };
                if self.keep_or_release(lane, emptied) {
                    return Found::Something;
                }
            } else {
                // Nothing else to do: linger over the lane, so that the next message of a producer
                // that sends in quick succession costs neither side a handshake.
                return self.linger(lane);
            }
        }
        self.next_lane()
    }

    #[inline]
    fn has_other_work(&self) -> bool {
        !self.chain.is_empty()
            || !self.again.is_empty()
            || !self.late.is_empty()
            || self.slots.has_claimed()
            || (!self.closed && self.fan_in.ready.has_news(&self.slots))
    }

    /// Keeps or gives up a lane that was found empty. `true` when it is the current one again.
    fn keep_or_release(&mut self, mut lane: LaneRx<T>, emptied: Emptied) -> bool {
        self.woke |= lane.take_woken();
        match emptied {
            Emptied::Idle => {
                self.woke |= lane.wake_waiting();
                false
            }
            Emptied::Kept => {
                self.start_lane(lane);
                if let Some(lane) = &self.current {
                    self.woke |= lane.wake_waiting();
                }
                true
            }
            Emptied::Finished => {
                if lane.is_unfenced() {
                    self.fences.remove_lane();
                }
                // SAFETY: the receiver's half; the lane is in none of its lists.
                if let Some(lane) = unsafe { Lane::release(lane.as_lane()) } {
                    self.fan_in.recycle(lane);
                }
                false
            }
        }
    }

    fn next_lane(&mut self) -> Found {
        loop {
            if let Some(lane) = self.chain.next() {
                // SAFETY: from the ready list, or from the receiver's own lists.
                self.begin(unsafe { LaneRx::new(lane) });
                return Found::Something;
            }
            if !self.in_again && !self.again.is_empty() {
                self.chain = self.again.take();
                self.in_again = true;
                continue;
            }
            self.in_again = false;
            if self.closed {
                if !self.late.is_empty() {
                    self.chain = std::mem::replace(&mut self.late, Chain::empty());
                    continue;
                }
            } else if self.fan_in.ready.has_news(&self.slots) {
                self.take_list();
                // A producer whose lane was taken just now may have sent its message before by an
                // shared slot: those come first.
                return Found::Something;
            }
            if self.again.is_empty() {
                return Found::Nothing;
            }
        }
    }

    fn begin(&mut self, lane: LaneRx<T>) {
        #[cfg(feature = "quanta")]
        if !self.in_again {
            self.counted.delay.record(lane.stamp().elapsed());
        }
        self.counted.high_water = self.counted.high_water.max(lane.backlog());
        self.start_lane(lane);
    }

    /// A message from a claimed slot, if one is written.
    #[inline]
    fn take_shared(&mut self) -> Option<T> {
        if !self.slots.has_claimed() {
            return None;
        }
        // SAFETY: this is the receiver.
        let taken = unsafe { self.slots.take(&self.fan_in.shared_slots) }?;
        self.counted.messages += 1;
        #[cfg(feature = "quanta")]
        self.counted.delay.record(taken.stamp.elapsed());
        if let Some(lane) = taken.notify
            && !self.closed
        {
            // Pairs with the fence in `LaneTx::wait`: either the producer sees the room, or this sees that
            // it waits.
            store_load_fence!("room_fence_slot");
            if self.fan_in.ready.expects_waiting() {
                // SAFETY: the lane outlives its producer's messages: the receiver gives up its half of it when
                // it comes to the lane behind them. Once the channel is closed the half may be given up for it,
                // but those who wait have been woken by then.
                self.woke |= unsafe { lane.as_ref() }.wake_waiting();
            }
        }
        Some(taken.message)
    }

    /// Takes the ready list.
    fn take_list(&mut self) {
        let taken = self.fan_in.ready.take(&mut self.slots);
        self.chain = taken.chain;
        self.in_again = false;
        self.counted.wakeups += u64::from(self.asleep);
        self.asleep = false;
    }

    /// Lays the receiver to sleep, after `try_next` has found nothing.
    #[inline]
    pub(crate) fn sleep(&mut self, waker: &Waker) -> Sleep {
        if self.fences.is_active() {
            if self.fences.stays_awake(self.counted.messages) {
                return Sleep::Busy;
            }
            self.fence_all();
            return Sleep::Ready;
        }
        if mem::take(&mut self.woke) && !cfg!(loom) {
            // They are about to send. Those of one executor all do before the receiver is polled again, and none
            // of them has to wake it; it would run between any two of them.
            return Sleep::Busy;
        }
        if self.give_up_current() {
            return Sleep::Ready;
        }
        if self.slots.has_claimed() {
            return Sleep::Busy;
        }
        if self.closed || self.hung_up {
            return Sleep::Closed;
        }
        if self.fan_in.ready.is_hung_up() {
            // One more look: what was sent before is to be seen now.
            self.hung_up = true;
            return Sleep::Ready;
        }
        if self.slots.is_shut() {
            // All slots are empty by now: open a set again.
            self.take_list();
            return Sleep::Ready;
        }
        // SAFETY: this is the receiver; all lanes are given up, all slots are empty, and a set is open.
        match unsafe { self.fan_in.ready.arm(&self.slots, waker) } {
            Arm::Armed => {
                self.asleep = true;
                self.fences.slept(self.counted.messages);
                Sleep::Asleep
            }
            Arm::Ready => Sleep::Ready,
            Arm::Busy => Sleep::Busy,
        }
    }

    /// Whether the receiver lingers over a lane, after `try_next` has found nothing.
    #[inline]
    pub(crate) fn lingers(&self) -> bool {
        self.current.is_some()
    }

    /// Whether something came to the lane that the receiver lingers over.
    pub(crate) fn has_lingered_for(&self) -> bool {
        self.current.as_ref().is_some_and(LaneRx::has_more)
    }

    /// Gives up the lane that the receiver lingers over. `true` when something came meanwhile, and it is
    /// the current one again.
    #[inline]
    fn give_up_current(&mut self) -> bool {
        if self.current.is_none() {
            return false;
        }
        self.checkpoint();
        let Some(mut lane) = self.current.take() else {
            return false;
        };
        // SAFETY: what it says is done in `keep_or_release`. A closed channel does not linger, so this is an
        // open one.
        let emptied = unsafe { lane.retire() };
        self.keep_or_release(lane, emptied)
    }

    /// Whether the channel is closed and drained, after `try_next` has found nothing.
    pub(crate) fn is_finished(&mut self) -> bool {
        if !self.closed && !self.hung_up {
            if !self.fan_in.ready.is_hung_up() {
                return false;
            }
            // One more look: what was sent before is to be seen now.
            self.hung_up = true;
            if self.has_next() {
                return false;
            }
        }
        // A lane that the receiver lingers over, and whose producer has gone, ends here.
        if self.give_up_current() {
            return false;
        }
        !self.slots.has_claimed()
    }

    /// Why `try_next` has found nothing.
    #[cold]
    pub(crate) fn why_nothing(&mut self) -> TryRecvError {
        if self.is_finished() {
            TryRecvError::Closed
        } else {
            TryRecvError::Empty
        }
    }

    /// Whether a message is there, without taking it. May move lanes about.
    pub(crate) fn has_next(&mut self) -> bool {
        loop {
            if self.quota.left() > 0
                && let Some(lane) = &self.current
                && lane.backlog() > 0
            {
                return true;
            }
            if self.slots.has_written(&self.fan_in.shared_slots) {
                return true;
            }
            match self.look() {
                Found::Something => {}
                Found::Nothing => return false,
            }
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed || self.fan_in.senders() == 0
    }

    /// Whether the high class has something that a mailbox should look at, by one load.
    #[inline]
    pub(crate) fn may_have_next(&self) -> bool {
        self.current.is_some() || self.has_other_work()
    }

    /// Messages in all lanes; a snapshot.
    pub(crate) fn len(&self) -> usize {
        let _guard = lock(&self.count);
        let mut count = self.fan_in.shared_slots.count();
        count += self.current.as_ref().map_or(0, LaneRx::backlog);
        let listed = if self.closed {
            Chain::empty()
        } else {
            // SAFETY: this is the receiver, which looks and does not take.
            unsafe { self.fan_in.ready.peek() }
        };
        for mut chain in [
            self.chain.again(),
            self.again.peek(),
            self.late.again(),
            listed,
        ] {
            while let Some(lane) = chain.next() {
                // SAFETY: as above.
                count += unsafe { LaneRx::new(lane) }.backlog();
            }
        }
        count
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            senders: self.fan_in.senders(),
            lanes_open: self.fan_in.lanes(),
            depth: self.len(),
            high_water: self.counted.high_water,
            messages: self.counted.messages + self.quota.since_checkpoint() as u64,
            wakeups: self.counted.wakeups,
            dropped: self.fan_in.dropped(),
            #[cfg(feature = "quanta")]
            delay: self.counted.delay,
        }
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("fan_in", &self.fan_in)
            .finish_non_exhaustive()
    }
}
