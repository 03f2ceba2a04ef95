//! A shard as an actor: control comes on the high lane, media on the low lane, sockets and timers in an extra arm.
//!
//! What outlives an incarnation is in [`Parts`]: the sockets, and the feed of a mailbox that is not the runtime's own.

use std::io;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lanemesh_runtime::actor::Batch;
use lanemesh_runtime::{Actor, ActorError, ActorResult, Context, ExitReason, actor_loop};
use tokio::sync::watch;

use super::links::Wiring;
use super::sockets::Sockets;
use super::streams::Streams;
use super::{MAILBOX_BURST, Shard};
use crate::ids::ShardId;
use crate::mailbox::{Mailbox, Message, Observed, Receiver};
use crate::messages::{Control, Media};

/// What a shard is connected to, made anew for each incarnation.
pub(crate) type Connect<M> = Arc<dyn Fn() -> Wiring<M> + Send + Sync>;

/// What all incarnations of a shard use.
pub(crate) struct Parts<M: Mailbox> {
    /// The shard's number.
    pub here: ShardId,
    /// Each incarnation gets duplicates of them.
    pub sockets: Vec<UdpSocket>,
    /// Lent to the incarnation that runs.
    pub feed: Mutex<Option<M::Feed<Shard<M>>>>,
    /// Set when all shards have been spawned.
    pub connect: watch::Receiver<Option<Connect<M>>>,
}

impl<M: Mailbox> Parts<M> {
    fn sockets(&self) -> io::Result<Sockets> {
        let sockets = self.sockets.iter().map(UdpSocket::try_clone);
        Sockets::new(sockets.collect::<io::Result<_>>()?)
    }
}

/// The feed of a shard, which is given back at the end of the incarnation, however that comes.
pub(super) struct Lent<M: Mailbox> {
    parts: Arc<Parts<M>>,
    feed: Option<M::Feed<Shard<M>>>,
    /// Received, and not handled yet.
    pub(super) messages: Vec<Message<Control, Media>>,
}

impl<M: Mailbox> Lent<M> {
    pub(super) fn new(parts: Arc<Parts<M>>) -> Self {
        let feed = parts.feed.lock();
        let feed = feed.unwrap_or_else(PoisonError::into_inner).take();
        Self {
            parts,
            feed,
            messages: Vec::new(),
        }
    }

    pub(super) fn observe(&self) -> Observed {
        let feed = self.feed.as_ref();
        feed.map(Receiver::observe).unwrap_or_default()
    }

    async fn recv_many(&mut self) -> usize {
        match &mut self.feed {
            Some(feed) => feed.recv_many(&mut self.messages, MAILBOX_BURST).await,
            None => 0,
        }
    }
}

impl<M: Mailbox> Drop for Lent<M> {
    fn drop(&mut self) {
        let feed = self.parts.feed.lock();
        *feed.unwrap_or_else(PoisonError::into_inner) = self.feed.take();
    }
}

impl<M: Mailbox> Actor for Shard<M> {
    type HighPriorityMsg = Control;
    type LowPriorityMsg = Media;
    const BATCH: usize = MAILBOX_BURST;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let mut connect = self.parts.connect.clone();
        let connect = connect.wait_for(Option::is_some).await?.clone();
        let connect = connect.ok_or_else(|| ActorError::msg("a shard is not connected"))?;
        self.sockets = self.parts.sockets()?;
        self.begin(ctx.incarnation(), connect());
        Ok(())
    }

    async fn on_high(&mut self, control: Control, _: &mut Context<Self>) -> ActorResult {
        self.control(self.now(), control);
        self.wake_at = None;
        Ok(())
    }

    async fn on_low_batch(
        &mut self,
        batch: &mut Batch<Media>,
        _: &mut Context<Self>,
    ) -> ActorResult {
        let now = self.now();
        for media in batch.drain() {
            self.media(now, media);
        }
        self.turn()?;
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            received = self.feed.recv_many(), if M::FEEDS && self.wake_at.is_some() => {
                if received == 0 {
                    break;
                }
                self.fed();
                self.turn()?;
            },
            () = ready(&self.sockets, &self.streams, self.wake_at) => {
                self.turn()?;
            },
        )
    }

    async fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        if !reason.is_failure() {
            self.close_all()?;
        }
        Ok(())
    }
}

/// Waits until a turn has something to do: at once if `wake_at` is `None`.
///
/// # Cancel safety
///
/// Nothing is lost: it receives nothing.
pub(super) async fn ready(sockets: &Sockets, streams: &Streams, wake_at: Option<Instant>) {
    let Some(wake_at) = wake_at else {
        return;
    };
    tokio::select! {
        biased;
        () = sockets.readable() => {}
        () = streams.ready() => {}
        () = tokio::time::sleep_until(wake_at.into()) => {}
    }
}
