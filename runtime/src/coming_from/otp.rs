//! Coming from Erlang/OTP or Elixir.
//!
//! A process has one mailbox and `receive` picks from it by pattern; an actor handles its messages in
//! the order of their priority, and puts aside what it cannot handle yet.
//!
//! | OTP | here |
//! |---|---|
//! | `gen_server`: `init`, `handle_call`, `handle_cast`, `handle_info`, `terminate` | [`Handler`](crate::Handler): [`started`](crate::Actor::started), [`handle`](crate::Handler::handle) for all three, [`stopped`](crate::Actor::stopped) |
//! | `gen_server:call(Pid, Req, Timeout)`, `{noreply, ..}` and `gen_server:reply` | [`ask`](crate::SharedHandle::ask); a [`Reply`](crate::Reply) is kept and answered later |
//! | `gen_server:cast` | [`try_tell`](crate::SharedHandle::try_tell); mailboxes are bounded |
//! | `gen_statem`, `postpone` | an enum as the actor; [`Context::stash`](crate::Context::stash) and [`unstash`](crate::Context::unstash) |
//! | `supervisor`: `one_for_one`, `one_for_all`, `rest_for_one` | [`Strategy`](crate::supervision::Strategy), for the children of an actor or a [`System`](crate::System) |
//! | `permanent`, `transient`, `temporary` | [`Restart`](crate::Restart) |
//! | `intensity`, `period` of the supervisor | [`Supervision::total_intensity`](crate::supervision::Supervision::total_intensity); [`intensity`](crate::supervision::Supervision::intensity) is for each child |
//! | `shutdown => Timeout`, `brutal_kill` | [`Builder::grace`](crate::Builder::grace); [`kill`](crate::SharedHandle::kill) |
//! | shutdown in reverse order of the start | side by side, unless [`Builder::after`](crate::Builder::after) says otherwise |
//! | a restart is a new pid with an empty mailbox | the same identity, and the queue is kept |
//! | `link`, `spawn_link` | [`Context::link`](crate::Context::link), one way; a child ends with its parent in any case |
//! | `monitor`, `'DOWN'`, `noproc` for the dead | [`Context::watch`](crate::Context::watch), [`on_peer_exit`](crate::Actor::on_peer_exit), the reason also for a late watch |
//! | `process_flag(trap_exit, true)` | [`CrashPolicy::Compensate`](crate::CrashPolicy::Compensate) |
//! | `exit(Pid, kill)`, reason `killed` | [`kill`](crate::SharedHandle::kill), [`ExitReason::Killed`](crate::ExitReason::Killed) |
//! | `erlang:send_after`, `start_timer`, `cancel_timer` | [`Context::send_after`](crate::Context::send_after), [`SourceHandle::cancel`](crate::actor::SourceHandle::cancel): nothing comes after a cancel |
//! | `register`, `whereis` | [`Builder::registered`](crate::Builder::registered), [`System::look_up`](crate::System::look_up); taken twice is [`SpawnError::NameTaken`](crate::SpawnError::NameTaken) |
//! | `gen_event`, `pg` | [`Topic`](crate::patterns::Topic) |
//! | `poolboy` | [`Pool`](crate::patterns::Pool) |
//! | `sys:get_state`, `observer` | [`inspect`](crate::SharedHandle::inspect), [`Tree`](crate::observe::Tree) |
//! | preemption after a number of reductions | none: a handler that does not `await` keeps its thread |
//! | distribution, hot code loading | none |
//!
//! ```
//! use std::time::Duration;
//! use lanemesh_runtime::{prelude::*, builder, supervision::{Backoff, Strategy, Supervision}};
//!
//! struct Worker;
//!
//! impl Handler for Worker {
//!     type Msg = Reply<u32>;
//!
//!     async fn handle(&mut self, reply: Reply<u32>, ctx: &mut Context<Self>) -> ActorResult {
//!         if ctx.incarnation() == 1 {
//!             return Err(ActorError::msg("let it crash"));
//!         }
//!         drop(reply.send(ctx.incarnation()));
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // {one_for_one, 3 restarts in 5 seconds}, [{worker, .., permanent, ..}]
//! let rules = Supervision::new(Strategy::OneForOne)
//!     .total_intensity(3, Duration::from_secs(5))
//!     .backoff(Backoff::none());
//! let system = System::supervised("sup", rules);
//! let worker = builder(|| Worker).registered("worker").restart(Restart::Permanent);
//! let (_, child) = system.spawn(worker);
//! child.detach(); // the supervisor has it
//!
//! let worker = system.look_up::<Worker>("worker")?; // whereis(worker)
//! let second = Duration::from_secs(1);
//! assert!(worker.ask(|reply| reply, second).await.is_err());
//! assert_eq!(worker.ask(|reply| reply, second).await?, 2);
//! # Ok(()) }
//! ```
