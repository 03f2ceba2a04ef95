//! The integration tests, in one binary, so that they link once.
//!
//! Not here, because something global to the process forbids it: `allocations`, which has a global
//! allocator that counts; `signals`, which sends signals to its process; and `spans`, since
//! `tracing` caches for the whole process whether anybody listens to a place in the code.

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod batching;
mod broker;
mod conversation;
mod custody;
mod drops;
mod edge;
mod endings;
mod fairness;
mod handlers;
mod handles;
mod histories;
mod hooks;
mod incarnations;
mod kill;
mod ledger;
mod lifecycle;
mod on_demand;
mod outside;
mod panics;
mod patterns;
mod pools;
mod questions;
mod registry;
mod reports;
mod rounds;
mod shared;
mod sources;
mod stash;
mod stopping;
mod supervision;
mod watching;
