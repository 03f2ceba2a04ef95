//! The promises of durable mailboxes, each with a test named after it.

mod actors;
mod command;
mod common;
mod crash;
mod endings;
mod files;
mod foreign;
mod kill;
mod ledger;
mod mailboxes;
mod model;
mod producers;
mod watching;
