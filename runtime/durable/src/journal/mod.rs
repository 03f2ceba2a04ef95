//! The journal: one thread that owns the engine and does all the work on disk.
//!
//! It drains an ordinary two-priority mailbox. All that waits becomes one write and one sync; then the
//! receipts are completed, and messages go on to those that handle them. What became of messages
//! comes in the high class, so that a flood of new ones does not delay it.

mod clock;
mod command;
mod gathering;
mod letters;
pub(crate) mod mutant;
mod outlet;
mod run;
mod stats;

use std::thread;

use lanemesh::MailboxBuilder;
use tokio::sync::watch;

use crate::{
    disk::Disk,
    engine::{Cut, Engine, OpenError},
    options::StoreOptions,
};

pub use self::{command::StoreError, letters::DeadLetter, stats::StoreStats};
pub(crate) use self::{
    command::{Claim, Client, HandOver, Items, Put, PutOutcome, Sink, Undelivered, Upkeep},
    letters::dead_letters,
    run::Journal,
};

/// Messages that one producer may have on the way to the journal.
const LANE: usize = 1024;

/// Opens a store and starts its thread.
pub(crate) fn start(
    disk: Box<dyn Disk>,
    options: &StoreOptions,
) -> Result<(Client, Option<Cut>), OpenError> {
    let (client, cut, journal) = prepare(disk, options)?;
    thread::Builder::new()
        .name("lanemesh-journal".to_owned())
        .spawn(move || journal.run())
        .map_err(OpenError::Io)?;
    Ok((client, cut))
}

/// Opens a store, for a thread that runs the journal.
pub(crate) fn prepare(
    disk: Box<dyn Disk>,
    options: &StoreOptions,
) -> Result<(Client, Option<Cut>, Journal), OpenError> {
    let (engine, cut) = Engine::open(disk, options)?;
    let (tx, rx) = MailboxBuilder::new(LANE, LANE).high_unbounded().build();
    let weak = tx.downgrade();
    let (alive, ended) = watch::channel(());
    let client = Client::new(tx, engine.hands(), ended);
    let journal = Journal::new(engine, rx, weak, alive);
    Ok((client, cut, journal))
}
