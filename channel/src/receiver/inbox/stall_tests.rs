//! A producer is stopped between claiming a shared slot and filling it. The receiver must not spin forever: at a higher
//! real-time priority it would keep the producer from going on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    thread,
};

use super::Inbox;
use crate::{
    Builder,
    fan_in::{handle::FanInRef, lane::tx::LaneTx, ready::Claim},
    receiver::{budget::CoopBudget, inbox::Sleep},
    sync::{stall::tests::SLEEPS, wake_all::WakeAll},
};

/// A producer that has claimed a slot.
struct Stopped {
    fan_in: FanInRef<u32>,
    lane: LaneTx<u32>,
    claim: Claim,
}

impl Stopped {
    fn new(inbox: &Inbox<u32>) -> Self {
        let fan_in = inbox.fan_in().clone();
        fan_in.shared_slots.open();
        let claim = fan_in.ready.claim(fan_in.shared_slots.limit()).unwrap();
        let lane = fan_in.open_lane().unwrap();
        Self {
            fan_in,
            lane,
            claim,
        }
    }

    /// Goes on: fills the slot.
    fn go_on(self, message: u32) {
        let (lane, claim) = (self.lane, self.claim);
        // SAFETY: the claim was won from this list, and is used once; the lane is open.
        unsafe {
            self.fan_in
                .shared_slots
                .put(&claim.claim, lane.id(), false, message)
        };
        self.fan_in.ready.wake_claimed(claim);
        lane.close(&self.fan_in.ready, &mut WakeAll::default());
    }
}

fn inbox() -> Inbox<u32> {
    Inbox::new(FanInRef::new(Builder::new(4).0))
}

fn poll(budget: &mut CoopBudget, inbox: &mut Inbox<u32>) -> Poll<Option<u32>> {
    let mut cx = Context::from_waker(Waker::noop());
    budget.poll(inbox, &mut cx, Inbox::try_next, |_| 1)
}

#[test]
fn a_receiver_that_is_polled_again_and_again_sleeps_in_the_end() {
    let mut inbox = inbox();
    let mut budget = CoopBudget::new(None);
    let stopped = Stopped::new(&inbox);
    let before = SLEEPS.load(SeqCst);
    let mut polls = 0;
    while SLEEPS.load(SeqCst) == before {
        assert!(poll(&mut budget, &mut inbox).is_pending());
        polls += 1;
        assert!(polls < 1_000, "it spins forever");
    }
    stopped.go_on(1);
    assert_eq!(poll(&mut budget, &mut inbox), Poll::Ready(Some(1)));
}

#[test]
fn a_receiver_that_is_dropped_sleeps_in_the_end() {
    let inbox = inbox();
    let stopped = Stopped::new(&inbox);
    let before = SLEEPS.load(SeqCst);
    let dropped = Arc::new(AtomicUsize::new(0));
    let done = dropped.clone();
    let receiver = thread::spawn(move || {
        drop(inbox);
        done.store(1, SeqCst);
    });
    while SLEEPS.load(SeqCst) == before {
        thread::yield_now();
    }
    assert_eq!(dropped.load(SeqCst), 0, "the message is the receiver's");
    stopped.go_on(1);
    receiver.join().unwrap();
}

/// Polls that are due to something else do not add up.
#[test]
fn a_receiver_that_finds_messages_in_between_does_not_sleep() {
    let mut inbox = inbox();
    let mut budget = CoopBudget::new(None);
    for n in 0..1_000 {
        let stopped = Stopped::new(&inbox);
        assert!(poll(&mut budget, &mut inbox).is_pending());
        assert!(!budget.is_stalled(), "after {n} messages");
        stopped.go_on(n);
        assert_eq!(poll(&mut budget, &mut inbox), Poll::Ready(Some(n)));
    }
    while inbox.sleep(Waker::noop()) != Sleep::Asleep {
        assert_eq!(inbox.try_next(), None);
    }
}
