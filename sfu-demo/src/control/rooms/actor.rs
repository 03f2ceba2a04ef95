//! The actor of a room.
//!
//! It never waits for a shard: news that a shard has no room for are replaced by all that the room knows, a little later.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanemesh_runtime::{Actor, ActorResult, Context};

use super::state::{Out, Room};
use crate::control::shards::Shards;
use crate::ids::ShardId;
use crate::mailbox::{Mailbox, Sender};
use crate::messages::{Control, RoomMessage, RoomTag, RoomUpdate};
use crate::shard::Shard;

/// How long shards may take to say who is there after the room was restarted. One that hangs does not.
const RECOVERY: Duration = Duration::from_millis(500);
/// After which time a shard that has missed something is told everything.
const CATCH_UP: Duration = Duration::from_millis(50);

/// A room and its connections to the shards.
pub(super) struct RoomActor<M: Mailbox> {
    name: Arc<str>,
    shards: Arc<Shards<M>>,
    /// A handle to each shard that the room has had news for.
    handles: Vec<Option<M::Handle<Shard<M>>>>,
    /// Which shards have missed something.
    behind: Vec<bool>,
    state: Option<Room>,
    out: Vec<Out>,
}

impl<M: Mailbox> RoomActor<M> {
    pub(super) fn new(name: Arc<str>, shards: Arc<Shards<M>>) -> Self {
        let count = shards.len();
        Self {
            name,
            shards,
            handles: (0..count).map(|_| None).collect(),
            behind: vec![false; count],
            state: None,
            out: Vec::new(),
        }
    }

    fn tag(ctx: &Context<Self>) -> RoomTag {
        RoomTag {
            actor: ctx.id(),
            incarnation: ctx.incarnation(),
        }
    }

    /// Sends what the state has to say.
    fn send_out(&mut self, ctx: &mut Context<Self>) {
        let waited = self.behind.contains(&true);
        let mut out = std::mem::take(&mut self.out);
        for (shard, news) in out.drain(..) {
            if self.behind[shard] {
                continue;
            }
            let update = RoomUpdate {
                room: Arc::clone(&self.name),
                from: Self::tag(ctx),
                news,
            };
            if !self.send(shard, Control::Room(update)) {
                self.behind[shard] = true;
                if let Some(room) = &mut self.state {
                    room.forget_asked(shard);
                }
            }
        }
        self.out = out;
        if !waited && self.behind.contains(&true) {
            ctx.send_high_after(CATCH_UP, RoomMessage::CatchUp);
        }
    }

    fn send(&mut self, shard: ShardId, control: Control) -> bool {
        let handle = &mut self.handles[shard];
        if handle.is_none() {
            *handle = self.shards.handle(shard);
        }
        let handle = handle.as_mut();
        handle.is_some_and(|handle| handle.try_send_high(control).is_ok())
    }
}

impl<M: Mailbox> Actor for RoomActor<M> {
    type HighPriorityMsg = RoomMessage;
    type LowPriorityMsg = Infallible;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let mut room = Room::new(Self::tag(ctx), self.behind.len());
        if ctx.incarnation() > 1 {
            tracing::warn!(room = %self.name, incarnation = ctx.incarnation(), "restarted");
            room.recover(&mut self.out);
            ctx.send_high_after(RECOVERY, RoomMessage::Recovered);
        }
        self.state = Some(room);
        self.send_out(ctx);
        Ok(())
    }

    async fn on_high(&mut self, message: RoomMessage, ctx: &mut Context<Self>) -> ActorResult {
        let Some(room) = &mut self.state else {
            return Ok(());
        };
        match message {
            RoomMessage::Shard(from, to, change) => {
                room.handle(Instant::now(), from, to, change, &mut self.out);
                room.recovered(false, &mut self.out);
            }
            RoomMessage::Restarted(shard) => room.restarted(shard, &mut self.out),
            RoomMessage::CatchUp => {
                for shard in 0..self.behind.len() {
                    if std::mem::take(&mut self.behind[shard]) {
                        room.catch_up(shard, &mut self.out);
                    }
                }
            }
            RoomMessage::Recovered => _ = room.recovered(true, &mut self.out),
            RoomMessage::Observe(reply) => drop(reply.send(room.stats(&self.name))),
            #[cfg(test)]
            RoomMessage::Fault => panic!("a fault in the code of a room"),
        }
        self.send_out(ctx);
        Ok(())
    }
}
