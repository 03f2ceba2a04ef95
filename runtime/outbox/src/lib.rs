//! Messages to actors on other nodes that survive both ends: at least once, and once into a durable actor.
//!
//! An [`Outbox`] stores what it is told, and sends it until the other node has confirmed it: across broken links and
//! restarts of either process. The other node exports an inbox: [`export_durable`] stores what arrives for a durable
//! actor, once; [`export_handled`] passes it to a function, and confirms when that is done.
//!
//! It is no transport and no store: links are those of `lanemesh-net`, logs those of `lanemesh-durable`.
//!
//! # Examples
//!
//! ```
//! use lanemesh_durable::{Durable, DurableExt, DurableMessage};
//! use lanemesh_net::{ExportOptions, Node, transport::InProcess};
//! use lanemesh_outbox::{Outboxes, export_durable};
//! use lanemesh_runtime::{builder, testing::Sink};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order(u64);
//!
//! impl DurableMessage for Order {
//!     const NAME: &'static str = "order";
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directories = [tempfile::tempdir()?, tempfile::tempdir()?];
//! # let [near, far] = [directories[0].path(), directories[1].path()];
//! let network = InProcess::default(); // or no transport, and addresses such as tls://host:port
//! // In one process:
//! let store = Durable::open(far)?;
//! let home = Node::builder("home").transport("mem", network.clone()).build();
//! let (mut desk, _child) = builder(Sink::<(), Order>::new).durable_low(&store, "orders").spawn().await?;
//! let _inbox = export_durable(&home, "orders", desk.low().clone(), ExportOptions::new())?;
//! let address = home.bind("mem:home").await?;
//! // In another:
//! let store = Durable::open(near)?;
//! let away = Node::builder("away").transport("mem", network).build();
//! away.connect(&address).await?; // may be later, and again
//! let outboxes = Outboxes::open(&store, &away).await?;
//! let mut orders = outboxes.to::<Order>("home", "orders").await?;
//! orders.tell(Order(7)).await?; // on disk here, and on its way
//! orders.sent().await?; // on disk there
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod inbox;
mod options;
mod outbox;
mod sender;
mod wire;

pub use self::{
    inbox::{Inbox, export_durable, export_handled},
    options::OutboxOptions,
    outbox::{Outbox, OutboxStats, Outboxes},
};

/// The example of the README, compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
