//! The actor around a shard.

use std::convert::Infallible;
use std::net::UdpSocket;

use lanemesh_runtime::{Actor, ActorError, ActorResult, Context, actor_loop};

use super::{Shard, Wiring};
use crate::mailbox::Mailbox;

/// Creates its shard on the thread that runs it, and runs it until it is drained.
pub(crate) struct ShardActor<M: Mailbox> {
    parts: Option<(Wiring<M>, Vec<UdpSocket>)>,
    shard: Option<Shard<M>>,
}

impl<M: Mailbox> ShardActor<M> {
    pub(crate) fn new(wiring: Wiring<M>, sockets: Vec<UdpSocket>) -> Self {
        Self {
            parts: Some((wiring, sockets)),
            shard: None,
        }
    }
}

impl<M: Mailbox> Actor for ShardActor<M> {
    type HighPriorityMsg = Infallible;
    type LowPriorityMsg = Infallible;

    async fn started(&mut self, _: &mut Context<Self>) -> ActorResult {
        let (wiring, sockets) = self
            .parts
            .take()
            .ok_or_else(|| ActorError::msg("a shard is started once"))?;
        self.shard = Some(Shard::new(wiring, sockets).map_err(ActorError::msg)?);
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let Some(mut shard) = self.shard.take() else {
            return Ok(());
        };
        actor_loop!(self, ctx,
            open = shard.ready() => {
                let goes_on = shard.turn().map_err(ActorError::msg)?;
                if !open || !goes_on {
                    break;
                }
            },
        )
    }
}
