//! One message from the mailbox of a handle to the connection of its class.

use std::task::{Context, Poll};

use lanemesh_runtime::edge::{Parcel, PendingAsk};
use serde::Serialize;
use tokio::time::Instant;

use super::attach::Lane;
use crate::wire::{Class, Frame, encode};

/// A message that was taken out and is not written yet: it waits for credit by bytes, or for room.
pub(super) struct InHand<M> {
    pub(super) message: M,
    bytes: Vec<u8>,
    asks: Vec<PendingAsk>,
    expires: Option<Instant>,
    is_ask: bool,
}

/// One class of a pump.
pub(super) struct Side<M> {
    pub(super) class: Class,
    pub(super) in_hand: Option<InHand<M>>,
    /// No handle can send any more, and nothing is left.
    pub(super) is_over: bool,
    /// Kept for the next message.
    spare: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A message was written.
    Written,
    /// A message was dropped: it cannot be sent.
    Refused,
    /// There is no message, no credit or no room.
    Wait,
    /// The link is down.
    Down,
}

impl<M: Serialize> Side<M> {
    pub(super) fn new(class: Class) -> Self {
        Self {
            class,
            in_hand: None,
            is_over: false,
            spare: Vec::new(),
        }
    }

    /// Whether nothing is in hand.
    pub(super) fn is_empty(&self) -> bool {
        self.in_hand.is_none()
    }

    /// Moves one message on. Its replies get the numbers from `slot` on.
    pub(super) fn step(
        &mut self,
        lane: &Lane,
        slot: &mut u64,
        cx: &mut Context<'_>,
        poll_next: impl FnOnce(&mut Context<'_>) -> Poll<Option<Parcel<M>>>,
    ) -> Step {
        if self.in_hand.is_none() {
            let class = self.class;
            if self.is_over || !lane.open.look(cx, |inside| inside.credit(class).has_room()) {
                return Step::Wait;
            }
            let parcel = match poll_next(cx) {
                Poll::Pending => return Step::Wait,
                Poll::Ready(None) => {
                    self.is_over = true;
                    return Step::Wait;
                }
                Poll::Ready(Some(parcel)) => parcel,
            };
            let mut bytes = std::mem::take(&mut self.spare);
            bytes.clear();
            let limit = lane.link.config().max_frame - 16;
            match encode(&parcel.message, *slot, limit, &mut bytes) {
                Ok(asks) => {
                    *slot = slot.wrapping_add(asks.len() as u64);
                    self.in_hand = Some(InHand {
                        message: parcel.message,
                        bytes,
                        asks,
                        expires: parcel.expires,
                        is_ask: parcel.is_ask,
                    });
                }
                Err(error) => {
                    tracing::error!(peer = %lane.link.peer(), %error, "a message cannot be sent");
                    self.spare = bytes;
                    return Step::Refused;
                }
            }
        }
        self.write(lane, cx)
    }

    fn write(&mut self, lane: &Lane, cx: &mut Context<'_>) -> Step {
        let class = self.class;
        let Some(in_hand) = &mut self.in_hand else {
            return Step::Wait;
        };
        let size = in_hand.bytes.len();
        if !lane
            .open
            .look(cx, |inside| inside.credit(class).allows(size))
        {
            return Step::Wait;
        }
        match lane.link.outbox(class).poll_room(cx) {
            Poll::Pending => return Step::Wait,
            Poll::Ready(Err(_)) => return Step::Down,
            Poll::Ready(Ok(())) => {}
        }
        if !in_hand.asks.is_empty() && !lane.link.has_room_for_asks() {
            self.in_hand = None; // the asks fail with it
            return Step::Refused;
        }
        let expires = in_hand.expires.map_or(0, |expires| {
            let left = expires.saturating_duration_since(Instant::now());
            u64::try_from(left.as_micros()).unwrap_or(u64::MAX).max(1)
        });
        let frame = Frame::Message {
            lane: lane.number,
            expires,
            is_ask: in_hand.is_ask,
            payload: &in_hand.bytes,
        };
        // Before the message: the answer may be quick.
        let slots = lane.link.expect(std::mem::take(&mut in_hand.asks));
        let written = lane.link.outbox(class).append(|buffer| {
            frame.write(buffer);
            lane.open.lock().credit(class).spend(size);
        });
        if written.is_err() {
            in_hand.asks = lane.link.take_back(slots);
            return Step::Down;
        }
        if let Some(in_hand) = self.in_hand.take() {
            drop(in_hand.message); // its replies have left
            self.spare = in_hand.bytes;
            if self.spare.capacity() > 64 << 10 {
                self.spare = Vec::new();
            }
        }
        Step::Written
    }
}
