//! The actor at the other end of the mailboxes that [`super::inproc`] compares: it copies packets as a shard would.
//!
//! Messages reach it as they reach a shard: with lanemesh through the runtime's own mailbox, with another channel
//! through that channel, which an extra arm of the actor's loop receives from.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use lanemesh_runtime::actor::Batch;
use lanemesh_runtime::{Actor, ActorResult, Context, ExitReason, IntoBuilder, actor_loop};
use quanta::Instant;

use super::load::histogram;
use crate::cpu_time;
use crate::mailbox::{Mailbox, Message, Receiver};
use crate::shard::MAILBOX_BURST;

/// Packets that are copied before they would be sent.
const OUTGOING: usize = 64;
/// Control messages that the mailbox holds, by default from each sender.
const HIGH: usize = 256;

/// A media message: a packet, and how many subscribers it is for.
pub(super) struct Packet {
    pub(super) due: Instant,
    pub(super) subscribers: usize,
    pub(super) payload: Arc<[u8]>,
}

/// What a copier has measured.
pub(super) struct Outcome {
    pub(super) delivered: u64,
    pub(super) cpu: Duration,
    pub(super) media: Histogram<u64>,
    pub(super) control: Histogram<u64>,
}

/// What a copier is sent messages through.
pub(super) type Handle<M> = <M as Mailbox>::Handle<Copier<M>>;

/// The actor.
pub(super) struct Copier<M: Mailbox> {
    feed: M::Feed<Self>,
    messages: Vec<Message<Instant, Packet>>,
    out: Vec<u8>,
    outcome: Outcome,
    result: mpsc::Sender<Outcome>,
}

/// Starts a copier on a thread of its own, whose mailbox holds `low` media messages. It ends when the last handle is gone.
pub(super) fn start<M: Mailbox>(
    low: usize,
) -> io::Result<(Handle<M>, JoinHandle<io::Result<Outcome>>)> {
    let (handle, handles) = mpsc::channel();
    let thread = thread::Builder::new().spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async {
            let (inlet, feed) = M::feed::<Copier<M>>(HIGH, low);
            let (result, results) = mpsc::channel();
            let copier = Copier {
                feed,
                messages: Vec::with_capacity(MAILBOX_BURST),
                out: Vec::new(),
                outcome: Outcome {
                    delivered: 0,
                    cpu: Duration::ZERO,
                    media: histogram(),
                    control: histogram(),
                },
                result,
            };
            let copier = copier.into_builder().high_capacity(HIGH).low_capacity(low);
            // With a feed of its own it ends when that does.
            let copier = if M::FEEDS {
                copier.keep_running()
            } else {
                copier
            };
            let (actor, child) = copier.spawn();
            let _ = handle.send(M::handle(inlet, &actor));
            drop((handle, actor));
            let reason = child.await;
            results
                .try_recv()
                .map_err(|_| io::Error::other(format!("a copier has ended: {reason}")))
        })
    })?;
    let handle = handles
        .recv()
        .map_err(|_| io::Error::other("a copier failed to start"))?;
    Ok((handle, thread))
}

impl<M: Mailbox> Copier<M> {
    fn copy(&mut self, packet: &Packet) {
        for _ in 0..packet.subscribers {
            if self.out.len() >= OUTGOING * packet.payload.len() {
                std::hint::black_box(&self.out);
                self.out.clear();
            }
            self.out.extend_from_slice(&packet.payload);
        }
        self.outcome.delivered += packet.subscribers as u64;
        record(&mut self.outcome.media, packet.due);
    }

    /// Handles what the feed has brought.
    fn fed(&mut self) {
        let mut messages = std::mem::take(&mut self.messages);
        for message in messages.drain(..) {
            match message {
                Message::High(due) => record(&mut self.outcome.control, due),
                Message::Low(packet) => self.copy(&packet),
            }
        }
        self.messages = messages;
    }
}

impl<M: Mailbox> Actor for Copier<M> {
    type HighPriorityMsg = Instant;
    type LowPriorityMsg = Packet;
    const BATCH: usize = MAILBOX_BURST;

    async fn on_high(&mut self, due: Instant, _: &mut Context<Self>) -> ActorResult {
        record(&mut self.outcome.control, due);
        Ok(())
    }

    async fn on_low_batch(
        &mut self,
        batch: &mut Batch<Packet>,
        _: &mut Context<Self>,
    ) -> ActorResult {
        for packet in batch.drain() {
            self.copy(&packet);
        }
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            received = self.feed.recv_many(&mut self.messages, MAILBOX_BURST), if M::FEEDS => {
                if received == 0 {
                    break;
                }
                self.fed();
            },
        )
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.outcome.cpu = cpu_time::of_thread();
        let empty = Outcome {
            delivered: 0,
            cpu: Duration::ZERO,
            media: histogram(),
            control: histogram(),
        };
        let _ = self
            .result
            .send(std::mem::replace(&mut self.outcome, empty));
        Ok(())
    }
}

fn record(histogram: &mut Histogram<u64>, due: Instant) {
    let nanos = Instant::now().saturating_duration_since(due).as_nanos() as u64;
    histogram.saturating_record(nanos.max(1));
}
