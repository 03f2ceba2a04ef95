//! The WebSocket of a page: an actor that passes JSON between the page and the shard of its session.
//!
//! It lives outside the shards, so that a page hears of a shard that has failed: with the session its last recipient
//! goes, and the actor says so and ends. Then the page joins again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use lanemesh_runtime::{Actor, ActorResult, Context, ExitReason, IntoBuilder, actor_loop};
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::app::App;
use super::error::Error;
use crate::control::admission::Lasting;
use crate::control::shards::Shards;
use crate::ids::{ParticipantId, ShardId};
use crate::mailbox::Mailbox;
use crate::messages::{AdmissionMessage, Control, FromSocket, PageLink, ToSocket};
use crate::session::MAX_MESSAGE;

/// Texts that wait for the connection. A page that lets more pile up is too slow, and has to connect again.
const CAPACITY: usize = 256;
/// How long a text may take to leave.
const SEND: Duration = Duration::from_secs(10);
/// How long admission may take to say whose the connection is.
const ATTACH: Duration = Duration::from_secs(5);
/// How often the page is asked for a sign of life.
const PING: Duration = Duration::from_secs(15);
/// How long a message of the page waits before a full shard is tried again; meanwhile nothing more is read.
const AGAIN: Duration = Duration::from_millis(20);
/// Messages of the page that wait until its session is in a shard.
const MAX_WAITING: usize = 64;

pub(super) async fn socket<M: Mailbox>(
    State(app): State<Arc<App<M>>>,
    Path(resource): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Error> {
    let wanted = resource.clone();
    if !app
        .ask(|reply| AdmissionMessage::Find(wanted, reply))
        .await?
    {
        return Err(Error::NotFound);
    }
    let upgrade = upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let page = Page {
            socket,
            shards: Arc::clone(&app.shards),
            lasting: Arc::clone(&app.lasting),
            id: None,
            shard: None,
            waiting: VecDeque::new(),
            ping,
            heard: true,
            ended: None,
        };
        let page = page.into_builder().high_capacity(CAPACITY).low_capacity(1);
        let Ok((mut handle, child)) = app.spawner.try_spawn(page) else {
            return;
        };
        child.detach();
        // The actor would end without a handle, so this one stays until its session has another.
        let link = PageLink {
            id: handle.id(),
            to: Box::new(handle.high_recipient()),
        };
        let attach = |reply| AdmissionMessage::Attach(resource, link, reply);
        if let Ok(Some(id)) = app.admission.ask(attach, ATTACH).await {
            let _ = handle.try_send_high(ToSocket::Attached(id));
        }
    }))
}

/// The connection of a page.
struct Page<M: Mailbox> {
    socket: WebSocket,
    shards: Arc<Shards<M>>,
    lasting: Arc<Lasting>,
    id: Option<ParticipantId>,
    /// The shard of its session, once it has connected.
    shard: Option<ShardId>,
    /// What the page has said and the shard has not taken yet.
    waiting: VecDeque<String>,
    ping: Interval,
    /// Whether the page has given a sign of life since the last ping.
    heard: bool,
    /// Why the session has ended; `None` if it is lost.
    ended: Option<&'static str>,
}

impl<M: Mailbox> Page<M> {
    /// Passes what the page has said to its shard, as far as that has room.
    fn pass_on(&mut self) {
        let (Some(shard), Some(id)) = (self.shard, self.id) else {
            return;
        };
        while let Some(text) = self.waiting.pop_front() {
            let control = Control::Page(id, FromSocket::Text(text));
            if let Err(Control::Page(_, FromSocket::Text(text))) =
                self.shards.try_send(shard, control)
            {
                return self.waiting.push_front(text);
            }
        }
    }

    fn is_stuck(&self) -> bool {
        match self.shard {
            Some(_) => !self.waiting.is_empty(),
            None => self.waiting.len() >= MAX_WAITING,
        }
    }

    async fn send(&mut self, message: Message) -> ActorResult {
        timeout(SEND, self.socket.send(message)).await??;
        Ok(())
    }
}

impl<M: Mailbox> Actor for Page<M> {
    type HighPriorityMsg = ToSocket;
    type LowPriorityMsg = std::convert::Infallible;

    async fn on_high(&mut self, message: ToSocket, ctx: &mut Context<Self>) -> ActorResult {
        match message {
            ToSocket::Attached(id) => {
                self.id = Some(id);
                self.pass_on();
            }
            ToSocket::In(shard) => {
                self.shard = Some(shard);
                self.pass_on();
            }
            ToSocket::Text(text) => self.send(Message::Text((&*text).into())).await?,
            ToSocket::Ended(why) => {
                self.ended = Some(why);
                ctx.stop();
            }
        }
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            received = self.socket.recv(), if !self.is_stuck() => {
                self.heard = true;
                match received {
                    Some(Ok(Message::Text(text))) => {
                        self.waiting.push_back(text.to_string());
                        self.pass_on();
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                }
            },
            () = tokio::time::sleep(AGAIN), if self.is_stuck() => {
                self.pass_on();
            },
            _ = self.ping.tick() => {
                if !std::mem::take(&mut self.heard) {
                    break;
                }
                self.send(Message::Ping(axum::body::Bytes::new())).await?;
            },
        )
    }

    async fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) -> ActorResult {
        if let (Some(shard), Some(id)) = (self.shard, self.id) {
            // If there is no room, the shard finds out when it has something to say.
            let detached = Control::Page(id, FromSocket::Detached(ctx.id()));
            let _ = self.shards.try_send(shard, detached);
        }
        let (text, code) = match self.ended {
            Some(why) => (json!({"type": "ended", "why": why}), 1000),
            None if self.lasting.is_stopping() => (json!({"type": "stopping"}), 1001),
            None => (json!({"type": "gone"}), 1012),
        };
        let close = CloseFrame {
            code,
            reason: "".into(),
        };
        // The page may be gone itself.
        let farewell = async {
            self.socket
                .send(Message::Text(text.to_string().into()))
                .await?;
            self.socket.send(Message::Close(Some(close))).await
        };
        let _ = timeout(Duration::from_secs(1), farewell).await;
        Ok(())
    }
}
