//! The promises of durable mailboxes, each with a test named after it.

mod actors;
mod command;
mod common;
mod crash;
mod kill;
mod ledger;
mod mailboxes;
mod model;
