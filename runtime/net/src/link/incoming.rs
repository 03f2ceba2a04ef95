//! What a link does with each frame that it reads.

use std::{sync::Arc, time::Duration};

use lanemesh_runtime::{AskError, edge::PendingAsk};
use tokio::time::Instant;

use super::{
    LARGE_OUTBOX, Land, Link, OUTBOX, Open,
    credit::{Count, Credit},
    lock,
    opened::{OpenLane, Reply},
    violation,
};
use crate::{
    error::refusal,
    event::DownReason,
    wire::{Class, Codec, Frame, complete, reason},
};

impl Link {
    /// Takes a frame that was read from the connection of `class`.
    pub(super) fn on_frame(
        self: &Arc<Self>,
        class: Class,
        frame: Frame<'_>,
    ) -> Result<(), DownReason> {
        match frame {
            Frame::Message {
                lane,
                expires,
                is_ask,
                trace,
                payload,
            } => {
                let Some(owned) = self.owned(lane) else {
                    return Ok(()); // it has ended, which the opener does not know yet
                };
                let expires = (expires != 0).then(|| after_micros(expires));
                owned.message(self, class, expires, is_ask, trace, payload)?;
            }
            Frame::Answer { slot, payload } => {
                let ask = lock(&self.asks).pending.remove(&slot);
                if let Some((ask, codec)) = ask {
                    self.answer(codec, ask, payload);
                }
            }
            Frame::NoAnswer { slot } => {
                let ask = lock(&self.asks).pending.remove(&slot);
                if let Some((ask, _)) = ask {
                    // Also if the link goes down before the asker looks.
                    ask.fail(AskError::Crashed);
                }
            }
            Frame::Credit {
                lane,
                class,
                messages,
                bytes,
            } => {
                if let Some(opened) = self.opened(lane) {
                    let count = Count { messages, bytes };
                    let confirmed = opened.confirm(class, count);
                    confirmed.map_err(|()| violation("it confirms what was not sent"))?;
                }
            }
            Frame::Room {
                lane,
                class,
                messages,
                bytes,
            } => {
                if let Some(opened) = self.opened(lane) {
                    opened.grow(class, Count { messages, bytes });
                }
            }
            Frame::Received { bytes } => {
                let mut flow = lock(&self.window);
                let received = flow.window.received(bytes, Instant::now());
                received.map_err(|()| violation("it has received what was not sent"))?;
                let (writer, burst) = (flow.writer.take(), flow.window.burst() as usize);
                drop(flow);
                let outbox = self.outbox(Class::Low);
                outbox.set_limit(burst.clamp(OUTBOX, LARGE_OUTBOX));
                if let Some(writer) = writer {
                    writer.wake();
                }
            }
            Frame::Ping { number } if class == Class::High => {
                self.push(Class::High, &Frame::Pong { number });
            }
            Frame::Ping { .. } => {} // it was heard
            Frame::Pong { number } => self.on_pong(number),
            Frame::Open {
                lane,
                versions,
                codecs,
                kind,
                name,
            } => self.on_open(&Open {
                lane,
                versions,
                codecs,
                kind,
                name,
            })?,
            Frame::Opened {
                lane,
                version,
                codec,
                has_traces,
                messages,
                bytes,
            } => {
                let credit = [0, 1].map(|class| Credit::new(messages[class], bytes[class]));
                let opened = Reply::Opened {
                    version,
                    codec,
                    has_traces,
                };
                self.on_reply(lane, opened, credit)?;
            }
            Frame::Refused { lane, why, text } => {
                let text = text.to_owned();
                self.on_reply(lane, Reply::Refused { why, text }, Default::default())?;
            }
            Frame::Confirm { lane } => {
                if let Some(owned) = self.owned(lane) {
                    owned.confirm(self);
                }
            }
            Frame::Close { lane } => {
                let owned = self.owned(lane);
                if owned.is_some_and(|owned| owned.close(class)) {
                    self.disown(lane);
                }
            }
            Frame::Ended { lane, why, text } => {
                if let Some(opened) = self.opened(lane) {
                    opened.end(reason::from_wire(why, text));
                }
            }
            Frame::Order { lane, order } => {
                if let Some(owned) = self.owned(lane) {
                    owned.order(order);
                }
            }
            Frame::Bye => return Err(DownReason::ClosedByPeer),
        }
        Ok(())
    }

    fn on_open(self: &Arc<Self>, open: &Open<'_>) -> Result<(), DownReason> {
        let lane = open.lane;
        {
            let owned = lock(&self.owned);
            if owned.contains_key(&lane) {
                return Err(violation("it opens a lane twice"));
            }
            if owned.len() >= self.config.max_lanes {
                drop(owned);
                let text = "the peer has opened as many lanes as it may";
                let why = refusal::LIMIT;
                self.push(Class::High, &Frame::Refused { lane, why, text });
                return Ok(());
            }
        }
        match self.host.open(self, open) {
            Ok(own) => {
                lock(&self.owned).insert(lane, own.landing.clone());
                let config = &*self.config;
                let opened = Frame::Opened {
                    lane,
                    version: own.version,
                    codec: own.codec,
                    has_traces: open.codecs.has_traces(),
                    messages: [config.high_messages, config.low_messages],
                    bytes: [config.high_bytes, config.low_bytes],
                };
                self.push(Class::High, &opened);
            }
            Err((why, text)) => {
                match why {
                    // A look-up asks all nodes, also those that do not have the actor, or not yet.
                    refusal::UNKNOWN => tracing::debug!(peer = %self.peer, %text, "no lane"),
                    _ => {
                        tracing::warn!(peer = %self.peer, name = open.name, %text, "a lane was refused")
                    }
                }
                let text = &text;
                self.push(Class::High, &Frame::Refused { lane, why, text });
            }
        }
        Ok(())
    }

    fn on_reply(&self, lane: u32, reply: Reply, credit: [Credit; 2]) -> Result<(), DownReason> {
        let is_open = matches!(reply, Reply::Opened { .. });
        if let Some(opened) = self.opened(lane) {
            let replied = opened.reply(reply, credit);
            replied.map_err(|()| violation("it answers a request twice"))?;
        }
        // Whoever gives a lane up forgets it first, and then looks whether it was opened.
        if is_open && self.opened(lane).is_none() {
            self.close_lane(lane);
        }
        Ok(())
    }

    /// The answer is deserialized by foreign code.
    fn answer(&self, codec: Codec, ask: PendingAsk, payload: &[u8]) {
        if let Err(error) = complete(codec, ask, payload) {
            tracing::warn!(peer = %self.peer, %error, "a wrong answer");
        }
    }

    fn owned(&self, lane: u32) -> Option<Arc<dyn Land>> {
        lock(&self.owned).get(&lane).cloned()
    }

    fn opened(&self, lane: u32) -> Option<Arc<OpenLane>> {
        lock(&self.opened).get(&lane).cloned()
    }
}

fn after_micros(micros: u64) -> Instant {
    let now = Instant::now();
    // Longer than a century is never.
    let later = Duration::from_micros(micros.min(1 << 52));
    now.checked_add(later).unwrap_or(now)
}
