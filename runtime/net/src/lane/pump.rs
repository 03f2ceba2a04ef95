//! The pump of a lane: from the mailbox behind the handles to the link, high before low.
//!
//! It takes a message only when it holds a credit for it; until then the message stays in the mailbox,
//! where the handle's own capacity and policies apply. It does not know what the link does with bytes.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use lanemesh_runtime::{
    ExitReason, Message,
    crash::{DeadLetter, Undelivered},
    edge::{Inlet, Request},
    handle::{AnyRecipient, Recipient},
};
use tokio::time::Instant;

use super::{
    attach::{Directory, Lane, attach_again},
    step::{Side, Step},
};
use crate::{
    event::{Event, PeerInfo},
    link::Inside,
    remote::Remote,
    wire::{Class, Order},
};

/// High messages in a row before low ones have a turn.
const HIGH_BURST: usize = 64;
/// Low messages in a row before high ones are looked for.
const LOW_BURST: usize = 64;
/// Messages before other tasks have a turn.
const BUDGET: usize = 256;

/// What a handle does when its link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenDown {
    /// It ends at once, as [`ExitReason::Unreachable`].
    Fail,
    /// It waits this long for another link to the same incarnation of the node. What it has not
    /// written stays queued, and is sent then.
    Wait(Duration),
}

/// A mailbox, the lane that leads from it to the actor, and what becomes of messages that cannot leave.
pub(crate) struct Supply<A: Remote> {
    pub(crate) inlet: Inlet<A>,
    pub(crate) lane: Lane,
    pub(crate) name: Arc<str>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) when_down: WhenDown,
    pub(crate) dead_letters:
        Option<AnyRecipient<DeadLetter<A::HighPriorityMsg, A::LowPriorityMsg>>>,
}

impl<A: Remote> Supply<A> {
    /// Whether anything has happened since the look-up. If not, the waker is woken when it does.
    pub(super) fn is_used(&mut self, cx: &mut Context<'_>) -> bool {
        let Self { inlet, lane, .. } = self;
        lane.open.lock().set_view(inlet.view());
        let is_over = |inside: &mut Inside| inside.ended().is_some() || inside.is_down();
        lane.open.look(cx, is_over) || inlet.poll_used(cx).is_ready()
    }
}

pub(crate) struct Pump<A: Remote> {
    inlet: Inlet<A>,
    name: Arc<str>,
    directory: Arc<dyn Directory>,
    when_down: WhenDown,
    dead_letters: Option<AnyRecipient<DeadLetter<A::HighPriorityMsg, A::LowPriorityMsg>>>,
    high: Side<A::HighPriorityMsg>,
    low: Side<A::LowPriorityMsg>,
    /// The number of the next reply that leaves.
    slot: u64,
    /// Somebody waits until everything has arrived.
    idle: Option<u64>,
    /// The actor is to drain when everything has arrived.
    is_draining: bool,
    is_confirm_sent: bool,
    is_drain_sent: bool,
    refused: u64,
}

/// Why a pump stops pumping.
enum End {
    /// No handle can send any more, and everything has arrived.
    Over,
    /// The actor has ended, or its node has closed the lane.
    Ended(ExitReason),
    /// The link is down.
    Down,
}

impl<A: Remote> Pump<A> {
    /// With the lane over which it is to run.
    pub(super) fn new(supply: Supply<A>) -> (Box<Self>, Lane) {
        let Supply {
            inlet,
            lane,
            name,
            directory,
            when_down,
            dead_letters,
        } = supply;
        let pump = Box::new(Self {
            inlet,
            name,
            // Its replies are numbered from its own number on.
            slot: u64::from(directory.next_pump()) << 32,
            directory,
            when_down,
            dead_letters,
            high: Side::new(Class::High),
            low: Side::new(Class::Low),
            idle: None,
            is_draining: false,
            is_confirm_sent: false,
            is_drain_sent: false,
            refused: 0,
        });
        (pump, lane)
    }

    /// Pumps until the handles, the actor or the link are gone.
    pub(super) async fn run(mut self: Box<Self>, mut lane: Lane) {
        let peer = lane.link.peer().clone();
        let (reason, unconfirmed) = loop {
            match poll_fn(|cx| self.poll(&lane, cx)).await {
                End::Over => break (ExitReason::Normal, 0),
                End::Ended(reason) => {
                    lane.has_ended();
                    break (reason, lane.open.lock().unconfirmed());
                }
                End::Down => {}
            }
            // The lane of the link that is down is forgotten with it.
            let WhenDown::Wait(time) = self.when_down else {
                break (ExitReason::Unreachable, 0);
            };
            self.is_confirm_sent = false;
            self.is_drain_sent = false;
            let deadline = Instant::now() + time;
            let (directory, name) = (&*self.directory, &*self.name);
            let again = attach_again::<A>(directory, name, &lane, deadline);
            // Boxed, because its place would be part of every task of a lane.
            match Box::pin(again).await {
                Some(again) => {
                    lane = again;
                    lane.open.lock().set_view(self.inlet.view());
                }
                None => break (ExitReason::Unreachable, 0),
            }
        };
        drop(lane);
        self.end(&peer, reason, unconfirmed);
    }

    fn poll(&mut self, lane: &Lane, cx: &mut Context<'_>) -> Poll<End> {
        self.take_requests(lane, cx);
        let (ended, is_down) = lane
            .open
            .look(cx, |inside| (inside.ended().cloned(), inside.is_down()));
        if let Some(reason) = ended {
            return Poll::Ready(End::Ended(reason));
        }
        if is_down {
            return Poll::Ready(End::Down);
        }
        let mut budget = BUDGET;
        let mut has_moved = false;
        let is_moving = loop {
            let before = budget;
            let high = self.step_high(lane, HIGH_BURST, cx, &mut budget);
            let low = match high {
                Step::Down => Step::Down,
                _ => self.step_low(lane, LOW_BURST, cx, &mut budget),
            };
            if high == Step::Down || low == Step::Down {
                return Poll::Pending; // until the link has settled
            }
            if budget == 0 {
                break true;
            }
            if budget == before && high == Step::Wait && low == Step::Wait {
                break false;
            }
            self.is_confirm_sent = false;
            has_moved = true;
        };
        if !(has_moved || is_moving) {
            // Many lanes are idle most of the time.
            self.high.shrink();
            self.low.shrink();
        }
        lane.link.flush(Class::Low);
        if is_moving {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.settle(lane)
    }

    fn step_high(
        &mut self,
        lane: &Lane,
        most: usize,
        cx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Step {
        let next = |cx: &mut Context<'_>| self.inlet.poll_high(cx);
        let stepped = self.high.step(lane, &mut self.slot, most, cx, next);
        self.refused += stepped.refused;
        *budget = budget.saturating_sub(stepped.taken);
        if stepped.step == Step::Written {
            lane.link.flush(Class::High);
        }
        stepped.step
    }

    fn step_low(
        &mut self,
        lane: &Lane,
        most: usize,
        cx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Step {
        let next = |cx: &mut Context<'_>| self.inlet.poll_low(cx);
        let stepped = self.low.step(lane, &mut self.slot, most, cx, next);
        self.refused += stepped.refused;
        *budget = budget.saturating_sub(stepped.taken);
        if stepped.backlog >= lane.link.outbox(Class::Low).limit() {
            lane.link.flush(Class::Low);
        }
        stepped.step
    }

    fn take_requests(&mut self, lane: &Lane, cx: &mut Context<'_>) {
        while let Poll::Ready(request) = self.inlet.poll_request(cx) {
            match request {
                Request::Stop => lane.order(Order::Stop),
                Request::Kill => lane.order(Order::Kill),
                Request::Drain => {
                    self.inlet.close();
                    self.is_draining = true;
                }
                Request::Idle(number) => {
                    self.idle = Some(number);
                    self.is_confirm_sent = false;
                }
                _ => {}
            }
        }
    }

    /// What is to be done when everything that was sent has arrived.
    fn settle(&mut self, lane: &Lane) -> Poll<End> {
        let is_over = self.high.is_over && self.low.is_over;
        let is_empty = self.high.is_empty() && self.low.is_empty() && self.inlet.is_empty();
        if !is_empty || self.is_drain_sent || (!is_over && self.idle.is_none()) {
            return Poll::Pending;
        }
        if lane.open.lock().unconfirmed() > 0 {
            if !self.is_confirm_sent {
                self.is_confirm_sent = true;
                lane.confirm();
            }
            return Poll::Pending;
        }
        if let Some(number) = self.idle.take() {
            self.inlet.idle_since(number);
        }
        if !is_over {
            return Poll::Pending;
        }
        if !self.is_draining {
            return Poll::Ready(End::Over);
        }
        self.is_drain_sent = true;
        lane.order(Order::Drain);
        Poll::Pending
    }

    /// Makes dead letters of what was not written.
    fn end(self: Box<Self>, peer: &PeerInfo, reason: ExitReason, unconfirmed: u64) {
        let Self {
            inlet,
            name,
            directory,
            mut dead_letters,
            high,
            low,
            refused,
            ..
        } = *self;
        let actor = inlet.id();
        let mut count = 0;
        let mut dead_letter = |message| {
            count += 1;
            if let Some(recipient) = &mut dead_letters {
                let letter = DeadLetter {
                    actor,
                    name: name.clone(),
                    message,
                    why: Undelivered::Left,
                };
                // One without room is gone, as everywhere.
                let _ = recipient.try_send(letter);
            }
        };
        // What is in hand is older, and is dropped later: who asked learns the reason of the end.
        let mut queued = Vec::new();
        inlet.end(reason.clone(), |message| queued.push(message));
        let high = high.into_messages().map(Message::High);
        let low = low.into_messages().map(Message::Low);
        high.chain(low).chain(queued).for_each(&mut dead_letter);
        directory.event(Event::LaneEnded {
            peer: peer.clone(),
            name,
            reason,
            dead_letters: count,
            unconfirmed,
            refused,
        });
    }
}
