//! The shards, as everybody else reaches them.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lanemesh_runtime::{ActorHandle, AskError, SharedHandle};

use crate::ids::ShardId;
use crate::mailbox::{Mailbox, Sender};
use crate::messages::Control;
use crate::net::udp::{self, Choice};
use crate::shard::Shard;
use crate::stats::ShardStats;

/// All shards. It is complete before the first of them begins.
pub(crate) struct Shards<M: Mailbox> {
    all: Vec<One<M>>,
    /// A socket of each port that all shards share, bound in their order.
    ports: Vec<UdpSocket>,
}

struct One<M: Mailbox> {
    /// The handle that clones are made of, and by which those send who seldom do.
    handle: Mutex<M::Handle<Shard<M>>>,
    /// For questions, whatever the mailbox.
    actor: SharedHandle<Shard<M>>,
}

impl<M: Mailbox> Shards<M> {
    pub(crate) fn new(
        all: impl IntoIterator<Item = (M::Handle<Shard<M>>, ActorHandle<Shard<M>>)>,
        ports: Vec<UdpSocket>,
    ) -> Arc<Self> {
        let one = |(handle, actor): (_, ActorHandle<_>)| One {
            handle: Mutex::new(handle),
            actor: actor.shared(),
        };
        Arc::new(Self {
            all: all.into_iter().map(one).collect(),
            ports,
        })
    }

    /// Has the kernel deliver datagrams only to shards for which `gets` holds; to all, if it holds for none.
    pub(crate) fn steer(&self, gets: impl Fn(ShardId) -> bool) {
        let choice = Choice::of(self.all.len(), gets);
        for port in &self.ports {
            if let Err(error) = udp::choose(port, &choice) {
                tracing::warn!(%error, "the kernel goes on delivering to shards that hang");
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// A handle of one's own; `None` if there is no such shard.
    pub(crate) fn handle(&self, shard: ShardId) -> Option<M::Handle<Shard<M>>> {
        let one = self.all.get(shard)?;
        let handle = one.handle.lock().unwrap_or_else(PoisonError::into_inner);
        Some(handle.clone())
    }

    /// A handle of one's own to each shard.
    pub(crate) fn handles(&self) -> Vec<M::Handle<Shard<M>>> {
        let shards = 0..self.all.len();
        shards.filter_map(|shard| self.handle(shard)).collect()
    }

    /// Sends without waiting. Gives the message back if there is no room.
    pub(crate) fn try_send(&self, shard: ShardId, control: Control) -> Result<(), Control> {
        let Some(one) = self.all.get(shard) else {
            return Err(control);
        };
        let mut handle = one.handle.lock().unwrap_or_else(PoisonError::into_inner);
        handle
            .try_send_high(control)
            .map_err(crate::mailbox::Refused::into_inner)
    }

    /// The actor of a shard, for questions.
    pub(crate) fn actor(&self, shard: ShardId) -> &SharedHandle<Shard<M>> {
        &self.all[shard].actor
    }

    /// A shard's statistics.
    pub(crate) async fn observe(
        &self,
        shard: ShardId,
        timeout: Duration,
    ) -> Result<ShardStats, AskError> {
        let actor = self.actor(shard);
        let mut stats = actor.ask(Control::Observe, timeout).await?;
        if !M::FEEDS {
            let channels = actor.channels(timeout).await?;
            stats.high_depth = channels.high.depth;
            stats.low_depth = channels.low.depth;
            stats.sleeps = channels.high.wakeups + channels.low.wakeups;
        }
        Ok(stats)
    }
}
