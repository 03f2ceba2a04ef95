//! The actor that admission and the rooms share.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use lanemesh_runtime::{Actor, ActorResult, Context, actor_loop};
use tokio::time::Interval;

use crate::mailbox::{Mailbox, Message, Receiver, send_high};
use crate::messages::{Out, ShardSender};

/// State that messages change. Messages for shards are added to `out`.
pub(crate) trait Tables: Send + 'static {
    /// A message that changes the state.
    type Message: Send + 'static;

    /// How many messages are received at once.
    const BURST: usize;

    /// How often [`Tables::expire`] is called; `None` is never.
    const EXPIRY_INTERVAL: Option<Duration> = None;

    /// Handles a message.
    fn handle(&mut self, now: Instant, message: Self::Message, out: &mut Vec<Out>);

    /// Handles timeouts.
    fn expire(&mut self, _now: Instant, _out: &mut Vec<Out>) {}
}

/// Receives messages for its tables, and sends the resulting messages to shards.
pub(crate) struct ControlActor<M: Mailbox, T: Tables> {
    tables: T,
    mailbox: M::Receiver<T::Message, Infallible>,
    shards: Vec<ShardSender<M>>,
    messages: Vec<Message<T::Message, Infallible>>,
    out: Vec<Out>,
    expiry: Option<Interval>,
}

impl<M: Mailbox, T: Tables> ControlActor<M, T> {
    /// Has to be called within a tokio runtime, for its clock.
    pub(crate) fn new(
        tables: T,
        mailbox: M::Receiver<T::Message, Infallible>,
        shards: Vec<ShardSender<M>>,
    ) -> Self {
        Self {
            tables,
            mailbox,
            shards,
            messages: Vec::new(),
            out: Vec::new(),
            expiry: T::EXPIRY_INTERVAL.map(tokio::time::interval),
        }
    }

    /// Sends the messages in `out`. Waiting for a shard cannot deadlock: shards never wait for control.
    async fn send_out(&mut self) {
        for (shard, control) in self.out.drain(..) {
            send_high(&mut self.shards[shard], control).await;
        }
    }
}

impl<M: Mailbox, T: Tables> Actor for ControlActor<M, T> {
    type HighPriorityMsg = Infallible;
    type LowPriorityMsg = Infallible;

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            received = self.mailbox.recv_many(&mut self.messages, T::BURST) => {
                if received == 0 {
                    break;
                }
                let mut messages = std::mem::take(&mut self.messages);
                for message in messages.drain(..) {
                    let Message::High(message) = message;
                    self.tables.handle(Instant::now(), message, &mut self.out);
                    self.send_out().await;
                }
                self.messages = messages;
            },
            () = tick(&mut self.expiry) => {
                self.tables.expire(Instant::now(), &mut self.out);
                self.send_out().await;
            },
        )
    }
}

/// Waits for the next tick, or forever if there is none.
async fn tick(expiry: &mut Option<Interval>) {
    match expiry {
        Some(expiry) => _ = expiry.tick().await,
        None => std::future::pending().await,
    }
}
