//! Messages from the mailbox of a handle to the connection of their class, a batch at a time.

use std::{
    collections::VecDeque,
    ops::Range,
    task::{Context, Poll},
};

use lanemesh_runtime::edge::{Parcel, PendingAsk};
use serde::Serialize;
use tokio::time::Instant;

use super::attach::Lane;
use crate::wire::{Class, Frame, MESSAGE, add_trace, encode, end, set_message, trace};

/// Bytes that are encoded before they are appended to what is about to be written.
const BATCH: usize = 64 << 10;

/// A message that was taken out and is not written yet.
struct InHand<M> {
    message: M,
    asks: Vec<PendingAsk>,
    /// Their numbers.
    slots: Range<u64>,
    expires: Option<Instant>,
    is_ask: bool,
    /// Its frame has a trace context.
    has_trace: bool,
    /// Bytes of its payload.
    size: usize,
}

impl<M> InHand<M> {
    fn frame_length(&self) -> usize {
        MESSAGE + self.size + if self.has_trace { trace::LENGTH } else { 0 }
    }
}

/// One class of a pump.
pub(super) struct Side<M> {
    pub(super) class: Class,
    /// No handle can send any more, and nothing is left.
    pub(super) is_over: bool,
    in_hand: VecDeque<InHand<M>>,
    /// The frames of what is in hand. Their fixed fields are set when they are appended.
    frames: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Messages were written.
    Written,
    /// There is no message, no credit or no room.
    Wait,
    /// The link is down.
    Down,
}

/// What one step has done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stepped {
    pub(super) step: Step,
    /// Messages that were taken out of the mailbox.
    pub(super) taken: usize,
    /// Of these: dropped, because they cannot be sent.
    pub(super) refused: u64,
    /// Bytes that are about to be written, if messages were.
    pub(super) backlog: usize,
}

impl<M: Serialize> Side<M> {
    pub(super) fn new(class: Class) -> Self {
        Self {
            class,
            is_over: false,
            in_hand: VecDeque::new(),
            frames: Vec::new(),
        }
    }

    /// Whether nothing is in hand.
    pub(super) fn is_empty(&self) -> bool {
        self.in_hand.is_empty()
    }

    /// Keeps no room for messages while there are none.
    pub(super) fn shrink(&mut self) {
        if self.in_hand.is_empty() {
            self.in_hand = VecDeque::new();
            self.frames = Vec::new();
        }
    }

    /// What is in hand, in order.
    pub(super) fn into_messages(self) -> impl Iterator<Item = M> {
        self.in_hand.into_iter().map(|in_hand| in_hand.message)
    }

    /// Moves up to `most` messages on. Their replies get the numbers from `slot` on.
    pub(super) fn step(
        &mut self,
        lane: &Lane,
        slot: &mut u64,
        most: usize,
        cx: &mut Context<'_>,
        poll_next: impl FnMut(&mut Context<'_>) -> Poll<Option<Parcel<M>>>,
    ) -> Stepped {
        let mut stepped = Stepped {
            step: Step::Wait,
            taken: 0,
            refused: 0,
            backlog: 0,
        };
        // Without room the messages stay in the mailbox.
        match lane.link.outbox(self.class).poll_room(cx) {
            Poll::Pending => return stepped,
            Poll::Ready(Err(_)) => stepped.step = Step::Down,
            Poll::Ready(Ok(())) => {
                // What is in hand has waited for credit, and is older.
                if self.in_hand.is_empty() {
                    self.take(lane, slot, most, cx, poll_next, &mut stepped);
                }
                if !self.in_hand.is_empty() {
                    self.write(lane, cx, &mut stepped);
                }
            }
        }
        stepped
    }

    /// Takes messages out of the mailbox for which there is credit. The last one may need more bytes.
    fn take(
        &mut self,
        lane: &Lane,
        slot: &mut u64,
        most: usize,
        cx: &mut Context<'_>,
        mut poll_next: impl FnMut(&mut Context<'_>) -> Poll<Option<Parcel<M>>>,
        stepped: &mut Stepped,
    ) {
        let class = self.class;
        let mut credit = lane.open.look(cx, |inside| *inside.credit(class));
        let limit = lane.link.config().max_frame - 16;
        let mut asks_in_hand = 0;
        while stepped.taken < most
            && self.frames.len() < BATCH
            && !self.is_over
            && credit.has_room()
        {
            let parcel = match poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => {
                    self.is_over = true;
                    return;
                }
                Poll::Ready(Some(parcel)) => parcel,
            };
            stepped.taken += 1;
            let at = self.frames.len();
            let empty = Frame::Message {
                lane: lane.number,
                expires: 0,
                is_ask: parcel.is_ask,
                trace: None,
                payload: &[],
            };
            empty.write(&mut self.frames);
            let (encoded, context) = trace::departing(|| {
                encode(lane.codec, &parcel.message, *slot, limit, &mut self.frames)
            });
            let asks = match encoded {
                Ok(asks) => asks,
                Err(error) => {
                    tracing::error!(peer = %lane.link.peer(), %error, "a message cannot be sent");
                    self.frames.truncate(at);
                    stepped.refused += 1;
                    continue;
                }
            };
            let slots = *slot..slot.wrapping_add(asks.len() as u64);
            *slot = slots.end;
            if !asks.is_empty() {
                asks_in_hand += asks.len();
                if !lane.link.has_room_for_asks(asks_in_hand) {
                    asks_in_hand -= asks.len();
                    self.frames.truncate(at);
                    stepped.refused += 1;
                    continue; // the asks fail with the message
                }
            }
            let size = self.frames.len() - at - MESSAGE;
            // Where a message of the greatest length has no room for it, the context is left out.
            let context = context.filter(|_| lane.has_traces && size + trace::LENGTH <= limit);
            if let Some(context) = context {
                add_trace(&mut self.frames, at, context);
            }
            end(&mut self.frames, at);
            self.in_hand.push_back(InHand {
                message: parcel.message,
                asks,
                slots,
                expires: parcel.expires,
                is_ask: parcel.is_ask,
                has_trace: context.is_some(),
                size,
            });
            if !credit.allows(size) {
                return;
            }
            credit.spend(size);
        }
    }

    /// Appends what is in hand to the outbox, as far as there is credit.
    fn write(&mut self, lane: &Lane, cx: &mut Context<'_>, stepped: &mut Stepped) {
        let class = self.class;
        let (mut count, mut length) = (0, 0);
        // Only this pump spends the credit: there may be more below, not less.
        let mut credit = lane.open.look(cx, |inside| *inside.credit(class));
        for in_hand in &mut self.in_hand {
            if !credit.allows(in_hand.size) {
                break;
            }
            credit.spend(in_hand.size);
            let expires = in_hand.expires.map_or(0, |expires| {
                let left = expires.saturating_duration_since(Instant::now());
                u64::try_from(left.as_micros()).unwrap_or(u64::MAX).max(1)
            });
            let frame = &mut self.frames[length..];
            let InHand {
                is_ask, has_trace, ..
            } = *in_hand;
            set_message(frame, lane.number, expires, is_ask, has_trace);
            count += 1;
            length += in_hand.frame_length();
        }
        if count == 0 {
            return;
        }
        // Before the messages: the answers may be quick.
        let asks = self.in_hand.iter_mut().take(count);
        let asks = asks.flat_map(|in_hand| std::mem::take(&mut in_hand.asks));
        let slots = match lane.link.expect(lane.codec, asks.collect()) {
            Ok(slots) => slots,
            Err(asks) => {
                stepped.step = Step::Down;
                return self.take_back(asks);
            }
        };
        let frames = &mut self.frames;
        let sizes = self.in_hand.iter().take(count).map(|in_hand| in_hand.size);
        let written = lane.link.outbox(class).append(|buffer| {
            if buffer.is_empty() && length == frames.len() && length >= BATCH / 4 {
                std::mem::swap(buffer, frames);
            } else {
                buffer.extend_from_slice(&frames[..length]);
            }
            let mut open = lane.open.lock();
            sizes.for_each(|size| open.credit(class).spend(size));
            buffer.len()
        });
        match written {
            Ok(backlog) => {
                stepped.step = Step::Written;
                stepped.backlog = backlog;
            }
            Err(_) => {
                stepped.step = Step::Down;
                return self.take_back(lane.link.take_back(slots));
            }
        }
        if self.in_hand.len() == count {
            self.frames.clear();
            if self.frames.capacity() > 2 * BATCH {
                self.frames = Vec::new();
            }
        } else {
            self.frames.drain(..length);
        }
        self.in_hand.drain(..count); // the replies in these messages have left
    }

    /// The asks of messages that were not written.
    fn take_back(&mut self, asks: Vec<PendingAsk>) {
        for ask in asks {
            let slot = ask.slot();
            let mut in_hand = self.in_hand.iter_mut();
            if let Some(own) = in_hand.find(|in_hand| in_hand.slots.contains(&slot)) {
                own.asks.push(ask);
            }
        }
    }
}
