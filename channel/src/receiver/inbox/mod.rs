//! The receiving half of one fan-in: which lane is visited next, and when the receiver may sleep.
//!
//! It promises to find every message whose send has returned `Ok`, in the order of each lane, and
//! to visit every lane that has messages within one round. It does not choose between priorities.

mod at_close;
mod bound;
mod close;
mod count;
mod fence_policy;
mod held;
mod newest;
mod quota;
mod sleep;
#[cfg(all(test, not(loom)))]
mod stall_tests;
#[cfg(all(test, not(loom)))]
mod tests;
mod unfenced;

use std::{fmt, ptr::NonNull};

pub(crate) use self::sleep::Sleep;
use self::{at_close::AtClose, fence_policy::FencePolicy, held::HeldLane, quota::Quota};
use crate::{
    fan_in::{
        handle::FanInRef,
        lane::{
            Lane,
            list::{Chain, LaneQueue},
            rx::Emptied,
        },
        shared_slots::SlotReader,
    },
    sync::{Mutex, store_load_fence, wake_cell::WakerId},
};

pub(crate) struct Inbox<T> {
    fan_in: FanInRef<T>,
    /// The lane that is being emptied; or, if there is nothing else to do, the last one that was,
    /// which is given up only when the receiver goes to sleep or finds other work.
    current: Option<HeldLane<T>>,
    quota: Quota,
    /// Lanes still to be visited in this round.
    chain: Chain<T>,
    /// Lanes that had more messages than their quota.
    next_round: LaneQueue<T>,
    /// Whether `chain` was taken from `next_round`.
    is_revisiting: bool,
    /// What was there when the channel was closed, if there was anything.
    at_close: Option<Box<AtClose<T>>>,
    slots: SlotReader,
    closed: bool,
    hung_up: bool,
    asleep: bool,
    /// Names the waker of the last sleep.
    armed_for: WakerId,
    /// A waiting producer was woken since the receiver last stayed awake for one.
    has_woken: bool,
    /// Messages that were taken and whose slots of the bound on all lanes are not given back yet. A pool has fewer than 2^29.
    owed: u32,
    /// Slots that were given back since senders that wait for some were last served; not 0 as long as
    /// there may be some to serve.
    unserved: u32,
    /// The receiver has found nothing to take since it last served senders that wait.
    served: bool,
    counted: Counted,
    fences: FencePolicy,
    /// The first producer that waits for room passes a heavy fence.
    relies: bool,
    /// Held to count through `&self`: counting refreshes cached positions, which are not atomic.
    count: Mutex<()>,
}

#[derive(Debug, Default)]
struct Counted {
    messages: u64,
    wakeups: u64,
    high_water: usize,
    /// Messages that were dropped for newer ones.
    dropped_oldest: u64,
    #[cfg(feature = "quanta")]
    delay: crate::delay::DelayStats,
}

enum Found {
    /// A lane to take from, or claimed slots to check.
    Something,
    Nothing,
}

// SAFETY: the raw pointers lead to lanes that are the receiver's, and `Send + Sync` for `T: Send`.
unsafe impl<T: Send> Send for Inbox<T> {}
// SAFETY: as above; what `&self` offers counts under the lock.
unsafe impl<T: Send> Sync for Inbox<T> {}

impl<T> Inbox<T> {
    #[inline(always)]
    pub(crate) fn new(fan_in: FanInRef<T>) -> Self {
        Self {
            fan_in,
            current: None,
            quota: Quota::default(),
            chain: Chain::empty(),
            next_round: LaneQueue::new(),
            is_revisiting: false,
            at_close: None,
            slots: SlotReader::new(),
            closed: false,
            hung_up: false,
            asleep: false,
            armed_for: WakerId::default(),
            has_woken: false,
            owed: 0,
            unserved: 0,
            served: false,
            counted: Counted::default(),
            fences: FencePolicy::default(),
            relies: false,
            count: Mutex::new(()),
        }
    }

    pub(crate) fn fan_in(&self) -> &FanInRef<T> {
        &self.fan_in
    }

    /// Takes the next message, if there is one. What most receives need is small enough to be inlined.
    // Without optimization it is a frame of its own, for large messages.
    #[cfg_attr(debug_assertions, inline)]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn try_next(&mut self) -> Option<T> {
        if self.quota.left() > 0
            && let Some(lane) = &mut self.current
            && let Some(message) = lane.pop_from_ring()
        {
            if self.quota.consume(1) {
                self.checkpoint();
            }
            return Some(message);
        }
        self.try_next_elsewhere()
    }

    #[inline(never)]
    fn try_next_elsewhere(&mut self) -> Option<T> {
        if self.lingers_on() {
            return None;
        }
        self.next_while(true, || true)
    }

    /// Lingers on over a lane of one producer to which nothing has come, and which stays where it is: a poll that finds
    /// nothing costs little. `false` if there may be something, or more to do.
    #[inline(always)]
    fn lingers_on(&mut self) -> bool {
        let Some(lane) = &self.current else {
            return false;
        };
        if self.quota.left() == 0
            || !lane.is_empty_ring()
            || self.closed
            || self.fan_in.bound.is_some()
            || self.has_other_work()
        {
            return false;
        }
        let unfenced = lane.is_unfenced();
        if self.nobody_waits() {
            // The books are done at the next checkpoint.
            return true;
        }
        self.checkpoint();
        if !unfenced && self.is_worth_unfencing(self.quota.used().0) {
            return false;
        }
        self.wake_for_any_room();
        true
    }

    /// As `try_next`, for a poll: all of it is inlined there, since what comes to a receiver that slept
    /// is not in the current lane.
    #[inline]
    pub(crate) fn poll_next(&mut self) -> Option<T> {
        self.next_while(false, || true)
    }

    /// Takes the next message, if one is found before the receiver has moved on `moves` times.
    /// `moves` is left with the moves not made: if none are left, there may be more messages.
    #[inline]
    pub(crate) fn try_next_within(&mut self, moves: &mut usize) -> Option<T> {
        self.next_while(true, || {
            *moves -= 1;
            *moves > 0
        })
    }

    /// Takes the next message. Asks `goes_on` each time that it has moved on. With `settles`, the receiver may
    /// not look again when there is none: senders that wait for a slot are served then.
    #[cfg_attr(debug_assertions, inline)]
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn next_while(&mut self, settles: bool, mut goes_on: impl FnMut() -> bool) -> Option<T> {
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
            if self.slots.has_claimed()
                && let Some(message) = self.take_shared(settles)
            {
                return Some(message);
            }
            if !self.move_on_or_settle(settles) || !goes_on() {
                return None;
            }
        }
    }

    /// Moves on to what comes next. `false` if there is nothing. `settles` as for `next_while`.
    #[inline]
    fn move_on_or_settle(&mut self, settles: bool) -> bool {
        match self.move_on() {
            Found::Something => true,
            Found::Nothing => {
                if settles {
                    self.give_back_owed();
                }
                false
            }
        }
    }

    /// Appends up to `limit` messages to `into`, and returns how many.
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
            if self.slots.has_claimed()
                && let Some(message) = self.take_shared(true)
            {
                into.push(message);
                count += 1;
                continue;
            }
            if !self.move_on_or_settle(true) {
                break;
            }
        }
        count
    }

    /// Accounts for what the current lane has given since the last checkpoint, and wakes its
    /// producer if there is much room.
    #[inline]
    fn checkpoint(&mut self) {
        let given = self.quota.checkpoint();
        if given == 0 {
            return;
        }
        self.counted.messages += given as u64;
        if let Some(lane) = &self.current
            && lane.is_unfenced()
        {
            self.fences.record_gain(given);
        }
        if self.fan_in.bound.is_some() {
            return self.give_back_of_lane(given);
        }
        if let Some(lane) = &mut self.current {
            lane.record_taken(given);
            let half = self.fan_in.config.half();
            self.quota.checkpoint_after(lane.until_check(half));
            lane.wake_if_room(half);
        }
    }

    /// Lingers over an empty lane, after waking its producer if that waits for room.
    #[inline]
    fn linger(&mut self, lane: HeldLane<T>) -> Found {
        self.current = Some(lane);
        self.wake_for_any_room();
        Found::Nothing
    }

    /// Wakes the producer of the current lane if it waits for room, and anything was taken since it was last looked at.
    #[inline]
    fn wake_for_any_room(&mut self) {
        if let Some(lane) = &mut self.current {
            lane.wake_if_room(1);
            self.has_woken |= lane.take_woken();
        }
    }

    /// Puts a lane off until the next round, after waking its producer if that waits for room.
    #[inline]
    fn requeue(&mut self, mut lane: HeldLane<T>) {
        // SAFETY: the lane is the receiver's, and in no list.
        unsafe { self.next_round.push(lane.as_lane()) };
        self.reclaim_if_awaited(&lane);
        lane.wake_if_room(1);
        self.has_woken |= lane.take_woken();
    }

    /// Makes a lane the current one, with a whole quota.
    fn start_lane(&mut self, lane: HeldLane<T>) {
        self.current = Some(lane);
        self.quota.start(self.fan_in.config.burst);
        self.quota.checkpoint_after(self.checkpoint_interval());
    }

    /// Moves on. A receiver without lanes of its own looks only at the ready list.
    #[inline]
    fn move_on(&mut self) -> Found {
        if self.current.is_some() || !self.chain.is_empty() || !self.next_round.is_empty() {
            return self.move_on_from_current();
        }
        if self.closed {
            return self.move_on_at_close();
        }
        if self.fan_in.ready.has_something(&self.slots) {
            self.take_list();
            return Found::Something;
        }
        Found::Nothing
    }

    /// Moves on from a lane that is empty or has used up its quota.
    #[inline(never)]
    fn move_on_from_current(&mut self) -> Found {
        self.checkpoint();
        if let Some(mut lane) = self.current.take() {
            let (gave, all) = self.quota.used();
            self.unfence_if_worth(&mut lane, gave);
            if !all {
                return self.leave(lane, gave);
            }
            if self.fan_in.config.drops_oldest() {
                return self.move_on_to_newest(lane, gave);
            }
            if !self.has_other_work() {
                self.start_lane(lane);
                return Found::Something;
            }
            self.requeue(lane);
        }
        self.next_lane()
    }

    /// Moves on from a lane that is empty, and has given `gave` messages.
    #[inline(always)]
    fn leave(&mut self, mut lane: HeldLane<T>, gave: usize) -> Found {
        if self.closed && lane.is_shared() {
            // It is visited by `visit_shared_at_close`.
            return self.next_lane();
        }
        let kept = if self.closed {
            // SAFETY: the channel is closed.
            let emptied = unsafe { lane.seal() };
            self.keep_or_release(lane, emptied)
        } else if lane.is_unfenced() {
            return self.revisit(lane, gave > 0);
        } else if self.has_other_work() {
            // SAFETY: `keep_or_release` does what the contract asks for.
            let emptied = unsafe { lane.retire() };
            self.keep_or_release(lane, emptied)
        } else {
            // Nothing else to do: linger over the lane, so that the next message of a producer
            // that sends in quick succession costs neither side a handshake.
            return self.linger(lane);
        };
        if kept {
            return Found::Something;
        }
        self.next_lane()
    }

    #[inline]
    fn has_other_work(&self) -> bool {
        !self.chain.is_empty()
            || !self.next_round.is_empty()
            || self.slots.has_claimed()
            || self.has_more_at_close()
            || (!self.closed && self.fan_in.ready.has_something(&self.slots))
    }

    /// Whether messages have been claimed that may not be written yet: the receiver stays awake for
    /// them.
    #[inline]
    fn has_unwritten(&self) -> bool {
        self.slots.has_claimed() || self.has_shared_at_close()
    }

    /// Keeps or releases a lane that was found empty. `true` if it is the current one again.
    fn keep_or_release(&mut self, mut lane: HeldLane<T>, emptied: Emptied) -> bool {
        self.has_woken |= lane.take_woken();
        match emptied {
            Emptied::Idle => {
                self.has_woken |= lane.wake_waiting();
                self.reclaim(&lane);
                false
            }
            Emptied::Kept => {
                self.start_lane(lane);
                if let Some(lane) = &self.current {
                    self.has_woken |= lane.wake_waiting();
                }
                true
            }
            Emptied::Finished => {
                if lane.is_unfenced() {
                    self.fences.remove_lane();
                }
                if let Some(shared) = lane.shared() {
                    // SAFETY: the fan-in opened the lane, its last sender was dropped, and it is in none
                    // of the receiver's lists.
                    unsafe { self.fan_in.forget_shared_lane(NonNull::from(shared)) };
                    return false;
                }
                let held = lane.held().reclaim();
                // SAFETY: this is the receiver's half, and the lane is in none of its lists.
                if let Some(lane) = unsafe { Lane::release(lane.as_lane()) } {
                    self.fan_in.recycle(lane);
                }
                self.give_back_held(held);
                false
            }
        }
    }

    fn next_lane(&mut self) -> Found {
        loop {
            if let Some(lane) = self.chain.next() {
                // SAFETY: the chain comes from the ready list or from the receiver's own lists.
                let lane = unsafe { HeldLane::new(lane) };
                if self.closed && lane.is_shared() {
                    // It is visited by `visit_shared_at_close`.
                    continue;
                }
                self.visit(lane);
                return Found::Something;
            }
            if !self.is_revisiting && !self.next_round.is_empty() {
                self.chain = self.next_round.take();
                self.is_revisiting = true;
                continue;
            }
            self.is_revisiting = false;
            if self.closed {
                if let Some(listed) = self.take_listed_at_close() {
                    self.chain = listed;
                    continue;
                }
                if self.next_round.is_empty() {
                    return self.visit_shared_at_close();
                }
            } else if self.fan_in.ready.has_something(&self.slots) {
                self.take_list();
                // A producer whose lane was just taken may have sent its message before that
                // through a shared slot: those come first.
                return Found::Something;
            }
            if self.next_round.is_empty() {
                return Found::Nothing;
            }
        }
    }

    fn visit(&mut self, mut lane: HeldLane<T>) {
        #[cfg(feature = "quanta")]
        if !self.is_revisiting {
            self.counted.delay.record(lane.stamp().elapsed());
        }
        let backlog = lane.backlog();
        self.counted.high_water = self.counted.high_water.max(backlog);
        if backlog == 0 {
            // Its producer waits until all of its messages are received, which were in shared slots. That counts as one
            // received from the lane, so that the producer is woken when the lane is found empty.
            lane.record_taken(1);
        }
        self.start_lane(lane);
    }

    /// Takes a message from a claimed slot, if one has been written.
    #[inline]
    fn take_shared(&mut self, settles: bool) -> Option<T> {
        // SAFETY: this is the receiver.
        let taken = unsafe { self.slots.take(&self.fan_in.shared_slots) }?;
        self.counted.messages += 1;
        #[cfg(feature = "quanta")]
        self.counted.delay.record(taken.stamp.elapsed());
        let (message, notify) = (taken.message, taken.notify);
        if self.fan_in.bound.is_some() {
            self.give_back_of_shared_slot(settles);
        } else if let Some(lane) = notify
            && !self.closed
            && !(self.relies && self.fan_in.ready.nobody_waits())
        {
            // Pairs with the fence in `LaneTx::wait`: either the producer sees the room, or this
            // sees that it waits.
            store_load_fence!("room_fence_slot");
            if self.fan_in.ready.expects_waiting() {
                // SAFETY: the lane outlives its producer's messages: the receiver releases its half
                // only when it visits the lane, after them. Once the channel is closed the half may
                // be released in its place, but by then those who wait have been woken.
                self.has_woken |= unsafe { lane.as_ref() }.wake_waiting();
            }
        }
        Some(message)
    }

    /// Takes all that the ready list has.
    fn take_list(&mut self) {
        let taken = self.fan_in.ready.take(&mut self.slots);
        self.chain = taken.chain;
        self.is_revisiting = false;
        self.counted.wakeups += u64::from(self.asleep);
        self.asleep = false;
    }

    /// Whether there is a message, without taking it. May move lanes between lists.
    pub(crate) fn has_next(&mut self) -> bool {
        loop {
            if self.quota.left() > 0
                && let Some(lane) = &self.current
                && lane.has_message()
            {
                return true;
            }
            if self.slots.has_written(&self.fan_in.shared_slots) {
                return true;
            }
            if !self.move_on_or_settle(true) {
                return false;
            }
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed || self.fan_in.senders() == 0
    }

    /// Whether there may be a message; costs one load if there is none. A mailbox asks this of its
    /// high class.
    #[inline]
    pub(crate) fn may_have_next(&self) -> bool {
        self.current.is_some() || self.has_other_work()
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("fan_in", &self.fan_in)
            .finish_non_exhaustive()
    }
}
