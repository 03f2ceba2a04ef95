//! Durable mailboxes: a receipt means that the message is on disk, a crash loses nothing, and one sync
//! serves all who wait.
//!
//! [`Durable::open`] opens a store: one log for all durable actors and mailboxes of a process.
//! [`DurableExt`] makes an actor durable, by class; [`Mailbox`] is a queue for those without actors.
//! Delivery is at least once: what was not acknowledged comes again, with its attempt, until it is a
//! dead letter. There is no replication, and questions cannot be stored.
//!
//! What is promised at which setting is in a table of the README, and how it works on the page
//! `ARCHITECTURE.md` beside it.
//!
//! # Features
//!
//! - `metrics`: `StoreStats::publish_metrics`, through the `metrics` facade.
#![deny(unsafe_code)]

pub mod actor;
mod codec;
pub mod disk;
mod engine;
mod journal;
pub mod log;
mod mailbox;
pub mod offline;
mod options;
mod producer;
#[cfg(test)]
mod simulation;
mod store;
mod wait;

pub use crate::{
    actor::{Delivered, DurableBuilder, DurableExt, DurableHandle},
    codec::{Codec, CodecError, DurableMessage, Postcard},
    engine::{ClassStats, Cut, DeadReason, OpenError, QueueStats},
    journal::{DeadLetter, StoreError, StoreStats},
    mailbox::{Delivery, Mailbox},
    options::{QueueOptions, StoreOptions},
    producer::{Producer, Receipt, TellError, TellManyError, Terms, Ticket},
    store::Durable,
};

/// The example of the README, compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
