//! Coming from PulseBeam's runtime.
//!
//! The shape is the same: an actor with two types of messages, a handle whose sends take `&mut self`,
//! a loop with extra arms.
//!
//! | PulseBeam | here |
//! |---|---|
//! | `Actor` with `HighPriorityMsg`, `LowPriorityMsg` | [`Actor`](crate::Actor), with the same names |
//! | `Meta`, `ObservableState`, `get_observable_state` | [`Builder::name`](crate::Builder::name), [`Observe`](crate::actor::Observe) |
//! | `on_high_priority`, `on_low_priority` | [`on_high`](crate::Actor::on_high), [`on_low`](crate::Actor::on_low); an error or a panic ends the incarnation |
//! | `run`, `actor_loop!` with `pre_select`, `select` | [`run`](crate::Actor::run), [`actor_loop!`](crate::actor_loop); no arm can starve, or be starved by, the mailbox |
//! | a timer or a stream as an arm | [`Context::send_low_interval`](crate::Context::send_low_interval), [`Context::attach_low`](crate::Context::attach_low), without an own loop |
//! | `spawn(actor, RunnerConfig)` | [`builder`](crate::builder), [`Builder::spawn`](crate::Builder::spawn) |
//! | `mailbox_cap` | [`low_capacity`](crate::Builder::low_capacity), [`high_capacity`](crate::Builder::high_capacity): for each handle, not for all |
//! | `ActorHandle`, `send_high`, `send_low`, `try_send_*` | [`ActorHandle`](crate::ActorHandle), the same; [`ActorHandle::shared`](crate::ActorHandle::shared) for `&self` |
//! | the join handle, which aborts when dropped | [`Child`](crate::Child), which stops when dropped: cancel, clean-up, then kill |
//! | `ActorStatus` | [`ExitReason`](crate::ExitReason) |
//! | `terminate` | [`Child::stop`](crate::Child::stop), [`kill`](crate::ActorHandle::kill) |
//! | tasks of an actor in a `JoinSet` | [`Context::spawn`](crate::Context::spawn) for actors, [`Context::pipe_low`](crate::Context::pipe_low) for futures |
//! | no restart | [`Restart`](crate::Restart), [`Supervision`](crate::supervision::Supervision) |
//! | one runtime for each core | [`WorkerThread::per_core`](crate::WorkerThread::per_core) |
//!
//! ```
//! use std::time::Duration;
//! use lanemesh_runtime::{prelude::*, actor::Observe, builder};
//!
//! struct Participant { packets: u64, ticks: u32 }
//!
//! enum Control { Tick }
//!
//! impl Actor for Participant {
//!     type HighPriorityMsg = Control;
//!     type LowPriorityMsg = Vec<u8>;
//!
//!     async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
//!         ctx.send_high_interval(Duration::from_millis(200), || Control::Tick);
//!         Ok(())
//!     }
//!
//!     async fn on_high(&mut self, _: Control, _: &mut Context<Self>) -> ActorResult {
//!         self.ticks += 1;
//!         Ok(())
//!     }
//!
//!     async fn on_low(&mut self, _: Vec<u8>, _: &mut Context<Self>) -> ActorResult {
//!         self.packets += 1;
//!         Ok(())
//!     }
//! }
//!
//! impl Observe for Participant {
//!     type State = (u64, u32);
//!
//!     fn observe(&self) -> (u64, u32) {
//!         (self.packets, self.ticks)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let participant = builder(|| Participant { packets: 0, ticks: 0 }).low_capacity(256);
//! let (mut participant, _child) = participant.spawn();
//! participant.send_low(vec![0; 1200]).await?;
//! tokio::time::sleep(Duration::from_millis(500)).await;
//! assert_eq!(participant.state(Duration::from_secs(1)).await?, (1, 2));
//! # Ok(()) }
//! ```
