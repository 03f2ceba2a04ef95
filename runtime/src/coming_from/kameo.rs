//! Coming from kameo.
//!
//! kameo implements `Message<M>` once for each type of message; here the messages of an actor are one
//! type, usually an enum, so that sending needs no allocation and no dynamic call.
//!
//! | kameo | here |
//! |---|---|
//! | `#[derive(Actor)]`, `impl Message<M> for A` | [`Handler`](crate::Handler) with an enum, or [`Actor`](crate::Actor) with one for each priority |
//! | `type Reply`, the return value of `handle` | a [`Reply`](crate::Reply) in the message; it can be answered later, as a `DelegatedReply` |
//! | `on_start`, `on_stop` | [`started`](crate::Actor::started), [`stopped`](crate::Actor::stopped) |
//! | `on_panic` | none: a panic ends the incarnation, and the [`Restart`](crate::Restart) policy decides |
//! | `on_link_died` | [`on_peer_exit`](crate::Actor::on_peer_exit) for watched peers, [`on_child_exit`](crate::Actor::on_child_exit) for children |
//! | `A::spawn(args)` | [`spawn`](crate::spawn()), [`builder`](crate::builder) with a factory, so that it can be restarted |
//! | `A::spawn_link`, `spawn_in_thread` | [`Context::spawn`](crate::Context::spawn); [`Builder::on`](crate::Builder::on) a [`WorkerThread`](crate::WorkerThread) |
//! | `ActorRef<A>`, cloned where it is used | [`SharedHandle`](crate::SharedHandle), by [`ActorHandle::shared`](crate::ActorHandle::shared) |
//! | `actor_ref.tell(msg).await`, `.try_send()`, `.blocking_send()` | [`tell`](crate::SharedHandle::tell), [`try_tell`](crate::SharedHandle::try_tell), [`blocking_tell`](crate::SharedHandle::blocking_tell) |
//! | `actor_ref.ask(msg).await`, `.reply_timeout(t)` | [`ask`](crate::SharedHandle::ask), with a time limit always |
//! | `.mailbox_timeout(t)` | [`tell_by`](crate::SharedHandle::tell_by): the message also expires in the queue |
//! | a bounded or unbounded mailbox at the spawn | [`low_capacity`](crate::Builder::low_capacity), [`low_unbounded`](crate::Builder::low_unbounded) |
//! | `WeakActorRef` | [`Monitor`](crate::handle::Monitor), which keeps nothing alive but cannot send |
//! | `actor_ref.link(&other)` | [`Context::link`](crate::Context::link), one way; [`Context::watch`](crate::Context::watch) with a policy |
//! | `actor_ref.stop_gracefully()`, `kill()`, `wait_for_shutdown()` | [`drain`](crate::SharedHandle::drain), or [`stop`](crate::SharedHandle::stop) without the queue; [`kill`](crate::SharedHandle::kill); [`monitor`](crate::SharedHandle::monitor) |
//! | `actor_ref.attach_stream(stream, start, end)` | [`Context::attach`](crate::Context::attach); chain the start and the end to the stream |
//! | `actor_ref.register("name")`, `ActorRef::lookup("name")` | [`Builder::registered`](crate::Builder::registered), [`System::look_up`](crate::System::look_up): within a system, gone with the actor |
//! | `Recipient<M>`, `ReplyRecipient<M>` | [`Recipient`](crate::handle::Recipient); a message with a [`Reply`](crate::Reply) through it |
//! | `ActorPool`, `PubSub` | [`Pool`](crate::patterns::Pool), [`Topic`](crate::patterns::Topic) |
//! | remote actors | none |
//!
//! ```
//! use std::time::Duration;
//! use lanemesh_runtime::{prelude::*, spawn};
//!
//! #[derive(Default)]
//! struct Counter { count: i64 }
//!
//! // kameo: struct Inc { amount: i64 }, impl Message<Inc> for Counter { type Reply = i64; .. }
//! enum Msg { Inc { amount: i64, reply: Reply<i64> } }
//!
//! impl Handler for Counter {
//!     type Msg = Msg;
//!
//!     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
//!         let Msg::Inc { amount, reply } = msg;
//!         self.count += amount;
//!         drop(reply.send(self.count));
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (counter, _child) = spawn(Counter::default());
//! let counter = counter.shared(); // kameo: ActorRef<Counter>
//! let second = Duration::from_secs(1);
//! let count = counter.clone().ask(|reply| Msg::Inc { amount: 42, reply }, second).await?;
//! assert_eq!(count, 42);
//! # Ok(()) }
//! ```
