//! Coming from actix.
//!
//! actix handles messages in synchronous functions, and futures beside them; here a handler is async,
//! and the next message waits for it unless its work is given to [`pipe`](crate::Context::pipe).
//!
//! | actix | here |
//! |---|---|
//! | `impl Handler<M> for A` for each `M: Message` | [`Handler`](crate::Handler) with an enum |
//! | `Actor::started`, `stopping`, `stopped` | [`started`](crate::Actor::started), none, [`stopped`](crate::Actor::stopped) |
//! | `Context<A>`, `ctx.address()` | [`Context`](crate::Context), [`Context::handle`](crate::Context::handle) |
//! | `Addr<A>`, cloned where it is used | [`SharedHandle`](crate::SharedHandle) |
//! | `addr.send(msg).await` | [`ask`](crate::SharedHandle::ask) |
//! | `addr.do_send(msg)`, which ignores a full mailbox | [`try_tell`](crate::SharedHandle::try_tell) fails when it is full; [`Builder::low_unbounded`](crate::Builder::low_unbounded) |
//! | `addr.try_send(msg)` | [`try_tell`](crate::SharedHandle::try_tell) |
//! | `Recipient<M>` | [`Recipient`](crate::handle::Recipient) |
//! | `ctx.run_later`, `notify_later` | [`Context::send_after`](crate::Context::send_after) |
//! | `ctx.run_interval`, `SpawnHandle`, `cancel_future` | [`Context::send_interval`](crate::Context::send_interval), [`SourceHandle::cancel`](crate::actor::SourceHandle::cancel) |
//! | `ctx.add_stream`, `StreamHandler` | [`Context::attach`](crate::Context::attach) |
//! | `ctx.spawn(fut.into_actor(self))`, `ResponseActFuture` | [`Context::pipe`](crate::Context::pipe): the output arrives as a message, with `&mut self` again |
//! | `ctx.wait(fut)` | an `await` in the handler |
//! | `ctx.stop()`, `terminate()` | [`Context::stop`](crate::Context::stop); [`kill`](crate::SharedHandle::kill) from outside |
//! | `ctx.set_mailbox_capacity(n)` | [`Builder::low_capacity`](crate::Builder::low_capacity) |
//! | `Supervisor`, `Supervised::restarting` | [`Builder::restart`](crate::Builder::restart): each incarnation is made by the factory; [`Persistent`](crate::crash::Persistent) state |
//! | `SystemService`, `ArbiterService`, `from_registry` | [`Builder::registered`](crate::Builder::registered), [`System::look_up`](crate::System::look_up); nothing starts at the first use |
//! | `Arbiter`, actors that are not `Send` | [`WorkerThread`](crate::WorkerThread), [`LocalActor`](crate::LocalActor) |
//! | `SyncArbiter` | [`Pool`](crate::patterns::Pool), on worker threads if the handlers block |
//! | stopping the current system | [`System::shutdown`](crate::System::shutdown), [`System::drain`](crate::System::drain); there is no current system |
//! | `Broker` | [`Topic`](crate::patterns::Topic) |
//!
//! ```
//! use std::time::Duration;
//! use lanemesh_runtime::{prelude::*, spawn};
//!
//! enum Msg {
//!     Fetch(u32, Reply<String>),
//!     Fetched(String, Reply<String>),
//! }
//!
//! struct Client { fetched: usize }
//!
//! async fn fetch(page: u32) -> String { format!("page {page}") }
//!
//! impl Handler for Client {
//!     type Msg = Msg;
//!
//!     async fn handle(&mut self, msg: Msg, ctx: &mut Context<Self>) -> ActorResult {
//!         match msg {
//!             // actix: Box::pin(fetch(page).into_actor(self).map(|text, actor, ctx| ..))
//!             Msg::Fetch(page, reply) => {
//!                 ctx.pipe(async move { Msg::Fetched(fetch(page).await, reply) });
//!             }
//!             Msg::Fetched(text, reply) => {
//!                 self.fetched += 1;
//!                 drop(reply.send(text));
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut client, _child) = spawn(Client { fetched: 0 });
//! let text = client.ask(|reply| Msg::Fetch(7, reply), Duration::from_secs(1)).await?;
//! assert_eq!(text, "page 7");
//! # Ok(()) }
//! ```
