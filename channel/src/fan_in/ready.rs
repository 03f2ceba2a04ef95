//! The ready list: which lanes have messages, and whether the receiver sleeps, in one word.
//!
//! An intrusive Treiber stack: a producer pushes a lane with one compare-and-swap, the receiver
//! takes the whole stack with one swap, so there is no ABA, and no window in which a stopped
//! producer hides the lanes of others. Beside the lane on top, the head says whether the list is
//! *armed* (the receiver sleeps; whoever clears the flag wakes it) or *closed* (every push fails),
//! and how many slots of the open set are claimed. This file does not look into lanes or slots.

use std::{ptr::NonNull, task::Waker};

use super::{
    head::Head,
    lane::{
        Lane,
        list::{Chain, Closed, ReadyQueue},
    },
    shared_slots::{SlotIndex, SlotReader},
};
use crate::sync::{
    AtomicBool, AtomicPtr, AtomicU8, Ordering, membarrier, mutant,
    wake_cell::{WakeCell, WakerId, WakerIndex},
};

/// No producer has ever waited for room.
const NOBODY: u8 = 0;
/// The same, and the receiver relies on the heavy fence of the first one that will.
const RELIED: u8 = 1;
/// One is about to wait, and passes the heavy fence.
const SAYING: u8 = 2;
/// One has waited or is about to, and the receiver passes fences.
const SAID: u8 = 3;

#[derive(Debug)]
#[repr(C)]
pub(crate) struct ReadyList<T> {
    head: AtomicPtr<Lane<T>>,
    /// The last sender was dropped.
    hung_up: AtomicBool,
    /// Whether any producer has ever waited for room, or is about to: one of the constants below.
    waiting: AtomicU8,
    wake: WakeCell,
}

/// The result of `arm`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    /// The next push wakes the waker.
    Armed,
    /// There is something to take: the receiver must not sleep.
    Ready,
    /// Earlier wake-ups have not yet taken both wakers out: stay awake and try again.
    Busy,
}

/// What the receiver took from the list.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) chain: Chain<T>,
    /// Claimed slots of the set that was open; meaningless if it was shut.
    pub(crate) claimed: usize,
}

/// The right to fill one shared slot. It must be filled, then passed to `wake_claimed`.
#[derive(Debug)]
#[must_use]
pub(crate) struct Claim {
    pub(crate) claim: SlotIndex,
    wakes: Option<WakerIndex>,
    /// The receiver was awake, and there was no lane and no other claim.
    pub(crate) alone: bool,
}

impl<T> ReadyList<T> {
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicPtr::new(Head::idle(SlotReader::new().open()).0),
            hung_up: AtomicBool::new(false),
            waiting: AtomicU8::new(NOBODY),
            wake: WakeCell::new(),
        }
    }

    /// Replaces the head if it is still `old`; otherwise returns what it is. As a `mutant`,
    /// replaces it anyway.
    #[inline]
    fn replace(
        &self,
        mutant: bool,
        old: Head<T>,
        new: Head<T>,
        order: Ordering,
    ) -> Result<(), Head<T>> {
        if mutant {
            self.head.store(new.0, Ordering::Release);
            return Ok(());
        }
        // ORDERING: as the callers say. Acquire on failure, for a head that is *closed*.
        self.head
            .compare_exchange_weak(old.0, new.0, order, Ordering::Acquire)
            .map(drop)
            .map_err(Head)
    }

    /// Claims a slot of the open set, unless `limit` are claimed already.
    #[inline]
    pub(crate) fn claim(&self, limit: usize) -> Option<Claim> {
        // ORDERING: Relaxed; the exchange below does the ordering.
        let mut head = Head(self.head.load(Ordering::Relaxed));
        while !head.is_closed() && head.claimed() < limit {
            // ORDERING: Acquire pairs with the Release in `take`: the slots of the set are empty;
            // and with the Release in `arm`, for the waker. Release orders this sender's earlier
            // work for whoever takes the list.
            let exchange = self.replace(
                mutant("claim_exchange"),
                head,
                head.awake().with_claim(),
                Ordering::AcqRel,
            );
            match exchange {
                Ok(_) => {
                    return Some(Claim {
                        claim: SlotIndex {
                            set: head.set(),
                            number: head.claimed(),
                        },
                        wakes: head.armed(),
                        alone: head.is_bare(),
                    });
                }
                Err(now) => head = now,
            }
        }
        None
    }

    /// Wakes the receiver if it slept when the slot was claimed. Called after the slot was filled.
    #[inline]
    pub(crate) fn wake_claimed(&self, right: Claim) {
        if let Some(slot) = right.wakes {
            // SAFETY: the claim cleared the flag that named the waker.
            unsafe { self.wake.wake(slot) };
        }
    }

    /// Records that the last sender was dropped, and wakes the receiver if it sleeps.
    pub(crate) fn hang_up(&self) {
        // ORDERING: Release pairs with the Acquire in `is_hung_up`: all that any sender did is
        // visible to the receiver that sees this.
        self.hung_up.store(true, Ordering::Release);
        // ORDERING: Relaxed; the exchange does the ordering.
        let mut head = Head(self.head.load(Ordering::Relaxed));
        while !head.is_closed() {
            let release = if mutant("hang_up_release") {
                Ordering::Acquire
            } else {
                Ordering::AcqRel
            };
            // The exchange is made even if it changes nothing: either the receiver arms after it,
            // and then sees the flag, or this finds the receiver armed.
            // ORDERING: Release pairs with the Acquire of `arm`, for the flag. Acquire for the
            // waker, as in `push`.
            match self.replace(false, head, head.awake(), release) {
                Ok(_) => {
                    if let Some(slot) = head.armed() {
                        // SAFETY: this exchange cleared the flag that named the waker.
                        unsafe { self.wake.wake(slot) };
                    }
                    return;
                }
                Err(now) => head = now,
            }
        }
    }

    /// Whether the last sender was dropped: no message will be added to those that are there.
    #[inline]
    pub(crate) fn is_hung_up(&self) -> bool {
        // ORDERING: Acquire pairs with the Release in `hang_up`.
        self.hung_up.load(Ordering::Acquire)
    }

    /// Called by a producer that is about to wait for room. From then on the receiver checks whether those wait
    /// whose messages it takes.
    pub(crate) fn expect_waiting(&self) {
        // ORDERING: Acquire pairs with the Release below: the heavy fence of another producer lies before this.
        let mut state = self.waiting.load(Ordering::Acquire);
        loop {
            let next = match state {
                SAID => return,
                // The receiver does not rely on anything, and will not. The producer passes a fence after this and
                // before it waits, which pairs with the one that the receiver passes before it calls
                // `expects_waiting`.
                NOBODY => SAID,
                RELIED => SAYING,
                _ => break,
            };
            // ORDERING: Relaxed; fences order it. Acquire, on failure, as above.
            match (self.waiting).compare_exchange(state, next, Ordering::Relaxed, Ordering::Acquire)
            {
                Ok(_) => state = next,
                Err(now) => state = now,
            }
        }
        // Pairs with the light fence in `nobody_waits`: either the receiver sees what was said, or this producer, when
        // it then looks for room, sees what the receiver has taken.
        if !mutant("first_wait_fence") {
            membarrier::heavy_fence();
        }
        // ORDERING: Release as above.
        self.waiting.store(SAID, Ordering::Release);
    }

    /// Whether a producer has ever waited for room. The receiver must have passed a fence.
    #[inline]
    pub(crate) fn expects_waiting(&self) -> bool {
        // ORDERING: Relaxed; the fences of both sides order it.
        self.waiting.load(Ordering::Relaxed) >= SAYING
    }

    /// Makes the first producer that waits for room pass a heavy fence, so that the receiver may call `nobody_waits`.
    /// `false` if one has waited already. Only the receiver may call this, where heavy fences are available.
    pub(crate) fn rely(&self) -> bool {
        // ORDERING: Relaxed; the two exchanges of one word decide who was first, and publish nothing.
        self.waiting.load(Ordering::Relaxed) == NOBODY
            && (self.waiting)
                .compare_exchange(NOBODY, RELIED, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether no producer waits for room that the receiver has made. `rely` must have returned `true`.
    #[inline]
    pub(crate) fn nobody_waits(&self) -> bool {
        membarrier::light_fence();
        // ORDERING: Relaxed; the light fence and the heavy one in `expect_waiting` order it.
        self.waiting.load(Ordering::Relaxed) == RELIED
    }

    /// Whether `take` would return anything. Only the receiver may call this, and not after
    /// `close`.
    #[inline]
    pub(crate) fn has_something(&self, reader: &SlotReader) -> bool {
        // ORDERING: Relaxed; a stale answer only delays, and `take` does the ordering.
        let head = Head(self.head.load(Ordering::Relaxed));
        head.differs_from_idle(Head::idle(reader.open()))
    }

    /// Takes everything in the list, and opens the other set of slots. Only the receiver may call
    /// this, and not after `close`.
    #[inline]
    pub(crate) fn take(&self, reader: &mut SlotReader) -> Taken<T> {
        let order = if mutant("take_acquire") {
            Ordering::Release
        } else if mutant("slots_reopened") {
            Ordering::Acquire
        } else {
            Ordering::AcqRel
        };
        // ORDERING: Acquire pairs with the Release of every push since the last take: each push is
        // a read-modify-write, so all of them belong to one release sequence. Release: the slots of
        // the set that this opens were emptied before any producer's next claim.
        let taken = unpack(Head(self.head.swap(Head::idle(reader.next()).0, order)));
        reader.switch(taken.claimed);
        taken
    }

    /// Arms the head, so that the next push or claim wakes `waker`, unless there is something to
    /// take. `armed_for` names the waker for which it was armed last.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this, after it has emptied every slot and given up every lane,
    /// with the open set not shut, and not after `close`.
    #[inline]
    pub(crate) unsafe fn arm(
        &self,
        reader: &SlotReader,
        armed_for: &mut WakerId,
        waker: &Waker,
    ) -> Arm {
        let idle = Head::idle(reader.open());
        // ORDERING: Relaxed; only the receiver arms, so an armed head is its own store, and any
        // other value is followed by `take`, which acquires.
        let head = Head(self.head.load(Ordering::Relaxed));
        if let Some(slot) = head.armed() {
            // The slot itself cannot be looked at: whoever clears the flag takes the waker out.
            if armed_for.will_wake(waker) {
                return Arm::Armed;
            }
            if !self.disarm(idle, slot) {
                return Arm::Ready;
            }
        } else if head.0 != idle.0 {
            return Arm::Ready;
        }
        // SAFETY: only the receiver sleeps here, and the list is not armed.
        let Some(slot) = (unsafe { self.wake.prepare(waker) }) else {
            return Arm::Busy;
        };
        let armed = idle.arming(slot);
        if mutant("arm_store") {
            // ORDERING: the mutant: a plain store overwrites a push that came in between.
            self.head.store(armed.0, Ordering::Release);
            return Arm::Armed;
        }
        // ORDERING: Release pairs with the Acquire of the exchange that clears the flag: the waker
        // and the empty slots. Acquire pairs with the Release in `hang_up`. A failure is followed
        // by `take`.
        match self.head.compare_exchange(
            idle.0,
            armed.0,
            if mutant("arm_release") {
                Ordering::Relaxed
            } else {
                Ordering::AcqRel
            },
            Ordering::Relaxed,
        ) {
            Ok(_) if self.is_hung_up() => {
                // No sender is left to wake this receiver. If the last one is about to, that is
                // harmless.
                self.disarm(idle, slot);
                Arm::Ready
            }
            Ok(_) => {
                *armed_for = WakerId::of(waker);
                Arm::Armed
            }
            Err(_) => {
                // SAFETY: this is the receiver, and the flag was not set.
                unsafe { self.wake.release(slot) };
                Arm::Ready
            }
        }
    }

    /// Ends the receiver's sleep without a message: it is not woken any more, and its waker is dropped.
    /// `false` if a producer is about to wake it, and to drop the waker.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this, with what it armed the list with, and not after `close`.
    pub(crate) unsafe fn stop_sleeping(&self, reader: &SlotReader) -> bool {
        // ORDERING: Relaxed; as in `arm`.
        let Some(slot) = Head(self.head.load(Ordering::Relaxed)).armed() else {
            return false;
        };
        self.disarm(Head::idle(reader.open()), slot)
    }

    /// Clears the receiver's own flag, and drops its waker. `false` if a producer cleared it first,
    /// and wakes.
    fn disarm(&self, idle: Head<T>, slot: WakerIndex) -> bool {
        // ORDERING: Relaxed; the flag is the receiver's own, the exchange continues the release
        // sequence of what the receiver released before, and a failure is followed by `take`.
        let exchange = self.head.compare_exchange(
            idle.arming(slot).0,
            idle.0,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if exchange.is_ok() {
            // SAFETY: this is the receiver, which has cleared its flag.
            unsafe { self.wake.release(slot) };
        }
        exchange.is_ok()
    }

    /// Makes every later push fail, and takes what is there, and the waker that the receiver may have
    /// been armed for. Only the receiver may call this, once.
    pub(crate) fn close(&self, reader: &mut SlotReader) -> (Taken<T>, Option<Waker>) {
        // ORDERING: Acquire as in `take`; Release pairs with the Acquire of a push that finds
        // *closed*.
        let head = Head(self.head.swap(Head::closed().0, Ordering::AcqRel));
        // SAFETY: this is the receiver, which has cleared its flag. Nothing is armed again.
        let waker = (head.armed()).and_then(|slot| unsafe { self.wake.take(slot) });
        let taken = unpack(head);
        reader.close(taken.claimed);
        (taken, waker)
    }

    /// The lanes in the list now, for counting.
    ///
    /// # Safety
    ///
    /// Only the receiver may call this: nobody else takes lanes out, so they stay valid meanwhile.
    pub(crate) unsafe fn view(&self) -> Chain<T> {
        // ORDERING: Acquire, as in `take`.
        unpack(Head(self.head.load(Ordering::Acquire))).chain
    }
}

impl<T> ReadyQueue<T> for ReadyList<T> {
    #[inline]
    unsafe fn push(&self, lane: NonNull<Lane<T>>) -> Result<(), Closed> {
        // ORDERING: Acquire, for a head that is *closed*: what the receiver did before it closed is
        // visible to the sender, which now owns the lane. The lane in the head is never
        // dereferenced here.
        let mut head = Head(self.head.load(Ordering::Acquire));
        loop {
            if head.is_closed() {
                return Err(Closed);
            }
            // SAFETY: the caller owns the lane's link until the exchange succeeds.
            unsafe { lane.as_ref() }.set_next(head.lane());
            // A producer that stops here delays nobody: the list is consistent before and after the
            // exchange.
            let release = if mutant("push_release") {
                Ordering::Relaxed
            } else {
                Ordering::AcqRel
            };
            // ORDERING: Release pairs with the Acquire of `take`: the lane and its message are
            // written. Acquire, because the head may be *armed*: pairs with the Release in `arm`,
            // for the waker.
            let exchange =
                self.replace(mutant("push_exchange"), head, head.with_lane(lane), release);
            match exchange {
                Ok(_) => {
                    if let Some(slot) = head.armed() {
                        // SAFETY: this exchange cleared the flag that named the waker.
                        unsafe { self.wake.wake(slot) };
                    }
                    return Ok(());
                }
                Err(now) => head = now,
            }
        }
    }
}

fn unpack<T>(head: Head<T>) -> Taken<T> {
    Taken {
        chain: Chain::from_first(head.lane()),
        claimed: head.claimed(),
    }
}
