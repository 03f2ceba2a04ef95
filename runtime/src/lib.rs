//! Typed actors on the [`lanemesh`] mailbox, on tokio: two priorities, supervision, batches, worker
//! threads.
//!
//! An [`Actor`] owns its state and handles one message at a time. Its mailbox has two priorities,
//! and each [`ActorHandle`] has its own lanes into it, so that senders do not contend and a flood
//! of data does not delay control messages. A failure ends an incarnation, not the actor: handles,
//! identity and queued messages stay, and the supervisor decides whether a new incarnation starts.
//!
//! Everything here runs inside one process. Handles of actors in other processes come from
//! `lanemesh-net`, which is built on [`edge`]. Mailboxes are in memory; those of `lanemesh-durable`
//! are on disk. Other destinations implement [`Recipient`](handle::Recipient).
//!
//! # Start
//!
//! An actor with one type of messages implements [`Handler`]:
//!
//! ```
//! use std::time::Duration;
//!
//! use lanemesh_runtime::{prelude::*, spawn};
//!
//! struct Counter(u64);
//!
//! enum Msg {
//!     Add(u64),
//!     Get(Reply<u64>),
//! }
//!
//! impl Handler for Counter {
//!     type Msg = Msg;
//!
//!     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
//!         match msg {
//!             Msg::Add(n) => self.0 += n,
//!             Msg::Get(reply) => drop(reply.send(self.0)), // the asker may be gone
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut counter, _child) = spawn(Counter(0)); // it stops when `_child` is dropped
//! counter.tell(Msg::Add(2)).await?;
//! counter.tell(Msg::Add(3)).await?;
//! assert_eq!(counter.ask(Msg::Get, Duration::from_secs(1)).await?, 5);
//! # Ok(()) }
//! ```
//!
//! # Two priorities, a system, restarts
//!
//! [`Actor`] has a type of messages for each priority: what is urgent overtakes what is not.
//!
//! ```
//! use std::time::Duration;
//!
//! use lanemesh_runtime::{builder, prelude::*};
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
//!             Control::Count(reply) => drop(reply.send(self.packets)), // the asker may be gone
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
//! The root holds what nearly every program names, and [`prelude`] the part of it that is worth a
//! glob import. The rest is in one module for each concern:
//!
//! | module | contents |
//! |---|---|
//! | [`actor`] | [`Actor`], [`Handler`] for one type of messages, [`LocalActor`] without `Send`, [`Context`], [`Batch`](actor::Batch), timers and streams ([`SourceHandle`](actor::SourceHandle)), [`actor_loop!`] for other sockets and conditions |
//! | [`handle`] | [`ActorHandle`], [`SharedHandle`], [`Reply`], [`Child`], [`Monitor`](handle::Monitor), [`Recipient`](handle::Recipient), [`WeakHandle`](handle::WeakHandle) |
//! | (root) | starting: [`spawn()`], [`builder`], [`local`], [`Builder`], [`System`] and names in it ([`System::look_up`]), [`Spawner`], [`WorkerThread`] |
//! | [`supervision`] | [`Restart`], [`Supervision`](supervision::Supervision), [`Backoff`](supervision::Backoff), [`Health`](supervision::Health) |
//! | [`crash`] | [`DeadLetter`](crash::DeadLetter), state that survives a restart: [`Persistent`](crash::Persistent) |
//! | [`shutdown`] | [`ShutdownReport`](shutdown::ShutdownReport), [`Signal`](shutdown::Signal), [`Signals`](shutdown::Signals) |
//! | [`patterns`] | [`Conversation`](patterns::Conversation), [`Topic`](patterns::Topic), [`Broker`](patterns::Broker), [`Pool`](patterns::Pool) and its [`PoolBuilder`](patterns::PoolBuilder), [`Route`](patterns::Route) |
//! | [`observe`] | [`ActorStats`](observe::ActorStats), [`Tree`](observe::Tree), [`EventMonitor`](observe::EventMonitor), `publish_metrics` |
//! | [`edge`] | the two ends that a link to other processes is built of |
//! | [`testing`] | probe, sink, simulation |
//! | [`coming_from`] | tables for those who know kameo, ractor, actix, OTP or PulseBeam |
//!
//! # Limits
//!
//! - A handler that blocks its thread cannot be ended from outside. A shutdown reports it as late.
//! - When two actors wait for room in each other's full lanes, the sends fail with
//!   [`SendError::Deadlock`] after half a second; when two actors ask each other, both time out. It
//!   is better to send one of the two ways with `try_send`. Deadlock detection does not cover
//!   [`Publisher::publish`](patterns::Publisher::publish) with
//!   [`SlowPolicy::Wait`](patterns::SlowPolicy::Wait),
//!   [`Pool::send_low`](patterns::Pool::send_low), [`high_ready`](ActorHandle::high_ready),
//!   [`low_ready`](ActorHandle::low_ready), [`low_room`](ActorHandle::low_room),
//!   and [`Recipient::poll_ready`](handle::Recipient::poll_ready).
//! - With `panic = "abort"` a panic ends the program; errors are still supervised.
//! - Capacity is per [`ActorHandle`] and priority: a thousand clones may queue a thousand times as much,
//!   and have no order among them. The clones of a [`SharedHandle`] have one capacity and one order.
//! - Eight messages cost one unit of tokio's cooperative budget, so about a thousand small handlers
//!   may run before other tasks of the thread do. A long handler should yield by itself.
//!
//! # Features
//!
//! - `metrics`: `publish_metrics`, which publishes a [`Tree`](observe::Tree) through the `metrics`
//!   facade.
//! - `serde`: a [`Reply`] inside a message can leave the process ([`edge`]).
//! - `testing`: `testing::simulate`, with tokio's clock paused and the order of tasks decided by a
//!   seed.
#![forbid(unsafe_code)]

pub mod actor;
mod cell;
pub mod coming_from;
pub mod crash;
pub mod edge;
mod envelope;
mod error;
mod exit;
pub mod handle;
mod id;
mod name;
pub mod observe;
pub mod patterns;
pub mod prelude;
mod registry;
pub mod shutdown;
mod sources;
mod spawn;
pub mod supervision;
mod task;
pub mod testing;
mod util;

pub use lanemesh::{Message, Overflow, Sent};

pub use crate::{
    actor::{Actor, Context, Handler, LocalActor, LocalContext},
    error::{
        ActorError, ActorResult, AskError, LookupError, ReplyError, SendError, SpawnError,
        StashFull,
    },
    exit::{CrashPolicy, ExitNotice, ExitReason},
    handle::{ActorHandle, Child, Reply, SharedHandle},
    id::{ActorId, Phase},
    name::ActorName,
    spawn::{
        Builder, IntoBuilder, Spawner, System, WorkerThread, builder, local, spawn, try_spawn,
    },
    supervision::Restart,
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
