//! Coming from ractor.
//!
//! ractor keeps the actor and its state apart, so that `pre_start` can make the state; here the actor
//! is its state, and a factory makes both.
//!
//! | ractor | here |
//! |---|---|
//! | `impl Actor { type Msg; type State; type Arguments }` | [`Handler`](crate::Handler), whose fields are the state; what a factory captures are the arguments |
//! | `pre_start`, `post_start`, `post_stop` | [`started`](crate::Actor::started); none; [`stopped`](crate::Actor::stopped), which also runs after a failure |
//! | `handle(&self, myself, msg, state)` | [`handle`](crate::Handler::handle) with `&mut self`; [`Context::handle`](crate::Context::handle) is `myself` |
//! | `handle_supervisor_evt` | [`on_child_exit`](crate::Actor::on_child_exit), after restarts are used up: a [`Supervision`](crate::supervision::Supervision) restarts |
//! | `spawn(name, actor, args)`, `spawn_linked` | [`builder`](crate::builder) and [`spawn`](crate::Builder::spawn); [`Context::spawn`](crate::Context::spawn) |
//! | `ActorRef<Msg>`, `cast!`, `send_message` | [`SharedHandle`](crate::SharedHandle); [`try_tell`](crate::SharedHandle::try_tell), [`tell`](crate::SharedHandle::tell) |
//! | `call!`, `call_t!`, `RpcReplyPort` | [`ask`](crate::SharedHandle::ask), [`Reply`](crate::Reply) |
//! | `forward!` | a [`Reply`](crate::Reply) passed on in another message |
//! | `send_after`, `send_interval` | [`Context::send_after`](crate::Context::send_after), [`Context::send_interval`](crate::Context::send_interval): no task, and they end with the incarnation |
//! | `exit_after`, `kill_after` | [`send_after`](crate::Context::send_after) a message at which the actor calls [`Context::stop`](crate::Context::stop) |
//! | signals, stop, supervision, messages: four priorities | stops and exits, then high, then low: [`Actor`](crate::Actor) |
//! | `stop`, `drain`, `kill`, `stop_and_wait` | [`stop`](crate::SharedHandle::stop), [`drain`](crate::SharedHandle::drain), [`kill`](crate::SharedHandle::kill), [`Child::stop`](crate::Child::stop) |
//! | `ActorCell`, `get_id`, `get_status` | [`SharedHandle::id`](crate::SharedHandle::id), [`phase`](crate::SharedHandle::phase) |
//! | `monitor` (feature) | [`Context::watch`](crate::Context::watch), [`monitor`](crate::SharedHandle::monitor) |
//! | registry `where_is` | [`System::look_up`](crate::System::look_up), scoped and typed |
//! | `pg` groups, `OutputPort` | [`Topic`](crate::patterns::Topic) |
//! | `DerivedActorRef` | [`map_recipient`](crate::handle::map_recipient) |
//! | factory (workers, routing, queues) | [`Pool`](crate::patterns::Pool), [`Route`](crate::patterns::Route) |
//! | unbounded mailboxes | bounded, unless [`Builder::low_unbounded`](crate::Builder::low_unbounded) |
//! | `ractor_cluster` | none |
//!
//! ```
//! use std::time::Duration;
//! use lanemesh_runtime::{prelude::*, builder};
//!
//! enum Msg { Tick, Get(Reply<u32>) }
//!
//! struct Clock { ticks: u32 }
//!
//! impl Handler for Clock {
//!     type Msg = Msg;
//!
//!     async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
//!         ctx.send_interval(Duration::from_millis(10), || Msg::Tick); // ractor: myself.send_interval
//!         Ok(())
//!     }
//!
//!     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
//!         match msg {
//!             Msg::Tick => self.ticks += 1,
//!             Msg::Get(reply) => drop(reply.send(self.ticks)),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut clock, _child) = builder(|| Clock { ticks: 0 }).name("clock").spawn();
//! tokio::time::sleep(Duration::from_millis(35)).await;
//! let ticks = clock.ask(Msg::Get, Duration::from_secs(1)).await?; // ractor: call_t!(clock, Msg::Get, 1000)
//! assert_eq!(ticks, 3);
//! # Ok(()) }
//! ```
