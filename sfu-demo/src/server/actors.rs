//! The server's actors: shards, each on a worker thread of its own, the room and the lobby.
//!
//! Each has the mailbox that `--mailbox` names as an extra arm of its loop, beside sockets and
//! timers; the runtime gives them their life: placement, stop, supervision, and the tree that shows
//! them. None is restarted: a shard that fails has lost its peers' keys, and they join again.

use std::convert::Infallible;
use std::io;
use std::net::UdpSocket;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lanemesh_runtime::Builder;
use lanemesh_runtime::{
    Actor, ActorError, ActorResult, Context, Restart, WorkerThread, actor_loop, builder,
};
use tokio::time::Interval;

use crate::control::admission::Lobby;
use crate::control::rooms::Rooms;
use crate::mailbox::{Mailbox, Message, Receiver, send_high};
use crate::messages::{LobbyMessage, Out, RoomMessage, ShardSender};
use crate::shard::{Shard, Wiring};

/// A shard as an actor.
struct ShardActor<M: Mailbox> {
    parts: Option<(Wiring<M>, Vec<UdpSocket>)>,
    shard: Option<Shard<M>>,
}

/// The room as an actor.
struct RoomActor<M: Mailbox> {
    rooms: Rooms,
    mailbox: M::Receiver<RoomMessage, Infallible>,
    shards: Vec<ShardSender<M>>,
    messages: Vec<Message<RoomMessage, Infallible>>,
    out: Vec<Out>,
}

/// The lobby as an actor.
struct LobbyActor<M: Mailbox> {
    lobby: Lobby,
    mailbox: M::Receiver<LobbyMessage, Infallible>,
    shards: Vec<ShardSender<M>>,
    messages: Vec<Message<LobbyMessage, Infallible>>,
    out: Vec<Out>,
    tidy: Interval,
}

/// An actor that is made once: what it is made of cannot be had again.
fn once<A: Actor>(name: String, make: impl FnOnce() -> A + Send + 'static) -> Builder<A> {
    let make = Mutex::new(Some(make));
    let factory = move || {
        let make = make.lock().ok().and_then(|mut make| make.take());
        make.map(|make| make()).expect("it is not restarted")
    };
    builder(factory).name(name).restart(Restart::Temporary)
}

/// A shard, to be started on `worker_thread`.
pub(super) fn shard<M: Mailbox>(
    worker_thread: &WorkerThread,
    wiring: Wiring<M>,
    sockets: Vec<UdpSocket>,
) -> Builder<impl Actor + use<M>> {
    let name = format!("shard-{}", wiring.here);
    let parts = Some((wiring, sockets));
    once(name, move || ShardActor { parts, shard: None }).on(worker_thread)
}

/// The room.
pub(super) fn room<M: Mailbox>(
    mailbox: M::Receiver<RoomMessage, Infallible>,
    shards: Vec<ShardSender<M>>,
) -> Builder<impl Actor + use<M>> {
    once("room".to_owned(), move || RoomActor::<M> {
        rooms: Rooms::default(),
        mailbox,
        shards,
        messages: Vec::new(),
        out: Vec::new(),
    })
}

/// The lobby.
pub(super) fn lobby<M: Mailbox>(
    lobby: Lobby,
    mailbox: M::Receiver<LobbyMessage, Infallible>,
    shards: Vec<ShardSender<M>>,
) -> Builder<impl Actor + use<M>> {
    once("lobby".to_owned(), move || LobbyActor::<M> {
        lobby,
        mailbox,
        shards,
        messages: Vec::new(),
        out: Vec::new(),
        tidy: tokio::time::interval(Duration::from_millis(100)),
    })
}

fn failed(error: &io::Error) -> ActorError {
    ActorError::msg(error)
}

impl<M: Mailbox> Actor for ShardActor<M> {
    type HighPriorityMsg = Infallible;
    type LowPriorityMsg = Infallible;

    async fn started(&mut self, _: &mut Context<Self>) -> ActorResult {
        let (wiring, sockets) = self
            .parts
            .take()
            .ok_or_else(|| ActorError::msg("no parts"))?;
        self.shard = Some(Shard::new(wiring, sockets).map_err(|error| failed(&error))?);
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let Some(mut shard) = self.shard.take() else {
            return Ok(());
        };
        actor_loop!(self, ctx,
            open = shard.ready() => {
                let goes_on = shard.turn().map_err(|error| failed(&error))?;
                if !open || !goes_on {
                    break;
                }
            },
        )
    }
}

impl<M: Mailbox> Actor for RoomActor<M> {
    type HighPriorityMsg = Infallible;
    type LowPriorityMsg = Infallible;

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            taken = self.mailbox.recv_many(&mut self.messages, 64) => {
                if taken == 0 {
                    break;
                }
                for message in self.messages.drain(..) {
                    let Message::High(message) = message;
                    self.rooms.handle(Instant::now(), message, &mut self.out);
                    for (shard, control) in self.out.drain(..) {
                        send_high(&mut self.shards[shard], control).await;
                    }
                }
            },
        )
    }
}

impl<M: Mailbox> Actor for LobbyActor<M> {
    type HighPriorityMsg = Infallible;
    type LowPriorityMsg = Infallible;

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            taken = self.mailbox.recv_many(&mut self.messages, 16) => {
                if taken == 0 {
                    break;
                }
                for message in self.messages.drain(..) {
                    let Message::High(message) = message;
                    self.lobby.handle(Instant::now(), message, &mut self.out);
                    for (shard, control) in self.out.drain(..) {
                        send_high(&mut self.shards[shard], control).await;
                    }
                }
            },
            _ = self.tidy.tick() => {
                self.lobby.tidy(Instant::now(), &mut self.out);
                for (shard, control) in self.out.drain(..) {
                    send_high(&mut self.shards[shard], control).await;
                }
            },
        )
    }
}
