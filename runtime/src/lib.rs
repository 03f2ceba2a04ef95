//! Typed actors on the [`lanemesh`] mailbox, on tokio: priorities, supervision, batches, worker
//! threads.
//!
//! An [`Actor`] owns its state and handles one message at a time. Its mailbox has two priorities,
//! and each [`ActorHandle`] has lanes of its own into it, so that senders do not contend and a
//! flood of data does not delay control. A failure ends an incarnation, not the actor: handles,
//! identity and queued messages stay, and a supervisor decides what comes next.
//!
//! It runs inside one process. There are no durable mailboxes and no network lanes; what would
//! carry messages further implements [`Recipient`].
//!
//! # Start
//!
//! ```
//! use std::time::Duration;
//!
//! use lanemesh_runtime::{Actor, ActorResult, Context, Reply, Restart, System, builder, spawn};
//!
//! struct Room {
//!     packets: u64,
//! }
//!
//! enum Control {
//!     Count(Reply<u64>),
//! }
//!
//! struct Packet(Vec<u8>);
//!
//! impl Actor for Room {
//!     type HighPriorityMsg = Control; // overtakes packets
//!     type LowPriorityMsg = Packet;
//!
//!     async fn on_high(&mut self, msg: Control, _: &mut Context<Self>) -> ActorResult {
//!         match msg {
//!             Control::Count(reply) => drop(reply.send(self.packets)), // whoever asked may have gone
//!         }
//!         Ok(())
//!     }
//!
//!     async fn on_low(&mut self, packet: Packet, _: &mut Context<Self>) -> ActorResult {
//!         self.packets += u64::from(!packet.0.is_empty());
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let system = System::new("server");
//! let room = builder(|| Room { packets: 0 }).name("room").restart(Restart::Permanent);
//! let (mut room, child) = system.spawn(room);
//! room.send_low(Packet(vec![1, 2, 3])).await?;
//! room.idle().await;
//! assert_eq!(room.ask(Control::Count, Duration::from_secs(1)).await?, 1);
//! # drop(child);
//! let report = system.shutdown(Duration::from_secs(5)).await;
//! assert!(report.is_clean());
//! # Ok(()) }
//! ```
//!
//! # Where to find what
//!
//! | question | answer |
//! |---|---|
//! | what an actor is | [`Actor`], [`LocalActor`] for what is not `Send`, [`Context`] |
//! | timers, sockets, streams | [`actor_loop!`], [`Context::wait_all`] |
//! | sending, asking, stopping | [`ActorHandle`], [`SharedHandle`], [`Reply`] |
//! | starting | [`spawn`], [`builder`], [`Builder`], [`WorkerThread`], [`System`] |
//! | ownership, ends | [`Child`], [`ExitReason`], [`Monitor`], [`CrashPolicy`] |
//! | failures | [`supervision`], [`Persistent`] state, [`Builder::redeliver`], [`DeadLetter`] |
//! | patterns | [`Conversation`], [`Topic`], [`Pool`], [`Route`] |
//! | watching | [`ActorStats`], [`Tree`], [`EventMonitor`], `tracing` spans, `publish_metrics` |
//! | tests | [`testing`] |
//!
//! # Limits
//!
//! - A handler that blocks its thread cannot be ended from outside. It is reported as late.
//! - Two actors that wait for room in each other's full lanes are told so by
//!   [`SendError::Deadlock`] after half a second; two that ask each other hear a time-out. Better
//!   is to send one of the two ways with `try_send`. Nobody is told who waits in
//!   [`Publisher::publish`] with [`SlowPolicy::Wait`], in [`Pool::send_low`], in
//!   [`high_ready`](ActorHandle::high_ready), [`low_ready`](ActorHandle::low_ready) or
//!   [`low_room`](ActorHandle::low_room), in [`Recipient::poll_ready`], or in a [`SharedHandle`].
//! - With `panic = "abort"` a panic ends the program; errors are still supervised.
//! - Capacity is per handle and priority: a thousand clones may queue a thousand times as much.
//! - Eight messages are one unit of tokio's cooperative budget, so up to some thousand small handlers
//!   run before other tasks of the thread do. A handler that is long should yield by itself.
//!
//! # Features
//!
//! - `metrics`: `publish_metrics`, which publishes a [`Tree`] through the `metrics` facade.
//! - `testing`: `testing::simulate`, with tokio's paused clock and a seed for the order of tasks.
#![forbid(unsafe_code)]

pub mod actor;
mod cell;
mod crash;
mod envelope;
mod error;
mod exit;
mod handle;
mod id;
mod observe;
mod patterns;
mod spawn;
pub mod supervision;
mod task;
pub mod testing;
mod util;

#[cfg(feature = "metrics")]
pub use crate::observe::metrics::publish_metrics;
pub use lanemesh::{Message, Overflow, Sent};

pub use crate::{
    actor::{
        Actor, Observe,
        batch::Batch,
        context::Context,
        local::{Local, LocalActor, LocalContext},
    },
    cell::counters::Timing,
    crash::{
        dead_letter::{DeadLetter, Undelivered},
        persist::{Lease, Persistent},
    },
    error::{ActorError, ActorResult, AskError, ReplyError, SendError, SpawnError},
    exit::{CrashPolicy, ExitNotice, ExitReason},
    handle::{
        ActorHandle,
        child::Child,
        monitor::Monitor,
        recipient::{
            AnyRecipient, HighRecipient, LowRecipient, MapRecipient, Recipient, map_recipient,
        },
        reply::{Answer, Reply},
        shared::SharedHandle,
    },
    id::{ActorId, Phase},
    observe::{
        events::{ActorEvent, EventMonitor},
        stats::ActorStats,
        tree::Tree,
    },
    patterns::{
        conversation::{
            Conversation, ConversationBuilder, ConversationError, ConversationState, Request, Talk,
            handle::ConversationHandle,
        },
        pool::Pool,
        route::Route,
        topic::{Published, Publisher, SlowPolicy, Subscription, Topic},
    },
    spawn::{
        Builder, IntoBuilder, builder, local, spawn,
        system::{Late, ShutdownReport, Signal, System},
        try_spawn,
        worker_threads::WorkerThread,
    },
    supervision::{Backoff, Health, Restart, Strategy, Supervision},
    task::dispatch::Event,
    util::histogram::Histogram,
};

/// The example of the README, compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// What the macros of this crate need.
#[doc(hidden)]
pub mod __private {
    pub use tokio;
}
